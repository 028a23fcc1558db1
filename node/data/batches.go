package data

import "fmt"

// Batches is the order in which a node goes through its rows: again and again all of them, shuffled anew for every epoch.
// Which rows make up the batch of a step is a function of seed, node and step alone, so that training goes on anywhere.
//
// It remembers the order of one epoch, 4 bytes a row. It must not be used concurrently.
type Batches struct {
	rows, batch int
	seed, node  uint64

	order   []int32 // of the epoch; empty before the first
	epoch   uint64
	current []int32
}

// NewBatches returns the order of a node with so many rows. A batch that reaches the end of an epoch goes on into the next,
// so all batches are full; a batch larger than the data has rows twice.
func NewBatches(rows, batch int, seed, node uint64) (*Batches, error) {
	switch {
	case rows < 1 || rows > maxRows:
		return nil, fmt.Errorf("batches: %d rows; there must be from 1 to %d", rows, maxRows)
	case batch < 1 || batch > maxRows:
		return nil, fmt.Errorf("batches: a batch of %d rows; it must have from 1 to %d", batch, maxRows)
	}
	return &Batches{rows: rows, batch: batch, seed: seed, node: node, current: make([]int32, batch)}, nil
}

// Rows returns the rows of a step, counted from 0, for [Set.Fill]. They are valid until the next call. Steps may be asked for
// in any order; ascending ones are the fastest.
func (b *Batches) Rows(step uint64) []int32 {
	at := step * uint64(b.batch)
	for i := range b.current {
		pos := at + uint64(i)
		b.current[i] = b.shuffled(pos / uint64(b.rows))[pos%uint64(b.rows)]
	}
	return b.current
}

func (b *Batches) shuffled(epoch uint64) []int32 {
	if len(b.order) > 0 && b.epoch == epoch {
		return b.order
	}
	if len(b.order) == 0 {
		b.order = make([]int32, b.rows)
	}
	for i := range b.order {
		b.order[i] = int32(i)
	}
	draw(b.seed, forBatches, b.node, uint32(epoch)).shuffle(b.order)
	b.epoch = epoch
	return b.order
}
