package adversary

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"starling/gossip"
)

func TestRosterGivesEveryKindItsNodes(t *testing.T) {
	r, err := Parse([]string{"sign-flip:share=0.1", "alie:z=1.5,count=5", "scaling:20,nodes=3-7+12", "silence:0.5,nodes=0"}, 40, 7)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for i, want := range []struct {
		name  string
		count int
	}{
		{"sign-flip:of=own,on=update", 4}, {"alie:z=1.5", 5}, {"scaling:factor=20,on=update", 6}, {"silence:towards=0.5", 1},
	} {
		g := r.Groups()[i]
		if g.Name != want.name || len(g.Nodes) != want.count || !slices.IsSorted(g.Nodes) {
			t.Errorf("group %d is %s on %v; want %s on %d nodes", i, g.Name, g.Nodes, want.name, want.count)
		}
		for _, n := range g.Nodes {
			if seen[n] {
				t.Errorf("node %d has two kinds", n)
			}
			seen[n] = true
			if r.Of(n) == nil || r.Of(n).Name() != g.Name {
				t.Errorf("node %d has attack %v, want %s", n, r.Of(n), g.Name)
			}
		}
	}
	if got := fmt.Sprint(r.Groups()[2].Nodes); got != "[3 4 5 6 7 12]" {
		t.Errorf("nodes=3-7+12 is %s", got)
	}
	if r.Adversaries() != 16 || r.Len() != 40 {
		t.Errorf("%d adversaries of %d nodes, want 16 of 40", r.Adversaries(), r.Len())
	}
	for n := range 42 {
		if !seen[n] && r.Of(n) != nil {
			t.Errorf("node %d has the attack %s and is in no group", n, r.Of(n).Name())
		}
	}
	if r.Of(-1) != nil {
		t.Error("node -1 has an attack")
	}
}

func TestDrawsAreMadeBySeedAndNotByWhatFollows(t *testing.T) {
	nodes := func(seed uint64, specs ...string) string {
		r, err := Parse(specs, 100, seed)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.Groups()[0].Nodes)
	}
	first := nodes(1, "nan:share=0.1")
	if again := nodes(1, "nan:share=0.1", "infinity:count=30"); again != first {
		t.Errorf("the draw changes from %s to %s with another specification behind it", first, again)
	}
	if other := nodes(2, "nan:share=0.1"); other == first {
		t.Errorf("seeds 1 and 2 draw the same nodes, %s", first)
	}
}

