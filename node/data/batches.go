package data

import (
	"fmt"

	"starling/mixing/philox"
)

// A Plan is the order in which a node goes through its rows: again and again all of them, shuffled anew for every epoch. Which
// rows make up the batch of a step is a function of seed, node and step alone, so that training goes on anywhere. A Plan is
// a few words, never changes, and is safe for concurrent use; [Batches] computes what it says.
type Plan struct {
	rows, batch int32
	key         uint64
}

// NewPlan returns the plan of a node with so many rows in batches of so many.
func NewPlan(rows, batch int, seed, node uint64) (Plan, error) {
	switch {
	case rows < 0 || rows > maxRows:
		return Plan{}, fmt.Errorf("batches: %d rows; there can be up to %d", rows, maxRows)
	case batch < 1 || batch > maxRows:
		return Plan{}, fmt.Errorf("batches: a batch of %d rows; it must have from 1 to %d", batch, maxRows)
	}
	return Plan{rows: int32(rows), batch: int32(batch), key: streamKey(seed, forBatches, node)}, nil
}

// Len returns the number of rows.
func (p Plan) Len() int { return int(p.rows) }

// Batch returns the number of rows of a full batch.
func (p Plan) Batch() uint64 { return uint64(p.batch) }

// Pass returns the number of batches in one pass over the rows; the last one may be smaller than the others.
func (p Plan) Pass() uint64 { return (uint64(p.rows) + uint64(p.batch) - 1) / uint64(p.batch) }

// Batches computes batches. It remembers the order of one epoch of the plan that it computed last, 4 bytes a row, and may go
// from plan to plan: results do not depend on what was asked before. The zero value is ready; it must not be used concurrently.
type Batches struct {
	plan    Plan
	epoch   uint64
	order   []int32 // of the epoch; empty before the first
	current []int32
	stream  philox.Stream
}

// Rows returns the rows of a step, counted from 0, for [Set.Fill]. They are valid until the next call. A batch that reaches the
// end of an epoch goes on into the next, so that all batches are full; one larger than the data has rows twice. Steps may be
// asked for in any order; ascending ones are the fastest. Without rows the batch is empty.
func (b *Batches) Rows(p Plan, step uint64) []int32 {
	if p.rows == 0 {
		return nil
	}
	at := step * uint64(p.batch)
	epoch, from := at/uint64(p.rows), at%uint64(p.rows)
	b.current = b.current[:0]
	for missing := int(p.batch); missing > 0; epoch, from = epoch+1, 0 {
		rest := b.shuffled(p, epoch)[from:]
		rest = rest[:min(missing, len(rest))]
		b.current = append(b.current, rest...)
		missing -= len(rest)
	}
	return b.current
}

// Of returns the rows of up to count batches from number i on, counted from 0 and below Pass, of the pass that a node makes at a
// step: the epoch that the step would be in if all steps were those of such passes. A pass has every row once, so that its last
// batch may be smaller. The rows are valid until the next call.
func (b *Batches) Of(p Plan, step, i, count uint64) []int32 {
	order := b.shuffled(p, step/p.Pass())
	batch, rows := uint64(p.batch), uint64(len(order))
	b.current = append(b.current[:0], order[i*batch:min((i+count)*batch, rows)]...)
	return b.current
}

// shuffled returns the order of an epoch of a plan that has rows.
func (b *Batches) shuffled(p Plan, epoch uint64) []int32 {
	if len(b.order) > 0 && b.epoch == epoch && b.plan == p {
		return b.order
	}
	if cap(b.order) < int(p.rows) {
		b.order = make([]int32, p.rows)
	}
	b.order = b.order[:p.rows]
	for i := range b.order {
		b.order[i] = int32(i)
	}
	b.stream = *philox.NewStream(p.key, philox.Data, uint32(epoch))
	chance{&b.stream}.shuffle(b.order)
	b.plan, b.epoch = p, epoch
	return b.order
}
