package gossip

import "github.com/mr-tron/base58"

// A PeerID is the Ed25519 public key of a node. Its text form is the libp2p peer ID of the same key.
type PeerID [32]byte

// peerIDPrefix is what libp2p puts before an Ed25519 public key: an identity multihash (0x00) of 36 bytes (0x24) that
// holds the protobuf {type: Ed25519 (08 01), key: 32 bytes (12 20)}.
const peerIDPrefix = "\x00\x24\x08\x01\x12\x20"

// String returns the libp2p peer ID, "12D3KooW…".
func (p PeerID) String() string {
	return base58.Encode(append([]byte(peerIDPrefix), p[:]...))
}

// Short returns the last eight characters of [PeerID.String], which is how logs and tables name a peer.
func (p PeerID) Short() string {
	s := p.String()
	return s[len(s)-8:]
}

// A RunID is the SHA-256 of a run's manifest in canonical CBOR.
type RunID [32]byte

// A BlobID names a blob: bytes pulled over streams from any holder. See storage.BlobID for how it is computed.
type BlobID [32]byte

// A Message is one thing a node tells others about a run. Broadcast messages are signed by their author and stay
// verifiable when another node passes them on; direct messages are vouched for by the channel they come through.
//
// A Message must not be changed once it was handed to another part of the program.
type Message struct {
	Run    RunID
	Author PeerID
	// Seq grows strictly with every broadcast message of an author in a run, across restarts: the author makes it
	// durable before it sends. Receivers ignore what is not newer than what they know. Zero in direct messages.
	Seq  uint64
	Body Body

	// Raw is the sealed form, set by Seal and Open: what travels, and what is passed on to third nodes.
	Raw []byte
}

// A Body is one of *Update, *Delta, *Records, *Proof, *Ballot, *Leave (broadcast), *Digest, *Repair, *Request, *Known, *Fetch, *Snapshot,
// *Certificate, *Challenge, *Basis, *Standing (direct).
type Body interface{ kind() Kind }

// Kind tells the bodies apart on the wire.
type Kind uint8

// The kinds of messages. The numbers are part of the wire format and are never reused.
const (
	KindUpdate   Kind = 1
	KindLeave    Kind = 2
	KindDigest   Kind = 3
	KindRepair   Kind = 4
	KindDelta    Kind = 5
	KindRequest  Kind = 6
	KindRecords  Kind = 7
	KindKnown    Kind = 8
	KindFetch    Kind = 9
	KindSnapshot Kind = 10
	KindProof    Kind = 11

	KindBallot      Kind = 12
	KindCertificate Kind = 13
	KindChallenge   Kind = 14
	KindBasis       Kind = 15
	KindStanding    Kind = 16
)

// An Update announces what a node's round produced: a vector, small ones inline, larger ones as a blob to be pulled.
type Update struct {
	Round   uint64  // the author's count of rounds
	Age     uint64  // local steps that the model has seen, the author's and those it mixed in (spec 06, 6.8)
	Samples uint64  // training examples behind this round
	Degree  uint32  // how many peers the author mixes with
	Loss    float32 // mean training loss of the round; finite

	// Push-sum only (spec 06, 6.7): the payload is the running sum of the numerators and Weight that of the
	// weights, for the out-neighbours To since the links of LinkEpoch were made.
	Weight    float64
	LinkEpoch uint64
	To        []PeerID

	// Mixed and Refused say what became of the updates that the author took up since its last one, ascending by
	// author, so that every node can see whether its work counted.
	Mixed   []Mark
	Refused []Refusal

	Stats []TensorStat // exact statistics of each tensor before the codec; empty or one for each tensor of the layout

	Codec string // how the vector was encoded
	Len   uint32 // length of the vector in floats

	// Inline holds the encoded vector when it is small; else it is nil and Blob and Size name it.
	Inline []byte
	Blob   BlobID
	Size   uint64 // length of the encoded vector in bytes
}

// A TensorStat is the mean and the population variance of one tensor (spec 01, 1.6).
type TensorStat struct {
	Mean, Var float32
}

// A Refusal is an update that its receiver did not mix in.
type Refusal struct {
	Author PeerID
	Seq    uint64
	Why    RefusalReason
}

// RefusalReason says why an update did not count.
type RefusalReason uint8

// The reasons for a refusal. The numbers are part of the wire format and are never reused.
const (
	RefusedStale       RefusalReason = 1 // its model has seen less than a tenth of the receiver's local steps
	RefusedUnavailable RefusalReason = 2 // nobody served the blob
	RefusedCorrupt     RefusalReason = 3 // the payload does not decode, or not to finite numbers
	RefusedByRule      RefusalReason = 4 // the mixing rule left it out
)

// A Leave says that its author goes and will not answer any more; what it knew is not withdrawn.
type Leave struct{}

// A Digest opens an anti-entropy exchange: it lists the newest broadcast message known of each author. The receiver
// answers with a Repair of what the sender lacks, and, unless Reply is set, with a Digest of its own that has Reply set.
type Digest struct {
	Known []Mark // ascending by Author
	Reply bool
}

// A Mark is a position in the sequence of an author's messages.
type Mark struct {
	Author PeerID
	Seq    uint64
}

// A Repair carries sealed broadcast messages of any authors.
type Repair struct {
	Messages [][]byte
}

func (*Update) kind() Kind { return KindUpdate }
func (*Leave) kind() Kind  { return KindLeave }
func (*Digest) kind() Kind { return KindDigest }
func (*Repair) kind() Kind { return KindRepair }
