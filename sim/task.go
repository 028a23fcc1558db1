package sim

import (
	"starling/gossip"
	"starling/mixing"
	"starling/node"
	"starling/node/compute"
)

// A Task is what the nodes learn. Its methods are safe for concurrent use.
type Task interface {
	Len() int    // parameters
	OptLen() int // floats of optimizer state
	Tensors() int
	Layout() *mixing.Layout
	Codec() string
	MaxPayload() uint64

	// Plain reports whether the codec gives back every vector bit for bit and how many bytes each takes, which does not depend
	// on the vector. The simulator need not encode such vectors to pull them.
	Plain() (bytes uint64, ok bool)

	// Common reports whether all nodes start from the same parameters.
	Common() bool
	// Init writes what node n starts from.
	Init(n int, params, opt []float32)

	// Pass returns the local steps of one pass over the data of node n, and Samples the examples that a job sees.
	Pass(n int) uint64
	Samples(n int, job node.TrainJob) uint64

	// Decode decodes a payload in the codec of that name, which is the task's or fp32.
	Decode(dst []float32, codec string, payload []byte) error
	// Feedback reports whether the codec loses the same whatever the seed, so that what it loses is worth keeping.
	Feedback() bool

	// Worker returns what one goroutine needs to do the arithmetic.
	Worker() Worker
}

// A Worker does the arithmetic of the nodes of a task, one job at a time. Results must not depend on which worker does a job. It
// must not be used concurrently.
type Worker interface {
	Train(n int, job node.TrainJob, params, opt, shift, out, outOpt []float32) node.Trained
	// Gradient writes the gradient of one step, counted from 0, of node n and returns its loss and number of examples. The
	// simulation does not ask for it: it is for references that are data-parallel.
	Gradient(n int, step uint64, params, grad []float32) (loss float64, samples uint64)
	Mix(job node.MixJob, vecs compute.Vectors, out []float32) (mixing.Report, error)
	Encode(n int, v []float32) ([]byte, []gossip.TensorStat, error)
	EncodePieces(n int, job node.EncodeJob, e compute.Encoding) (pieces [][]byte, norm float64, err error)
	Evaluate(params []float32) (accuracy, loss float64)
	// Probe measures a slope from the weights on both sides.
	Probe(n int, job node.ProbeJob, plus, minus []float32) node.Probed
}
