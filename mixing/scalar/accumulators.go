package scalar

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
)

// Accumulators are the sums of the coefficients of records, one for each direction of each pool generation that has any. Addition of
// integers has no order, so equal sets of records give equal sums. Sums wrap around where they do not fit; see [Accumulators.Overflowed].
type Accumulators struct {
	sums       table
	changes    table     // since the last call of Take, and zeros
	changed    []touched // where changes may be other than zero
	folded     []foldedSums
	overflowed bool
}

// touched is an accumulator that was added to.
type touched struct{ generation, k uint32 }

// A Change is what was added to an accumulator.
type Change struct {
	Generation, K uint32
	By            int64
}

// Sums are the accumulators of a generation.
type Sums struct {
	Generation uint32
	A          []int64
}

type foldedSums struct {
	generation uint32
	digest     [32]byte
}

// A table has a row of k integers for each generation that was asked for, in order.
type table struct {
	k    uint32
	rows []Sums
}

func findRow(rows []Sums, generation uint32) (int, bool) {
	return slices.BinarySearchFunc(rows, generation, func(s Sums, g uint32) int { return cmp.Compare(s.Generation, g) })
}

func (t *table) row(generation uint32) []int64 {
	i, ok := findRow(t.rows, generation)
	if !ok {
		t.rows = slices.Insert(t.rows, i, Sums{generation, make([]int64, t.k)})
	}
	return t.rows[i].A
}

// NewAccumulators makes sums of nothing for pools of k directions.
func NewAccumulators(k uint32) *Accumulators {
	return &Accumulators{sums: table{k: k}, changes: table{k: k}}
}

// ErrFolded says that the sums of a generation are not in memory: [Accumulators.Unfold] takes them back.
var ErrFolded = errors.New("the sums of the generation are folded")

func (a *Accumulators) findFolded(generation uint32) (int, bool) {
	return slices.BinarySearchFunc(a.folded, generation, func(f foldedSums, g uint32) int { return cmp.Compare(f.generation, g) })
}

// Add adds to the accumulator of direction k, which is below the size of the pool. The error is [ErrFolded].
func (a *Accumulators) Add(generation, k uint32, coefficient int64) error {
	if coefficient == 0 {
		return nil
	}
	if _, ok := a.findFolded(generation); ok {
		return fmt.Errorf("pool generation %d: %w", generation, ErrFolded)
	}
	at := &a.sums.row(generation)[k]
	sum := *at + coefficient
	if (*at^sum)&(coefficient^sum) < 0 {
		a.overflowed = true
	}
	*at = sum
	change := &a.changes.row(generation)[k]
	if *change == 0 {
		a.changed = append(a.changed, touched{generation, k})
	}
	*change += coefficient
	return nil
}

// Subtract takes back what [Accumulators.Add] added, for records that became void.
func (a *Accumulators) Subtract(generation, k uint32, coefficient int64) error {
	return a.Add(generation, k, -coefficient)
}

// Overflowed reports whether a sum ever left 64 bits. [Config.Validate] makes sure that valid records cannot do that: the run has
// more peers or records than it says, and its models are worth nothing.
func (a *Accumulators) Overflowed() bool { return a.overflowed }

// Take lists what was added since the last call, one change for each accumulator, and forgets it.
func (a *Accumulators) Take() []Change {
	slices.SortFunc(a.changed, func(x, y touched) int { return cmp.Or(cmp.Compare(x.generation, y.generation), cmp.Compare(x.k, y.k)) })
	var out []Change
	for _, t := range a.changed {
		// One that was back at zero on the way was noted twice.
		if by := &a.changes.row(t.generation)[t.k]; *by != 0 {
			out = append(out, Change{t.generation, t.k, *by})
			*by = 0
		}
	}
	a.changed = a.changed[:0]
	if n := len(a.changes.rows) - keptChanges; n > 0 {
		a.changes.rows = slices.Delete(a.changes.rows, 0, n) // of generations that are hardly added to any more
	}
	return out
}

// keptChanges is for how many generations the memory of changes is kept: around the end of one, records of two come in turn.
const keptChanges = 2

