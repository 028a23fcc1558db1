package gossip

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// HistoryDigest is the digest of a history that offers name: the SHA-256 of a text that says what it is, of the walk's history, and of the
// counts that tokens share, both as package mixing/srrw writes them.
func HistoryDigest(history, shared []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("starling history 1\x00"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(history))))
	h.Write(history)
	h.Write(shared)
	return [32]byte(h.Sum(nil))
}

type (
	wireFence struct {
		_          struct{} `cbor:",toarray"`
		Generation uint32
		Maker      uint64
		Base       uint64
	}
	wireToken struct {
		_       struct{} `cbor:",toarray"`
		Token   uint32
		Fence   wireFence
		Hop     uint64
		Moves   uint64
		Age     uint64
		Samples uint64
		Loss    float32
		Codec   string
		Len     uint32
		Model   []wirePiece // none or one
	}
	wireOffer struct {
		_        struct{} `cbor:",toarray"`
		To       PeerID
		Token    uint32
		Fence    wireFence
		Hop      uint64
		Moves    uint64
		Age      uint64
		Remnant  bool
		History  [32]byte
		Norm     float64
		Codec    string
		Len      uint32
		Model    wirePiece
		StateLen uint32
		State    []wirePiece // none or one
	}
	wireHand struct {
		_       struct{} `cbor:",toarray"`
		Step    uint8
		Offer   uint64
		Token   uint32
		History []byte // empty unless it is told
	}
	wireBeat struct {
		_      struct{} `cbor:",toarray"`
		Degree uint32
		Weight float32
		Reply  bool
	}
)

func fenceToWire(f Fence) wireFence {
	return wireFence{Generation: f.Generation, Maker: f.Maker, Base: f.Base}
}

func fenceFromWire(w wireFence) Fence {
	return Fence{Generation: w.Generation, Maker: w.Maker, Base: w.Base}
}

func pieceToWire(p *Piece) wirePiece {
	w := wirePiece{Size: p.Size, Inline: filled(p.Inline), Blob: []byte{}}
	if p.Inline == nil {
		w.Blob = p.Blob[:]
	}
	return w
}

func pieceFromWire(w *wirePiece) (p Piece, ok bool) {
	if !payloadForm(w.Size, w.Inline, w.Blob) {
		return p, false
	}
	p.Size = w.Size
	if len(w.Inline) > 0 {
		p.Inline = w.Inline
	} else {
		copy(p.Blob[:], w.Blob)
	}
	return p, true
}

// optionalToWire is a list of the piece, or of none if its size is 0.
func optionalToWire(p *Piece) []wirePiece {
	if p.Size == 0 {
		return []wirePiece{}
	}
	return []wirePiece{pieceToWire(p)}
}

func optionalFromWire(w []wirePiece) (p Piece, ok bool) {
	switch len(w) {
	case 0:
		return p, true
	case 1:
		return pieceFromWire(&w[0])
	}
	return p, false
}

func tokenToWire(t *Token) *wireToken {
	return &wireToken{
		Token: t.Token, Fence: fenceToWire(t.Fence), Hop: t.Hop, Moves: t.Moves, Age: t.Age, Samples: t.Samples, Loss: t.Loss,
		Codec: t.Codec, Len: t.Len, Model: optionalToWire(&t.Model),
	}
}

func tokenFromWire(raw []byte) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireToken
	if !decodeBody(raw, &w) || len(w.Codec) > maxCodec || !fenceForm(w.Fence, w.Hop, w.Moves) {
		return nil, malformed
	}
	if !finite(float64(w.Loss)) {
		return nil, Verdict{Reject, ReasonNonFinite}
	}
	model, ok := optionalFromWire(w.Model)
	if !ok {
		return nil, malformed
	}
	return &Token{
		Token: w.Token, Fence: fenceFromWire(w.Fence), Hop: w.Hop, Moves: w.Moves, Age: w.Age, Samples: w.Samples, Loss: w.Loss,
		Codec: w.Codec, Len: w.Len, Model: model,
	}, Verdict{}
}

