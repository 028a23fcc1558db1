// Package compute carries out the jobs of cores on vectors: local steps, mixing, encoding and decoding, evaluation. The
// daemon and the simulator share it, so that what is simulated is what is deployed.
//
// It has three parts. [New] builds a [Program], all that a manifest names, which any number of nodes and goroutines share. A
// [Worker] is what one goroutine needs to run jobs, one at a time, of whatever node. A [Node] is what differs from node to
// node, a few words. Vectors lie in a [Pool], by the names that a core gave them in an [Arena]. The package decides nothing,
// starts no goroutine, and neither sends nor stores anything.
//
// The daemon, the simulator and commands may import it.
package compute

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"starling/gossip/codec"
	"starling/mixing"
	"starling/mixing/track"
	"starling/node"
	"starling/node/data"
	"starling/node/manifest"
	"starling/node/model"
	"starling/node/model/llama"
	"starling/node/optim"
)

// Options are what a process decides by itself.
type Options struct {
	Source string // own data, all of it one part, in place of the manifest's
	// Parts lists the parts of the data that are loaded, each counted modulo their number. Nil is all.
	Parts []int
	// DataSeed divides the data, in place of the manifest's seed; nil is that one.
	DataSeed *uint64
	// Rows is how many held-out rows are evaluated, evenly from all of them; 0 is all.
	Rows int
	// Bare loads no data: there is the model and what belongs to it, and nothing can be trained or evaluated.
	Bare bool
	// Unpack holds held-out rows as floats: evaluation of images is faster and takes four times their memory.
	Unpack bool
	// Weights returns those of the base model, which must not change any more, if the manifest names one by its digest; nil if this
	// process has none. It is asked for none that the manifest does not name.
	Weights func(*mixing.Layout) ([]float32, error)
	// Model is the directory or the file of the published model, if the manifest names one.
	Model string
	// Threads is how many goroutines compute one batch of a published model; 0 is one.
	Threads int
	// Frugal has a published model compute parts of a step twice, to take less memory; results are the same. See [llama.Model.Frugal].
	Frugal bool
}

// A Program is all that a manifest names, built once. It does not change and is safe for concurrent use.
type Program struct {
	manifest  manifest.Manifest
	model     model.Model // of which workers make clones; its own scratch is not used
	labels    int         // of a row
	evalRows  int         // rows that are evaluated at a time: part of the definition of a loss, whose sums are taken in this order
	text      bool        // labels are tokens
	optimizer optim.Optimizer
	codec     codec.Codec
	plain     codec.Codec // loses nothing
	lossy     bool
	kept      *kept // nil: all tensors are shared

	train *data.Set
	test  *data.Set
	base  []float32                                          // that all nodes start from; nil if weights are drawn
	exams []func(params []float32) (loss float64, right int) // of every so many rows of test, if the model can prepare them
	parts [][]int32                                          // rows of train; nil if one part is all of it
	index []int                                              // of parts by the number that nodes know, -1 if not loaded; nil: all in order
}

// New builds the model, the optimizer and the codec that the manifest names, and loads the data.
func New(m manifest.Manifest, o Options) (*Program, error) {
	p := &Program{manifest: m}
	spec := m.Data.Source
	if m.Method.Check > 0 {
		if o.Source != "" {
			return nil, fmt.Errorf("the nodes of this run measure each other's records again, on %s, which all have: leave out --data", spec)
		}
		o.Parts = nil // all of it
	}
	if o.Source != "" {
		spec = o.Source
	}
	if spec == "own" {
		return nil, fmt.Errorf("every node of this run brings its own data: say with --data where it is, idx:DIR, csv:FILE, text:FILE or jsonl:FILE")
	}
	source, err := data.Open(spec)
	if err != nil {
		return nil, err
	}
	p.text = source.Inputs() == 0
	if llama.Published(m.Model) {
		source, err = p.publish(source, o)
	} else {
		source, err = p.build(source, o)
	}
	if err != nil {
		return nil, err
	}
	if p.kept, err = keptOf(p.model.Layout()); err != nil {
		return nil, err
	}
	if p.optimizer, err = optim.Parse(m.Optimizer); err != nil {
		return nil, err
	}
	if p.codec, err = codec.Parse(m.Codec); err != nil {
		return nil, err
	}
	if p.plain, err = codec.Parse(node.PlainCodec); err != nil {
		return nil, err
	}
	p.lossy = p.codec.Lossy()
	if _, err := p.rule(); err != nil {
		return nil, err
	}
	if !p.scalar() && p.Len() > int(min(uint64(m.Limits.Blob)/2, math.MaxInt32)) && p.MaxPayload() > uint64(m.Limits.Blob) {
		return nil, fmt.Errorf("a model of %d parameters takes up to %d bytes in %s, and the run's limit is %s: raise limits.blob",
			p.Len(), p.MaxPayload(), p.codec.Name(), m.Limits.Blob)
	}
	if o.Bare {
		return p, nil
	}
	return p, p.load(source, o)
}

