package gossip

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// WireVersion is the version of the envelope that this build speaks. It is the first thing in every message.
const WireVersion = 1

// Limits bound what Open decodes. All are inclusive.
type Limits struct {
	MaxMessage int // bytes of a sealed broadcast message
	MaxDirect  int // bytes of a sealed direct message
	MaxStats   int // tensor statistics in an update
	MaxPeers   int // peers named in an update, in each of its lists
	MaxKnown   int // marks in a digest; logs, or bans, in a list of what is known, and in a snapshot
	MaxRepair  int // messages in a repair
	MaxPieces  int // pieces of a delta

	MaxRecords     int // records in a batch
	MaxRanges      int // bytes of a turn of range reconciliation
	MaxFetch       int // ranges of records in a fetch
	MaxGenerations int // pool generations in a snapshot
	MaxSums        int // accumulators of each
}

// DefaultLimits returns the limits of every run: a broadcast is small enough for gossipsub, a digest can name a roster of
// 4096 members, a proof can show any two batches of records.
func DefaultLimits() Limits {
	return Limits{
		MaxMessage: 64 << 10, MaxDirect: 256 << 10, MaxStats: 1024, MaxPeers: 64, MaxKnown: 4097, MaxRepair: 64, MaxPieces: 256,
		MaxRecords: 4096, MaxRanges: 64 << 10, MaxFetch: 256, MaxGenerations: 256, MaxSums: 1 << 16,
	}
}

// A Signer signs as one node.
type Signer interface {
	ID() PeerID
	Sign(msg []byte) []byte
}

// A Verifier checks signatures. It must be safe for concurrent use.
type Verifier interface {
	Verify(author PeerID, msg, sig []byte) bool
}

type ed25519Signer struct{ key ed25519.PrivateKey }

// Ed25519Signer signs with a private key.
func Ed25519Signer(key ed25519.PrivateKey) Signer { return ed25519Signer{key} }

func (s ed25519Signer) ID() (p PeerID) {
	copy(p[:], s.key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	return p
}

func (s ed25519Signer) Sign(msg []byte) []byte { return ed25519.Sign(s.key, msg) }

// Ed25519Verifier checks signatures of [Ed25519Signer].
type Ed25519Verifier struct{}

// Verify reports whether sig is the author's signature of msg.
func (Ed25519Verifier) Verify(author PeerID, msg, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(author[:], msg, sig)
}

// envelope is what travels: an array of seven. The body is a CBOR value inside a byte string, so that its signature can
// be checked before it is decoded.
type envelope struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Run       RunID
	Author    PeerID
	Seq       uint64
	Kind      uint64
	Body      []byte
	Signature []byte // empty in direct messages
}

// The bodies as they travel.
type (
	wireUpdate struct {
		_         struct{} `cbor:",toarray"`
		Round     uint64
		Age       uint64
		Samples   uint64
		Degree    uint32
		Loss      float32
		Weight    float64
		LinkEpoch uint64
		To        []PeerID
		Mixed     []wireMark
		Refused   []wireRefusal
		Stats     []byte // 8 bytes each: mean and variance, float32 big-endian
		Codec     string
		Len       uint32
		Size      uint64
		Inline    []byte // empty when the payload is a blob
		Blob      []byte // empty when the payload is inline
	}
	wireMark struct {
		_      struct{} `cbor:",toarray"`
		Author PeerID
		Seq    uint64
	}
	wireRefusal struct {
		_      struct{} `cbor:",toarray"`
		Author PeerID
		Seq    uint64
		Why    uint8
	}
	wireLeave struct {
		_ struct{} `cbor:",toarray"`
	}
	wireDigest struct {
		_     struct{} `cbor:",toarray"`
		Known []wireMark
		Reply bool
	}
	wireRepair struct {
		_        struct{} `cbor:",toarray"`
		Messages [][]byte
	}
)

var (
	encMode = func() cbor.EncMode {
		o := cbor.CoreDetEncOptions()
		o.ShortestFloat = cbor.ShortestFloatNone   // a number's width is part of the format
		o.NilContainers = cbor.NilContainerAsEmpty // or null would be a second spelling of empty
		m, err := o.EncMode()
		if err != nil {
			panic("gossip: internal error: " + err.Error())
		}
		return m
	}()
	decMode = func() cbor.DecMode {
		m, err := cbor.DecOptions{
			DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
			ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, UTF8: cbor.UTF8RejectInvalid,
			MaxArrayElements: 8192, MaxMapPairs: 16, MaxNestedLevels: 4,
		}.DecMode()
		if err != nil {
			panic("gossip: internal error: " + err.Error())
		}
		return m
	}()
)

// signatureDomain keeps a message's signature from being taken for one on anything else.
const signatureDomain = "starling message 1\x00"