// fenceForm reports whether a fence can be that of a copy with so many hops.
func fenceForm(f wireFence, hop, moves uint64) bool {
	return f.Generation > 0 && f.Base <= hop && moves <= hop && hop < math.MaxInt64
}

func offerToWire(o *Offer) *wireOffer {
	return &wireOffer{
		To: o.To, Token: o.Token, Fence: fenceToWire(o.Fence), Hop: o.Hop, Moves: o.Moves, Age: o.Age, Remnant: o.Remnant, History: o.History, Norm: o.Norm,
		Codec: o.Codec, Len: o.Len, Model: pieceToWire(&o.Model), StateLen: o.StateLen, State: optionalToWire(&o.State),
	}
}

func offerFromWire(raw []byte) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireOffer
	if !decodeBody(raw, &w) || len(w.Codec) > maxCodec || !fenceForm(w.Fence, w.Hop, w.Moves) || (w.StateLen > 0) != (len(w.State) == 1) {
		return nil, malformed
	}
	switch {
	case !finite(w.Norm):
		return nil, Verdict{Reject, ReasonNonFinite}
	case w.Norm < 0, math.Signbit(w.Norm):
		return nil, malformed
	}
	model, ok := pieceFromWire(&w.Model)
	state, okToo := optionalFromWire(w.State)
	if !ok || !okToo {
		return nil, malformed
	}
	return &Offer{
		To: w.To, Token: w.Token, Fence: fenceFromWire(w.Fence), Hop: w.Hop, Moves: w.Moves, Age: w.Age, Remnant: w.Remnant, History: w.History, Norm: w.Norm,
		Codec: w.Codec, Len: w.Len, Model: model, StateLen: w.StateLen, State: state,
	}, Verdict{}
}

func handToWire(h *Hand) *wireHand {
	return &wireHand{Step: uint8(h.Step), Offer: h.Offer, Token: h.Token, History: filled(h.History)}
}

func handFromWire(raw []byte, lim Limits) (Body, Verdict) {
	var w wireHand
	if !decodeBody(raw, &w) {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	step := HandStep(w.Step)
	if step == 0 || step > StepPulling || w.Offer == 0 ||
		(len(w.History) > 0) != (step == StepHistory) || len(w.History) > lim.MaxHistory {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	h := &Hand{Step: step, Offer: w.Offer, Token: w.Token}
	if len(w.History) > 0 {
		h.History = w.History
	}
	return h, Verdict{}
}

func beatFromWire(raw []byte) (Body, Verdict) {
	var w wireBeat
	if !decodeBody(raw, &w) {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	if !finite(float64(w.Weight)) {
		return nil, Verdict{Reject, ReasonNonFinite}
	}
	if w.Weight <= 0 {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	return &Beat{Degree: w.Degree, Weight: w.Weight, Reply: w.Reply}, Verdict{}
}

func fenceSize(f *Fence) int {
	return 1 + number(uint64(f.Generation)) + number(f.Maker) + number(f.Base)
}

func optionalSize(p *Piece) int {
	if p.Size == 0 {
		return 1
	}
	return 1 + 1 + pieceSize(p)
}

func tokenSize(t *Token) int {
	return 1 + number(uint64(t.Token)) + fenceSize(&t.Fence) + number(t.Hop) + number(t.Moves) + number(t.Age) + number(t.Samples) + 5 +
		head(len(t.Codec)) + len(t.Codec) + number(uint64(t.Len)) + optionalSize(&t.Model)
}

func offerSize(o *Offer) int {
	return 1 + bytes32 + number(uint64(o.Token)) + fenceSize(&o.Fence) + number(o.Hop) + number(o.Moves) + number(o.Age) + 1 + bytes32 + 9 +
		head(len(o.Codec)) + len(o.Codec) + number(uint64(o.Len)) + 1 + pieceSize(&o.Model) + number(uint64(o.StateLen)) + optionalSize(&o.State)
}

func handSize(h *Hand) int {
	return 1 + number(uint64(h.Step)) + number(h.Offer) + number(uint64(h.Token)) + head(len(h.History)) + len(h.History)
}

func beatSize(b *Beat) int { return 1 + number(uint64(b.Degree)) + 5 + 1 }