// build makes a model that the manifest describes, and returns the rows that it reads.
func (p *Program) build(source *data.Source, o Options) (rows *data.Source, err error) {
	m := p.manifest
	if p.model, err = model.Parse(m.Model, source.Inputs(), source.Classes()); err != nil {
		return nil, err
	}
	if p.base, err = baseOf(m, p.Layout(), o.Weights); err != nil {
		return nil, err
	}
	inputs := 0
	inputs, p.labels = p.model.Row()
	p.evalRows = evalRows
	return source.Windows(inputs)
}

// rule makes a mixing rule, which is for one goroutine; it is nil for push-sum.
func (p *Program) rule() (mixing.Rule, error) {
	switch mix := p.manifest.Method.Mix; {
	case mix != node.PushSum:
		return mixing.ParseRule(mix)
	case p.lossy:
		return nil, fmt.Errorf("push-sum needs a codec that loses nothing, such as fp32: %s would lose mass", p.codec.Name())
	}
	return nil, nil
}

// load divides the data and reads what is wanted of it.
func (p *Program) load(source *data.Source, o Options) (err error) {
	var rows []int32 // nil is all: own data is not divided
	if o.Source == "" {
		seed := p.manifest.Seed
		if o.DataSeed != nil {
			seed = *o.DataSeed
		}
		if p.parts, err = data.Partition(p.manifest.Data.Split, source.Labels(), p.manifest.Data.Shards, seed); err != nil {
			return err
		}
		if o.Parts != nil {
			rows = p.choose(o.Parts)
		}
	}
	if p.train, err = source.Train(rows); err != nil {
		return err
	}
	if p.test, err = source.Test(); err != nil {
		return err
	}
	p.test = spread(p.test, o.Rows)
	if o.Unpack {
		p.test = p.test.Unpacked()
	}
	p.prepare()
	return nil
}

// prepare has the model prepare the held-out rows, if it can and they lie in memory as it needs them.
func (p *Program) prepare() {
	m, ok := p.model.(model.Preparer)
	if _, _, there := p.test.Range(0, p.test.Len()); !ok || !there {
		return
	}
	for first := 0; first < p.test.Len(); first += p.evalRows {
		x, y, _ := p.test.Range(first, min(p.evalRows, p.test.Len()-first))
		p.exams = append(p.exams, m.Prepare(x, y))
	}
}

// choose keeps some parts and returns their rows, ascending; afterwards parts are rows among these.
func (p *Program) choose(parts []int) []int32 {
	p.index = slices.Repeat([]int{-1}, len(p.parts))
	var kept [][]int32
	rows := []int32{}
	for _, i := range parts {
		if i %= len(p.parts); p.index[i] < 0 {
			p.index[i] = len(kept)
			kept = append(kept, p.parts[i])
			rows = append(rows, p.parts[i]...)
		}
	}
	slices.Sort(rows)
	for _, part := range kept {
		for j, row := range part {
			at, _ := slices.BinarySearch(rows, row)
			part[j] = int32(at)
		}
	}
	p.parts = kept
	return rows
}

// Layout returns the layout of the parameters that nodes share. [Program.Kept] lists what there is besides.
func (p *Program) Layout() *mixing.Layout {
	if p.kept != nil {
		return p.kept.shared
	}
	return p.model.Layout()
}

// Len returns the number of parameters.
func (p *Program) Len() int { return p.Layout().Len() }

// OptLen returns the length of the optimizer's state, with what is kept of the model.
func (p *Program) OptLen() int {
	n := p.optimizer.StateLen(p.model.Layout().Len())
	if p.kept != nil {
		n += p.kept.length
	}
	return n
}

// Tensors returns the number of tensors in the layout.
func (p *Program) Tensors() int { return len(p.Layout().Tensors) }

// Codec returns the canonical name of the codec.
func (p *Program) Codec() string { return p.codec.Name() }

// MaxPayload returns the size of the largest encoded vector in bytes.
func (p *Program) MaxPayload() uint64 { return uint64(p.codec.MaxEncoded(p.Len())) }

