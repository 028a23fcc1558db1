package gossip

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestEveryDeltaComesBackAsItWasSealed(t *testing.T) {
	s := signer(3)
	rapid.Check(t, func(t *rapid.T) {
		d := &Delta{
			Part: Part(rapid.Uint8Range(1, 255).Draw(t, "part")), Fragment: rapid.Uint32().Draw(t, "fragment"),
			Round: rapid.Uint64().Draw(t, "round"), Base: rapid.Uint64().Draw(t, "base"), Version: rapid.Uint64().Draw(t, "version"), Age: rapid.Uint64().Draw(t, "age"),
			Steps: rapid.Uint64().Draw(t, "steps"), Samples: rapid.Uint64().Draw(t, "samples"),
			Speed: float32(rapid.Float64Range(0, 1e30).Draw(t, "speed")), Loss: float32(rapid.Float64Range(-1e30, 1e30).Draw(t, "loss")),
			Degree: rapid.Uint32().Draw(t, "degree"), Rate: float32(rapid.Float64Range(0, 1).Draw(t, "rate")),
			Codec: rapid.StringN(0, 10, 40).Draw(t, "codec"), Len: rapid.Uint32().Draw(t, "len"),
		}
		for i := range rapid.ByteRange(0, 20).Draw(t, "peers") {
			d.To = append(d.To, id(i))
			d.Mixed = append(d.Mixed, Mark{id(i), rapid.Uint64().Draw(t, "seq")})
			d.Refused = append(d.Refused, Refusal{id(i / 2), rapid.Uint64().Draw(t, "seq"), RefusedStale})
		}
		for range rapid.IntRange(1, 20).Draw(t, "pieces") {
			p := Piece{Blob: BlobID(id(rapid.Byte().Draw(t, "blob"))), Size: 1 + rapid.Uint64Range(0, 1<<40).Draw(t, "size")}
			if rapid.Bool().Draw(t, "inline") {
				p = Piece{Inline: rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "payload")}
				p.Size = uint64(len(p.Inline))
			}
			d.Pieces = append(d.Pieces, p)
		}
		m := &Message{Run: RunID(id(9)), Author: s.ID(), Seq: 1, Body: d}
		sealed, err := Seal(m, s)
		if err != nil {
			t.Fatal(err)
		}
		got, v := Open(sealed.Raw, DefaultLimits(), Ed25519Verifier{})
		if v.Decision != Accept {
			t.Fatalf("%v for %+v", v, d)
		}
		if d := cmp.Diff(m.Body, got.Body); d != "" {
			t.Fatal(d)
		}
		if n := SealedSize(m, false); n != len(sealed.Raw) {
			t.Fatalf("the sealed size is said to be %d and is %d", n, len(sealed.Raw))
		}
	})
}

func TestADeltaThatNoHonestNodeSendsIsRejected(t *testing.T) {
	malformed := Verdict{Reject, ReasonMalformed}
	for _, c := range []struct {
		name string
		edit func(d *Delta)
		want Verdict
	}{
		{"good", func(*Delta) {}, Verdict{}},
		{"no part", func(d *Delta) { d.Part = 0 }, malformed},
		{"no pieces", func(d *Delta) { d.Pieces = nil }, malformed},
		{"too many pieces", func(d *Delta) { d.Pieces = make([]Piece, 257) }, malformed},
		{"a piece of no size", func(d *Delta) { d.Pieces[1].Size = 0 }, malformed},
		{"a piece of another size", func(d *Delta) { d.Pieces[0].Size = 3 }, malformed},
		{"codec name too long", func(d *Delta) { d.Codec = strings.Repeat("x", 65) }, malformed},
		{"negative speed", func(d *Delta) { d.Speed = -1 }, malformed},
		{"speed NaN", func(d *Delta) { d.Speed = float32(math.NaN()) }, Verdict{Reject, ReasonNonFinite}},
		{"rate above 1", func(d *Delta) { d.Rate = 1.5 }, malformed},
		{"rate NaN", func(d *Delta) { d.Rate = float32(math.NaN()) }, malformed},
		{"loss infinite", func(d *Delta) { d.Loss = float32(math.Inf(1)) }, Verdict{Reject, ReasonNonFinite}},
		{"receiver twice", func(d *Delta) { d.To = []PeerID{id(3), id(3)} }, malformed},
		{"too many receivers", func(d *Delta) { d.To = make([]PeerID, 65) }, malformed},
		{"marks not ascending", func(d *Delta) { d.Mixed = []Mark{{id(3), 1}, {id(2), 1}} }, malformed},
		{"refusals not ascending", func(d *Delta) { d.Refused = []Refusal{{id(3), 1, 1}, {id(2), 1, 1}} }, malformed},
	} {
		m := examples(t)["delta"]
		c.edit(m.Body.(*Delta))
		if _, got := Open(seal(t, m, signer(1)), DefaultLimits(), Ed25519Verifier{}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	request := &Message{Author: id(4), Body: &Request{}}
	if _, v := OpenDirect(seal(t, request, nil), id(4), DefaultLimits()); v != malformed {
		t.Errorf("a request for nothing: %v", v)
	}
}
