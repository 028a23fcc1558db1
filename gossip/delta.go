package gossip

import "math"

// A Delta announces vectors that are not a model to be mixed: what a round has changed, and what nodes make of it. It is a
// broadcast like an [Update]; unlike an update it is not made void by the next one of its author.
type Delta struct {
	Part     Part
	Fragment uint32  // of the model; 0 if it is not divided
	Round    uint64  // what counts as a round is up to the method
	Base     uint64  // names the state that the delta starts from
	Version  uint64  // names the author's state when it was announced
	Age      uint64  // local steps that went into that state, here or elsewhere
	Steps    uint64  // local steps in the delta
	Samples  uint64  // training examples behind them
	Speed    float32 // the author's local steps in a second, smoothed; finite, not negative
	Loss     float32 // mean training loss of the round; finite

	Degree  uint32   // how many peers the author mixes with
	Rate    float32  // how far the author goes towards them at a time, 0 to 1
	To      []PeerID // whom it is for, ascending; empty: all
	Mixed   []Mark   // what went into it, or was taken up since the last one, ascending by author
	Refused []Refusal

	Codec  string // how the vectors were encoded
	Len    uint32 // of all pieces together, in floats
	Pieces []Piece
}

// A Piece is an encoded part of a vector: inline bytes, or a blob to be pulled.
type Piece struct {
	Inline []byte // nil when it is a blob
	Blob   BlobID
	Size   uint64 // in bytes
}

// Part says what the vectors of a Delta are.
type Part uint8

// The parts. The numbers are part of the wire format and are never reused.
const (
	PartGradient   Part = 1 // a pseudo-gradient: the model before the round minus the model after it
	PartMean       Part = 2 // the mean of the pseudo-gradients of those that Mixed names
	PartAnchor     Part = 3 // the model that the next round begins with
	PartState      Part = 4 // the model and all that the method keeps beside it, one after the other
	PartDifference Part = 5 // what has to be added to the public copies of the author's vectors
	PartCopy       Part = 6 // public copies, whole
)

// A Request asks a peer for vectors of its own, which it sends as a Delta, in a Repair.
type Request struct {
	Part     Part
	Fragment uint32
	Since    uint64 // names the state that the sender has
}

func (*Delta) kind() Kind   { return KindDelta }
func (*Request) kind() Kind { return KindRequest }

// Size returns the sum of the sizes of the pieces in bytes.
func (d *Delta) Size() uint64 {
	var n uint64
	for _, p := range d.Pieces {
		n += p.Size
	}
	return n
}

type (
	wireDelta struct {
		_        struct{} `cbor:",toarray"`
		Part     uint8
		Fragment uint32
		Round    uint64
		Base     uint64
		Version  uint64
		Age      uint64
		Steps    uint64
		Samples  uint64
		Speed    float32
		Loss     float32
		Degree   uint32
		Rate     float32
		To       []PeerID
		Mixed    []wireMark
		Refused  []wireRefusal
		Codec    string
		Len      uint32
		Pieces   []wirePiece
	}
	wirePiece struct {
		_      struct{} `cbor:",toarray"`
		Size   uint64
		Inline []byte // empty when it is a blob
		Blob   []byte // empty when it is inline
	}
	wireRequest struct {
		_        struct{} `cbor:",toarray"`
		Part     uint8
		Fragment uint32
		Since    uint64
	}
)

func deltaToWire(d *Delta) *wireDelta {
	w := &wireDelta{
		Part: uint8(d.Part), Fragment: d.Fragment, Round: d.Round, Base: d.Base, Version: d.Version, Age: d.Age, Steps: d.Steps, Samples: d.Samples,
		Speed: d.Speed, Loss: d.Loss, Degree: d.Degree, Rate: d.Rate, To: filled(d.To), Mixed: filled(toMarks(d.Mixed)), Refused: filled(toRefusals(d.Refused)),
		Codec: d.Codec, Len: d.Len, Pieces: []wirePiece{},
	}
	for i := range d.Pieces {
		w.Pieces = append(w.Pieces, pieceToWire(&d.Pieces[i]))
	}
	return w
}

func deltaFromWire(raw []byte, lim Limits) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireDelta
	switch {
	case !decodeBody(raw, &w):
		return nil, malformed
	case w.Part == 0, len(w.Pieces) == 0, len(w.Pieces) > lim.MaxPieces, len(w.Codec) > maxCodec,
		len(w.To) > lim.MaxPeers, len(w.Mixed) > lim.MaxPeers, len(w.Refused) > 2*lim.MaxPeers:
		return nil, malformed
	case !ascendingPeers(w.To), !ascending(w.Mixed), !ascendingRefusals(w.Refused):
		return nil, malformed
	case !finite(float64(w.Speed)), !finite(float64(w.Loss)):
		return nil, Verdict{Reject, ReasonNonFinite}
	case math.Signbit(float64(w.Speed)), !(w.Rate >= 0 && w.Rate <= 1), math.Signbit(float64(w.Rate)):
		return nil, malformed
	}
	d := &Delta{
		Part: Part(w.Part), Fragment: w.Fragment, Round: w.Round, Base: w.Base, Version: w.Version, Age: w.Age, Steps: w.Steps, Samples: w.Samples,
		Speed: w.Speed, Loss: w.Loss, Degree: w.Degree, Rate: w.Rate, Mixed: fromMarks(w.Mixed), Refused: fromRefusals(w.Refused), Codec: w.Codec, Len: w.Len,
	}
	if len(w.To) > 0 {
		d.To = w.To
	}
	for i := range w.Pieces {
		p, ok := pieceFromWire(&w.Pieces[i])
		if !ok {
			return nil, malformed
		}
		d.Pieces = append(d.Pieces, p)
	}
	return d, Verdict{}
}

func deltaSize(d *Delta) int {
	n := 1 + number(uint64(d.Part)) + number(uint64(d.Fragment)) + number(d.Round) + number(d.Base) + number(d.Version) + number(d.Age) + number(d.Steps) +
		number(d.Samples) + 5 + 5 + number(uint64(d.Degree)) + 5
	n += peersSize(d.To) + head(len(d.Mixed)) + marksSize(d.Mixed) + refusalsSize(d.Refused)
	n += head(len(d.Codec)) + len(d.Codec) + number(uint64(d.Len)) + head(len(d.Pieces))
	for i := range d.Pieces {
		n += 1 + pieceSize(&d.Pieces[i])
	}
	return n
}

// pieceSize is the length of a piece's size, its inline bytes and its blob.
func pieceSize(p *Piece) int {
	if p.Inline != nil {
		return number(p.Size) + head(len(p.Inline)) + len(p.Inline) + 1
	}
	return number(p.Size) + 1 + bytes32
}