func TestNodesAreDrawnEvenly(t *testing.T) {
	var hits [20]int
	for seed := range uint64(4000) {
		r, err := Parse([]string{"silence:share=0.25"}, 20, seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range r.Groups()[0].Nodes {
			hits[n]++
		}
	}
	for n, h := range hits { // 1000 ± 27: six deviations
		if math.Abs(float64(h)-1000) > 165 {
			t.Errorf("node %d was drawn %d times in 4000 draws of a quarter", n, h)
		}
	}
}

func TestAViewIsKeptOnlyForThoseWhoLook(t *testing.T) {
	for spec, want := range map[string]bool{
		"sign-flip": false, "sign-flip:mean": true, "gaussian": false, "gaussian:around=mean": true, "alie:1": true, "stale": false, "mimic": true,
	} {
		sep := ":"
		if strings.Contains(spec, ":") {
			sep = ","
		}
		r, err := Parse([]string{"nan:nodes=1", spec + sep + "nodes=2"}, 9, 1)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sees() != want {
			t.Errorf("%s sees the view: %v, want %v", spec, r.Sees(), want)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		specs string // separated by spaces
		want  []string
	}{
		{"sing-flip:count=1", []string{`no kind "sing-flip"`, `did you mean "sign-flip"?`, "alie, dissensus"}},
		{"alie", []string{"for no node", "share=0.1"}},
		{"alie:z=1", []string{"for no node"}},
		{"alie:", []string{"z wants a number"}},
		{"scaling:facter=3,count=1", []string{`no setting "facter"`, `did you mean "factor"?`, "share, count, nodes"}},
		{"scaling:1,update,share=0.1,4", []string{`"4" stands where no value is known`}},
		{"scaling:1,factor=2,count=1", []string{"factor is given twice"}},
		{"scaling:factor=-1,count=1", []string{"factor wants a number from 0 to 1e+30"}},
		{"scaling:nan,count=1", []string{"factor wants"}},
		{"stale:1.5,count=1", []string{"delay wants a whole number from 1 to 1000"}},
		{"sign-flip:of=meen,count=1", []string{"of wants own or mean", `did you mean "mean"?`}},
		{"nan:count=1,share=0.1", []string{"exclude each other"}},
		{"nan:share=0", []string{"share wants"}},
		{"nan:share=1.1", []string{"share wants"}},
		{"nan:count=11", []string{"from 1 to the 10 nodes"}},
		{"nan:nodes=10", []string{"node 10 is not there", "from 0 to 9"}},
		{"nan:nodes=7-3", []string{"such as 3-7+12"}},
		{"nan:nodes=", []string{"such as 3-7+12"}},
		{"nan:nodes=1+1", []string{"node 1 is named already"}},
		{"nan:nodes=1-4 infinity:nodes=4", []string{`"infinity:nodes=4"`, "node 4 is named already", `by "nan:nodes=1-4"`}},
		{"nan:share=0.6 infinity:share=0.6", []string{`"infinity:share=0.6"`, "wants 6 nodes, and 4 of 10 are left"}},
		{"nan:share=1", []string{"all 10 nodes are adversaries"}},
		{"alie:count=6", []string{"no value for 6 attackers among 10 nodes", "z=1.5"}},
		{"alie:count=1 nan:share=0.2 infinity:share=0.8", []string{`"infinity:share=0.8"`, "wants 8 nodes, and 7 of 10 are left"}},
		{"mimic:target=9,count=2", []string{"target 9 is not there", "from 0 to 7"}},
		{strings.Repeat("nan:count=1 ", 11), []string{"11 specifications are more than 10 nodes"}},
		{"nan:" + strings.Repeat("x", 2000), []string{"longer than"}},
	} {
		_, err := Parse(strings.Fields(c.specs), 10, 1)
		if err == nil {
			t.Errorf("%.60q is taken", c.specs)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.60q: the error is %q and does not say %q", c.specs, err, want)
			}
		}
		if strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%.60q: the error does not fit on a line: %q", c.specs, err)
		}
	}
	if _, err := Parse(nil, 0, 1); err == nil || !strings.Contains(err.Error(), "0 nodes") {
		t.Errorf("a run of no nodes: %v", err)
	}
	if r, err := Parse(nil, 3, 1); err != nil || r.Adversaries() != 0 || r.Sees() {
		t.Errorf("no specification: %v", err)
	}
}

