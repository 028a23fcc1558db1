package gossip

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func closingExample() *Closing {
	return &Closing{
		Epoch: 1, Clip: 90, Sums: id(9), Bans: []Place{{0x8899aabbccddeeff, 12}},
		Members: []Member{{0x1122334455667788, 300, 6, true}, {0x8899aabbccddeeff, 12, 0, true}},
	}
}

// ballotExamples are the messages in wire.md that are about closing epochs.
func ballotExamples(t testing.TB, run RunID, s Signer) map[string]*Message {
	c := closingExample()
	return map[string]*Message{
		"ballot":          {Run: run, Author: s.ID(), Seq: 20, Body: &Ballot{Step: StepPrevote, Epoch: 1, Round: 2, Own: 150, Value: c.Digest()}},
		"ballot-proposal": {Run: run, Author: s.ID(), Seq: 21, Body: &Ballot{Step: StepPropose, Epoch: 1, Round: 2, Own: 150, Value: c.Digest(), Lock: 1, Closing: c}},
		"certificate":     {Run: run, Author: s.ID(), Body: certificateOf(t, run, c)},
		"standing": {Run: run, Author: s.ID(), Body: &Standing{
			Epoch: 1, Leaves: []uint64{7}, Polled: []Polled{{0, id(9), true, []uint64{1, 0x8899aabbccddeeff}, nil}, {2, [32]byte{}, false, nil, []uint64{1}}},
		}},
	}
}

// certificateOf has signers 2 and 3 vote to close.
func certificateOf(t interface {
	Helper()
	Fatal(args ...any)
}, run RunID, c *Closing) *Certificate {
	t.Helper()
	out := &Certificate{Closing: c}
	for n := range byte(2) {
		s := signer(2 + n)
		m := &Message{Run: run, Author: s.ID(), Seq: 5, Body: &Ballot{Step: StepPrecommit, Epoch: c.Epoch, Round: 2, Own: 7, Value: c.Digest()}}
		m, err := Seal(m, s)
		if err != nil {
			t.Fatal(err)
		}
		out.Ballots = append(out.Ballots, m)
	}
	slices.SortFunc(out.Ballots, func(a, b *Message) int { return bytes.Compare(a.Author[:], b.Author[:]) })
	return out
}

func TestAllAboutClosingComesBackAsItWasSealed(t *testing.T) {
	s := signer(3)
	tags := func(t *rapid.T, name string) []uint64 {
		out := rapid.SliceOfNDistinct(rapid.Uint64(), 0, 9, rapid.ID).Draw(t, name)
		slices.Sort(out)
		if len(out) == 0 {
			return nil
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		run := RunID(id(9))
		c := &Closing{Epoch: rapid.Uint32().Draw(t, "epoch"), Bans: drawPlaces(t, 0), Clip: rapid.Uint8Range(0, 127).Draw(t, "clip"), Sums: id(rapid.Byte().Draw(t, "sums"))}
		for _, p := range append(drawPlaces(t, 1), Place{^uint64(0), 1}) {
			if n := len(c.Members); n == 0 || c.Members[n-1].Tag < p.Tag {
				c.Members = append(c.Members, Member{p.Tag, p.Seq, rapid.Uint32().Draw(t, "until"), rapid.Bool().Draw(t, "votes")})
			}
		}
		b := &Ballot{Step: BallotStep(rapid.IntRange(1, 4).Draw(t, "step")), Epoch: c.Epoch, Own: rapid.Uint64().Draw(t, "own")}
		if b.Step < StepLeave {
			b.Round = rapid.Uint32().Draw(t, "round")
			if b.Step == StepPropose || rapid.Bool().Draw(t, "for one") {
				b.Value = c.Digest()
			}
		}
		if b.Step == StepPropose {
			b.Lock, b.Closing = rapid.Uint32Max(b.Round).Draw(t, "lock"), c
		}
		comesBack(t, &Message{Run: run, Author: s.ID(), Seq: 1, Body: b}, s)
		cert := &Certificate{Closing: c}
		for n := range byte(rapid.IntRange(1, 4).Draw(t, "voters")) {
			v := signer(n + 1)
			m, err := Seal(&Message{Run: run, Author: v.ID(), Seq: 1 + uint64(n), Body: &Ballot{Step: StepPrecommit, Epoch: c.Epoch, Round: 9, Own: 70, Value: c.Digest()}}, v)
			if err != nil {
				t.Fatal(err)
			}
			cert.Ballots = append(cert.Ballots, m)
		}
		slices.SortFunc(cert.Ballots, func(a, b *Message) int { return bytes.Compare(a.Author[:], b.Author[:]) })
		comesBack(t, &Message{Run: run, Author: s.ID(), Body: cert}, nil)
		standing := &Standing{Epoch: c.Epoch, Reply: rapid.Bool().Draw(t, "reply"), Leaves: tags(t, "leaves")}
		for i := range rapid.Uint32Range(0, 4).Draw(t, "rounds") {
			standing.Polled = append(standing.Polled, Polled{i * 300, id(byte(i)), rapid.Bool().Draw(t, "proposal"), tags(t, "prevotes"), tags(t, "precommits")})
		}
		comesBack(t, &Message{Run: run, Author: s.ID(), Body: standing}, nil)
	})
}

