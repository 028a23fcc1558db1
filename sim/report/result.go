package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// A Real is a number that may be missing: in JSON a value that is not finite is null, in CSV it is empty, and both are read
// as NaN. A loss that diverged is reported so.
type Real float64

// Finite tells whether there is a number.
func (r Real) Finite() bool { return !math.IsNaN(float64(r)) && !math.IsInf(float64(r), 0) }

// MarshalJSON writes the shortest text that reads back as the same number.
func (r Real) MarshalJSON() ([]byte, error) {
	if !r.Finite() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(r), 'g', -1, 64), nil
}

// UnmarshalJSON reads a number or null.
func (r *Real) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*r = Real(math.NaN())
		return nil
	}
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*r = Real(f)
	return nil
}

// A Tally is where messages or bytes went. Whatever was sent is in one of the other four.
type Tally struct {
	Sent      uint64 `json:"sent"`
	Delivered uint64 `json:"delivered"`
	Lost      uint64 `json:"lost"`      // by the link
	Dropped   uint64 `json:"dropped"`   // by a receiver that was offline, a partition or a full queue
	InFlight  uint64 `json:"in_flight"` // when the run stopped
}

// Balanced tells whether sent = delivered + lost + dropped + in flight.
func (t Tally) Balanced() bool { return t.Sent == t.Delivered+t.Lost+t.Dropped+t.InFlight }

// Plus is the sum of two tallies.
func (t Tally) Plus(u Tally) Tally {
	return Tally{t.Sent + u.Sent, t.Delivered + u.Delivered, t.Lost + u.Lost, t.Dropped + u.Dropped, t.InFlight + u.InFlight}
}

// Traffic is the share of one kind of message in the messages and bytes of a run.
type Traffic struct {
	Kind     string `json:"kind"` // such as update, duplicate, control, blob, digest, repair
	Messages Tally  `json:"messages"`
	Bytes    Tally  `json:"bytes"`
}

// A Spread says how a figure differs over the nodes. Worst is the lowest accuracy or the highest loss.
type Spread struct {
	Mean  Real `json:"mean"`
	Worst Real `json:"worst"`
	Best  Real `json:"best"`
	Std   Real `json:"std"` // over the nodes, with 1/n
}

// A Target says when the mean accuracy of the nodes first reached a threshold at an evaluation.
type Target struct {
	Accuracy     Real `json:"accuracy"` // the threshold
	Reached      bool `json:"reached"`
	Seconds      Real `json:"seconds"` // virtual; null like the next two if it was not reached
	Rounds       Real `json:"rounds"`  // mean over the nodes
	BytesPerNode Real `json:"bytes_per_node"`
}

// A Group is a number of nodes of one kind.
type Group struct {
	Kind  string `json:"kind"`
	Nodes int    `json:"nodes"`
}

// A Work says how much nodes got done in an interval of virtual time, if they are honest.
type Work struct {
	From  Real `json:"from"` // virtual seconds
	Until Real `json:"until"`
	// UsefulSamplesPerSecond is the mean over the nodes, weighted by the time that they were online, of the figure of that name
	// in NodeWork.
	UsefulSamplesPerSecond Real       `json:"useful_samples_per_second"`
	Nodes                  []NodeWork `json:"nodes"` // by number; the first [WorkNodes] of them
}

// WorkNodes is how many nodes are listed one by one.
const WorkNodes = 256

// A NodeWork is the work of one node. A sample is useful if the update that it went into was mixed in by another honest node,
// as far as that was announced within the interval.
type NodeWork struct {
	Node          int    `json:"node"`
	Slowness      Real   `json:"slowness"` // the factor of its speed, when the interval ended
	OnlineSeconds Real   `json:"online_seconds"`
	Samples       uint64 `json:"samples"`
	UsefulSamples uint64 `json:"useful_samples"`
	// UsefulSamplesPerSecond is per second that the node was online.
	UsefulSamplesPerSecond Real `json:"useful_samples_per_second"`
}

// Replicas says whether the nodes that share records, and were online in the end, had all heard the same.
type Replicas struct {
	Nodes     int    `json:"nodes"`
	Equal     bool   `json:"equal"`     // all sums are equal, and so are all models, to the bit
	Different int    `json:"different"` // sums that there are
	Least     uint64 `json:"least"`     // records that a node knows, at the least
	Most      uint64 `json:"most"`      // and at the most
	Banned    int    `json:"banned"`    // logs that are cut off because their authors equivocate
	Digest    string `json:"digest"`    // SHA-256 of the sums of the node that knows most
	Model     string `json:"model"`     // and of its weights, float32 and little-endian
}