// Of returns the accumulators of a generation; nil stands for nothing but zeros. They must not be changed, and they change with
// the next call of Add.
func (a *Accumulators) Of(generation uint32) ([]int64, error) {
	if _, ok := a.findFolded(generation); ok {
		return nil, fmt.Errorf("pool generation %d: %w", generation, ErrFolded)
	}
	if i, ok := findRow(a.sums.rows, generation); ok {
		return a.sums.rows[i].A, nil
	}
	return nil, nil
}

// Generations lists the accumulators in memory that are not all zero, in order of generations. They must not be changed.
func (a *Accumulators) Generations() []Sums {
	var out []Sums
	for _, row := range a.sums.rows {
		if !zero(row.A) {
			out = append(out, row)
		}
	}
	return out
}

// Copy is [Accumulators.Generations] for keeps: the caller may do with it what it likes.
func (a *Accumulators) Copy() []Sums {
	out := a.Generations()
	for i := range out {
		out[i].A = slices.Clone(out[i].A)
	}
	return out
}

func zero(a []int64) bool { return !slices.ContainsFunc(a, func(x int64) bool { return x != 0 }) }

// Fold puts the accumulators of a finished generation away: it returns them, to be written down, and keeps their digest.
func (a *Accumulators) Fold(generation uint32) ([]int64, error) {
	sums, err := a.Of(generation)
	if err != nil {
		return nil, err
	}
	if sums == nil {
		sums = make([]int64, a.sums.k)
	}
	at, _ := a.findFolded(generation)
	a.folded = slices.Insert(a.folded, at, foldedSums{generation, DigestOf(sums)})
	if i, ok := findRow(a.sums.rows, generation); ok {
		a.sums.rows = slices.Delete(a.sums.rows, i, i+1)
	}
	return sums, nil
}

// Unfold takes the accumulators of a folded generation back, for records that came late. They must have the digest that was kept.
func (a *Accumulators) Unfold(generation uint32, sums []int64) error {
	at, ok := a.findFolded(generation)
	switch {
	case !ok:
		return fmt.Errorf("pool generation %d is not folded", generation)
	case len(sums) != int(a.sums.k) || DigestOf(sums) != a.folded[at].digest:
		return fmt.Errorf("pool generation %d: these are not the sums that were folded", generation)
	}
	a.folded = slices.Delete(a.folded, at, at+1)
	copy(a.sums.row(generation), sums)
	return nil
}

// DigestOf is the SHA-256 of integers, little-endian: of the accumulators of a generation, or of a model's theta.
func DigestOf(a []int64) [32]byte {
	h := sha256.New()
	write(h, a)
	return [32]byte(h.Sum(nil))
}

func write(h hash.Hash, a []int64) {
	var buffer [4096]byte
	for len(a) > 0 {
		n := min(len(a), len(buffer)/8)
		for i, x := range a[:n] {
			binary.LittleEndian.PutUint64(buffer[8*i:], uint64(x))
		}
		h.Write(buffer[:8*n])
		a = a[n:]
	}
}

// Digest is the SHA-256 of the generations (u32, little-endian) that are not all zero, each with its [DigestOf], in order. Equal
// digests mean equal models.
func (a *Accumulators) Digest() [32]byte {
	nothing := DigestOf(make([]int64, a.sums.k))
	return digestRows(slices.DeleteFunc(slices.Clone(a.folded), func(f foldedSums) bool { return f.digest == nothing }), a.sums.rows)
}

// DigestSums is what [Accumulators.Digest] is of these sums.
func DigestSums(sums []Sums) [32]byte { return digestRows(nil, sums) }

func digestRows(all []foldedSums, rows []Sums) [32]byte {
	for _, s := range rows {
		if !zero(s.A) {
			all = append(all, foldedSums{s.Generation, DigestOf(s.A)})
		}
	}
	slices.SortFunc(all, func(x, y foldedSums) int { return cmp.Compare(x.generation, y.generation) })
	h := sha256.New()
	for _, f := range all {
		var form [36]byte
		binary.LittleEndian.PutUint32(form[:], f.generation)
		copy(form[4:], f.digest[:])
		h.Write(form[:])
	}
	return [32]byte(h.Sum(nil))
}