func TestBallotsThatNoHonestNodeSendsAreRejected(t *testing.T) {
	malformed := Verdict{Reject, ReasonMalformed}
	for _, c := range []struct {
		name, of string
		edit     func(b *Ballot)
		want     Verdict
	}{
		{"a vote", "ballot", func(*Ballot) {}, Verdict{}},
		{"a vote for none", "ballot", func(b *Ballot) { b.Value = [32]byte{} }, Verdict{}},
		{"no step", "ballot", func(b *Ballot) { b.Step = 0 }, malformed},
		{"a step too many", "ballot", func(b *Ballot) { b.Step = 5 }, malformed},
		{"a vote with a lock", "ballot", func(b *Ballot) { b.Lock = 1 }, malformed},
		{"a vote with a closing", "ballot", func(b *Ballot) { b.Closing = closingExample() }, malformed},
		{"a leave with a value", "ballot", func(b *Ballot) { b.Step, b.Round = StepLeave, 0 }, malformed},
		{"a leave with a round", "ballot", func(b *Ballot) { b.Step, b.Value = StepLeave, [32]byte{} }, malformed},
		{"a proposal", "ballot-proposal", func(*Ballot) {}, Verdict{}},
		{"a proposal of something else", "ballot-proposal", func(b *Ballot) { b.Value[0]++ }, malformed},
		{"a proposal of nothing", "ballot-proposal", func(b *Ballot) { b.Closing = nil }, malformed},
		{"of another epoch", "ballot-proposal", func(b *Ballot) { b.Epoch++ }, malformed},
		{"with a lock of its own round", "ballot-proposal", func(b *Ballot) { b.Lock = b.Round + 1 }, malformed},
		{"without members", "ballot-proposal", func(b *Ballot) { b.Closing.Members = nil; b.Value = b.Closing.Digest() }, malformed},
		{"with a member that has no records", "ballot-proposal", func(b *Ballot) { b.Closing.Members[0].Next = 0; b.Value = b.Closing.Digest() }, malformed},
		{"with members out of order", "ballot-proposal", func(b *Ballot) { slices.Reverse(b.Closing.Members); b.Value = b.Closing.Digest() }, malformed},
		{"with a code that is none", "ballot-proposal", func(b *Ballot) { b.Closing.Clip = 128; b.Value = b.Closing.Digest() }, malformed},
		{"with too many members", "ballot-proposal", func(b *Ballot) {
			b.Closing.Members = nil
			for i := range MaxMembers {
				b.Closing.Members = append(b.Closing.Members, Member{uint64(i), 1, 0, true})
			}
			b.Value = b.Closing.Digest()
		}, malformed},
	} {
		m := examples(t)[c.of]
		c.edit(m.Body.(*Ballot))
		if _, got := Open(seal(t, m, signer(1)), DefaultLimits(), Ed25519Verifier{}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCertificatesThatProveNothingAreRejected(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(c *Certificate)
		want Verdict
	}{
		{"good", func(*Certificate) {}, Verdict{}},
		{"no ballots", func(c *Certificate) { c.Ballots = nil }, Verdict{Reject, ReasonProof}},
		{"one ballot twice", func(c *Certificate) { c.Ballots[1] = c.Ballots[0] }, Verdict{Reject, ReasonProof}},
		{"out of order", func(c *Certificate) { slices.Reverse(c.Ballots) }, Verdict{Reject, ReasonProof}},
		{"for something else", func(c *Certificate) { c.Closing.Clip++ }, Verdict{Reject, ReasonProof}},
		{"with a broken signature", func(c *Certificate) {
			m := *c.Ballots[1]
			m.Raw = bytes.Clone(m.Raw)
			m.Raw[len(m.Raw)-1]++
			c.Ballots[1] = &m
		}, Verdict{Reject, ReasonSignature}},
		{"of prevotes", func(c *Certificate) {
			c.Ballots[0] = resealed(t, c.Ballots[0], func(b *Ballot) { b.Step = StepPrevote })
		}, Verdict{Reject, ReasonProof}},
		{"of two rounds", func(c *Certificate) { c.Ballots[0] = resealed(t, c.Ballots[0], func(b *Ballot) { b.Round++ }) }, Verdict{Reject, ReasonProof}},
		{"of another kind", func(c *Certificate) { c.Ballots[0] = &Message{Raw: seal(t, examples(t)["leave"], signer(1))} }, Verdict{Reject, ReasonUnknownKind}},
	} {
		m := examples(t)["certificate"]
		c.edit(m.Body.(*Certificate))
		if _, got := OpenDirect(seal(t, m, nil), m.Author, DefaultLimits()); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		s := examples(t)["snapshot"]
		s.Body.(*Snapshot).Certificate = m.Body.(*Certificate)
		if _, got := OpenDirect(seal(t, s, nil), s.Author, DefaultLimits()); got != c.want {
			t.Errorf("%s, in a snapshot: got %v, want %v", c.name, got, c.want)
		}
	}
	s := examples(t)["snapshot"]
	s.Body.(*Snapshot).Closed++
	if _, v := OpenDirect(seal(t, s, nil), s.Author, DefaultLimits()); v != (Verdict{Reject, ReasonMalformed}) {
		t.Errorf("a snapshot with the certificate of another epoch: %v", v)
	}
	s.Body.(*Snapshot).Certificate = nil
	if _, v := OpenDirect(seal(t, s, nil), s.Author, DefaultLimits()); v != (Verdict{Reject, ReasonMalformed}) {
		t.Errorf("a snapshot of closed epochs without a certificate: %v", v)
	}
}

func resealed(t testing.TB, m *Message, edit func(b *Ballot)) *Message {
	for n := range byte(9) {
		if s := signer(n); s.ID() == m.Author {
			b := *m.Body.(*Ballot)
			edit(&b)
			return &Message{Raw: seal(t, &Message{Run: m.Run, Author: m.Author, Seq: m.Seq, Body: &b}, s)}
		}
	}
	t.Fatal("nobody we know")
	return nil
}

func TestVotingTwiceIsProof(t *testing.T) {
	c := closingExample()
	a := &Ballot{Step: StepPrevote, Epoch: 1, Round: 2, Own: 9, Value: c.Digest()}
	for _, x := range []struct {
		name  string
		b     Ballot
		first uint64
		ok    bool
	}{
		{"the same", *a, 0, false},
		{"another round", Ballot{Step: StepPrevote, Epoch: 1, Round: 3, Own: 9}, 0, false},
		{"another epoch", Ballot{Step: StepPrevote, Epoch: 2, Round: 2, Own: 9}, 0, false},
		{"another step", Ballot{Step: StepPrecommit, Epoch: 1, Round: 2, Own: 9}, 0, false},
		{"the same with other records", Ballot{Step: StepPrevote, Epoch: 1, Round: 2, Own: 3, Value: c.Digest()}, 0, false},
		{"for none", Ballot{Step: StepPrevote, Epoch: 1, Round: 2, Own: 9}, 9, true},
		{"for another, with other records", Ballot{Step: StepPrevote, Epoch: 1, Round: 2, Own: 4, Value: id(3)}, 4, true},
	} {
		m, n := &Message{Author: signer(2).ID(), Body: a}, &Message{Author: signer(2).ID(), Body: &x.b}
		if first, ok := Equivocation(m, n); ok != x.ok || first != x.first {
			t.Errorf("%s: got %d %v", x.name, first, ok)
		}
		n.Author = id(7)
		if _, ok := Equivocation(m, n); ok {
			t.Errorf("%s, of two authors: taken for a proof", x.name)
		}
		n.Author = m.Author
		if !x.ok {
			continue
		}
		p := &Proof{A: &Message{Run: RunID{1}, Author: m.Author, Seq: 4, Body: a}, B: &Message{Run: RunID{1}, Author: m.Author, Seq: 5, Body: &x.b}}
		p.A.Raw, p.B.Raw = seal(t, p.A, signer(2)), seal(t, p.B, signer(2))
		got, v := Open(seal(t, &Message{Run: RunID{1}, Author: signer(1).ID(), Seq: 1, Body: p}, signer(1)), DefaultLimits(), Ed25519Verifier{})
		if v.Decision != Accept {
			t.Fatalf("%s: %v", x.name, v)
		}
		if author, first, ok := got.Body.(*Proof).Against(); author != m.Author || first != x.first || !ok {
			t.Errorf("%s: against %v from %d, %v", x.name, author, first, ok)
		}
	}
	propose := &Ballot{Step: StepPropose, Epoch: 1, Round: 2, Own: 9, Value: c.Digest(), Closing: c}
	again := *propose
	again.Lock = 1
	if _, ok := Equivocation(&Message{Body: propose}, &Message{Body: &again}); !ok {
		t.Error("two proposals with different locks are no proof")
	}
	if _, ok := Equivocation(&Message{Body: a}, &Message{Body: &Records{Bytes: []byte{1}}}); ok {
		t.Error("a ballot and a batch are taken for a proof")
	}
	if _, ok := Equivocation(&Message{Body: &Ballot{Step: StepLeave}}, &Message{Body: &Ballot{Step: StepLeave, Own: 1}}); ok {
		t.Error("leaving twice is taken for a proof")
	}
}

func TestTheLargestProposalsFitIntoAProof(t *testing.T) {
	p := new(Proof)
	for i, at := range []**Message{&p.A, &p.B} {
		c := &Closing{Epoch: 1 << 31, Clip: uint8(100 + i)}
		for m := range uint64(MaxMembers) {
			c.Members = append(c.Members, Member{1<<63 + m, 1 << 63, 1 << 31, true})
		}
		m := &Message{Author: signer(2).ID(), Seq: 1, Body: &Ballot{Step: StepPropose, Epoch: 1 << 31, Round: 1 << 31, Value: c.Digest(), Closing: c}}
		m.Raw = seal(t, m, signer(2))
		*at = m
	}
	if _, v := Open(seal(t, &Message{Author: signer(1).ID(), Seq: 1, Body: p}, signer(1)), DefaultLimits(), Ed25519Verifier{}); v.Decision != Accept {
		t.Error(v)
	}
}

func TestStandingsThatMakeNoSenseAreRejected(t *testing.T) {
	for name, w := range map[string]*wireStanding{
		"tags cut off":        {Leaves: make([]byte, 9), Polled: []wirePolled{}},
		"tags out of order":   {Leaves: make([]byte, 16), Polled: []wirePolled{}},
		"too many tags":       {Leaves: packTags(make([]uint64, MaxMembers+1)), Polled: []wirePolled{}},
		"rounds not in order": {Leaves: []byte{}, Polled: []wirePolled{{Prevotes: []byte{}, Precommits: []byte{}}, {Prevotes: []byte{}, Precommits: []byte{}}}},
		"votes cut off":       {Leaves: []byte{}, Polled: []wirePolled{{Prevotes: []byte{1}, Precommits: []byte{}}}},
		"too many rounds":     {Leaves: []byte{}, Polled: make([]wirePolled, MaxPolled+1)},
	} {
		if v := openBody(t, KindStanding, w); v != (Verdict{Reject, ReasonMalformed}) {
			t.Errorf("%s: %v", name, v)
		}
	}
}