// A Start is the base model that all nodes started from, and what it was worth.
type Start struct {
	Model      string `json:"model"` // SHA-256 of its weights, float32 and little-endian
	Accuracy   Real   `json:"accuracy"`
	Loss       Real   `json:"loss"`
	Perplexity Real   `json:"perplexity"` // null but of text
}

// Churn counts comings and goings.
type Churn struct {
	Joins      uint64 `json:"joins"`   // sessions that began, but for those at the start
	Leaves     uint64 `json:"leaves"`  // sessions that ended in order
	Crashes    uint64 `json:"crashes"` // sessions that ended without a word
	MeanOnline Real   `json:"mean_online"`
}

// A Setting is one value of an experiment, as --set takes it.
type Setting struct {
	Key   string `json:"key"` // with dots: network.loss
	Value string `json:"value"`
}

// A Result is result.json: one run in figures. Times are in seconds, sizes in bytes.
type Result struct {
	Name    string `json:"name"`    // of the experiment
	Version string `json:"version"` // of the program
	Method  string `json:"method"`

	Seed      uint64 `json:"seed"`
	DataSeed  uint64 `json:"data_seed"`
	Nodes     int    `json:"nodes"`
	TraceHash string `json:"trace_hash"`
	Rounds    Real   `json:"rounds"`  // mean over the nodes
	Stopped   string `json:"stopped"` // why the run ended, in words

	VirtualSeconds  Real `json:"virtual_seconds"`
	WallSeconds     Real `json:"wall_seconds"`
	CPUSeconds      Real `json:"cpu_seconds"` // all that follow are part of it
	TrainCPUSeconds Real `json:"train_cpu_seconds"`
	EvalCPUSeconds  Real `json:"eval_cpu_seconds"`

	Events                    uint64    `json:"events"`
	Messages                  Tally     `json:"messages"`
	Bytes                     Tally     `json:"bytes"`
	BytesSentPerNode          Real      `json:"bytes_sent_per_node"` // in the whole run
	BytesReceivedPerNodeRound Real      `json:"bytes_received_per_node_round"`
	DuplicateFactor           Real      `json:"duplicate_factor"` // copies received of each published message
	Traffic                   []Traffic `json:"traffic"`          // by kind, in the order to show

	Accuracy Spread `json:"accuracy"` // at the end
	Loss     Spread `json:"loss"`
	// Perplexity is e to the power of the mean loss, if the data is text, else null: how many tokens the model wavers between.
	Perplexity        Real      `json:"perplexity"`
	Samples           uint64    `json:"samples"`            // that honest nodes have trained on, all together
	Tokens            uint64    `json:"tokens"`             // of these samples, if they are text
	Work              *Work     `json:"work,omitempty"`     // null for a reference
	Replicas          *Replicas `json:"replicas,omitempty"` // null but with the method scalar
	Start             *Start    `json:"start,omitempty"`    // null if parameters were drawn
	ConsensusDistance Real      `json:"consensus_distance"`
	Targets           []Target  `json:"targets"`
	Adversaries       []Group   `json:"adversaries"`
	Churn             Churn     `json:"churn"`
	PeakRSSBytes      uint64    `json:"peak_rss_bytes"`

	Baseline     []string `json:"baseline,omitempty"`      // settings of the runs to compare it with: "codec=fp32"
	SettingsHash string   `json:"settings_hash,omitempty"` // of what the run was asked to do, for sweeps

	File     string    `json:"file"`     // the experiment as it was read
	Settings []Setting `json:"settings"` // from --set, in order
	// Resolved are all settings with defaults written out, in the order of the documentation. Without them, comparisons
	// go by File and Settings.
	Resolved []Setting `json:"resolved,omitempty"`
}

// Marshal returns the text of result.json.
func (r Result) Marshal() ([]byte, error) {
	r.Traffic, r.Targets, r.Adversaries, r.Settings = listed(r.Traffic), listed(r.Targets), listed(r.Adversaries), listed(r.Settings)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// listed is a list that is written as [] when it is empty.
func listed[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// ParseResult reads the text of result.json. Keys it does not know are those of a later version and are left out.
func ParseResult(text []byte) (Result, error) {
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return Result{}, fmt.Errorf("not the result of a simulation: %w", err)
	}
	var other struct{ Kind string }
	if json.Unmarshal(text, &other) == nil && other.Kind == WalksKind {
		return Result{}, fmt.Errorf("the result of a study of walks, which has its own page, %s", PageFile)
	}
	if r.Nodes < 1 {
		return Result{}, fmt.Errorf("not the result of a simulation: nodes is %d, must be at least 1", r.Nodes)
	}
	return r, nil
}
