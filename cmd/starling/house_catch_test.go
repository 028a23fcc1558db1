package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"sync"
	"testing"
)

// fixtureImports compiles the packages that fixtures use.
var fixtureImports = sync.OnceValues(func() (types.Importer, error) {
	all, err := list("context", "crypto/rand", "errors", "hash/maphash", "maps", "math", "math/rand", "math/rand/v2", "net", "os", "slices",
		"sync", "sync/atomic", "time")
	if err != nil {
		return nil, err
	}
	return exports(token.NewFileSet(), all), nil
})

// fixture builds a package of one file from what follows the package clause.
func fixture(t *testing.T, path, doc, body string) *pkg {
	t.Helper()
	imp, err := fixtureImports()
	if err != nil {
		t.Fatal(err)
	}
	name := path[strings.LastIndex(path, "/")+1:]
	p := &pkg{path: path, fset: token.NewFileSet()}
	f, err := parser.ParseFile(p.fset, "fixture.go", doc+"package "+name+"\n"+body, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p.files = []*ast.File{f}
	if err := p.check(modulePath+"/"+path, imp); err != nil {
		t.Fatal(err)
	}
	return p
}

// syntax builds a package that is not type-checked, for imports that need not exist.
func syntax(t *testing.T, path string, imports ...string) *pkg {
	t.Helper()
	p := &pkg{path: path, fset: token.NewFileSet()}
	src := "package x\n"
	for _, i := range imports {
		src += "import _ \"" + i + "\"\n"
	}
	f, err := parser.ParseFile(p.fset, "fixture.go", src, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	p.files = []*ast.File{f}
	return p
}

// A caught is a fixture and what a rule must say about it: nothing if want is empty, else one problem with want in it
// at the line that holds the comment "// here", if there is one.
type caught struct{ name, body, want string }

func (c caught) check(t *testing.T, problems []problem) {
	t.Helper()
	if c.want == "" {
		report(t, problems)
		return
	}
	if len(problems) != 1 || !strings.Contains(problems[0].String(), c.want) {
		t.Fatalf("have %v, want one problem with %q in\n%s", problems, c.want, c.body)
	}
	if before, _, ok := strings.Cut(c.body, "// here"); ok {
		if line := 2 + strings.Count(before, "\n"); problems[0].at.Line != line {
			t.Errorf("is reported in line %d, want %d", problems[0].at.Line, line)
		}
	}
}

func TestPurityIsChecked(t *testing.T) {
	tests := []caught{
		{"clean", `import ("math/rand/v2"; "slices"; "maps"; "sync/atomic"; "time")
			type T struct { n atomic.Int64; r *rand.Rand; d time.Duration }
			func f(m map[string]int, s []int) (n int) {
				r := rand.New(rand.NewPCG(1, 2))
				for _, k := range slices.Sorted(maps.Keys(m)) { n += m[k] + r.IntN(3) }
				for i := range s { n += i }
				for i := range 3 { n += i }
				return n + int(time.Second)
			}`, ""},
		{"clock", "import \"time\"\nfunc f() time.Time { return time.Now() } // here", "time.Now reads the clock"},
		{"clock as a value", "import \"time\"\nvar f = time.Since // here", "time.Since reads the clock"},
		{"clock under another name", "import t \"time\"\nfunc f() { t.Sleep(1) } // here", "time.Sleep reads the clock"},
		{"clock through a dot", "import . \"time\"\nfunc f() Time { return Now() } // here", "time.Now reads the clock"},
		{"timer", "import \"time\"\nfunc f() { time.AfterFunc(1, nil) } // here", "time.AfterFunc"},
		{"time of an event", "import \"time\"\nfunc f(t time.Time) bool { return t.After(t) }", ""},
		{"chance", "import \"math/rand/v2\"\nfunc f() int { return rand.IntN(3) } // here", "rand.IntN draws"},
		{"old chance", "import \"math/rand\"\nfunc f() int { return rand.Intn(3) } // here", "rand.Intn draws"},
		{"hash of the process", "import \"hash/maphash\"\nfunc f() (h maphash.Hash) { return h } // here", "maphash.Hash differs"},
		{"crypto/rand", "import _ \"crypto/rand\" // here", "crypto/rand has no place"},
		{"net", "import _ \"net\" // here", "net has no place"},
		{"os", "import _ \"os\" // here", "os has no place"},
		{"context", "import _ \"context\" // here", "context has no place"},
		{"sync", "import _ \"sync\" // here", "sync has no place"},
		{"sync/atomic", "import _ \"sync/atomic\"", ""},
		{"goroutine", "func f() {\n\tgo f() // here\n}", "starts a goroutine"},
		{"select", "func f() {\n\tselect {} // here\n}", "selects"},
		{"channel", "type t struct {\n\tc chan int // here\n}", "uses a channel"},
		{"map", "func f(m map[int]int) {\n\tfor range m { // here\n\t}\n}", "ranges over a map"},
		{"named map", "type set map[int]bool\nfunc f(m set) {\n\tfor k := range m { // here\n\t\t_ = k\n\t}\n}", "ranges over a map"},
		{"map of a type parameter", "func f[M ~map[int]int](m M) {\n\tfor range m { // here\n\t}\n}", "ranges over a map"},
		{"map with the reason beside it", "func f(m map[int]int) (n int) {\n\tfor _, v := range m { // order-free: a sum of integers\n\t\tn += v\n\t}\n\treturn n\n}", ""},
		{"map with the reason above it", "func f(m map[int]int) (n int) {\n\t// order-free: a sum\n\t// of integers\n\tfor _, v := range m {\n\t\tn += v\n\t}\n\treturn n\n}", ""},
		{"map with an empty reason", "func f(m map[int]int) {\n\t// order-free:\n\tfor range m { // here\n\t}\n}", "ranges over a map"},
		{"map with a reason elsewhere", "func f(m map[int]int) {\n\t// order-free: no\n\n\tfor range m { // here\n\t}\n}", "ranges over a map"},
		{"keys in any order", "import \"maps\"\nfunc f(m map[int]int) {\n\tfor range maps.Keys(m) { // here\n\t}\n}", "maps.Keys has no order"},
		{"collected keys", "import (\"maps\"; \"slices\")\nfunc f(m map[int]int) []int { return slices.Collect(maps.Values(m)) } // here", "maps.Values has no order"},
		{"keys sorted by a function", "import (\"maps\"; \"slices\")\nfunc f(m map[int]int, c func(a, b int) int) []int { return slices.SortedFunc(maps.Keys(m), c) }", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.check(t, purity(fixture(t, "node", "", test.body), "sync/atomic"))
		})
	}
}

func TestFusedProductsAreChecked(t *testing.T) {
	for _, test := range []caught{
		{"sum", "func f(x, y, z float32) float32 { return x*y + z }", "may be fused"},
		{"sum from the right", "func f(x, y, z float64) float64 { return z + (x * y) }", "may be fused"},
		{"difference", "func f(x, y, z float64) float64 { return z - x*y }", "may be fused"},
		{"negative product", "func f(x, y, z float64) float64 { return z + -(x*y) }", "may be fused"},
		{"accumulation", "func f(x []float32) (s float32) {\n\tfor _, v := range x {\n\t\ts += v * v // here\n\t}\n\treturn s\n}", "may be fused"},
		{"decrease", "func f(x, y float64) (s float64) {\n\ts -= x * y // here\n\treturn s\n}", "may be fused"},
		{"named type", "type real float64\nfunc f(x, y, z real) real { return x*y + z }", "may be fused"},
		{"type parameter", "func f[T ~float32 | ~float64](x, y, z T) T { return x*y + z }", "may be fused"},
		{"constraint with a name", "type real interface{ ~float32 | ~float64 }\nfunc f[T real](x, y, z T) T { return x*y + z }", "may be fused"},
		{"converted", "func f(x, y, z float32) float32 { return float32(x*y) + z }", ""},
		{"integers", "func f(x, y, z int) int { return x*y + z }", ""},
		{"integers of a type parameter", "func f[T ~int | ~uint8](x, y, z T) T { return x*y + z }", ""},
		{"constants", "const a = 1.5\nfunc f(z float64) float64 { return a*a + z }", ""},
		{"product of sums", "func f(x, y, z float64) float64 { return (x + y) * z }", ""},
	} {
		t.Run(test.name, func(t *testing.T) { test.check(t, fusible(fixture(t, "mixing", "", test.body))) })
	}
}

func TestEffectsAreChecked(t *testing.T) {
	for _, test := range []caught{
		{"clean", `import ("errors"; "sync")
			var ErrGone = errors.New("gone")
			var table = [...]string{"a", "b"}
			var names = map[string]int{"a": 1}
			var pool = sync.Pool{New: func() any { return new([]byte) }}
			var once = sync.OnceValue(func() int { return 3 })
			type T struct{}
			var _ error = T{}
			func (T) Error() string { return "" }
			func (T) init() {}
			func f(i int) (int, any) {
				table := [...]string{"x"}
				table[0] = "y"
				return names["a"] + once() + len(table), pool.Get()
			}`, ""},
		{"init", "func init() {} // here", "init runs"},
		{"assignment", "var n int\nfunc f() {\n\tn = 1 // here\n}", "n is changed here"},
		{"increment", "var n int\nfunc f() {\n\tn++ // here\n}", "n is changed here"},
		{"field", "var s struct{ n int }\nfunc f() {\n\ts.n += 1 // here\n}", "s is changed here"},
		{"element", "var m = map[int]int{}\nfunc f() {\n\tm[1] = 1 // here\n}", "m is changed here"},
		{"through a pointer", "var p = new(int)\nfunc f() {\n\t*p = 1 // here\n}", "p is changed here"},
		{"loop", "var n int\nfunc f() {\n\tfor n = range 3 { // here\n\t}\n}", "n is changed here"},
		{"delete", "var m = map[int]int{}\nfunc f() {\n\tdelete(m, 1) // here\n}", "m is changed here"},
		{"address", "var n int\nfunc f() *int { return &n } // here", "by address"},
		{"method", "type T int\nfunc (t *T) Add() { *t++ }\nvar n T\nfunc f() { n.Add() } // here", "changed by its method Add"},
		{"mutex", "import \"sync\"\nvar mu sync.Mutex // here", "the whole process shares"},
		{"counter", "import \"sync/atomic\"\nvar n atomic.Int64 // here", "the whole process shares"},
		{"channel", "var c = make(chan int) // here", "is a channel"},
		{"exported", "var Limit = 3 // here", "is exported"},
		{"allowed", "var known int\nfunc f() { known = 1 }", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.check(t, effects(fixture(t, "node/model", "", test.body), map[string]string{"node/model.known": "a test"}))
		})
	}
}

