package gossip

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestChallengesAndBasesComeBackAsTheyWereSealed(t *testing.T) {
	s := signer(3)
	rapid.Check(t, func(t *rapid.T) {
		tag, seq := rapid.Uint64().Draw(t, "tag"), rapid.Uint64Range(0, math.MaxUint64-1).Draw(t, "seq")
		comesBack(t, &Message{Run: RunID(id(9)), Author: s.ID(), Body: &Challenge{Tag: tag, Seq: seq}}, nil)
		b := &Basis{Tag: tag, Seq: seq}
		if n := rapid.IntRange(0, 300).Draw(t, "sets"); n > 0 {
			at := min(rapid.Uint64Range(0, uint64(n-1)).Draw(t, "at"), seq)
			b.First, b.Accuses, b.Sets = seq-at, rapid.Bool().Draw(t, "accuses"), make([][8]byte, n)
			for i := range b.Sets {
				b.Sets[i] = [8]byte{byte(i), byte(i >> 8)}
			}
			tags := rapid.SliceOfNDistinct(rapid.Uint64(), 0, 20, rapid.ID).Draw(t, "tags")
			slices.Sort(tags)
			for _, tag := range tags {
				b.Places = append(b.Places, Place{tag, rapid.Uint64Min(1).Draw(t, "next")})
			}
		}
		comesBack(t, &Message{Run: RunID(id(9)), Author: s.ID(), Body: b}, nil)
	})
}

func TestBasesThatNoHonestNodeSendsAreRejected(t *testing.T) {
	malformed := Verdict{Reject, ReasonMalformed}
	for _, c := range []struct {
		name string
		edit func(b *Basis)
		want Verdict
	}{
		{"good", func(*Basis) {}, Verdict{}},
		{"of nothing, but with places", func(b *Basis) { b.First, b.Sets = 0, nil }, malformed},
		{"an accusation of nothing", func(b *Basis) { *b = Basis{Tag: 1, Accuses: true} }, malformed},
		{"gone", func(b *Basis) { *b = Basis{Tag: 1, Seq: 3} }, Verdict{}},
		{"gone, with a batch", func(b *Basis) { *b = Basis{Tag: 1, Seq: 3, First: 2} }, malformed},
		{"a record before the batch", func(b *Basis) { b.Seq = 2 }, malformed},
		{"a record after the batch", func(b *Basis) { b.Seq = 5 }, malformed},
		{"a record without a number", func(b *Basis) { b.Seq = math.MaxUint64 }, malformed},
		{"too many sets", func(b *Basis) { b.Sets = make([][8]byte, 4097) }, malformed},
		{"most sets", func(b *Basis) { b.Sets = make([][8]byte, 4096) }, Verdict{}},
		{"places out of order", func(b *Basis) { slices.Reverse(b.Places) }, malformed},
		{"a place of nothing", func(b *Basis) { b.Places[1].Seq = 0 }, malformed},
		{"too many places", func(b *Basis) {
			b.Places = make([]Place, 4098)
			for i := range b.Places {
				b.Places[i] = Place{uint64(i), 1}
			}
		}, malformed},
	} {
		m := examples(t)["basis"]
		c.edit(m.Body.(*Basis))
		if _, got := OpenDirect(seal(t, m, nil), m.Author, DefaultLimits()); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if got := openBody(t, KindChallenge, &wireChallenge{Seq: math.MaxUint64}); got != malformed {
		t.Errorf("a challenge about no record: %v", got)
	}
	if got := openBody(t, KindBasis, &wireBasis{Sets: make([]byte, 9), Places: []wirePlace{}}); got != malformed {
		t.Errorf("a set and an eighth: %v", got)
	}
	m := examples(t)["records-checked"]
	raw := seal(t, m, signer(1))
	w := recordsToWire(m.Body.(*Records)).(*wireCommitted)
	w.Sets = [16]byte{}
	body, err := encMode.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := openEnvelope(raw)
	e.Body = body
	e.Signature = signer(1).Sign(e.signedBytes())
	if raw, err = encMode.Marshal(e); err != nil {
		t.Fatal(err)
	}
	if _, got := Open(raw, DefaultLimits(), Ed25519Verifier{}); got != malformed {
		t.Errorf("a commitment to nothing, which has a shorter form: %v", got)
	}
}

func TestCommitmentsDependOnEverySetAndTheirOrder(t *testing.T) {
	a, b := [8]byte{1}, [8]byte{2}
	seen := make(map[[16]byte]string)
	for name, of := range map[string][][8]byte{"none": {}, "a": {a}, "b": {b}, "ab": {a, b}, "ba": {b, a}, "aa": {a, a}} {
		var c [16]byte
		for _, s := range of {
			c = Commit(c, s)
		}
		if other, ok := seen[c]; ok {
			t.Errorf("%s and %s have the same commitment", name, other)
		}
		seen[c] = name
	}
}

func TestAThousandCheckedRecordsAreFourKiBOnTheWire(t *testing.T) {
	text, err := os.ReadFile("wire.md")
	if err != nil {
		t.Fatal(err)
	}
	topic := Topic(RunID(id(0xab)), MaxCells-1)
	total, messages := 0, 0
	for left := 1000; left > 0; left -= DefaultBatch {
		m := &Message{Author: signer(1).ID(), Seq: math.MaxUint64, Body: &Records{
			Epoch: math.MaxUint32, First: math.MaxUint64 - 5000, Base: math.MaxUint64, Previous: id(1), Bytes: make([]byte, min(DefaultBatch, left)), Sets: sets(1),
		}}
		if got, want := SealedSize(m, false), len(seal(t, m, signer(1))); got != want {
			t.Fatalf("a size of %d, and sealed it is %d", got, want)
		}
		total += onWire(SealedSize(m, false), topic)
		messages++
	}
	const announced = 1 + 2 + 2 + (2 + 48) + (2 + len([20]byte{})) // the ID of a message, at the worst
	if all := total + messages*announced; all > 4096 || !strings.Contains(string(text), fmt.Sprintf("are then %d bytes", total)) {
		t.Errorf("%d bytes on the wire, and %d with announcements: more than 4096, or wire.md does not say so", total, all)
	}
}
