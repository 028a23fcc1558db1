package gossip

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// tokenExamples are the messages in wire.md that are about tokens.
func tokenExamples(run RunID, s Signer) map[string]*Message {
	fence := Fence{Generation: 2, Maker: 0x1122334455667788, Base: 90}
	offer := &Offer{
		To: id(2), Token: 1, Fence: fence, Hop: 104, Moves: 81, Age: 5200, History: id(8), Norm: 2.5,
		Codec: "fp32", Len: 50890, Model: Piece{Blob: BlobID(id(9)), Size: 203560},
	}
	carrying := *offer
	carrying.Remnant, carrying.StateLen, carrying.State = true, 2, Piece{Inline: []byte{0, 0, 128, 63, 0, 0, 0, 64}, Size: 8}
	return map[string]*Message{
		"token": {Run: run, Author: s.ID(), Seq: 20, Body: &Token{
			Token: 1, Fence: fence, Hop: 103, Moves: 81, Age: 5150, Samples: 1600, Loss: 0.25, Codec: "fp32", Len: 50890,
			Model: Piece{Blob: BlobID(id(9)), Size: 203560},
		}},
		"token-bare": {Run: run, Author: s.ID(), Seq: 21, Body: &Token{
			Fence: Fence{Generation: 1, Maker: 0x8899aabbccddeeff}, Codec: "fp32", Len: 50890,
		}},
		"offer":          {Run: run, Author: s.ID(), Seq: 22, Body: offer},
		"offer-carrying": {Run: run, Author: s.ID(), Seq: 23, Body: &carrying},
		"hand":           {Run: run, Author: s.ID(), Body: &Hand{Step: StepReady, Offer: 22, Token: 1}},
		"hand-history":   {Run: run, Author: s.ID(), Body: &Hand{Step: StepHistory, Offer: 22, Token: 1, History: []byte{1, 2, 3}}},
		"beat":           {Run: run, Author: s.ID(), Body: &Beat{Degree: 6, Weight: 1, Reply: true}},
	}
}

func drawFence(t *rapid.T, hop uint64) Fence {
	return Fence{
		Generation: rapid.Uint32Range(1, math.MaxUint32).Draw(t, "generation"), Maker: rapid.Uint64().Draw(t, "maker"),
		Base: rapid.Uint64Range(0, hop).Draw(t, "base"),
	}
}

func drawPiece(t *rapid.T) (p Piece) {
	if rapid.Bool().Draw(t, "inline") {
		p.Inline = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "payload")
		p.Size = uint64(len(p.Inline))
		return p
	}
	return Piece{Blob: BlobID(id(rapid.Byte().Draw(t, "blob"))), Size: 1 + rapid.Uint64Range(0, 1<<40).Draw(t, "size")}
}

func TestAllMessagesOfTokensComeBackAsTheyWereSealed(t *testing.T) {
	s := signer(3)
	rapid.Check(t, func(t *rapid.T) {
		hop := rapid.Uint64Range(0, math.MaxInt64-1).Draw(t, "hop")
		moves := rapid.Uint64Range(0, hop).Draw(t, "moves")
		token := &Token{
			Token: rapid.Uint32().Draw(t, "token"), Fence: drawFence(t, hop), Hop: hop, Moves: moves, Age: rapid.Uint64().Draw(t, "age"),
			Samples: rapid.Uint64().Draw(t, "samples"), Loss: float32(rapid.Float64Range(-1e30, 1e30).Draw(t, "loss")),
			Codec: rapid.StringN(0, 10, 40).Draw(t, "codec"), Len: rapid.Uint32().Draw(t, "len"),
		}
		if rapid.Bool().Draw(t, "there") {
			token.Model = drawPiece(t)
		}
		offer := &Offer{
			To: id(rapid.Byte().Draw(t, "to")), Token: token.Token, Fence: token.Fence, Hop: hop, Moves: moves, Age: token.Age,
			Remnant: rapid.Bool().Draw(t, "remnant"), History: id(rapid.Byte().Draw(t, "history")), Norm: rapid.Float64Range(0, 1e300).Draw(t, "norm"),
			Codec: token.Codec, Len: token.Len, Model: drawPiece(t),
		}
		if rapid.Bool().Draw(t, "carries") {
			offer.StateLen, offer.State = rapid.Uint32Range(1, math.MaxUint32).Draw(t, "state"), drawPiece(t)
		}
		hand := &Hand{
			Step: HandStep(rapid.Uint8Range(1, uint8(StepPulling)).Draw(t, "step")), Offer: rapid.Uint64Range(1, math.MaxUint64).Draw(t, "offer"),
			Token: token.Token,
		}
		if hand.Step == StepHistory {
			hand.History = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "told")
		}
		beat := &Beat{
			Degree: rapid.Uint32().Draw(t, "degree"), Weight: float32(rapid.Float64Range(1e-30, 1e30).Draw(t, "weight")),
			Reply: rapid.Bool().Draw(t, "reply"),
		}
		for i, b := range []Body{token, offer, hand, beat} {
			m := &Message{Run: RunID(id(9)), Author: s.ID(), Body: b}
			if b.kind().broadcast() {
				m.Seq = uint64(1 + i)
			}
			comesBack(t, m, s)
		}
	})
}

