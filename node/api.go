package node

import (
	"starling/gossip"
	"starling/mixing"
	"starling/mixing/scalar"
)

// An Instant is a point in time in nanoseconds since an epoch that the driver chooses; it is never wall-clock time.
type Instant int64

// Seconds returns the time since the epoch in seconds.
func (t Instant) Seconds() float64 { return float64(t) / 1e9 }

// Second is one second as a difference of two Instants.
const Second Instant = 1e9

// PeerID is the identity of a node.
type PeerID = gossip.PeerID

// A VecRef names a vector that the driver holds. The core gives out the names: it says which new vector a job shall
// produce and when a vector is of no more use. The zero VecRef is no vector. A vector is never changed once written.
type VecRef uint64

// A JobID tells the jobs of one core apart. It is never reused while the core lives.
type JobID uint64

// An Event is what a driver tells the core. The variants below are all there are.
type Event interface{ event() }

type (
	// Tick says that the time asked for by Wake has come. Extra Ticks are harmless.
	Tick struct{}

	// Received delivers a message that passed Check. From is the peer it came through, which for broadcast
	// messages need not be its author.
	Received struct {
		From PeerID
		Msg  *gossip.Message
	}

	// PeerUp and PeerDown say that the node is, or is no longer, connected to a member of the run.
	PeerUp   struct{ Peer PeerID }
	PeerDown struct{ Peer PeerID }

	// Fetched ends a FetchJob. When Err is FetchOK the vector is there, decoded and finite.
	// Bad lists the peers that served bytes which are provably wrong, whatever came of it.
	Fetched struct {
		Job  JobID
		Err  FetchError
		Bad  []PeerID
		Norm float64 // Euclidean, of the vector, if the job asked for it
	}

	// Trained ends a TrainJob.
	Trained struct {
		Job     JobID
		Steps   uint64  // local steps done; 0 stands for as many as were asked for
		Samples uint64  // examples seen
		Loss    float64 // mean training loss; not finite if training diverged
		Work    float64 // sum of the learning rates of the steps
	}

	// Encoded ends an EncodeJob: the vector can now be announced, and is served if it is a blob.
	Encoded struct {
		Job     JobID
		Payload gossip.Piece
		Pieces  []gossip.Piece // in place of Payload, if the job has Lens
		Stats   []gossip.TensorStat
		Norm    float64 // Euclidean, of the vector named Sent
	}

	// Mixed ends a MixJob. Ratios are for the record; the peers in Dropped are the bytes of their IDs.
	Mixed struct {
		Job    JobID
		Report mixing.Report
	}

	// Probed ends a ProbeJob. If Slope is not finite there is nothing to record, and the node looks at other examples.
	Probed struct {
		Job     JobID
		Slope   float64
		Loss    float64 // between both sides
		Samples uint64  // examples seen
	}

	// Checked ends a CheckJob.
	Checked struct {
		Job   JobID
		Slope float64
		Cut   bool // the slope is none: the node is shutting down
	}

	// Evaluated ends an EvaluateJob.
	Evaluated struct {
		Job      JobID
		Accuracy float64 // share of held-out labels that are predicted right, 0 to 1
		Loss     float64
	}

	// Saved ends a SaveJob. When Err is empty the checkpoint survives a crash; else it says in words for the
	// operator why it could not be written.
	Saved struct {
		Job JobID
		Err string
	}

	// Epoch says that an epoch has begun, and the cells of the run are other ones. Epochs are counted from 0, in which a core
	// begins; one that is not newer than the last changes nothing.
	Epoch struct{ Number uint64 }

	// Command is an operator's wish.
	Command struct{ Op Op }
)

func (Tick) event()      {}
func (Received) event()  {}
func (PeerUp) event()    {}
func (PeerDown) event()  {}
func (Fetched) event()   {}
func (Trained) event()   {}
func (Encoded) event()   {}
func (Mixed) event()     {}
func (Probed) event()    {}
func (Checked) event()   {}
func (Evaluated) event() {}
func (Saved) event()     {}
func (Epoch) event()     {}
func (Command) event()   {}