func TestNamesOfAllKindsAreRead(t *testing.T) {
	names := Names()
	if len(names) < 15 || !slices.IsSorted(names) {
		t.Errorf("kinds are %v", names)
	}
	for _, name := range names {
		sep := ":"
		if strings.Contains(name, ":") {
			sep = ","
		}
		r, err := Parse([]string{name + sep + "count=1"}, 10, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := r.Groups()[0].Name; got != name {
			t.Errorf("%s is read as %s", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		f.Add(name+",count=1", "silence:share=0.5", uint64(1))
	}
	f.Add("alie:z=auto,nodes=0-3+5", "NaN: count=2", uint64(9))
	f.Fuzz(func(t *testing.T, a, b string, seed uint64) {
		r, err := Parse([]string{a, b}, 12, seed)
		if err != nil {
			return
		}
		var specs []string
		for _, g := range r.Groups() {
			var nodes []string
			for _, n := range g.Nodes {
				nodes = append(nodes, fmt.Sprint(n))
			}
			sep := ":"
			if strings.Contains(g.Name, ":") {
				sep = ","
			}
			specs = append(specs, g.Name+sep+"nodes="+strings.Join(nodes, "+"))
		}
		again, err := Parse(specs, 12, seed)
		if err != nil {
			t.Fatalf("%q gives %q, which is not read: %v", []string{a, b}, specs, err)
		}
		if fmt.Sprint(again.Groups()) != fmt.Sprint(r.Groups()) {
			t.Fatalf("%q gives %v, and that read again %v", []string{a, b}, r.Groups(), again.Groups())
		}
	})
}

func TestKindsFitTheRunsThatTheyAreFor(t *testing.T) {
	for _, records := range []bool{true, false} {
		fit := NamesFor(records)
		for _, name := range Names() {
			kind, _, _ := strings.Cut(name, ":")
			r, err := Parse([]string{kind + ":count=1"}, 8, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Fits(records); (err == nil) != slices.Contains(fit, name) {
				t.Errorf("%s in a run of records=%t: %v, and it is listed: %t", kind, records, err, slices.Contains(fit, name))
			}
		}
	}
	if r, _ := Parse([]string{"record-fork:count=1", "alie:count=1"}, 8, 1); r.Fits(true) == nil || r.Fits(false) == nil {
		t.Error("a roster of both fits")
	}
}

func TestLiarsAboutSlopesSayWhatTheyAreToSay(t *testing.T) {
	of := func(spec string) Attack {
		r, err := Parse([]string{spec + ",nodes=0"}, 8, 1)
		if err != nil {
			t.Fatal(err)
		}
		return r.Of(0)
	}
	flip, replay := of("slope-flip:factor=2"), of("slope-replay:delay=3")
	most, err := Parse([]string{"slope-max:nodes=0"}, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		slope := float64(i) - 4
		if got := flip.Slope(slope); got != -2*slope {
			t.Errorf("flipped and doubled %g is %g", slope, got)
		}
		if got := most.Of(0).Slope(slope); !(got*slope <= 0) || math.Abs(got) != math.MaxFloat64 {
			t.Errorf("of %g is said %g", slope, got)
		}
		want := slope
		if i >= 3 {
			want = slope - 3
		}
		if got := replay.Slope(slope); got != want {
			t.Errorf("replayed for %g is %g, want %g", slope, got, want)
		}
		if got := (Honest{}).Slope(slope); got != slope {
			t.Errorf("an honest node says %g of %g", got, slope)
		}
	}
	if got := most.Of(0).Slope(math.NaN()); !math.IsNaN(got) {
		t.Errorf("what is not a number becomes %g", got)
	}
}

func TestAForkIsTwoLogsWithoutABreak(t *testing.T) {
	r, err := Parse([]string{"record-fork:after=2,nodes=0"}, 40, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := r.Of(0)
	var author gossip.PeerID
	shown := make(map[int][]*gossip.Message) // by receiver
	batch := &gossip.Records{}
	for i := range 6 {
		batch.Bytes = []byte{byte(i + 1), 0, 0x85}
		m := &gossip.Message{Author: author, Seq: uint64(i + 1), Body: batch}
		for to := 1; to < 40; to++ {
			shown[to] = append(shown[to], a.Send(to, m))
			if again := a.Send(to, m); again != shown[to][i] {
				t.Fatal("a batch is another one when it is sent again")
			}
		}
		batch = &gossip.Records{First: batch.End(), Previous: batch.Digest(author)}
	}
	conflicts := 0
	for to := 1; to < 40; to++ {
		for i, x := range shown[to] {
			for j, y := range shown[1] {
				if first, ok := gossip.Equivocation(x, y); ok {
					conflicts++
					if i < 2 && j < 2 || first < 6 {
						t.Fatalf("batches %d and %d conflict from %d on, which are to be alike", i, j, first)
					}
				}
			}
			for _, y := range shown[to] {
				if _, ok := gossip.Equivocation(x, y); ok {
					t.Fatalf("receiver %d is shown a break", to)
				}
			}
		}
	}
	if conflicts == 0 {
		t.Error("all are shown the same")
	}
	if leave := (&gossip.Message{Body: &gossip.Leave{}}); a.Send(1, leave) != leave {
		t.Error("other messages are changed")
	}
}
