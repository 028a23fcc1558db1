package manifest

import (
	"time"

	"starling/gossip"
)

// Version is the version of the manifest format that this build writes, and the newest that it reads.
const Version = 1

// MaxBytes bounds a manifest in each of its forms: YAML, CBOR, and signed.
const MaxBytes = 64 << 10

// A Manifest is everything that the nodes of a run must agree on. It holds no pointers and may be copied and compared
// with ==. The zero value is not valid; start from [Default].
type Manifest struct {
	Version int    // format version, see [Version]
	Name    string // for people; 1 to 40 of a-z, 0-9 and '-'; need not be unique
	Seed    uint64 // root of all randomness that the nodes must share

	Model string // "softmax", "mlp:64", "mlp:128,64", "svm", "gpt:layers=4"; see package model
	// Init is "common" if every node starts from the same parameters, drawn from Seed, "independent" if each draws its own, or
	// "weights:" and a SHA-256 in hexadecimal digits if all start from the weights of that digest, which each node has in a file of
	// its own: see [WeightsInit].
	Init string

	Data      Data
	Method    Method
	Cells     Cells
	Optimizer string // "sgd:lr=0.1"; see package optim
	Codec     string // "bf16"; see package codec

	Checkpoint Checkpoint
	Evaluate   Evaluate
	Limits     Limits

	Admission string // who may take part: "open"

	// Creator signs the manifest. Zero until [Sign] fills it in.
	Creator gossip.PeerID
	// Created is when the run was made, in whole seconds, UTC. Zero until the creator fills it in.
	Created time.Time
}

// Data says what the nodes train on and how it is divided.
type Data struct {
	// Source is "mnist", "pegasos", "babble", "idx:DIR", "csv:FILE", "text:FILE", "jsonl:FILE", or "own" if each site brings data that never
	// leaves it. In a YAML file the directory or file may stand apart, in the key data.path: see [Data.WithPath].
	Source string
	// Split divides the source into shards: "iid", "dirichlet:A", "shards:K" or "contiguous".
	Split string
	// Shards is the number of parts that the data is split into, 1 to 65536.
	Shards int
}

// NamesFiles reports whether the source is a path on the machine that joins. Such a manifest decides which files a
// node reads, so a node that joins a run of somebody else asks its owner first.
func (d Data) NamesFiles() bool {
	kind, _ := cutSpec(d.Source)
	return kind == "idx" || kind == "csv" || kind == "text" || kind == "jsonl"
}

// Method says how the nodes train together.
type Method struct {
	Name string // "average", "outer" or "scalar"
	Mix  string // average: a rule of package mixing, "variance-corrected", or "push-sum"
	// Exchange is how models get about: [Announce], [Push] or [Copies].
	Exchange string
	Steps    Steps // local steps a round, 1 to 1,000,000, or one pass over the node's data
	Batch    int   // training examples a step, 1 to 65536
	// Degree is the number of peers that a node mixes with in a round, 1 to 64 and at most Limits.Peers. With the exchange
	// push it bounds the models that may be waiting while a node trains, with copies a node looks for so
	// many neighbours and has at most twice as many.
	Degree int
	// Wake says when nodes send, with the exchange push. It must be that of [Default] with announce, where it has no effect:
	// two runs that train the same are one.
	Wake Wake
	// Public sets the exchange copies. It must be that of [Default] with another, where it has no effect.
	Public Public
	// Outer is how the method outer makes a model of what the nodes have changed: "diloco", "delayed-nesterov" or "noloco" with
	// settings; see package mixing/outer. It must be that of [Default] with another method, and Mix, Exchange and Wake those with outer.
	Outer string
	// Scalar sets the method scalar: a family of directions and settings, see package mixing/scalar. It must be that of [Default] with
	// another method, and with scalar all that is about vectors must be: Mix, Exchange, Outer, Steps, Degree, optimizer and codec. A step
	// is a probe then, on Batch examples, and a round a batch of records that is sent.
	Scalar string
	// Check, with the method scalar, is the part of the records of each other node that a node measures again, 0 to 1; 0, the default, is none.
	// Examples are then drawn from all of the data for each record, by its place, so that everybody can repeat it: the data must be such
	// that every node has it, and Split "iid". A check costs a node what a record of its own does, and one pass over the weights.
	Check float64
}

// Public sets the exchange by public copies.
type Public struct {
	Correct string // what makes up for the data of nodes being different: [NoCorrection], [Scafcom] or [Scallion]
	// Gamma is how much of the way to the neighbours' copies a node goes in a round, 0 to 1; 0 is what suits the codec.
	Gamma float64
	// Beta is the part of a round's gradient that the estimate of a node's gradient takes up, with a correction: 0 to 1; 0 is 0.2
	// with scafcom and 0.1 with scallion.
	Beta float64
}