// An Op is what an operator can ask of a node.
type Op uint8

const (
	Pause  Op = 1 // stop training after the round under way; go on listening and serving
	Resume Op = 2
	Leave  Op = 3 // say goodbye and save; the batch that has Done set is the last one that asks for anything
)

// FetchError says how a fetch ended.
type FetchError uint8

const (
	FetchOK          FetchError = 0
	FetchUnavailable FetchError = 1 // no holder had it, or all of them went away; may succeed later
	FetchCorrupt     FetchError = 2 // the author's bytes do not decode to a finite vector; will not succeed
	FetchCancelled   FetchError = 3 // the node is shutting down, or is out of disk or memory; nobody's fault
)

// A Batch is what one Step asks for. The driver must carry it out in field order: everything in Persist is durable
// before anything in Publish or Send leaves the process. The jobs of the later fields may run in parallel, in any order,
// and report back as events; a job may read only vectors that exist when its batch is handed out, and the driver keeps a
// released vector as long as a job that was handed out before still reads it.
//
// The batch and its slices belong to the core and are valid until the next Step, see [Config.Batch].
type Batch struct {
	Cell     *uint32           // 0. the cell whose broadcasts the node hears, and speaks to, from now on; nil: as before
	Persist  []Record          // 1. durable first
	Publish  []*gossip.Message // 2. broadcast; the driver signs
	Send     []Envelope        // 2. to one peer; may get lost
	Fetch    []FetchJob        // 3. pull and decode
	Train    []TrainJob        // 3.
	Mix      []MixJob          // 3.
	Encode   []EncodeJob       // 3.
	Apply    []scalar.Change   // 3. method scalar: what the node's integer model is told before the jobs below; see ProbeJob
	Probe    []ProbeJob        // 3.
	Check    []CheckJob        // 3.
	Evaluate []EvaluateJob     // 3.
	Save     []SaveJob         // 3. a checkpoint; large, so it is a job
	Release  []VecRef          // 4. no later job names these
	Score    []PeerMark        // 5. how much a peer is trusted
	Observe  []Stat            // 5. for metrics, logs and traces
	Done     bool              // 6. the node has left

	scratch
}

// A Record is a small value that must be durable. An empty value takes the record away.
type Record struct {
	Key   string
	Value []byte
}

// An Envelope is a direct message.
type Envelope struct {
	To  PeerID // zero is any connected member of the run: the driver picks one at random
	Msg *gossip.Message
	// Forward lists broadcast messages that the driver seals (own ones) or takes as they came (others') and puts
	// into the Repair that is Msg's body, as many as fit.
	Forward []*gossip.Message
}

// A FetchJob asks for a vector that its author has announced: out of the message, or from any holder of the blob.
type FetchJob struct {
	Job    JobID
	Author PeerID
	Codec  string
	Len    int // of the vector
	Piece  gossip.Piece
	Norm   bool // measure the vector
	Out    VecRef
}

// A TrainJob asks for Steps local steps from Params and Opt, which stay as they are.
type TrainJob struct {
	Job    JobID
	Params VecRef
	Opt    VecRef
	Step   uint64 // number of the first step of this node: the position in its data
	Age    uint64 // local steps that went into Params, here or elsewhere
	Steps  uint64 // 0 is one pass over the node's data, whose last batch may be smaller
	Shift  VecRef // added to every gradient before the optimizer sees it; 0 is none
	Out    VecRef // new parameters
	OutOpt VecRef // new optimizer state
}

// A MixJob asks for a combination of vectors: by a rule of package mixing if Rule is set; else, if there are Spans, these one after
// the other; else the sum of Terms.
type MixJob struct {
	Job   JobID
	Rule  string
	Own   MixInput
	In    []MixInput // ascending by peer
	Terms []Term
	Spans []Span
	Out   VecRef
}

// A Span is a part of a vector: the sum of Terms, zeros if there are none.
type Span struct {
	Len   int
	Terms []Term
}

