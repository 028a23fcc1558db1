package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starling/mixing/topology"
	"starling/sim/report"
)

func graphOf(t testing.TB, spec string, n int) topology.Graph {
	t.Helper()
	top, err := topology.Parse(spec, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	g, ok := top.Graph()
	if !ok {
		t.Fatalf("%s is no graph", spec)
	}
	return g
}

func drawn(t testing.TB, p report.Picture) string {
	t.Helper()
	var b strings.Builder
	if err := report.DrawTopology(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wellFormed returns what is wrong with XML, and how many elements of a name there are.
func wellFormed(text, name string) (n int, err error) {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == name {
			n++
		}
	}
}

func TestEverySizeOfGraphIsDrawn(t *testing.T) {
	for _, test := range []struct {
		spec string
		n    int
		// how many circles there are: one for each node, or none if the graph is shown as a matrix
		circles int
	}{
		{"ring", 1, 1}, {"ring", 2, 2}, {"ring", 64, 64}, {"ring", 300, 300}, {"ring", 301, 0}, {"star", 64, 64}, {"complete", 100, 100}, {"complete", 200, 0},
		{"hypercube", 128, 128}, {"regular:8", 300, 300}, {"geometric", 100, 100}, {"exponential", 100, 100}, {"regular:8", 10_000, 0},
	} {
		svg := drawn(t, report.Picture{Graph: graphOf(t, test.spec, test.n)})
		if n, err := wellFormed(svg, "circle"); err != nil || n != test.circles {
			t.Errorf("%s of %d nodes: %d circles, want %d; %v", test.spec, test.n, n, test.circles, err)
		}
		if len(svg) > 300_000 {
			t.Errorf("%s of %d nodes takes %d bytes", test.spec, test.n, len(svg))
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s of %d nodes has places that are no numbers", test.spec, test.n)
		}
	}
}

func TestGraphInPartsIsDrawn(t *testing.T) {
	g, err := topology.NewGraph(70, false, [][2]int{{0, 1}, {1, 2}, {3, 4}, {0, 2}, {0, 5}, {0, 6}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := wellFormed(drawn(t, report.Picture{Graph: g}), "circle"); n != 70 || err != nil {
		t.Errorf("%d circles, %v", n, err)
	}
}

func TestTheSameGraphMakesTheSameDrawing(t *testing.T) {
	for _, n := range []int{20, 100, 400} {
		p := fakeTopology(graphOf(t, "regular:4", n), rand.New(rand.NewPCG(1, 1)))
		if first, second := drawn(t, *p), drawn(t, *p); first != second {
			t.Errorf("%d nodes: two drawings differ", n)
		}
	}
}

func TestNodesShowWhatTheyWere(t *testing.T) {
	p := report.Picture{Graph: graphOf(t, "ring", 4), Roles: []report.Role{report.Honest, report.Adversary, report.Offline, report.Honest},
		Accuracy: []report.Real{0.25, report.Real(math.NaN()), 0.5, 0.75}}
	svg := drawn(t, p)
	for _, want := range []string{
		"<title>node 0, accuracy 0.2500</title>", "<title>node 1, adversary</title>", "<title>node 2, accuracy 0.5000, offline</title>",
		`class="node n0"`, `class="node n4"`, `class="node adversary"`, `class="node offline"`, ">1 adversary<", ">1 offline<", ">accuracy 0.2500<", ">to 0.7500<",
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is missing in\n%s", want, svg)
		}
	}
}

func TestBrokenPicturesAreRefused(t *testing.T) {
	ring := graphOf(t, "ring", 3)
	for name, p := range map[string]report.Picture{
		"no nodes":       {},
		"roles":          {Graph: ring, Roles: []report.Role{report.Honest}},
		"unknown role":   {Graph: ring, Roles: []report.Role{'h', 'h', 'x'}},
		"accuracies":     {Graph: ring, Accuracy: []report.Real{1}},
		"one-sided link": {Graph: topology.Graph{Out: [][]int{{1}, {}}}},
	} {
		if err := report.DrawTopology(io.Discard, p); err == nil {
			t.Errorf("%s: there is no error", name)
		}
	}
}

func TestPictureComesBackFromJSON(t *testing.T) {
	for _, spec := range []string{"ring", "exponential", "star"} {
		p := *fakeTopology(graphOf(t, spec, 16), rand.New(rand.NewPCG(2, 2)))
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var have report.Picture
		if err := json.Unmarshal(text, &have); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, have, sameReal()); diff != "" {
			t.Errorf("%s: %s", spec, diff)
		}
	}
}

func TestFactsOfKnownTopologies(t *testing.T) {
	cos := func(k float64) float64 { return math.Cos(2 * math.Pi * k) }
	for _, test := range []struct {
		spec string
		n    int
		want report.Facts
	}{
		{"complete", 8, report.Facts{Links: 28, Period: 1, LeastDegree: 7, MostDegree: 7, Diameter: 1, Gap: 1, RoundsTo: 1, Exact: true}},
		// Metropolis weights of a ring are 1/3: the second eigenvalue is (1 + 2 cos(2 pi/n))/3.
		{"ring", 16, report.Facts{Links: 16, Period: 1, LeastDegree: 2, MostDegree: 2, Diameter: 8, Gap: 1 - (1+2*cos(1.0/16))/3, RoundsTo: 89}},
		{"star", 16, report.Facts{Links: 15, Period: 1, LeastDegree: 1, MostDegree: 15, Diameter: 2, Gap: 1.0 / 16, RoundsTo: 72}},
		{"hypercube", 16, report.Facts{Links: 32, Period: 1, LeastDegree: 4, MostDegree: 4, Diameter: 4, Gap: 0.4, RoundsTo: 10}},
		{"base:k=1", 16, report.Facts{Links: 32, Period: 4, LeastDegree: 1, MostDegree: 1, Diameter: 4, Gap: 1, RoundsTo: 4, Exact: true}},
		{"one-peer-exponential", 16, report.Facts{Links: 64, Period: 4, Directed: true, LeastDegree: 1, MostDegree: 1, Diameter: 4, Gap: 1, RoundsTo: 4, Exact: true}},
	} {
		top, err := topology.Parse(test.spec, test.n, 1)
		if err != nil {
			t.Fatal(err)
		}
		have, _, err := report.Measure(top)
		if err != nil {
			t.Fatal(err)
		}
		test.want.Spec, test.want.Nodes = have.Spec, test.n
		near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
		if diff := cmp.Diff(test.want, have, near); diff != "" {
			t.Errorf("%s: %s", test.spec, diff)
		}
	}
}

// The gap of a schedule that repeats a single graph is the gap of that graph, and a mean round of a schedule is that fast.
func TestGapOfAScheduleIsThatOfAMeanRound(t *testing.T) {
	top, err := topology.Parse("one-peer-exponential", 12, 1)
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := report.Measure(top)
	if err != nil {
		t.Fatal(err)
	}
	// By hand: how much of the worst difference a whole period leaves, from the eigenvalues of its circulant matrices.
	worst := 0.0
	for k := 1; k < 12; k++ {
		left := 1.0
		for _, shift := range []int{1, 2, 4, 8} {
			left *= math.Abs(math.Cos(math.Pi * float64(k*shift) / 12)) // |1 + w|/2
		}
		worst = max(worst, left)
	}
	if want := 1 - math.Pow(worst, 0.25); math.Abs(f.Gap-want) > 1e-9 {
		t.Errorf("gap %v, want %v", f.Gap, want)
	}
}

func TestTopologiesThatDoNotFitAreListedWithTheReason(t *testing.T) {
	var b strings.Builder
	if err := report.Topologies(&b, 12, 1, []string{"ring", "hypercube", "rnig", "<script>"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Not for this number of nodes", "the number must be a power of two", "did you mean &#34;ring&#34;?", "&lt;script&gt;"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(b.String(), "<script>") {
		t.Error("a name became an element")
	}
	if err := report.Topologies(io.Discard, 12, 1, nil); err == nil {
		t.Error("a page of nothing is made")
	}
}
