package experiment

import (
	"time"

	"starling/node/manifest"
)

// Mesh is the value of [Experiment.Overlay] that connects the nodes as gossipsub does.
const Mesh = "mesh"

// The values of [Method.Exchange], as in a manifest.
const (
	Announce = manifest.Announce // publish what was trained; whoever wants it pulls it
	Push     = manifest.Push     // wake up at times of one's own and send the model to one neighbour
	Copies   = manifest.Copies   // keep copies of the neighbours' models, which send what has changed
)

// The values of [Reference.Name].
const (
	None      = "none"      // the nodes train by their method
	FedAvg    = "fedavg"    // they train with a server
	AllReduce = "allreduce" // they make every step together
)

// An Experiment is what one file, or one point of a sweep, says. Start from [Default]; the zero value is not valid. It
// may be copied, but copies share the slices.
type Experiment struct {
	// Version is that of the format: [Version]. Default 1.
	Version int
	// Name is for people and files: 1 to 40 of a-z, 0 to 9 and '-'. Required.
	Name string
	// About says what is asked and what to expect, in as many lines as it takes. Default empty. It has no effect.
	About string

	// Baseline names the points of a sweep that the others are compared with, by what is special about them, each a key with its
	// value: "reference.name=allreduce". Where several points are so, each of the others is compared with the one that it has most
	// in common with. Default none. It has no effect.
	Baseline []string

	// Nodes is the number of nodes, 1 to 1,000,000. Default 8.
	Nodes int
	// Seed is the root of all randomness but that of the data: starting points, order of training, network, churn, draws of
	// graphs. Default 1.
	Seed uint64
	// DataSeed is the root of the randomness of the data: which rows a node has, and the rows of synthetic sets. It is apart
	// from Seed so that one division can be trained on many times. Default 1.
	DataSeed uint64

	// Overlay says who is connected to whom: a graph of package topology, "regular:8" or "ring", or "mesh" for everybody,
	// with messages travelling as gossipsub forwards them. Default "mesh".
	Overlay string
	Cells   Cells
	Network Network
	Churn   Churn
	Compute Compute

	Data manifest.Data // as in a manifest, but Shards 0, the default, is one for each node
	// DataPath is the file or directory of Data.Source, if that is text, jsonl, csv or idx and names none: source text with the path
	// FILE is text:FILE. Default empty.
	DataPath  string
	Model     string // as in a manifest; see package model. Default "mlp:64"
	Optimizer string // as in a manifest; see package optim. Default "sgd:lr=0.05,momentum=0.9"
	// Init is "common" if every node starts from the same parameters, "independent" if each draws its own, or "weights:" and the
	// digest of a base model, as in a manifest, which then is in the file Weights. Default "common".
	Init string
	// Weights is the safetensors file of the base model that Init names. Default empty. It has no effect but that it is needed.
	Weights string
	// Pretrain makes a base model before the nodes begin, from which all start in place of parameters that are drawn.
	Pretrain Pretrain
	Codec    string // how vectors are compressed on the wire; see package codec. Default "bf16"
	Method   Method
	// Limits are those of a manifest, with its defaults: what travels inside an announcement, what is pulled, and how many
	// peers a node keeps state for.
	Limits     manifest.Limits
	Checkpoint Checkpoint
	Reference  Reference

	// Adversaries are kinds of nodes that do not play by the rules, each with its share or number, "sign-flip:share=0.1",
	// several kinds in one run; see package adversary. Default none.
	Adversaries []string

	Evaluate Evaluate
	Work     Interval
	Stop     Stop
	// Thresholds are accuracies from 0 to 1, ascending, for which the result says when the mean over nodes got there, in
	// rounds, time and bytes. Default none.
	Thresholds []float64
}

// Pretrain is training on one machine before the run begins: what its nodes start from is the outcome. It draws its rows by
// [Experiment.Seed], takes no virtual time, and sends nothing.
type Pretrain struct {
	// Source is what is trained on, as Data.Source, with the same number of features and classes. Default "none": nothing is.
	Source string
	Path   string // the file or directory of Source, if that names none, as DataPath. Default empty
	Steps  int    // of the optimizer, 1 to 1,000,000. Default 1000
	Batch  int    // examples a step, 1 to 65,536. Default 32
	// Optimizer is as in a manifest. Default "adamw:lr=0.002,clip=1".
	Optimizer string
}

// Cells divides the nodes into gossip groups that are drawn anew from epoch to epoch.
type Cells struct {
	// Size is the number of nodes of a cell on average, 0 or 2 to 1,000,000; 0, the default, is one cell of all. Only with
	// overlay mesh or complete.
	Size int
	// Epoch is how long a cell stays together. Default 1m. Without effect if Size is 0.
	Epoch time.Duration
}