// A MixInput is one contribution and what is known of it.
type MixInput struct {
	Peer    PeerID
	Vec     VecRef
	Age     uint64
	Samples uint64
	Degree  uint32
	Stats   []gossip.TensorStat
}

// A Term is one summand of a linear combination, which is computed in float64 in the order of the terms and rounded
// once.
type Term struct {
	Vec  VecRef
	Coef float64
	At   int // where in the vector the term begins; used in Spans only
}

// An EncodeJob asks for the payload of a vector in the run's codec, or for those of consecutive parts of it.
type EncodeJob struct {
	Job   JobID
	Vec   VecRef
	Lens  []int // of the parts, which together are the vector; nil is one part, and its statistics are wanted
	Plain bool  // in fp32, whatever the run's codec
	Apart bool  // as blobs, however small: not everybody needs every part

	// Sent, if it is not 0, becomes what receivers decode, and Lost, which needs Sent, what they do not: the vector less Sent.
	Sent VecRef
	Lost VecRef
}

// A ProbeJob asks for the slope of the loss along a direction, of the node's integer model as Batch.Apply has left it: what
// [scalar.Slope] makes of two losses on the same examples. The model itself stays as it is. A driver has one such model for the node,
// made of the weights that the run starts from. It need not stop an evaluation that is under way when the next batch has changes for the
// model, as long as what is evaluated is one of its states. A node that does not train is told of changes at once, others before
// their next job.
type ProbeJob struct {
	Job   JobID
	Place scalar.Place // of the record that comes of it: Generation and K say which direction
	Step  uint64       // number of the minibatch: the position in the node's data
	Eps   float64      // how far to go to each side, as [scalar.Model.Perturb] takes it

	// Drawn says that the examples are drawn from all of the run's data, by Tag, the name of the log that the record is in, and the record's
	// number, so that everybody can repeat the job. Step says nothing then.
	Drawn bool
	Tag   uint64
}

// A CheckJob asks for a slope as a ProbeJob does, of the model that Sums make of the weights that the run starts from, beside the node's
// own.
type CheckJob struct {
	Job   JobID
	Probe ProbeJob // whose Job says nothing
	Sums  []scalar.Sums
}

// An EvaluateJob asks for accuracy and loss on the held-out data. With the method scalar it is the integer model that is
// looked at, and Params names what the model started from.
type EvaluateJob struct {
	Job    JobID
	Params VecRef
}

// A SaveJob asks for a durable checkpoint.
type SaveJob struct {
	Job   JobID
	State State
}

// State is what a node needs to go on where it was: a checkpoint, with the vectors by name.
type State struct {
	Round  uint64
	Age    uint64
	Step   uint64  // local steps done by this node
	Weight float64 // push-sum weight; 1 for other rules
	Params VecRef
	Opt    VecRef

	// What the method keeps beside the model, in its own words. A fresh node has none of it.
	Numbers []uint64
	Vectors []NamedVector
	Opaque  []byte

	// Sums, with the method scalar, are those of the records in Opaque: the weights that belong into a checkpoint are what they make of
	// the run's base. Who goes on from a state does not read them.
	Sums []scalar.Sums
}

// A NamedVector is a vector of a checkpoint.
type NamedVector struct {
	Name string // of lower-case letters; no two of a state are equal
	Vec  VecRef
	Len  int
}

// Vector returns the vector of that name, 0 if the state has none of that name and length.
func (s *State) Vector(name string, length int) VecRef {
	for _, v := range s.Vectors {
		if v.Name == name && v.Len == length {
			return v.Vec
		}
	}
	return 0
}

// A PeerMark is the application's part of a peer's score, from -400 (banned) to +40.
type PeerMark struct {
	Peer  PeerID
	Score float64
	Why   string
}

// A Stat is one observation.
type Stat struct {
	Kind  StatKind
	Peer  PeerID // whom it concerns, if anybody
	Round uint64
	Value float64
	Text  string
}