// The values of [Public.Correct].
const (
	NoCorrection = "none"
	Scafcom      = "scafcom"  // gradient tracking with momentum, for any codec
	Scallion     = "scallion" // the same for unbiased codecs, with less of each round in the estimate
)

// Tracks returns the beta in use, 0 without correction.
func (p Public) Tracks() float64 {
	switch {
	case p.Correct == NoCorrection || p.Beta != 0:
		return p.Beta
	case p.Correct == Scallion:
		return 0.1
	}
	return 0.2
}

// The values of [Method.Exchange].
const (
	Announce = "announce" // tell all what was trained; whoever wants it pulls it
	Push     = "push"     // wake up at times of one's own and send the model to one connected member
	Copies   = "copies"   // keep copies of a few neighbours' models, which send what has changed
)

// Wake says how the pauses between two wake-ups of a node are distributed: normally, cut off at a tenth of the mean.
type Wake struct {
	Period    time.Duration // their mean, 100ms to 24h
	Deviation time.Duration // their standard deviation, 0s to Period
}

// Cells divides the nodes of a large run into groups, drawn anew from epoch to epoch: what a node announces is heard by its cell
// alone, and what is learned comes around because cells change. See [gossip.Cell] for who is in which.
type Cells struct {
	Count int // 1, for one cell of all, to 65536
	// Epoch is how long a cell stays together, 1s to 720h. Epochs are counted from the second in which the run was made. It must be
	// that of [Default] if Count is 1, where it has no effect.
	Epoch time.Duration
}

// PushSum is the value of [Method.Mix] that selects push-sum, which is a protocol of its own and not a mixing rule.
const PushSum = "push-sum"

// Checkpoint says when a node saves its state. The newest state always survives a crash; these are the extra copies
// that a person may go back to.
type Checkpoint struct {
	Every int // rounds between checkpoints, 1 to 1,000,000
	Keep  int // newest checkpoints kept, 1 to 10,000
}

// Evaluate says when a node measures its model on the held-out data.
type Evaluate struct {
	Every  int     // rounds between evaluations, 0 to 1,000,000; 0 is never
	Target float64 // accuracy in [0, 1] at which the run has reached its goal; 0 is none
}

// Limits bound what a node of the run sends and accepts.
type Limits struct {
	Inline Size // largest encoded vector that travels inside its announcement, at most 48 KiB; 0 is none
	Blob   Size // largest encoded vector that is pulled as a blob, 1 KiB to 4 GiB, at least Inline
	Peers  int  // peers that a node keeps state for, 1 to 4096
}

// The largest values that [Manifest.Validate] accepts.
const (
	maxName   = 40
	maxSpec   = 256 // bytes in any one string
	maxRounds = 1_000_000
	maxSteps  = 1_000_000
	maxBatch  = 1 << 16
	maxShards = 1 << 16
	maxKeep   = 10_000
	maxPeers  = 4096
	maxDegree = 64 // what an announcement can say about others' updates
	minPeriod = 100 * time.Millisecond
	maxPeriod = 24 * time.Hour
	minEpoch  = time.Second
	maxEpoch  = 720 * time.Hour
	// maxInline leaves a quarter of an announcement of 64 KiB to the envelope and to tensor statistics.
	maxInline = 48 * KiB
	minBlob   = KiB
	maxBlob   = 4 * GiB
)

// Default returns the manifest that the keys of a YAML file override: MNIST on eight unequal shards, a small
// perceptron, gossip averaging with variance correction. It is valid, and has neither creator nor date.
func Default() Manifest {
	return Manifest{
		Version: Version,
		Name:    "mnist-demo",
		Seed:    1,
		Model:   "mlp:64",
		Init:    "common",
		Data:    Data{Source: "mnist", Split: "dirichlet:0.3", Shards: 8},
		Method: Method{
			Name: "average", Mix: "variance-corrected", Exchange: Announce,
			Steps: Steps{Count: 50}, Batch: 32, Degree: 8, Wake: Wake{Period: time.Second}, Public: Public{Correct: NoCorrection},
			Outer: "diloco", Scalar: "structured",
		},
		Cells:      Cells{Count: 1, Epoch: 10 * time.Minute},
		Optimizer:  "sgd:lr=0.05,momentum=0.9",
		Codec:      "bf16",
		Checkpoint: Checkpoint{Every: 1, Keep: 3},
		Evaluate:   Evaluate{Every: 1, Target: 0.95},
		Limits:     Limits{Inline: 32 * KiB, Blob: 64 * MiB, Peers: 256},
		Admission:  "open",
	}
}
