package compute

import (
	"starling/gossip/codec"
	"starling/mixing/kernel"
	"starling/node"
)

// Encoding are the vectors of an [node.EncodeJob]: those that are not asked for are nil.
type Encoding struct {
	Vec, Sent, Lost []float32
}

// EncodePieces encodes the parts of a vector that a job names, one payload each, and returns the norm of what receivers decode, 0 if
// nobody asked for it. Each payload takes a seed from next.
func EncodePieces(c codec.Codec, job node.EncodeJob, e Encoding, next func() uint64) (pieces [][]byte, norm float64, err error) {
	lens := job.Lens
	if lens == nil {
		lens = []int{len(e.Vec)}
	}
	at := 0
	for _, n := range lens {
		part := func(v []float32) []float32 { return v[at : at+n] }
		b, err := c.Encode(nil, part(e.Vec), next())
		if err == nil && e.Sent != nil {
			err = c.Decode(part(e.Sent), b)
		}
		if err != nil {
			return nil, 0, err
		}
		pieces = append(pieces, b)
		at += n
	}
	if e.Lost != nil {
		kernel.Sub(e.Lost, e.Vec, e.Sent)
	}
	if e.Sent != nil {
		norm = kernel.Norm2(e.Sent)
	}
	return pieces, norm, nil
}

// EncodePieces encodes the parts of a vector of a node in the run's codec, or in fp32 if the job says so. Several jobs of a node may be
// under way: their randomness comes from the node's seed and the number of the job.
func (w *Worker) EncodePieces(n *Node, job node.EncodeJob, e Encoding) ([][]byte, float64, error) {
	c := w.program.codec
	if job.Plain {
		c = w.program.plain
	}
	seed := n.seed ^ uint64(job.Job)*0x9e3779b97f4a7c15
	return EncodePieces(c, job, e, func() uint64 {
		seed++
		return seed
	})
}
