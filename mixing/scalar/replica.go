package scalar

import (
	"cmp"
	"fmt"
	"slices"
)

// A Replica is the state of a run at one peer: the set of records, and the sums that make the model. It must not be used concurrently.
//
// In open mode a record counts when it is added. In closed mode the records of an epoch count when [Replica.Close] is told which of them
// do: those below a version vector that the peers agreed on elsewhere. Later ones are void.
type Replica struct {
	cfg  Config
	pool Pool
	set  *Set
	sums *Accumulators

	// In closed mode.
	closed uint32 // epochs
	ends   Vector // of the last one
	clip   byte   // of the one that is open, see Clip
	clips  []byte // of the newest of those that are closed
}

// NewReplica makes the state of no records. The configuration was validated, as [Parse] does; seed is the run's.
func NewReplica(cfg Config, seed uint64) *Replica {
	return &Replica{cfg: cfg, pool: cfg.Pool(seed), set: NewSet(cfg), sums: NewAccumulators(cfg.K), clip: MaxCode}
}

// Config is that of the run.
func (r *Replica) Config() Config { return r.cfg }

// Pool is the directions of the run.
func (r *Replica) Pool() Pool { return r.pool }

// Set is the records. The caller may look, and must leave insertions and bans to the replica.
func (r *Replica) Set() *Set { return r.set }

// Sums is the accumulators. The caller may fold and unfold generations, and must leave additions to the replica.
func (r *Replica) Sums() *Accumulators { return r.sums }

// Take lists what a [Model] must be told since the last call.
func (r *Replica) Take() []Change { return r.sums.Take() }

// A Place is where a record stands, and so which direction it measures.
type Place struct {
	Seq                  uint64
	Epoch, Generation, K uint32
}

// Next is the place of a peer's next record. clock is the run's epoch now by the peer's clock; without RunClock it does not matter. There
// is none, and it is not ok, if the peer's budget is spent, or that of the epoch, or if the peer is banned.
func (r *Replica) Next(peer uint64, clock uint32) (p Place, ok bool) {
	p.Seq = r.set.Next(peer)
	p.Epoch = uint32(p.Seq / uint64(r.cfg.PerEpoch))
	if r.cfg.RunClock {
		p.Epoch = max(p.Epoch, clock, r.set.epoch(peer), r.Closed())
	}
	p.Generation = r.cfg.Generation(p.Epoch)
	p.K = r.cfg.Direction(r.pool, peer, p.Seq, p.Epoch)
	return p, p.Seq < r.cfg.Records && r.set.open(Run{peer, p.Seq, p.Epoch, []byte{0}})
}

// Insert adds a run whose signature and membership were checked, see [Set.Insert]. The error is [ErrFolded], and nothing was added.
func (r *Replica) Insert(run Run) (Result, error) {
	if r.cfg.Closed {
		return r.set.Insert(run), nil
	}
	for _, first := range append(r.set.parked(run.Peer), run) {
		if err := r.ready(first.Epoch); err != nil {
			return Result{}, err
		}
	}
	res := r.set.Insert(run)
	for _, added := range res.Added {
		if err := r.count(added, 1); err != nil {
			return res, err
		}
	}
	return res, nil
}

// ready reports whether the sums of an epoch's generation can be added to.
func (r *Replica) ready(epoch uint32) error {
	if _, err := r.sums.Of(r.cfg.Generation(epoch)); err != nil {
		return fmt.Errorf("epoch %d: %w", epoch, err)
	}
	return nil
}

// DigestAt is what [Accumulators.Digest] was, or would be, of the records below a vector; it is ok if [Replica.At] is.
func (r *Replica) DigestAt(v Vector) (digest [32]byte, ok bool) {
	sums, ok := r.At(v)
	if !ok {
		return digest, false
	}
	return sums.Digest(), true
}

// count adds the coefficients of a run, or takes them back if times is -1.
func (r *Replica) count(run Run, times int64) error {
	generation := r.cfg.Generation(run.Epoch)
	m := int64(r.cfg.Multipliers.At(run.Epoch))
	for i, b := range run.Bytes {
		k := r.cfg.Direction(r.pool, run.Peer, run.First+uint64(i), run.Epoch)
		if err := r.sums.Add(generation, k, times*m*Value(b)); err != nil {
			return err
		}
	}
	return nil
}