// MaxPiece returns the size of the largest payload of n floats in the codec of that name, which is the run's or fp32.
func (p *Program) MaxPiece(name string, n int) uint64 { return uint64(p.named(name).MaxEncoded(n)) }

// Decode decodes a payload of another node into dst, from the codec of that name, which is the run's or fp32; the error says why it
// is none.
func (p *Program) Decode(dst []float32, name string, payload []byte) error {
	return p.named(name).Decode(dst, payload)
}

func (p *Program) named(name string) codec.Codec {
	if name == p.plain.Name() {
		return p.plain
	}
	return p.codec
}

// Feedback reports whether the codec loses the same whatever the seed, so that what it loses is worth keeping.
func (p *Program) Feedback() bool { return p.lossy && !p.codec.Unbiased() }

// Copies returns how the exchange copies is to be set for the manifest and its codec.
func (p *Program) Copies() node.CopiesConfig {
	m, class := p.manifest.Method.Public, codec.ClassOf(p.codec)
	gamma := m.Gamma
	if gamma == 0 {
		if gamma = track.DefaultGamma(class.Quantizer, class.Kept); class.Random {
			gamma = min(gamma, class.Kept/2) // they carry no more of a vector than their part of it
		}
	}
	return node.CopiesConfig{Gamma: gamma, Damp: class.Contraction(), Beta: m.Tracks(), Common: p.Common()}
}

// A Node is what the jobs of one node need beside the program. It takes some 70 bytes; rows lie in the program. It must not be
// used by two jobs at the same time.
type Node struct {
	seed    uint64
	plan    data.Plan
	rows    []int32 // of the program's training set; nil is all
	encoded uint64  // calls of Encode: the seeds of stochastic rounding
	relabel func(labels []int32)
	own     atomic.Pointer[[]float32] // the newest of what it keeps of the model
}

// Node returns a node with its own seed and a part of the data, counted modulo the number of parts. The part may have no rows:
// such a node has nothing to train on.
func (p *Program) Node(seed uint64, part int) (*Node, error) {
	n := &Node{seed: seed}
	rows := p.train.Len()
	if p.parts != nil {
		if p.index != nil {
			if part = p.index[part%len(p.index)]; part < 0 {
				return nil, fmt.Errorf("this part of the data was not loaded")
			}
		}
		n.rows = p.parts[part%len(p.parts)]
		rows = len(n.rows)
	}
	var err error
	n.plan, err = data.NewPlan(rows, p.manifest.Method.Batch, p.manifest.Seed, seed)
	return n, err
}

// Rows returns how many examples the node trains on.
func (n *Node) Rows() int { return n.plan.Len() }

// Pass returns the local steps of one pass over the node's data.
func (n *Node) Pass() uint64 { return n.plan.Pass() }

// Samples returns how many examples so many local steps from the beginning of a pass see, if a pass is the whole job, or as
// many full batches.
func (n *Node) Samples(steps uint64, pass bool) uint64 {
	if pass {
		return uint64(n.plan.Len())
	}
	return steps * n.plan.Batch()
}

// Relabel has f change the labels of the rows that the node trains on, some at a time. It is for simulations of nodes that do not
// play by the rules; f must be safe for concurrent use.
func (n *Node) Relabel(f func(labels []int32)) { n.relabel = f }

// Tokens returns how many tokens an example has if the data is text, else 0.
func (p *Program) Tokens() int {
	if !p.text {
		return 0
	}
	return p.labels
}

// Optimizer returns the rule of the local steps.
func (p *Program) Optimizer() optim.Optimizer { return p.optimizer }

// Classes returns the number of classes of the data.
func (p *Program) Classes() int { return p.train.Classes() }

// Common reports whether all nodes start from the same parameters.
func (p *Program) Common() bool { return p.manifest.Init != "independent" }

// Init writes the initial parameters, those of the base model, the same for every node of the run or the node's own, as the manifest
// says, and the initial state of the optimizer.
func (p *Program) Init(n *Node, params, opt []float32) {
	clear(opt)
	if p.base != nil {
		copy(params, p.base)
		return
	}
	seed := p.manifest.Seed
	if !p.Common() {
		seed ^= n.seed
	}
	if p.kept == nil {
		p.model.Init(params, seed)
		return
	}
	full := make([]float32, p.kept.full.Len())
	p.model.Init(full, seed)
	p.kept.split(full, params, p.kept.own(opt))
}
