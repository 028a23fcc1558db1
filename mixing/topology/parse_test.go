package topology

import (
	"strings"
	"testing"
)

func TestParseUnderstandsNamesValuesAndDefaults(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"ring", "ring"}, {" Ring ", "ring"}, {"path", "line"}, {"one-peer", "one-peer-exponential"},
		{"regular", "regular:d=4"}, {"regular:6", "regular:d=6"}, {"regular:d=6", "regular:d=6"}, {"regular:auto", "regular:d=4"},
		{"watts-strogatz:k=6", "watts-strogatz:k=6,p=0.2"}, {"watts-strogatz:p=0.5, k=2", "watts-strogatz:k=2,p=0.5"},
		{"watts-strogatz:6,0.1", "watts-strogatz:k=6,p=0.1"}, {"erdos-renyi", "erdos-renyi"}, {"erdos-renyi:p=0.5", "erdos-renyi:p=0.5"},
		{"torus", "torus"}, {"torus:r=2", "torus:r=2"}, {"torus:c=2", "torus:c=2"}, {"torus:2,8", "torus:r=2,c=8"},
		{"base", "base:k=1"}, {"base:k=3", "base:k=3"}, {"simple-base:2", "simple-base:k=2"}, {"hyper-hypercube:b=4", "hyper-hypercube:b=4"},
		{"equistatic", "equistatic"}, {"equistatic-directed:m=5", "equistatic-directed:m=5"}, {"geometric:r=0.9", "geometric:r=0.9"},
		{"od-equidyn", "od-equidyn:eta=0.5"}, {"ou-equidyn:1", "ou-equidyn:eta=1"}, {"matching", "matching"},
	} {
		top, err := Parse(c.spec, 16, seed)
		if err != nil {
			t.Errorf("%q: %v", c.spec, err)
			continue
		}
		if top.String() != c.want || top.N() != 16 {
			t.Errorf("%q is %q of %d peers, want %q of 16", c.spec, top, top.N(), c.want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		spec string
		n    int
		want string
	}{
		{"rign", 8, `unknown topology "rign": there are base, complete, `},
		{"", 8, "unknown topology"},
		{"watts", 8, "watts-strogatz"},
		{strings.Repeat("x", 10000), 8, "unknown topology"},
		{"regular:k=4", 8, `unknown parameter "k=4": regular takes d`},
		{"ring:4", 8, "ring takes none"},
		{"ring:", 8, "ring takes none"},
		{"regular:d=4,d=5", 8, "given twice"},
		{"regular:four", 8, "must be a number"},
		{"regular:", 8, "must be a number"},
		{"regular:2.5", 8, "whole number"},
		{"regular:1e30", 8, "whole number"},
		{"regular:1", 8, "at least 2"},
		{"erdos-renyi:p=nan", 8, "must be a number"},
		{"erdos-renyi:p=2", 8, "probability"},
		{"erdos-renyi:p=0", 8, "positive or auto"},
		{"erdos-renyi:p=0.0001", 60, "no connected graph"},
		{"geometric:r=0.001", 60, "no connected graph"},
		{"watts-strogatz:k=3", 8, "even"},
		{"torus:r=3", 8, "do not make 8 peers"},
		{"torus:r=2,c=3", 8, "do not make 8 peers"},
		{"hypercube", 12, "such as 8"},
		{"hyper-hypercube:b=2", 12, "prime factor"},
		{"hyper-hypercube:b=1", 12, "at least 2"},
		{"base:k=0", 12, "at least 1"},
		{"od-equidyn:eta=0", 12, "above 0"},
		{"equistatic:m=1", 0, "at least one"},
		{"equistatic:m=67108864", 2, "at most"},
		{"ring", -1, "at least one"},
		{"complete", 1 << 20, "at most"},
		{"regular:100000", 1 << 20, "at most"},
		{"erdos-renyi", 1 << 20, "use regular"},
	} {
		_, err := Parse(c.spec, c.n, seed)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
			t.Errorf("%.40q for %d peers: %v, want one line with %q", c.spec, c.n, err, c.want)
		}
	}
}

func TestNamesCanBeParsed(t *testing.T) {
	names := Names()
	if len(names) != 20 {
		t.Errorf("%d names: %v", len(names), names)
	}
	for _, name := range names {
		if _, err := Parse(name, 16, seed); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzParse checks that no text brings Parse down, and that what it accepts is sound and writes itself so that it reads
// back as the same.
func FuzzParse(f *testing.F) {
	for _, s := range specs(8) {
		f.Add(s, uint8(8), uint64(seed))
	}
	f.Add("torus:r=-1,c=auto", uint8(1), uint64(0))
	f.Add("regular:d=1e3,=,", uint8(255), uint64(1))
	f.Fuzz(func(t *testing.T, spec string, size uint8, seed uint64) {
		n := int(size % 50)
		top, err := Parse(spec, n, seed)
		if err != nil {
			return
		}
		again, err := Parse(top.String(), n, seed)
		if err != nil || again.String() != top.String() || again.Period() != top.Period() {
			t.Fatalf("%q writes itself %q, which reads as %v, %v", spec, top, again, err)
		}
		if g, ok := top.Graph(); ok && !g.Connected() {
			t.Fatalf("%q is not connected", spec)
		}
		for _, r := range rounds(top) {
			m := top.Matrix(seed, r)
			if m.N() != n || !m.IsDoublyStochastic(1e-12) || !again.Matrix(seed, r).IsDoublyStochastic(1e-12) {
				t.Fatalf("%q, n %d, round %d: not doubly stochastic", spec, n, r)
			}
		}
	})
}