// signedBytes is what an author signs: everything in the envelope but the signature.
func (e *envelope) signedBytes() []byte {
	b := make([]byte, 0, len(signatureDomain)+len(e.Run)+len(e.Author)+3*8+len(e.Body))
	b = append(b, signatureDomain...)
	b = binary.BigEndian.AppendUint64(b, e.Version)
	b = append(b, e.Run[:]...)
	b = append(b, e.Author[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Seq)
	b = binary.BigEndian.AppendUint64(b, e.Kind)
	return append(b, e.Body...)
}

// broadcast reports whether messages of a kind are signed and passed on.
func (k Kind) broadcast() bool {
	switch k {
	case KindUpdate, KindDelta, KindLeave, KindRecords, KindProof, KindBallot:
		return true
	}
	return false
}

// direct reports whether messages of a kind go to one peer, unsigned.
func (k Kind) direct() bool {
	switch k {
	case KindDigest, KindRepair, KindRequest, KindKnown, KindFetch, KindSnapshot, KindCertificate, KindChallenge, KindBasis, KindStanding:
		return true
	}
	return false
}

// Seal encodes a message, and signs it if it is a broadcast one, and what a certificate in it has of the signer; s may be nil for other
// direct ones. It returns a copy with Raw
// set.
func Seal(m *Message, s Signer) (*Message, error) {
	if p, ok := m.Body.(*Proof); ok && !p.sealed() {
		return nil, errors.New("seal message: a proof is of two sealed messages")
	}
	shown, err := sealShown(m.Body, s)
	if err != nil {
		return nil, err
	}
	body, err := encMode.Marshal(toWire(shown))
	if err != nil {
		return nil, fmt.Errorf("seal message: %w", err)
	}
	e := envelope{Version: WireVersion, Run: m.Run, Author: m.Author, Seq: m.Seq, Kind: uint64(m.Body.kind()), Body: body}
	if m.Body.kind().broadcast() {
		if s == nil || s.ID() != m.Author {
			return nil, errors.New("seal message: it is not signed by its author")
		}
		e.Signature = s.Sign(e.signedBytes())
	}
	out := *m
	if out.Raw, err = encMode.Marshal(&e); err != nil {
		return nil, fmt.Errorf("seal message: %w", err)
	}
	return &out, nil
}

// sealShown seals the signer's own ballots in a certificate.
func sealShown(b Body, s Signer) (Body, error) {
	switch b := b.(type) {
	case *Certificate:
		return b.sealed(s)
	case *Snapshot:
		if b.Certificate == nil {
			return b, nil
		}
		c, err := b.Certificate.sealed(s)
		out := *b
		out.Certificate = c
		return &out, err
	}
	return b, nil
}

// Open decodes a broadcast message and checks all that can be checked without knowing anything: size, version, form,
// ranges, finite numbers, signature. With a nil verifier the signature is not checked: for bytes that were opened before.
// The message refers to raw, which must not change afterwards.
func Open(raw []byte, lim Limits, v Verifier) (*Message, Verdict) {
	return openSigned(raw, lim, v, Kind.broadcast)
}

// openSigned opens a broadcast message if its kind is welcome.
func openSigned(raw []byte, lim Limits, v Verifier, welcome func(Kind) bool) (*Message, Verdict) {
	if len(raw) > lim.MaxMessage {
		return nil, Verdict{Reject, ReasonOversized}
	}
	e, verdict := openEnvelope(raw)
	if verdict.Decision != Accept {
		return nil, verdict
	}
	if !welcome(Kind(e.Kind)) {
		return nil, Verdict{Reject, ReasonUnknownKind}
	}
	if e.Seq == 0 {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	if v != nil && !v.Verify(e.Author, e.signedBytes(), e.Signature) {
		return nil, Verdict{Reject, ReasonSignature}
	}
	return finish(raw, e, lim, v)
}

// OpenDirect decodes a direct message, which must name the peer it came from as its author.
func OpenDirect(raw []byte, from PeerID, lim Limits) (*Message, Verdict) {
	if len(raw) > lim.MaxDirect {
		return nil, Verdict{Reject, ReasonOversized}
	}
	e, verdict := openEnvelope(raw)
	switch {
	case verdict.Decision != Accept:
		return nil, verdict
	case !Kind(e.Kind).direct():
		return nil, Verdict{Reject, ReasonUnknownKind}
	case e.Author != from:
		return nil, Verdict{Reject, ReasonAuthor}
	case e.Seq != 0 || len(e.Signature) != 0:
		return nil, Verdict{Reject, ReasonMalformed}
	}
	return finish(raw, e, lim, Ed25519Verifier{}) // of those whose messages are shown
}

func openEnvelope(raw []byte) (*envelope, Verdict) {
	// The version is read by itself first: an envelope of another version may have another form.
	if v, ok := peekVersion(raw); !ok {
		return nil, Verdict{Reject, ReasonMalformed}
	} else if v != WireVersion {
		// Not the sender's fault: one of the two is simply older.
		return nil, Verdict{Ignore, ReasonVersion}
	}
	var e envelope
	if decMode.Unmarshal(raw, &e) != nil {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	if e.Kind > math.MaxUint8 || len(e.Signature) > ed25519.SignatureSize {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	// One byte string for each message, or replays could hide behind other spellings of the same envelope.
	if again, err := encMode.Marshal(&e); err != nil || !bytes.Equal(again, raw) {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	return &e, Verdict{}
}

// peekVersion reads the first element of the array that an envelope is.
func peekVersion(raw []byte) (uint64, bool) {
	if len(raw) < 2 || raw[0]>>5 != 4 || raw[0]&31 > 23 || raw[0]&31 == 0 {
		return 0, false
	}
	var v uint64
	if _, err := decMode.UnmarshalFirst(raw[1:], &v); err != nil {
		return 0, false
	}
	return v, true
}

func finish(raw []byte, e *envelope, lim Limits, v Verifier) (*Message, Verdict) {
	body, verdict := fromWire(e, lim, v)
	if verdict.Decision != Accept {
		return nil, verdict
	}
	return &Message{Run: e.Run, Author: e.Author, Seq: e.Seq, Body: body, Raw: raw}, Verdict{}
}

// decodeBody decodes into w and insists on the canonical form.
func decodeBody(raw []byte, w any) bool {
	if decMode.Unmarshal(raw, w) != nil {
		return false
	}
	again, err := encMode.Marshal(w)
	return err == nil && bytes.Equal(again, raw)
}