// Network says how messages travel. All but Partitions are specifications of package network.
type Network struct {
	// Latency is the one-way delay of each link, "constant:20ms" or "regions". Default "constant:0ms".
	Latency string
	// Jitter is added to the latency, for each message anew: "uniform:0ms-10ms". Default "none".
	Jitter string
	// Bandwidth is what the link of each node carries up and down, "constant:10Mbit" or "classes". Default "unlimited".
	Bandwidth string
	// Loss is the share of messages that get lost, "0.01", or bursts of them. Default "none".
	Loss string
	// NAT says which nodes cannot be dialled by which: "public=0.3,cone=0.7". Default "none".
	NAT string
	// Partitions are times in which the nodes are divided into groups that cannot reach each other. Default none.
	Partitions []Partition
}

// A Partition is one division of the network.
type Partition struct {
	From  time.Duration // when it begins, after the start of the run. Default 0s
	Until time.Duration // when it heals; after From. 0s, the default, is never
	// Groups says which nodes stay together: "shares:0.2,0.8" or "regions"; see package network. Default "halves".
	Groups string
}

// Churn says when nodes are there and how their speeds differ, by specifications of package churn.
type Churn struct {
	// Sessions says when nodes come and go: "exponential:online=1h,offline=10m". Default "none": all are always there.
	Sessions string
	// Speeds says by what factor each node's jobs last longer: "lognormal:sigma=0.5". Default "constant": 1 for all.
	Speeds string
}

// Compute says how long jobs last in virtual time; what they compute is real.
type Compute struct {
	// Step is the duration of one local step. Default 1ms, or 0 where Epoch is given. Not together with Epoch.
	Step time.Duration
	// Epoch is the duration of one pass over a node's data, however much it has; 0, the default, says that Step counts.
	Epoch time.Duration
	// Other is the duration of each other job: mixing, encoding, saving. Default 1ms.
	Other time.Duration
	// Evaluate is how long it takes until what an evaluation finds can end the run: who waits for a goal learns of it so much
	// later. Default 0.
	Evaluate time.Duration
}

// Method says how the nodes train together. Keys that a manifest has mean what they mean there.
type Method struct {
	Name string // "average", which is the default, "outer" or "scalar"
	// Outer is the outer optimizer, as in a manifest. Default "diloco". Only with outer.
	Outer string
	// Scalar sets the method scalar, as in a manifest. Default "structured". Only with scalar.
	Scalar string
	// Check is the part of others' records that a node measures again, as in a manifest. Default 0. Only with scalar.
	Check float64
	// Mix is a rule of package mixing, or "push-sum". Default "variance-corrected".
	Mix string
	// Exchange is how models get about: "announce", the default, "push", the plain model of the gossip learning
	// literature, or "copies", for codecs that keep little.
	Exchange string
	// Steps is how many local steps a round has: a number from 1 to 1,000,000, or "epoch" for one pass over the node's data.
	// Default 50.
	Steps Steps
	// Batch is the number of examples of a step, 1 to 65,536. Default 32.
	Batch int
	// Degree is the number of peers that a node mixes with in a round, 1 to 64. Default 8. Without effect with push.
	Degree int
	// Wake says when nodes send, with push. Without effect otherwise.
	Wake Wake
	// Public sets the exchange copies, as in a manifest. Without effect otherwise.
	Public manifest.Public
	// AnnounceEvery is the shortest time between two announcements of a node; quicker rounds are made longer, by more local
	// steps. Default 200ms, as the daemon has it. Without effect with push.
	AnnounceEvery time.Duration
	// RepairEvery is the mean time between two digest exchanges with a random peer, above 0. Default 10s. Without effect
	// with push and copies.
	RepairEvery time.Duration
}

// Wake says how the pauses between two wake-ups of a node are distributed, as in a manifest. Default one of exactly 1s.
// Unlike there, the period may be anything above 0.
type Wake = manifest.Wake

// Steps is a number of local steps, or one pass over the node's data, as in a manifest.
type Steps = manifest.Steps

// Checkpoint says when a node saves its state.
type Checkpoint struct {
	// Every is the number of rounds between two checkpoints, 1 to 1,000,000: a node that crashes goes back by so many.
	// Default 1.
	Every int
}

// Reference replaces the method by one that needs a server, for comparison, in the same engine and on the same data.
type Reference struct {
	// Name is "none", the default, or "fedavg": in each round the server sends its model to Clients nodes, each of which
	// trains for Method.Steps, and averages what comes back, weighted by examples. A round takes as long as its slowest client
	// with the latency there and back. All are honest and always there, and nothing gets lost: the overlay, cells, the rest of
	// Network, sessions, adversaries, and what Method says of mixing and exchange are without effect then.
	//
	// With "allreduce" training is data-parallel: in every step each node computes the gradient of a batch of its own at the model
	// that all have, the mean of the gradients is taken by a ring, over Codec and the links of Network, and all make the same
	// step of the optimizer. A step lasts as long as that of the slowest node. A round is Method.Steps steps, which makes no
	// difference unless something goes by rounds. What is without effect with fedavg is so here too, but for the bandwidth.
	Name string
	// Clients says how many nodes take part in a round, drawn anew each time. Default all. Only with fedavg.
	Clients Portion
}

