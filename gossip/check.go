package gossip

import (
	"crypto/sha256"
	"math"
)

// A Challenge asks the author of a record what it has measured it on. The answer is a [Basis].
type Challenge struct {
	Tag, Seq uint64 // names the author's log, and the record in it
}

// A Basis says which records the model was of that a record was measured on. It answers a [Challenge], or it comes unasked from somebody
// who has measured the record again on the same and found another one: whoever doubts that does it, too.
type Basis struct {
	Tag, Seq uint64
	Accuses  bool // it is not an answer

	// The batch that the record is in begins with First, and Sets names the set of each record in it, in order: together they are what the
	// batch commits to, see [Commit]. Places is the version vector of the set of record Seq. All are empty if the author, who is
	// to keep them for its newest batches, has them no more.
	First  uint64
	Sets   [][8]byte
	Places []Place
}

func (*Challenge) kind() Kind { return KindChallenge }
func (*Basis) kind() Kind     { return KindBasis }

// Commit is the commitment to one set more, which is named by the first 8 bytes of the digest of its version vector, see [Place]: the first
// 16 bytes of a SHA-256. That of no sets is zeros.
func Commit(before [16]byte, set [8]byte) [16]byte {
	h := sha256.New()
	h.Write([]byte("starling sets\x00"))
	h.Write(before[:])
	h.Write(set[:])
	return [16]byte(h.Sum(nil)[:16])
}

type (
	wireChallenge struct {
		_        struct{} `cbor:",toarray"`
		Tag, Seq uint64
	}
	wireBasis struct {
		_        struct{} `cbor:",toarray"`
		Tag, Seq uint64
		Accuses  bool
		First    uint64
		Sets     []byte // 8 for each
		Places   []wirePlace
	}
)

func basisToWire(b *Basis) *wireBasis {
	w := &wireBasis{Tag: b.Tag, Seq: b.Seq, Accuses: b.Accuses, First: b.First, Sets: []byte{}, Places: toPlaces(b.Places)}
	for _, s := range b.Sets {
		w.Sets = append(w.Sets, s[:]...)
	}
	return w
}

func challengeFromWire(raw []byte) (Body, Verdict) {
	var w wireChallenge
	if !decodeBody(raw, &w) || w.Seq == math.MaxUint64 {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	return &Challenge{Tag: w.Tag, Seq: w.Seq}, Verdict{}
}

func basisFromWire(raw []byte, lim Limits) (Body, Verdict) {
	var w wireBasis
	malformed := Verdict{Reject, ReasonMalformed}
	if !decodeBody(raw, &w) || w.Seq == math.MaxUint64 {
		return nil, malformed
	}
	b := &Basis{Tag: w.Tag, Seq: w.Seq, Accuses: w.Accuses, First: w.First}
	if len(w.Sets) == 0 {
		if w.Accuses || w.First != 0 || len(w.Places) > 0 {
			return nil, malformed
		}
		return b, Verdict{}
	}
	n := uint64(len(w.Sets) / 8)
	switch {
	case len(w.Sets)%8 != 0, n > uint64(lim.MaxRecords), w.Seq < w.First, w.Seq-w.First >= n,
		len(w.Places) > lim.MaxKnown, !ascendingPlaces(w.Places, 1):
		return nil, malformed
	}
	for s := w.Sets; len(s) > 0; s = s[8:] {
		b.Sets = append(b.Sets, [8]byte(s))
	}
	b.Places = fromPlaces(w.Places)
	return b, Verdict{}
}

func challengeSize(c *Challenge) int { return 1 + number(c.Tag) + number(c.Seq) }

func basisSize(b *Basis) int {
	sets := 8 * len(b.Sets)
	return 1 + number(b.Tag) + number(b.Seq) + 1 + number(b.First) + head(sets) + sets + placesSize(b.Places)
}
