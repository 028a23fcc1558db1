package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"starling/gossip"
)

// TestDeltasThatNoHonestNodeSendsAreRejected edits deltas that are accepted.
func TestDeltasThatNoHonestNodeSendsAreRejected(t *testing.T) {
	piece := gossip.Piece{Size: 2, Blob: gossip.BlobID{1}}
	gradient := func(n, pieces int) gossip.Delta {
		return gossip.Delta{Part: gossip.PartGradient, Round: 1, Steps: 10, Codec: "int8", Len: uint32(n), Pieces: slices.Repeat([]gossip.Piece{piece}, pieces)}
	}
	mean := gossip.Delta{
		Part: gossip.PartMean, Round: 1, Codec: "int8", Len: 1, Pieces: []gossip.Piece{piece}, Mixed: []gossip.Mark{{Author: peer("B"), Seq: 1}},
	}
	plain := func(p gossip.Part, n int) gossip.Delta {
		return gossip.Delta{Part: p, Round: 1, Codec: PlainCodec, Len: uint32(n), Pieces: []gossip.Piece{piece}}
	}
	type edits map[string]func(d *gossip.Delta)
	all := edits{
		"no part":                 func(d *gossip.Delta) { d.Part = 0 },
		"a difference":            func(d *gossip.Delta) { d.Part = gossip.PartDifference },
		"a copy":                  func(d *gossip.Delta) { d.Part = gossip.PartCopy },
		"no pieces":               func(d *gossip.Delta) { d.Pieces = nil },
		"a piece more":            func(d *gossip.Delta) { d.Pieces = append(slices.Clone(d.Pieces), piece) },
		"another codec":           func(d *gossip.Delta) { d.Codec = "topk" },
		"a float more":            func(d *gossip.Delta) { d.Len++ },
		"no floats":               func(d *gossip.Delta) { d.Len = 0 },
		"as long as can be":       func(d *gossip.Delta) { d.Len = 1<<32 - 1 },
		"a round out of reach":    func(d *gossip.Delta) { d.Round = maxRound + 1 },
		"the last round there is": func(d *gossip.Delta) { d.Round = 1<<64 - 1 },
		"steps out of reach":      func(d *gossip.Delta) { d.Steps = 1 << 63 },
		"an age out of reach":     func(d *gossip.Delta) { d.Age = 1 << 63 },
		"pieces too large": func(d *gossip.Delta) {
			d.Pieces = slices.Clone(d.Pieces)
			d.Pieces[0].Size = 1 << 40
		},
	}
	announced := edits{
		"no round":          func(d *gossip.Delta) { d.Round = 0 },
		"another fragment":  func(d *gossip.Delta) { d.Fragment += 2 },
		"the last fragment": func(d *gossip.Delta) { d.Fragment = 1<<32 - 1 },
	}
	ofGradient := edits{
		"no steps": func(d *gossip.Delta) { d.Steps = 0 },
		"in fp32":  func(d *gossip.Delta) { d.Codec = PlainCodec },
	}
	ofPushes := edits{
		"of a state that is not yet": func(d *gossip.Delta) { d.Base = d.Version + 1 },
		"a version out of reach":     func(d *gossip.Delta) { d.Version = 1<<64 - 1 },
	}
	encoded := edits{"in the run's codec": func(d *gossip.Delta) { d.Codec = "int8" }}
	ofMean := edits{
		"of nobody":         func(d *gossip.Delta) { d.Mixed = nil },
		"of another turn's": func(d *gossip.Delta) { d.Round = 2 },
	}
	const diloco = "diloco:shards=2,fragments=2"
	for _, c := range []struct {
		spec, name string
		good       gossip.Delta
		edits      []edits
	}{
		{diloco, "gradient", gradient(2, 2), []edits{all, announced, ofGradient}},
		{diloco, "mean", mean, []edits{all, announced, ofMean}},
		{diloco, "state", plain(gossip.PartState, 8), []edits{all, encoded}},
		{"delayed-nesterov", "push", gradient(4, 1), []edits{all, announced, ofGradient, ofPushes}},
		{"delayed-nesterov", "anchor", plain(gossip.PartAnchor, 4), []edits{all, announced, encoded}},
		{"delayed-nesterov", "state", plain(gossip.PartState, 12), []edits{all, encoded}},
		{"noloco", "gradient", gradient(4, 1), []edits{all, announced, ofGradient}},
		{"noloco", "anchor", plain(gossip.PartAnchor, 4), []edits{all, announced, encoded}},
		{"noloco", "state", plain(gossip.PartState, 4), []edits{all, encoded}},
	} {
		core, err := New(outerConfig(c.spec, 10), State{Params: 1, Opt: 2})
		if err != nil {
			t.Fatal(err)
		}
		verdict := func(d gossip.Delta) gossip.Decision {
			return core.Check(&gossip.Message{Run: gossip.RunID{1}, Author: peer("B"), Seq: 1, Body: &d}).Decision
		}
		if v := verdict(c.good); v != gossip.Accept {
			t.Errorf("%s: a good %s gets %v", c.spec, c.name, v)
		}
		for _, edits := range c.edits {
			for what, edit := range edits {
				bad := c.good
				edit(&bad)
				if v := verdict(bad); v != gossip.Reject {
					t.Errorf("%s: %s, %s: gets %v", c.spec, c.name, what, v)
				}
			}
		}
	}
}