// An Interval is a part of the virtual time of a run: that in which the work of nodes is counted, which then is in the result.
type Interval struct {
	From  time.Duration // default 0s
	Until time.Duration // after From; 0s, the default, is the end of training
}

// Evaluate says when and on what models are measured.
type Evaluate struct {
	// Every is what lies between two evaluations: rounds of a node, a duration of virtual time, or tokens of text that all nodes
	// together have trained on. Default 1 round.
	Every Cadence
	// Nodes says how many nodes are evaluated, drawn anew each time. Default all.
	Nodes Portion
	// Rows is how many of the held-out rows are used, the same at all times; 0, the default, is all.
	Rows int
}

// Stop says when the run is over: as soon as one of these is reached. One of Rounds, Time, Events, Tokens and Received must be given,
// since nothing else is sure to come.
//
// With exchange announce and copies, a round of the run is over when half of the nodes that are up have finished it; with push, a
// round is one Wake.Period of virtual time; with reference fedavg, it is a round of the server.
type Stop struct {
	Rounds   int           // 0, the default, is no limit; at most 1,000,000
	Time     time.Duration // virtual; 0s, the default, is no limit
	Events   uint64        // events of the queue; 0, the default, is no limit
	Accuracy float64       // mean over the evaluated nodes, 0 to 1; 0, the default, is no goal
	Worst    float64       // of the worst evaluated node, 0 to 1; 0, the default, is no goal
	Loss     float64       // mean over the evaluated nodes, to be at or below; 0, the default, is no goal
	// Perplexity is a goal too, only of text: e to the power of the mean loss. 0, the default, is none.
	Perplexity float64
	// Tokens is how many tokens of text all nodes together train on; 0, the default, is no limit. When that is reached nobody
	// begins another round, and the run is over when the rounds under way have been mixed: what is evaluated then is the fruit of
	// all that was trained.
	Tokens uint64
	// Received is how many bytes a node has received on average; 0, the default, is no limit. It is what runs of different methods can
	// be compared at.
	Received manifest.Size
}

// A Portion is a number of things, or a share of them. The zero value is not valid.
type Portion struct {
	Count int     // 0 if Share counts
	Share float64 // above 0, at most 1; 0 if Count counts
}

// All is the whole of something.
func All() Portion { return Portion{Share: 1} }

// Of returns how many of n things the portion is: at least one, at most n, halves rounded up.
func (p Portion) Of(n int) int {
	count := p.Count
	if count == 0 {
		count = int(float64(p.Share*float64(n)) + 0.5)
	}
	return min(max(count, 1), n)
}

// A Cadence is an interval in rounds, in virtual time or in tokens of text. At most one is above 0; all 0 is never.
type Cadence struct {
	Rounds int
	Time   time.Duration
	Tokens uint64 // that all nodes together have trained on
}

// Version is the version of the format that this build reads.
const Version = 1

// Default returns the experiment that the keys of a file override. It lacks a name and a rule for its end.
func Default() Experiment {
	m := manifest.Default()
	data := m.Data
	data.Shards = 0
	return Experiment{
		Version: Version, Nodes: 8, Seed: 1, DataSeed: 1,
		Overlay: Mesh,
		Cells:   Cells{Epoch: time.Minute},
		Network: Network{Latency: "constant:0ms", Jitter: "none", Bandwidth: "unlimited", Loss: "none", NAT: "none"},
		Churn:   Churn{Sessions: "none", Speeds: "constant"},
		Compute: Compute{Step: time.Millisecond, Other: time.Millisecond},
		Data:    data, Model: m.Model, Optimizer: m.Optimizer, Init: m.Init, Codec: m.Codec,
		Method: Method{
			Name: m.Method.Name, Mix: m.Method.Mix, Exchange: Announce,
			Steps: m.Method.Steps, Batch: m.Method.Batch, Degree: m.Method.Degree,
			Outer: m.Method.Outer, Scalar: m.Method.Scalar, Wake: m.Method.Wake, Public: m.Method.Public, AnnounceEvery: 200 * time.Millisecond, RepairEvery: 10 * time.Second,
		},
		Pretrain:   Pretrain{Source: None, Steps: 1000, Batch: 32, Optimizer: "adamw:lr=0.002,clip=1"},
		Limits:     m.Limits,
		Checkpoint: Checkpoint{Every: m.Checkpoint.Every},
		Reference:  Reference{Name: None, Clients: All()},
		Evaluate:   Evaluate{Every: Cadence{Rounds: 1}, Nodes: All()},
	}
}
