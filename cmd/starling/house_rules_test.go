package main_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"strings"
)

// A floor is a row of the table of allowed imports.
type floor struct {
	packages string   // pattern
	may      []string // patterns of packages of the project
}

// arrows checks the imports among the packages of the project. The most specific row decides.
func arrows(floors []floor, p *pkg) []problem {
	here := token.Position{Filename: p.path}
	var row *floor
	for i := range floors {
		f := &floors[i]
		if match(f.packages, p.path) && (row == nil || len(f.packages) > len(row.packages)) {
			row = f
		}
	}
	if row == nil {
		return []problem{{here, "is on no floor of the house: add it to the table of floors, or move it"}}
	}
	var out []problem
	for _, f := range p.everyFile() {
		for _, spec := range f.Imports {
			path, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), modulePath+"/")
			if ours && !matchAny(row.may, path) {
				out = append(out, problem{p.at(spec), fmt.Sprintf("%s may not import %s; allowed are %v", p.path, path, row.may)})
			}
		}
	}
	return out
}

// unreachable checks that none of the forbidden packages is among the transitive imports.
func unreachable(p *pkg, forbidden ...string) []problem {
	var out []problem
	for _, d := range p.deps {
		if matchAny(forbidden, d) {
			out = append(out, problem{token.Position{Filename: p.path}, "depends on " + d + "; go mod why tells how"})
		}
	}
	return out
}

// only checks that packages outside of allowed do not import module.
func only(p *pkg, module string, allowed ...string) []problem {
	if matchAny(allowed, p.path) {
		return nil
	}
	var out []problem
	for _, f := range p.everyFile() {
		for _, spec := range f.Imports {
			if match(module, strings.Trim(spec.Path.Value, `"`)) {
				out = append(out, problem{p.at(spec), fmt.Sprintf("%s may only be imported by %v", spec.Path.Value, allowed)})
			}
		}
	}
	return out
}

// impure are imports that a state machine and pure mathematics have no use for.
var impure = []string{
	"net/...", "os/...", "syscall/...", "context", "crypto/rand", "log/...", "sync", "io/fs", "runtime/...", "testing/...", "plugin",
	"golang.org/x/sync/...",
}

// clock are the names of package time that read the clock or start timers.
var clock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "Tick": true, "NewTimer": true, "NewTicker": true,
	"Sleep": true, "Timer": true, "Ticker": true, "LoadLocation": true, "Local": true,
}

// purity checks what makes a package a function of its inputs: no clock, chance, concurrency, I/O, or order of a map.
// allowed exempts imports.
func purity(p *pkg, allowed ...string) []problem {
	var out []problem
	for _, f := range p.everyFile() {
		for _, spec := range f.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if matchAny(impure, path) && !matchAny(allowed, path) {
				out = append(out, problem{p.at(spec), path + " has no place in a deterministic package"})
			}
		}
	}
	for _, f := range p.files {
		free := orderFree(p, f)
		var stack []ast.Node
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			if why := impurity(p, n, stack); why != "" && !(strings.Contains(why, "order-free") && free[p.at(n).Line]) {
				out = append(out, problem{p.at(n), why})
			}
			stack = append(stack, n)
			return true
		})
	}
	return out
}

const sayOrderFree = "sort the keys, or say why the order does not matter: // order-free: …"

// impurity returns what is wrong with one node, whose parents are on the stack.
func impurity(p *pkg, n ast.Node, stack []ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "starts a goroutine; the driver does that"
	case *ast.SelectStmt:
		return "selects among channels; events come one at a time"
	case *ast.ChanType:
		return "uses a channel; events go in and batches come out"
	case *ast.RangeStmt:
		if _, ok := under(p.info.TypeOf(n.X)).(*types.Map); ok {
			return "ranges over a map: " + sayOrderFree
		}
		if _, ok := under(p.info.TypeOf(n.X)).(*types.Chan); ok {
			return "uses a channel; events go in and batches come out"
		}
	case *ast.Ident:
		obj := p.info.Uses[n]
		if obj == nil || obj.Pkg() == nil || obj.Parent() != obj.Pkg().Scope() {
			return "" // not at the top level of a package: a method, a field, a local
		}
		switch from := obj.Pkg().Path(); {
		case from == "time" && clock[n.Name]:
			return "time." + n.Name + " reads the clock; time comes in with the event"
		case from == "math/rand" || from == "math/rand/v2":
			if _, ok := obj.(*types.Func); ok && !strings.HasPrefix(n.Name, "New") {
				return "rand." + n.Name + " draws from the process; chance comes from a seeded source"
			}
		case from == "hash/maphash":
			return "maphash." + n.Name + " differs from process to process"
		case from == "maps" && (n.Name == "Keys" || n.Name == "Values" || n.Name == "All"):
			if !sorted(p, stack) {
				return "maps." + n.Name + " has no order: " + sayOrderFree
			}
		}
	}
	return ""
}