// play runs commands of a script and returns what they led to.
func play(t *testing.T, commands string) (*script, string) {
	t.Helper()
	s := newScript(t)
	var out string
	for line := range strings.Lines(commands) {
		if line = strings.TrimSpace(line); line != "" {
			out += s.command(line)
		}
	}
	return s, out
}

func TestNobodyGoesOverToALiarsState(t *testing.T) {
	const far = "turn=200000000000000 base=9 version=8"
	for name, commands := range map[string]string{
		"in the middle of a run": "node outer=diloco numbers=5,7,6,40\ntick\ngradient B seq=1\ngradient C seq=1\ntrained\ngradient D seq=1 " + far,
		"alone with it at first": "node outer=diloco numbers=5,7,6,40\nup B\nup C\nup D\ngradient D seq=1 " + far,
		"at the beginning":       "node outer=diloco\nup B\nup C\nup D\ntick\ngradient D seq=1 " + far,
		"later":                  "node outer=diloco\nup B\nup C\nup D\ngradient B seq=1\ngradient C seq=1\ngradient D seq=1 " + far,
		"when all are scattered": "node outer=diloco numbers=5,7,6,40\ngradient B seq=1 base=8 version=5\ngradient C seq=1 base=9 version=5\ngradient D seq=1 " + far,
		"pushes":                 "node outer=delayed-nesterov numbers=500,0,3,100\ngradient B seq=1 version=501 base=500\ngradient C seq=1 version=499 base=498\ngradient D seq=1 version=200000000000000 base=199999999999999",
		"noloco":                 "node outer=noloco\nup B\nup C\nup D\ngradient D seq=1 turn=200000000000000",
	} {
		if _, out := play(t, commands); strings.Contains(out, "ask D") {
			t.Errorf("%s: the node asks the liar for its state:\n%s", name, out)
		}
	}
}

func TestWhoHasMissedTurnsGoesOver(t *testing.T) {
	for name, commands := range map[string]string{
		"a newcomer":             "node outer=diloco\nup B\nup C\nup D\ngradient C seq=1 turn=9 base=9 version=8\ngradient D seq=1 turn=9 base=9 version=8",
		"beside other newcomers": "node outer=diloco\ngradient B seq=1\ngradient E seq=1\ngradient F seq=1\ngradient C seq=1 turn=9 base=9 version=8\ngradient D seq=1 turn=9 base=9 version=8",
		"of two nodes":           "node outer=diloco\nup B\ngradient B seq=1 turn=9 base=9 version=8",
		"of another lineage":     "node outer=diloco numbers=5,7,6,40\ngradient B seq=1 base=8\ngradient C seq=1 base=8",
		"a turn behind, whose means are gone": "node outer=diloco numbers=5,7,6,40\ntick\ntrained\ngradient B seq=1 turn=6 base=9 version=7\nat 60\n" +
			"gradient B seq=2 turn=6 base=9 version=7\ntick\nat 100\ntick",
		"pushes": "node outer=delayed-nesterov\nup B\nup C\ngradient B seq=1 version=501 base=500\ngradient C seq=1 version=499 base=498",
		"noloco": "node outer=noloco\nup B\nup C\ngradient B seq=1 turn=9\ngradient C seq=1 turn=9",
	} {
		if _, out := play(t, commands); !strings.Contains(out, "ask ") {
			t.Errorf("%s: the node asks nobody for its state:\n%s", name, out)
		}
	}
}

func TestWhoHasTakenPartDoesNotBeginAnewWithNewcomers(t *testing.T) {
	commands := "node outer=diloco numbers=5,7,6,40\n"
	for _, who := range "BCDEFG" {
		commands += fmt.Sprintf("gradient %c seq=1 turn=1 base=0 version=0\n", who)
		if _, out := play(t, commands); strings.Contains(out, "ask ") {
			t.Fatalf("%s\nthe node asks for the state of a newcomer:\n%s", commands, out)
		}
	}
}