// StatKind names what a Stat measures.
type StatKind string

// The kinds of observations. They are also the names of metrics and log lines.
const (
	StatTrained   StatKind = "trained"   // Value: loss
	StatPublished StatKind = "published" // Value: payload bytes
	StatMixed     StatKind = "mixed"     // Value: contributions besides the own one
	StatEvaluated StatKind = "evaluated" // Value: accuracy
	StatSaved     StatKind = "saved"
	StatSaveError StatKind = "save failed"           // Text: why
	StatRefused   StatKind = "refused"               // Text: why; Peer: whose update
	StatAdopted   StatKind = "adopted"               // Peer: whose model; this node was far behind
	StatDiverged  StatKind = "diverged"              // training gave a loss or model that is not finite; it was undone
	StatRepaired  StatKind = "repair served"         // Value: messages passed on
	StatHalved    StatKind = "consensus step halved" // Value: what it is now; models and public copies ran away from each other
	StatForgotten StatKind = "own message unknown"   // Value: its number; the key is used twice, or the home is an old copy
	StatJoined    StatKind = "member joined"
	StatLeft      StatKind = "member left"
	StatCell      StatKind = "cell entered" // Value: its number

	StatBanned      StatKind = "log banned"            // Peer: whose; Value: the first record that is void
	StatConflict    StatKind = "conflict not proven"   // Peer: whose record; Value: its number; the batch that had the other one is forgotten
	StatCaughtUp    StatKind = "snapshot taken"        // Peer: from whom; Value: records in it; Text: who else has the same sums
	StatUnconfirmed StatKind = "snapshot not taken"    // Peer: from whom; Text: why
	StatClosed      StatKind = "epoch closed"          // Value: its number; Text: how many votes close it
	StatChecked     StatKind = "record checked"        // Peer: whose; Value: its number; it is what this node has measured, too
	StatWrong       StatKind = "record is wrong"       // Peer: whose; Value: its number; this node has measured another one; Text: both
	StatUnanswered  StatKind = "challenge unanswered"  // Peer: whose; Value: its number
	StatUnable      StatKind = "record not checkable"  // Peer: whose; Value: its number; Text: why this node cannot
	StatCrowded     StatKind = "more peers than meant" // Peer: whose records are not taken: the run is for fewer
)

// A Method is a way of training together. The Core calls it with everything that concerns learning; it answers by asking
// the Core for jobs and messages. A method is part of the state machine: what is said of Step holds for it.
type Method interface {
	// Name is the method's name in manifests.
	Name() string

	// Check judges an update, and CheckDelta a delta, without looking at changing state; they may be called concurrently with
	// everything.
	Check(u *gossip.Update) gossip.Verdict
	CheckDelta(d *gossip.Delta) gossip.Verdict

	start(c *Core)
	// heard is called when an author's newest update has changed.
	heard(c *Core, m *member)
	// delta is called with every delta of a member, in the order in which they come.
	delta(c *Core, m *member, seq uint64, d *gossip.Delta)
	// asked is called when a peer wants vectors of this node.
	asked(c *Core, from PeerID, r *gossip.Request)
	// done is called with the event that ends a job of this method.
	done(c *Core, ev Event)
	// wake is called when the instant that the method asked for with Core.alarm has come.
	wake(c *Core)
	// paused is called when the node is paused, resumed or about to leave.
	paused(c *Core)
	state() State
	status() MethodStatus
}

// A sharer is a Method under which nodes share records instead of vectors. What is said of Check and of Step holds for it, too.
type sharer interface {
	// checkShared judges records, proofs and ballots, which spread to all; checkDirect what one peer tells this node about them.
	checkShared(m *gossip.Message) gossip.Verdict
	checkDirect(body gossip.Body) gossip.Verdict
	// received is called with every message of these kinds that comes, and with the node's own records and ballots if others have them.
	received(c *Core, from PeerID, msg *gossip.Message)
	// met is called when a peer comes up.
	met(c *Core, id PeerID)
}
