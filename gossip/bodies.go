package gossip

import (
	"bytes"
	"encoding/binary"
	"math"
)

// maxCodec is the longest name of a codec.
const maxCodec = 64

func toWire(b Body) any {
	switch b := b.(type) {
	case *Update:
		w := &wireUpdate{
			Round: b.Round, Age: b.Age, Samples: b.Samples, Degree: b.Degree, Loss: b.Loss, Weight: b.Weight, LinkEpoch: b.LinkEpoch,
			To: b.To, Mixed: toMarks(b.Mixed), Refused: toRefusals(b.Refused), Stats: packStats(b.Stats), Codec: b.Codec, Len: b.Len, Size: b.Size, Inline: b.Inline,
		}
		if b.Inline == nil {
			w.Blob = b.Blob[:]
		}
		// Empty lists are written as such, never as null.
		w.To, w.Mixed, w.Refused = filled(w.To), filled(w.Mixed), filled(w.Refused)
		w.Stats, w.Inline, w.Blob = filled(w.Stats), filled(w.Inline), filled(w.Blob)
		return w
	case *Delta:
		return deltaToWire(b)
	case *Request:
		return &wireRequest{Part: uint8(b.Part), Fragment: b.Fragment, Since: b.Since}
	case *Digest:
		return &wireDigest{Known: filled(toMarks(b.Known)), Reply: b.Reply}
	case *Repair:
		return &wireRepair{Messages: filled(b.Messages)}
	case *Records:
		return recordsToWire(b)
	case *Known:
		return knownToWire(b)
	case *Fetch:
		return fetchToWire(b)
	case *Snapshot:
		return snapshotToWire(b)
	case *Proof:
		return proofToWire(b)
	case *Ballot:
		return ballotToWire(b)
	case *Certificate:
		return certificateToWire(b)
	case *Standing:
		return standingToWire(b)
	case *Challenge:
		return &wireChallenge{Tag: b.Tag, Seq: b.Seq}
	case *Basis:
		return basisToWire(b)
	}
	return &wireLeave{}
}

func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// fromWire decodes a body. The verifier is for the messages in a proof or certificate.
func fromWire(e *envelope, lim Limits, v Verifier) (Body, Verdict) {
	malformed, raw := Verdict{Reject, ReasonMalformed}, e.Body
	switch Kind(e.Kind) {
	case KindUpdate:
		return updateFromWire(raw, lim)
	case KindDelta:
		return deltaFromWire(raw, lim)
	case KindRequest:
		var w wireRequest
		if !decodeBody(raw, &w) || w.Part == 0 {
			return nil, malformed
		}
		return &Request{Part: Part(w.Part), Fragment: w.Fragment, Since: w.Since}, Verdict{}
	case KindLeave:
		if !decodeBody(raw, &wireLeave{}) {
			return nil, malformed
		}
		return &Leave{}, Verdict{}
	case KindDigest:
		var w wireDigest
		if !decodeBody(raw, &w) || len(w.Known) > lim.MaxKnown || !ascending(w.Known) {
			return nil, malformed
		}
		return &Digest{Known: fromMarks(w.Known), Reply: w.Reply}, Verdict{}
	case KindRepair:
		var w wireRepair
		if !decodeBody(raw, &w) || len(w.Messages) > lim.MaxRepair {
			return nil, malformed
		}
		for _, m := range w.Messages {
			if len(m) > lim.MaxMessage {
				return nil, Verdict{Reject, ReasonOversized}
			}
		}
		return &Repair{Messages: w.Messages}, Verdict{}
	case KindRecords:
		return recordsFromWire(raw, lim)
	case KindKnown:
		return knownFromWire(raw, lim)
	case KindFetch:
		return fetchFromWire(raw, lim)
	case KindSnapshot:
		return snapshotFromWire(e, lim, v)
	case KindProof:
		return proofFromWire(e, lim, v)
	case KindBallot:
		return ballotFromWire(raw)
	case KindCertificate:
		c, verdict := certificateFromWire(raw, e.Run, lim, v)
		if verdict.Decision != Accept {
			return nil, verdict
		}
		return c, verdict
	case KindStanding:
		return standingFromWire(raw)
	case KindChallenge:
		return challengeFromWire(raw)
	case KindBasis:
		return basisFromWire(raw, lim)
	}
	return nil, Verdict{Reject, ReasonUnknownKind}
}