func TestRequestsInALoopCostLittle(t *testing.T) {
	for _, spec := range []string{"diloco", "delayed-nesterov", "noloco"} {
		s, _ := play(t, "node outer="+spec+"\ntick")
		answers, work := 0, 0
		for i := range 10_000 {
			s.command(fmt.Sprintf("at %.3f", float64(i)*0.001))
			out := s.command("ask B part=state")
			answers += strings.Count(out, "send B")
			work += strings.Count(out, "encode")
		}
		if answers < 1 || answers > 6 || work > 6 {
			t.Errorf("%s: in 10 s a peer that asks without end got %d answers for %d encodings", spec, answers, work)
		}
	}
}

func TestAPieceThatIsNeverServedHoldsUpNobodyForLong(t *testing.T) {
	// Lots are drawn by names: with one of these it falls to A to sum up.
	for _, other := range []string{"C", "D", "E", "F", "G", "H", "I", "J"} {
		s, _ := play(t, fmt.Sprintf("node outer=diloco:shards=1\ntick\ngradient B seq=1\ngradient %s seq=1\ntrained\nfetched %[1]s", other))
		if s.pulls["B"] == nil {
			continue
		}
		want := fmt.Sprintf("publish #2 mean 0 round=1 base=0000 steps=10 age=0 mixed=[A#1 %s#1]", other)
		for at := 1; at <= 30; at++ {
			s.command(fmt.Sprintf("at %d", at))
			if out := s.command("tick"); strings.Contains(out, want) {
				return
			}
		}
		t.Fatal("30 s later the mean of the others is not announced")
	}
	t.Fatal("A never sums up: the test proves nothing")
}

func TestAMeanFromWhomItShouldNotComeWaits(t *testing.T) {
	s, _ := play(t, "node outer=diloco:shards=1\ntick\ngradient B seq=1\ngradient C seq=1\ngradient D seq=1\ntrained")
	f := s.core.method.(*outerMethod).variant.(*together).flight
	first, last := f.order[0][0], f.order[0][3]
	if last == peer("A") {
		last = f.order[0][2]
	}
	if out := s.command("mean " + name(last) + " seq=2 mixed=D#9"); strings.Contains(out, "fetch") {
		t.Errorf("a mean of nobody's pseudo-gradients is pulled:\n%s", out)
	}
	s.command("mean " + name(last) + " seq=3 mixed=A#1,B#1,C#1,D#1")
	if out := s.command("fetched " + name(last) + "*"); strings.Contains(out, "train") {
		t.Errorf("the step is taken with a mean of %s, though it is for %s to sum up:\n%s", name(last), name(first), out)
	}
}

func TestAHugePseudoGradientIsClipped(t *testing.T) {
	for _, c := range []struct{ spec, round, clipped string }{
		{"diloco:shards=1", "gradient B seq=R\ntrained\nfetched B* norm=N\nsaved", "+0.0005 v"},
		{"delayed-nesterov:window=2,momentum=0", "gradient B seq=R version=R base=R\nfetched B* norm=N\ntrained\nsaved", "-0.00035 v"},
		{"noloco", "anchor B seq=R turn=R\ntrained\ngradient B seq=R5 turn=R to=A\nfetched B norm=1\nfetched B norm=N\nsaved", "-0.00035 v"},
	} {
		s, _ := play(t, "node outer="+c.spec+"\ntick")
		for round := 1; round <= 7; round++ {
			norm, out := "1", ""
			if round == 7 {
				norm = "3000"
			}
			for line := range strings.Lines(strings.NewReplacer("R", fmt.Sprint(round), "N", norm).Replace(c.round)) {
				out += s.command(strings.TrimSpace(line))
			}
			if got := strings.Contains(out, c.clipped); got != (round == 7) {
				t.Errorf("%s, round %d, norm %s: taken up with the coefficient %s: %v\n%s", c.spec, round, norm, c.clipped, got, out)
			}
		}
	}
}

func TestAnAnchorThatIsMuchTooLongIsNotTaken(t *testing.T) {
	s, _ := play(t, "node outer=noloco numbers=5 round=5\ngradient B seq=1 turn=5 to=A")
	for round := 6; round <= 12; round++ {
		norm, mixed := 1, 1
		if round == 12 {
			norm, mixed = 3000, 0
		}
		out := s.command(fmt.Sprintf("anchor B seq=%d turn=%d", round, round)) + s.command("trained")
		out += s.command(fmt.Sprintf("gradient B seq=%d turn=%d to=A", 50+round, round))
		out += s.command(fmt.Sprintf("fetched B norm=%d", norm)) + s.command("fetched B")
		if !strings.Contains(out, fmt.Sprintf("mixed round=%d %d", round, mixed)) {
			t.Errorf("round %d: an anchor of norm %d:\n%s", round, norm, out)
		}
		s.command("saved")
	}
}