// sorted reports whether the innermost calls around an identifier are slices.Sorted…(maps.…(…)).
func sorted(p *pkg, stack []ast.Node) bool {
	calls := 0
	for i := len(stack) - 1; i >= 0 && calls < 2; i-- {
		call, ok := stack[i].(*ast.CallExpr)
		if !ok {
			continue
		}
		calls++
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
			obj := p.info.Uses[sel.Sel]
			if obj != nil && obj.Pkg() != nil && obj.Pkg().Path() == "slices" && strings.HasPrefix(obj.Name(), "Sorted") {
				return true
			}
		}
	}
	return false
}

// orderFree returns the lines that a comment "// order-free: why" speaks for: its own and the next.
func orderFree(p *pkg, f *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if why, ok := strings.CutPrefix(c.Text, "// order-free:"); ok && strings.TrimSpace(why) != "" {
				lines[p.fset.Position(c.Pos()).Line] = true
				lines[p.fset.Position(group.End()).Line+1] = true
			}
		}
	}
	return lines
}

// fusible checks for x*y + z on floats, which the compiler may compute with one rounding instead of two on some
// machines (Go specification, floating-point operators), so that two nodes would disagree. A conversion of the
// product forbids it.
func fusible(p *pkg) []problem {
	var out []problem
	product := func(e ast.Expr) bool {
		for {
			switch x := e.(type) {
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.UnaryExpr:
				e = x.X
				continue
			case *ast.BinaryExpr:
				tv := p.info.Types[x]
				return x.Op == token.MUL && tv.Value == nil && floating(tv.Type)
			}
			return false
		}
	}
	add := func(n ast.Node) {
		out = append(out, problem{p.at(n), "the product may be fused with the sum on some machines; write float64(x*y) + z"})
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.ADD || n.Op == token.SUB) && (product(n.X) || product(n.Y)) {
					add(n)
				}
			case *ast.AssignStmt:
				if (n.Tok == token.ADD_ASSIGN || n.Tok == token.SUB_ASSIGN) && product(n.Rhs[0]) {
					add(n)
				}
			}
			return true
		})
	}
	return out
}

