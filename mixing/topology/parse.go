package topology

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// A family is a name that Parse knows: its parameters in the order of positional values, with defaults, and how to make
// one. Canonical text writes all parameters out.
type family struct {
	name   string
	params []param
	make   func(name string, n int, seed uint64, a []float64) (*Topology, error)
}

// A param is a parameter of a family. A default of NaN stands for a value that depends on n and is not written out.
type param struct {
	key     string
	integer bool
	value   float64
}

// Names lists the names that [Parse] knows, with their parameters and defaults, ascending.
func Names() []string {
	var names []string
	for _, f := range families() {
		text := f.name
		for i, p := range f.params {
			sep := ","
			if i == 0 {
				sep = ":"
			}
			text += sep + p.key + "="
			if math.IsNaN(p.value) {
				text += "auto"
			} else {
				text += strconv.FormatFloat(p.value, 'g', -1, 64)
			}
		}
		names = append(names, text)
	}
	slices.Sort(names)
	return names
}

// Parse makes a topology of n peers from text: a name, and after a colon parameters as key=value or as plain values in
// order, separated by commas: "ring", "regular:4", "watts-strogatz:k=4,p=0.2", "base:k=1". A value "auto" is the
// default. [Names] lists all. Undirected static graphs get Metropolis weights, directed ones uniform weights, equistatic
// its own. The seed is that of random graphs and draws; others ignore it.
//
// An error names what is wrong, and for an unknown name the nearest one and all that there are.
func Parse(spec string, n int, seed uint64) (*Topology, error) {
	name, rest, colon := strings.Cut(strings.ToLower(strings.TrimSpace(spec)), ":")
	name = strings.TrimSpace(name)
	switch name {
	case "path":
		name = "line"
	case "one-peer":
		name = "one-peer-exponential"
	}
	all := families()
	at := slices.IndexFunc(all, func(f family) bool { return f.name == name })
	if at < 0 {
		return nil, unknown(name, all)
	}
	f := all[at]
	args := make([]float64, len(f.params))
	given := make([]bool, len(f.params))
	for i, p := range f.params {
		args[i] = p.value
	}
	if colon {
		for i, text := range strings.Split(rest, ",") {
			key, value, named := strings.Cut(text, "=")
			k := i
			if !named {
				value = key
			} else {
				key = strings.TrimSpace(key)
				k = slices.IndexFunc(f.params, func(p param) bool { return p.key == key })
			}
			if k < 0 || k >= len(f.params) {
				return nil, fmt.Errorf("topology %q: unknown parameter %q: %s", spec, text, takes(f))
			}
			if given[k] {
				return nil, fmt.Errorf("topology %q: %s is given twice", spec, f.params[k].key)
			}
			given[k] = true
			if value = strings.TrimSpace(value); value == "auto" {
				continue
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("topology %q: %s is %q, must be a number", spec, f.params[k].key, value)
			}
			if f.params[k].integer && (v != math.Trunc(v) || math.Abs(v) > maxLinks) {
				return nil, fmt.Errorf("topology %q: %s is %q, must be a whole number of reasonable size", spec, f.params[k].key, value)
			}
			if math.IsNaN(f.params[k].value) && v <= 0 {
				return nil, fmt.Errorf("topology %q: %s is %q, must be positive or auto", spec, f.params[k].key, value)
			}
			args[k] = v
		}
	}
	t, err := f.make(canonical(f, args), n, seed, args)
	if err != nil {
		return nil, fmt.Errorf("topology %q: %w", spec, err)
	}
	return t, nil
}

func canonical(f family, args []float64) string {
	var parts []string
	for i, p := range f.params {
		if !math.IsNaN(args[i]) {
			parts = append(parts, p.key+"="+strconv.FormatFloat(args[i], 'g', -1, 64))
		}
	}
	if len(parts) == 0 {
		return f.name
	}
	return f.name + ":" + strings.Join(parts, ",")
}

func takes(f family) string {
	if len(f.params) == 0 {
		return f.name + " takes none"
	}
	var keys []string
	for _, p := range f.params {
		keys = append(keys, p.key)
	}
	return f.name + " takes " + strings.Join(keys, ", ")
}

func unknown(name string, all []family) error {
	var names []string
	for _, f := range all {
		names = append(names, f.name)
	}
	slices.Sort(names)
	short := name
	if len(short) > 40 {
		short = short[:40]
	}
	return fmt.Errorf("unknown topology %q: there are %s%s", short, strings.Join(names, ", "), spelling.Hint(name, names))
}