func TestPackageCommentsAreChecked(t *testing.T) {
	for _, test := range []struct{ name, path, doc, want string }{
		{"good", "node/model", "// Package model is a model. It does not train.\n", ""},
		{"good command", "cmd/main", "// Command main trains. It holds no logic.\n", ""},
		{"broken line", "node/model", "// Package\n// model is a model. It never trains.\n", ""},
		{"missing", "node/model", "", "has no package comment"},
		{"detached", "node/model", "// Package model is a model. It does not train.\n\n", "has no package comment"},
		{"another name", "node/model", "// Package models is a model. It does not train.\n", "begins with"},
		{"lower case", "node/model", "// package model is a model. It does not train.\n", "begins with"},
		{"without limits", "node/model", "// Package model is a model.\n", "does not do"},
		{"knot is not not", "node/model", "// Package model knots a notable note.\n", "does not do"},
		{"bad name", "node/util", "// Package util does not exist.\n", "named for what it is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			caught{want: test.want}.check(t, comments(fixture(t, test.path, test.doc, "")))
		})
	}
}

func TestArrowsAreChecked(t *testing.T) {
	for _, test := range []struct{ name, path, imports, want string }{
		{"command", "cmd/starling", "starling/sim", ""},
		{"simulator", "sim", "starling/node", ""},
		{"simulator to the daemon", "sim", "starling/node/daemon", "may not import node/daemon"},
		{"experiment to libp2p's home", "sim/report", "starling/gossip/swarm", "may not import gossip/swarm"},
		{"simulator to the disk", "sim", "starling/storage", "may not import storage"},
		{"core", "node", "starling/mixing/philox", ""},
		{"core to a model", "node", "starling/node/model", "may not import node/model"},
		{"core to the codec", "node", "starling/gossip/codec", "may not import gossip/codec"},
		{"core to the disk", "node", "starling/storage", "may not import storage"},
		{"daemon to the simulator", "node/daemon", "starling/sim", "may not import sim"},
		{"daemon to all below", "node/daemon/demo", "starling/storage", ""},
		{"messages to the core", "gossip", "starling/node", "may not import node"},
		{"messages to libp2p's home", "gossip", "starling/gossip/swarm", "may not import gossip/swarm"},
		{"swarm to the core", "gossip/swarm/blob", "starling/node", "may not import node"},
		{"mathematics to messages", "mixing", "starling/gossip", "may not import gossip"},
		{"mathematics to kernels", "mixing", "starling/mixing/kernel", ""},
		{"kernels to mathematics", "mixing/kernel", "starling/mixing", "may not import mixing"},
		{"disk to mathematics", "storage", "starling/mixing", "may not import mixing"},
		{"anybody to the command", "node/daemon", "starling/cmd/starling", "may not import cmd/starling"},
		{"a new room at the top", "web", "fmt", "on no floor"},
		{"a name that only begins alike", "storages", "fmt", "on no floor"},
		{"a module that only begins alike", "storage", "starlings/node", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			caught{want: test.want}.check(t, arrows(floors, syntax(t, test.path, test.imports)))
		})
	}
}

func TestOutsideDependenciesAreChecked(t *testing.T) {
	p := syntax(t, "node", "github.com/libp2p/go-libp2p/core/peer")
	caught{want: "may only be imported by [gossip/swarm/...]"}.check(t, only(p, "github.com/libp2p/...", "gossip/swarm/..."))
	caught{}.check(t, only(p, "github.com/libp2p/...", "node"))
	caught{}.check(t, only(p, "github.com/dgraph-io/...", "storage"))

	p.deps = []string{"fmt", "github.com/libp2p/go-libp2p", "github.com/libp2pish/x"}
	caught{want: "depends on github.com/libp2p/go-libp2p;"}.check(t, unreachable(p, "github.com/libp2p/..."))
	caught{}.check(t, unreachable(p, "github.com/dgraph-io/..."))
}

func TestProblemsNameTheirPlace(t *testing.T) {
	have := problem{token.Position{Filename: "/x/y.go", Line: 3}, "why"}.String()
	if want := "/x/y.go:3: why"; have != want {
		t.Errorf("have %q, want %q", have, want)
	}
}