// Ban makes the records of a peer void from a sequence number on, see [Set.Ban]: the sums become those of a run in which they never
// existed. The errors are [ErrForgotten] and [ErrFolded], and nothing was changed.
func (r *Replica) Ban(peer, first uint64) error {
	void := r.set.Runs(Range{peer, first, noBan})
	for _, run := range void {
		if err := r.ready(run.Epoch); err != nil {
			return err
		}
	}
	if !r.cfg.Closed {
		void, err := r.set.Ban(peer, first)
		for _, run := range void {
			if err := r.count(run, -1); err != nil {
				return err
			}
		}
		return err
	}
	var epochs []uint32 // closed ones that lose records
	for _, run := range void {
		if run.Epoch < r.closed {
			epochs = append(epochs, run.Epoch)
		}
	}
	before := make([][]Change, len(epochs))
	for i, e := range epochs {
		before[i] = r.combined(e)
	}
	if _, err := r.set.Ban(peer, first); err != nil {
		return err
	}
	for i, e := range epochs {
		for _, c := range before[i] {
			if err := r.sums.Subtract(c.Generation, c.K, c.By); err != nil {
				return err
			}
		}
		if err := r.add(r.combined(e)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replica) add(changes []Change) error {
	for _, c := range changes {
		if err := r.sums.Add(c.Generation, c.K, c.By); err != nil {
			return err
		}
	}
	return nil
}

// lacks lists what the set misses of a vector, but for banned records.
func (s *Set) lacks(v Vector) []Range {
	missing := s.Vector().Missing(v)
	for i := range missing {
		if at, ok := s.find(missing[i].Peer); ok {
			missing[i].End = min(missing[i].End, s.logs[at].ban)
		}
	}
	return slices.DeleteFunc(missing, func(m Range) bool { return m.First >= m.End })
}

// A report is what a peer's records of an epoch say about a direction.
type report struct {
	k          uint32
	peer       uint64
	sum, count int64
}

// combined is what an epoch adds to the accumulators once it is closed. For each direction the mean of each peer is combined with
// those of others, and counts once for each record.
func (r *Replica) combined(epoch uint32) []Change {
	reports := r.reports(epoch)
	generation, m := r.cfg.Generation(epoch), int64(r.cfg.Multipliers.At(epoch))
	var out []Change
	for len(reports) > 0 {
		k := reports[0].k
		n := slices.IndexFunc(reports, func(p report) bool { return p.k != k })
		if n < 0 {
			n = len(reports)
		}
		if by := r.combine(reports[:n], epoch, m); by != 0 {
			out = append(out, Change{generation, k, by})
		}
		reports = reports[n:]
	}
	return out
}

func (r *Replica) combine(reports []report, epoch uint32, m int64) int64 {
	total, records := int64(0), int64(0)
	values := make([]int64, len(reports))
	for i, p := range reports {
		total += p.sum
		records += p.count
		values[i] = floorDiv(m*p.sum, p.count)
	}
	if r.cfg.Combine.Kind == Plain {
		return m * total
	}
	return records * r.cfg.Combine.Of(values, func(i int) int {
		return Group(r.pool.Seed, reports[i].peer, epoch, r.cfg.Combine.Groups)
	})
}

// reports lists the records of a closed epoch that count, in order of directions and peers.
func (r *Replica) reports(epoch uint32) []report {
	var out []report
	clip := r.clipOf(epoch)
	for _, l := range r.set.logs {
		for _, run := range l.counted(epoch) {
			for i, b := range run.Bytes {
				k := r.cfg.Direction(r.pool, run.Peer, run.First+uint64(i), epoch)
				out = append(out, report{k, run.Peer, Value(Clip(b, clip)), 1})
			}
		}
	}
	slices.SortFunc(out, func(a, b report) int { return cmp.Or(cmp.Compare(a.k, b.k), cmp.Compare(a.peer, b.peer)) })
	n := 0
	for _, p := range out {
		if n > 0 && out[n-1].k == p.k && out[n-1].peer == p.peer {
			out[n-1].sum += p.sum
			out[n-1].count++
			continue
		}
		out[n] = p
		n++
	}
	return out[:n]
}