// auto turns a parameter into what the functions take: 0 for the default.
func auto(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// weighted makes a static topology with the usual weights of a graph.
func weighted(name string, g Graph, err error) (*Topology, error) {
	if err != nil {
		return nil, err
	}
	weigh := Metropolis
	if g.Directed {
		weigh = Uniform
	}
	w, err := weigh(g)
	if err != nil {
		return nil, err
	}
	return Static(name, g, w)
}

func cycle(name string, n int, rounds [][]Edge, err error) (*Topology, error) {
	if err != nil {
		return nil, err
	}
	return Cycle(name, n, rounds)
}

func equiStatic(name string, n, m int, seed uint64, directed bool) (*Topology, error) {
	offsets, attempt, err := EquiOffsets(n, m, seed)
	if err != nil {
		return nil, err
	}
	g, w, err := EquiStatic(n, offsets, directed)
	if err != nil {
		return nil, err
	}
	g.Attempt = attempt
	return Static(name, g, w)
}

func families() []family {
	type num = []float64
	static := func(draw func(n int) (Graph, error)) func(string, int, uint64, num) (*Topology, error) {
		return func(name string, n int, _ uint64, _ num) (*Topology, error) {
			g, err := draw(n)
			return weighted(name, g, err)
		}
	}
	whole := func(key string, value float64) param { return param{key, true, value} }
	number := func(key string, value float64) param { return param{key, false, value} }
	depends := math.NaN()
	return []family{
		{"ring", nil, static(Ring)},
		{"line", nil, static(Line)},
		{"star", nil, static(Star)},
		{"complete", nil, static(Complete)},
		{"hypercube", nil, static(Hypercube)},
		{"exponential", nil, static(Exponential)},
		{"torus", []param{whole("r", depends), whole("c", depends)}, func(name string, n int, _ uint64, a num) (*Topology, error) {
			if err := checkSize(n, 4); err != nil {
				return nil, err
			}
			r, c := NearSquare(n)
			switch {
			case !math.IsNaN(a[0]):
				r, c = int(a[0]), n/int(a[0])
			case !math.IsNaN(a[1]):
				r, c = n/int(a[1]), int(a[1])
			}
			if r*c != n || !math.IsNaN(a[1]) && c != int(a[1]) {
				return nil, fmt.Errorf("the sides do not make %d peers", n)
			}
			g, err := Torus(r, c)
			return weighted(name, g, err)
		}},
		{"regular", []param{whole("d", 4)}, func(name string, n int, seed uint64, a num) (*Topology, error) {
			g, err := RandomRegular(n, int(a[0]), seed)
			return weighted(name, g, err)
		}},
		{"erdos-renyi", []param{number("p", depends)}, func(name string, n int, seed uint64, a num) (*Topology, error) {
			g, err := ErdosRenyi(n, auto(a[0]), seed)
			return weighted(name, g, err)
		}},
		{"watts-strogatz", []param{whole("k", 4), number("p", 0.2)}, func(name string, n int, seed uint64, a num) (*Topology, error) {
			g, err := WattsStrogatz(n, int(a[0]), a[1], seed)
			return weighted(name, g, err)
		}},
		{"geometric", []param{number("r", depends)}, func(name string, n int, seed uint64, a num) (*Topology, error) {
			g, err := Geometric(n, auto(a[0]), seed)
			return weighted(name, g, err)
		}},
		{"equistatic", []param{whole("m", depends)}, func(name string, n int, seed uint64, a num) (*Topology, error) {
			return equiStatic(name, n, int(auto(a[0])), seed, false)
		}},
		{"equistatic-directed", []param{whole("m", depends)}, func(name string, n int, seed uint64, a num) (*Topology, error) {
			return equiStatic(name, n, int(auto(a[0])), seed, true)
		}},
		{"one-peer-exponential", nil, func(_ string, n int, _ uint64, _ num) (*Topology, error) { return OnePeerExponential(n) }},
		{"hyper-hypercube", []param{whole("b", 2)}, func(name string, n int, _ uint64, a num) (*Topology, error) {
			rounds, err := HyperHypercube(n, int(a[0]))
			return cycle(name, n, rounds, err)
		}},
		{"simple-base", []param{whole("k", 1)}, func(name string, n int, _ uint64, a num) (*Topology, error) {
			rounds, err := SimpleBase(n, int(a[0]))
			return cycle(name, n, rounds, err)
		}},
		{"base", []param{whole("k", 1)}, func(name string, n int, _ uint64, a num) (*Topology, error) {
			rounds, err := Base(n, int(a[0]))
			return cycle(name, n, rounds, err)
		}},
		{"od-equidyn", []param{number("eta", 0.5)}, func(_ string, n int, seed uint64, a num) (*Topology, error) { return ODEquiDyn(n, a[0], seed) }},
		{"ou-equidyn", []param{number("eta", 0.5)}, func(_ string, n int, seed uint64, a num) (*Topology, error) { return OUEquiDyn(n, a[0], seed) }},
		{"matching", nil, func(_ string, n int, seed uint64, _ num) (*Topology, error) { return Matching(n, seed) }},
	}
}