func TestMessagesOfTokensThatNoHonestNodeSendsAreRejected(t *testing.T) {
	s := signer(1)
	malformed, infinite := Verdict{Reject, ReasonMalformed}, Verdict{Reject, ReasonNonFinite}
	for _, c := range []struct {
		name string
		edit func(t *Token, o *Offer, h *Hand, b *Beat)
		want [4]Verdict
	}{
		{"good", func(*Token, *Offer, *Hand, *Beat) {}, [4]Verdict{}},
		{"no generation", func(t *Token, o *Offer, _ *Hand, _ *Beat) { t.Fence.Generation, o.Fence.Generation = 0, 0 }, [4]Verdict{malformed, malformed}},
		{"a hop before its base", func(t *Token, o *Offer, _ *Hand, _ *Beat) { t.Hop, o.Hop = 89, 89 }, [4]Verdict{malformed, malformed}},
		{"more moves than hops", func(t *Token, o *Offer, _ *Hand, _ *Beat) { t.Moves, o.Moves = 105, 105 }, [4]Verdict{malformed, malformed}},
		{"hops without end", func(t *Token, o *Offer, _ *Hand, _ *Beat) { t.Hop, o.Hop = math.MaxInt64, math.MaxInt64 }, [4]Verdict{malformed, malformed}},
		{"not finite", func(t *Token, o *Offer, _ *Hand, b *Beat) {
			t.Loss, o.Norm, b.Weight = float32(math.NaN()), math.Inf(1), float32(math.Inf(1))
		}, [4]Verdict{infinite, infinite, {}, infinite}},
		{"negative", func(_ *Token, o *Offer, _ *Hand, b *Beat) { o.Norm, b.Weight = -1, -1 }, [4]Verdict{1: malformed, 3: malformed}},
		{"negative zero", func(_ *Token, o *Offer, _ *Hand, b *Beat) { o.Norm, b.Weight = math.Copysign(0, -1), 0 }, [4]Verdict{1: malformed, 3: malformed}},
		{"no model", func(_ *Token, o *Offer, _ *Hand, _ *Beat) { o.Model = Piece{} }, [4]Verdict{1: malformed}},
		{"a state without a length", func(_ *Token, o *Offer, _ *Hand, _ *Beat) { o.State = o.Model }, [4]Verdict{1: malformed}},
		{"a length without a state", func(_ *Token, o *Offer, _ *Hand, _ *Beat) { o.StateLen = 3 }, [4]Verdict{1: malformed}},
		{"a long codec", func(t *Token, o *Offer, _ *Hand, _ *Beat) {
			t.Codec = string(make([]byte, maxCodec+1))
			o.Codec = t.Codec
		}, [4]Verdict{malformed, malformed}},
		{"no step", func(_ *Token, _ *Offer, h *Hand, _ *Beat) { h.Step = 0 }, [4]Verdict{2: malformed}},
		{"a step beyond the last", func(_ *Token, _ *Offer, h *Hand, _ *Beat) { h.Step = StepPulling + 1 }, [4]Verdict{2: malformed}},
		{"no offer", func(_ *Token, _ *Offer, h *Hand, _ *Beat) { h.Offer = 0 }, [4]Verdict{2: malformed}},
		{"history that is not told", func(_ *Token, _ *Offer, h *Hand, _ *Beat) { h.History = []byte{1} }, [4]Verdict{2: malformed}},
		{"nothing told", func(_ *Token, _ *Offer, h *Hand, _ *Beat) { h.Step = StepHistory }, [4]Verdict{2: malformed}},
		{"too much told", func(_ *Token, _ *Offer, h *Hand, _ *Beat) {
			h.Step, h.History = StepHistory, make([]byte, DefaultLimits().MaxHistory+1)
		}, [4]Verdict{2: malformed}},
	} {
		all := tokenExamples(RunID(id(1)), s)
		messages := []*Message{all["token"], all["offer"], all["hand"], all["beat"]}
		c.edit(messages[0].Body.(*Token), messages[1].Body.(*Offer), messages[2].Body.(*Hand), messages[3].Body.(*Beat))
		for i, m := range messages {
			if _, v := openAny(seal(t, m, s), m); v != c.want[i] {
				t.Errorf("%s: %T: %v, want %v", c.name, m.Body, v, c.want[i])
			}
		}
	}
}

func TestOneOfTwoFencesCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, g, h := drawFence(t, 9), drawFence(t, 9), drawFence(t, 9)
		if same := f.Generation == g.Generation && f.Maker == g.Maker; !same && f.Less(g) == g.Less(f) {
			t.Errorf("neither, or both, of %+v and %+v count", f, g)
		}
		if f.Less(g) && g.Less(h) && !f.Less(h) {
			t.Errorf("%+v, %+v and %+v have no order", f, g, h)
		}
	})
	if (Fence{Generation: 1, Maker: 1}).Less(Fence{Generation: 1, Maker: 2}) || !(Fence{Generation: 1}).Less(Fence{Generation: 2, Maker: 3}) {
		t.Error("a later generation, and the lesser maker, should count")
	}
}