func floating(t types.Type) bool {
	b, ok := under(t).(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0
}

func under(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	if p, ok := types.Unalias(t).(*types.TypeParam); ok {
		// A constraint such as ~float32 | ~float64 has a type set; its first term stands for all.
		if i, ok := p.Constraint().Underlying().(*types.Interface); ok && i.NumEmbeddeds() > 0 {
			if u, ok := i.EmbeddedType(0).(*types.Union); ok && u.Len() > 0 {
				return under(u.Term(0).Type())
			}
			if n := i.EmbeddedType(0); n != t {
				return under(n)
			}
		}
	}
	if i, ok := t.Underlying().(*types.Interface); ok && i.NumEmbeddeds() == 1 {
		if u, ok := i.EmbeddedType(0).(*types.Union); ok && u.Len() > 0 {
			return under(u.Term(0).Type())
		}
	}
	return t.Underlying()
}

// limits is how a package comment says what the package leaves alone.
var limits = regexp.MustCompile(`(?i)\b(not|never|no|nothing|none|neither|cannot|without)\b`)

// comments checks the package comment and the name of a package.
func comments(p *pkg) []problem {
	here := token.Position{Filename: p.path}
	var out []problem
	name, begin := p.types.Name(), ""
	switch name {
	case "util", "utils", "common", "types", "helpers", "helper", "misc", "shared", "base":
		out = append(out, problem{here, "a package is named for what it is, not " + name})
	case "main":
		begin = "Command " + p.path[strings.LastIndex(p.path, "/")+1:] + " "
	}
	if begin == "" {
		begin = "Package " + name + " "
	}
	found := false
	for _, f := range p.everyFile() {
		if f.Doc == nil {
			continue
		}
		found = true
		switch text := f.Doc.Text(); {
		case !strings.HasPrefix(strings.Join(strings.Fields(text), " "), begin):
			out = append(out, problem{p.at(f.Doc), fmt.Sprintf("the package comment begins with %q", begin)})
		case !limits.MatchString(text):
			out = append(out, problem{p.at(f.Doc), "the package comment says what the package does not do"})
		}
	}
	if !found {
		out = append(out, problem{here, "has no package comment"})
	}
	return out
}

// effects checks for state that belongs to the process: init functions, and package-level variables that somebody
// may change. allowed maps "node/model.name" to the reason.
func effects(p *pkg, allowed map[string]string) []problem {
	var out []problem
	add := func(n ast.Node, v types.Object, why string) {
		if allowed[p.path+"."+v.Name()] == "" {
			out = append(out, problem{p.at(n), fmt.Sprintf("package-level variable %s %s", v.Name(), why)})
		}
	}
	// global returns the package-level variable of this package that an expression is, or is a part of.
	var global func(e ast.Expr) types.Object
	global = func(e ast.Expr) types.Object {
		switch e := e.(type) {
		case *ast.ParenExpr:
			return global(e.X)
		case *ast.IndexExpr:
			return global(e.X)
		case *ast.SliceExpr:
			return global(e.X)
		case *ast.StarExpr:
			return global(e.X)
		case *ast.SelectorExpr:
			return global(e.X)
		case *ast.Ident:
			if v, ok := p.info.Uses[e].(*types.Var); ok && v.Parent() == p.types.Scope() {
				return v
			}
		}
		return nil
	}
	for _, f := range p.everyFile() {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, problem{p.at(fn), "init runs whether anybody wants it or not; let the caller call"})
			}
		}
	}
	for _, f := range p.files {
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, spec := range decl.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					v := p.info.Defs[name]
					if v == nil || name.Name == "_" {
						continue
					}
					if why := stateful(v.Type()); why != "" {
						add(name, v, why)
					} else if v.Exported() && !types.Implements(v.Type(), errorType) {
						add(name, v, "is exported, so that any package may change it; make it a function or a constant")
					}
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					if v := global(e); v != nil && n.Tok != token.DEFINE {
						add(n, v, "is changed here")
					}
				}
			case *ast.IncDecStmt:
				if v := global(n.X); v != nil {
					add(n, v, "is changed here")
				}
			case *ast.RangeStmt:
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if v := global(e); v != nil && n.Tok == token.ASSIGN {
						add(n, v, "is changed here")
					}
				}
			case *ast.UnaryExpr:
				if v := global(n.X); v != nil && n.Op == token.AND {
					add(n, v, "is handed out by address here, so that others may change it")
				}
			case *ast.CallExpr:
				id, ok := n.Fun.(*ast.Ident)
				if !ok || len(n.Args) == 0 {
					break
				}
				if _, ok := p.info.Uses[id].(*types.Builtin); ok && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
					if v := global(n.Args[0]); v != nil {
						add(n, v, "is changed here")
					}
				}
			case *ast.SelectorExpr:
				sel := p.info.Selections[n]
				if sel == nil || sel.Kind() != types.MethodVal {
					break
				}
				fn := sel.Obj().(*types.Func).Signature()
				_, byPointer := fn.Recv().Type().(*types.Pointer)
				_, isPointer := under(sel.Recv()).(*types.Pointer)
				if v := global(n.X); v != nil && byPointer && !isPointer && !named(v.Type(), "sync", "Pool") {
					add(n, v, "is changed by its method "+n.Sel.Name)
				}
			}
			return true
		})
	}
	return out
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// stateful says why a type can only be meant for state.
func stateful(t types.Type) string {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if _, ok := t.Underlying().(*types.Chan); ok {
		return "is a channel that the whole process shares"
	}
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil {
		return ""
	}
	switch path := n.Obj().Pkg().Path(); {
	case named(t, "sync", "Pool"):
		return "" // memory, not state
	case path == "sync", path == "sync/atomic", strings.HasPrefix(path, "github.com/prometheus/client_golang/"):
		return "is state that the whole process shares; put it into a struct"
	}
	return ""
}

func named(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path && n.Obj().Name() == name
}