func updateFromWire(raw []byte, lim Limits) (Body, Verdict) {
	var w wireUpdate
	malformed := Verdict{Reject, ReasonMalformed}
	if !decodeBody(raw, &w) {
		return nil, malformed
	}
	switch {
	case len(w.To) > lim.MaxPeers, len(w.Mixed) > lim.MaxPeers, len(w.Refused) > 2*lim.MaxPeers,
		len(w.Stats)%8 != 0, len(w.Stats)/8 > lim.MaxStats, len(w.Codec) > maxCodec:
		return nil, malformed
	case !ascending(w.Mixed), !ascendingPeers(w.To), !ascendingRefusals(w.Refused), !payloadForm(w.Size, w.Inline, w.Blob):
		return nil, malformed
	case !finite(float64(w.Loss)), !finite(w.Weight):
		return nil, Verdict{Reject, ReasonNonFinite}
	case w.Weight < 0:
		return nil, malformed
	}
	u := &Update{
		Round: w.Round, Age: w.Age, Samples: w.Samples, Degree: w.Degree, Loss: w.Loss, Weight: w.Weight, LinkEpoch: w.LinkEpoch,
		Mixed: fromMarks(w.Mixed), Refused: fromRefusals(w.Refused), Codec: w.Codec, Len: w.Len, Size: w.Size,
	}
	if len(w.To) > 0 {
		u.To = w.To
	}
	var ok bool
	if u.Stats, ok = unpackStats(w.Stats); !ok {
		return nil, Verdict{Reject, ReasonNonFinite}
	}
	if len(w.Inline) > 0 {
		u.Inline = w.Inline
	} else {
		copy(u.Blob[:], w.Blob)
	}
	return u, Verdict{}
}

// payloadForm reports whether a payload is inline or a blob, and not both, and of its size.
func payloadForm(size uint64, inline, blob []byte) bool {
	if len(inline) > 0 {
		return len(blob) == 0 && size == uint64(len(inline))
	}
	return size > 0 && len(blob) == len(BlobID{})
}

func toRefusals(refusals []Refusal) []wireRefusal {
	var out []wireRefusal
	for _, r := range refusals {
		out = append(out, wireRefusal{Author: r.Author, Seq: r.Seq, Why: uint8(r.Why)})
	}
	return out
}

func fromRefusals(refusals []wireRefusal) []Refusal {
	var out []Refusal
	for _, r := range refusals {
		out = append(out, Refusal{Author: r.Author, Seq: r.Seq, Why: RefusalReason(r.Why)})
	}
	return out
}

// ascendingRefusals reports whether the refusals are ascending by author, of which one can have several.
func ascendingRefusals(refusals []wireRefusal) bool {
	for i := 1; i < len(refusals); i++ {
		if bytes.Compare(refusals[i-1].Author[:], refusals[i].Author[:]) > 0 {
			return false
		}
	}
	return true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func toMarks(marks []Mark) []wireMark {
	var out []wireMark
	for _, m := range marks {
		out = append(out, wireMark{Author: m.Author, Seq: m.Seq})
	}
	return out
}

func fromMarks(marks []wireMark) []Mark {
	var out []Mark
	for _, m := range marks {
		out = append(out, Mark{Author: m.Author, Seq: m.Seq})
	}
	return out
}

// ascending reports whether the marks are strictly ascending by author.
func ascending(marks []wireMark) bool {
	for i := 1; i < len(marks); i++ {
		if bytes.Compare(marks[i-1].Author[:], marks[i].Author[:]) >= 0 {
			return false
		}
	}
	return true
}

func ascendingPeers(peers []PeerID) bool {
	for i := 1; i < len(peers); i++ {
		if bytes.Compare(peers[i-1][:], peers[i][:]) >= 0 {
			return false
		}
	}
	return true
}

func packStats(stats []TensorStat) []byte {
	var b []byte
	for _, s := range stats {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(s.Mean))
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(s.Var))
	}
	return b
}

// unpackStats returns false if a number is not finite or a variance is negative.
func unpackStats(b []byte) ([]TensorStat, bool) {
	var out []TensorStat
	for ; len(b) > 0; b = b[8:] {
		s := TensorStat{
			Mean: math.Float32frombits(binary.BigEndian.Uint32(b)),
			Var:  math.Float32frombits(binary.BigEndian.Uint32(b[4:])),
		}
		if !finite(float64(s.Mean)) || !finite(float64(s.Var)) || s.Var < 0 {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}
