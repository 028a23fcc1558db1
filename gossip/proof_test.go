package gossip

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestEveryProofComesBackAsItWasSealed(t *testing.T) {
	s := signer(3)
	rapid.Check(t, func(t *rapid.T) {
		a := drawRecords(t, 200)
		b := *a
		b.Bytes = bytes.Clone(a.Bytes)
		at := rapid.IntRange(0, len(b.Bytes)-1).Draw(t, "at")
		b.Bytes[at] = (b.Bytes[at] + 1) &^ noRecord
		if b.Bytes[at] == a.Bytes[at] {
			b.Bytes[at] ^= 2
		}
		var p *Proof
		run := RunID(id(9))
		sealAll := func(r *Records, seq uint64) *Message {
			m, err := Seal(&Message{Run: run, Author: s.ID(), Seq: seq, Body: r}, s)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		p = &Proof{A: sealAll(a, 5), B: sealAll(&b, 6)}
		if bytes.Compare(p.A.Raw, p.B.Raw) > 0 {
			p.A, p.B = p.B, p.A
		}
		m := &Message{Run: run, Author: s.ID(), Seq: 1, Body: p}
		comesBack(t, m, s)
		if author, first, ok := p.Against(); !ok || author != s.ID() || first != a.First+uint64(at) {
			t.Fatalf("the proof is against %v from %d: %v", author, first, ok)
		}
		// In a simulation nothing is sealed.
		unsealed := &Proof{A: &Message{Run: run, Author: s.ID(), Seq: 5, Body: a}, B: &Message{Run: run, Author: s.ID(), Seq: 6, Body: &b}}
		if got, want := SealedSize(&Message{Run: run, Author: s.ID(), Seq: 1, Body: unsealed}, false), SealedSize(m, false); got != want {
			t.Fatalf("unsealed it has a size of %d, sealed of %d", got, want)
		}
	})
}

func TestTheOrderOfAProofIsItsSealersAffairAndNotItsReceivers(t *testing.T) {
	m := examples(t)["proof"]
	p := m.Body.(*Proof)
	raw := seal(t, m, signer(1))
	m.Body = &Proof{A: p.B, B: p.A}
	if !bytes.Equal(seal(t, m, signer(1)), raw) {
		t.Error("a pair has two encodings")
	}
}

// TestAProofThatProvesNothingIsRejected writes the body by hand: Seal would put it right, or refuse it.
func TestAProofThatProvesNothingIsRejected(t *testing.T) {
	run := examples(t)["proof"].Run
	first, forked := &Records{Bytes: []byte{1, 2}}, &Records{Bytes: []byte{1, 3}}
	sealed := func(r *Records, seq uint64, edit func(*Message)) []byte {
		m := &Message{Run: run, Author: signer(2).ID(), Seq: seq, Body: r}
		s := signer(2)
		if edit != nil {
			edit(m)
			if m.Author != s.ID() {
				s = signer(4)
			}
		}
		return seal(t, m, s)
	}
	broken := func(raw []byte, at int) []byte {
		raw = bytes.Clone(raw)
		raw[at] ^= 1
		return raw
	}
	a, b := sealed(first, 1, nil), sealed(forked, 2, nil)
	version := bytes.Replace(b, []byte{0x87, 0x01}, []byte{0x87, 0x02}, 1)
	leave := seal(t, examples(t)["leave"], signer(1))
	nested := seal(t, examples(t)["proof"], signer(1))
	malformed := Verdict{Reject, ReasonMalformed}
	for _, c := range []struct {
		name string
		a, b []byte
		want Verdict
	}{
		{"good", a, b, Verdict{}},
		{"one batch twice", a, a, malformed},
		{"one batch in two messages", a, sealed(first, 2, nil), Verdict{Reject, ReasonProof}},
		{"a batch and the next", a, sealed(&Records{First: 2, Previous: first.Digest(signer(2).ID()), Bytes: []byte{7}}, 2, nil), Verdict{Reject, ReasonProof}},
		{"two authors", a, sealed(forked, 2, func(m *Message) { m.Author = signer(4).ID() }), Verdict{Reject, ReasonProof}},
		{"another run", a, sealed(forked, 2, func(m *Message) { m.Run[0]++ }), Verdict{Reject, ReasonWrongRun}},
		{"a signature broken", broken(a, len(a)-1), b, Verdict{Reject, ReasonSignature}},
		{"the other signature broken", a, broken(b, len(b)-1), Verdict{Reject, ReasonSignature}},
		{"cut off", a, b[:len(b)-1], malformed},
		{"nothing", []byte{}, b, malformed},
		{"another version", a, version, malformed},
		{"another kind", a, leave, Verdict{Reject, ReasonUnknownKind}},
		{"a proof in a proof", a, nested, Verdict{Reject, ReasonUnknownKind}},
		{"a malformed batch", a, sealed(&Records{Bytes: []byte{0x80}}, 2, nil), malformed},
	} {
		if c.name != "one batch twice" && bytes.Compare(c.a, c.b) > 0 {
			c.a, c.b = c.b, c.a
		}
		raw := sealProof(t, run, c.a, c.b)
		if _, got := Open(raw, DefaultLimits(), Ed25519Verifier{}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if bytes.Compare(a, b) < 0 {
		a, b = b, a
	}
	if _, got := Open(sealProof(t, run, a, b), DefaultLimits(), Ed25519Verifier{}); got != malformed {
		t.Errorf("in descending order: %v", got)
	}
	for _, p := range []*Proof{{}, {A: &Message{Body: first}, B: &Message{Body: forked}}} {
		if _, err := Seal(&Message{Run: run, Author: signer(1).ID(), Seq: 1, Body: p}, signer(1)); err == nil {
			t.Error("a proof of messages that are not sealed is sealed")
		}
	}
}

func sealProof(t testing.TB, run RunID, a, b []byte) []byte {
	t.Helper()
	body, err := encMode.Marshal(&wireProof{A: a, B: b})
	if err != nil {
		t.Fatal(err)
	}
	e := envelope{Version: WireVersion, Run: run, Author: signer(1).ID(), Seq: 1, Kind: uint64(KindProof), Body: body}
	e.Signature = signer(1).Sign(e.signedBytes())
	raw, err := encMode.Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTheLargestProofFitsIntoAMessage(t *testing.T) {
	lim := DefaultLimits()
	a, b := &Records{Bytes: make([]byte, lim.MaxRecords)}, &Records{Bytes: make([]byte, lim.MaxRecords)}
	b.Bytes[lim.MaxRecords-1] = 1
	raw := seal(t, &Message{Author: signer(1).ID(), Seq: 1, Body: proofOf(t, RunID{}, a, b)}, signer(1))
	m, v := Open(raw, lim, Ed25519Verifier{})
	if v.Decision != Accept {
		t.Fatalf("%d bytes: %v", len(raw), v)
	}
	if _, first, _ := m.Body.(*Proof).Against(); first != uint64(lim.MaxRecords-1) {
		t.Errorf("the first record that is void is %d", first)
	}
}
