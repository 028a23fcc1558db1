package scalar

import (
	"fmt"
	"math"
	"math/bits"
)

// A Config is what all peers of a run agree on. [Parse] makes it from the text in a manifest, and [Config.String] is that text again.
type Config struct {
	Family Family
	K      uint32 // directions of a pool
	Rotate uint32 // epochs after which a new pool is drawn; 0 for never

	// PerEpoch (B) is the number of records that a peer may add in an epoch, Records in all. Peers is how many peers there may ever
	// be, which membership must see to.
	PerEpoch uint32
	Records  uint64
	Peers    uint32

	// Multipliers are the learning rate of each epoch in units of Unit: a record moves each parameter by Unit · multiplier ·
	// [Value] · entry of the direction. See [Config.LR].
	Multipliers Schedule
	Unit        float64

	Exponent int      // 2^Exponent is the slope that the integer 1 stands for
	Eps      float64  // distance at which losses are measured, in standard deviations of an entry
	Clips    Schedule // largest code that is valid in each epoch

	// RunClock has the sender's clock say the epoch of a record: it may not go down along a log, and record seq needs an epoch of seq/B
	// at least. Who receives a run of an epoch that its own clock has not come near holds it back: epochs cost memory. Otherwise the
	// epoch is seq/B, which anybody can check alone.
	RunClock bool

	// Closed has the records of an epoch count when the epoch is closed, combined over peers by Combine. Otherwise each counts at
	// once and by itself.
	Closed  bool
	Combine Combine

	// Common has all peers take one direction in a step: record seq is step seq mod B of its epoch. Otherwise each has its own.
	Common bool
}

// The bounds of [Config.Validate].
const (
	maxPool       = 1 << 16
	maxStructured = 1 << 15 // a bucket and a sign are a halfword
	maxPerEpoch   = 1 << 20
	maxRecords    = 1 << 40
	maxPeers      = 1 << 20
	leastReports  = 8 // for each direction and epoch, to combine them
)

// Pool is the pool of a run.
func (c Config) Pool(seed uint64) Pool { return Pool{c.Family, c.K, seed} }

// GUnit is the slope that the integer 1 stands for.
func (c Config) GUnit() float64 { return math.Ldexp(1, c.Exponent) }

// LR is the learning rate in an epoch: a record of slope g moves the parameters by LR·g along its direction.
func (c Config) LR(epoch uint32) float64 {
	return float64(c.Multipliers.At(epoch)) * c.Unit * c.Family.Sigma() / c.GUnit()
}

// Generation is that of the pool in an epoch.
func (c Config) Generation(epoch uint32) uint32 {
	if c.Rotate == 0 {
		return 0
	}
	return epoch / c.Rotate
}

// Direction is the one that a record measured, of the pool of its epoch's generation.
func (c Config) Direction(p Pool, peer, seq uint64, epoch uint32) uint32 {
	if c.Common {
		return p.AssignCommon(epoch, uint32(seq%uint64(c.PerEpoch)))
	}
	return p.Assign(peer, seq, epoch)
}

// Coefficient is what a record adds to the accumulator of its direction.
func (c Config) Coefficient(epoch uint32, b byte) int64 {
	return int64(c.Multipliers.At(epoch)) * Value(b)
}

// Check refuses records that are not valid wherever they stand in the log of their peer. It reports the first that is not.
func (c Config) Check(r Run) error {
	if len(r.Bytes) == 0 {
		return fmt.Errorf("a run of no records")
	}
	if r.First >= c.Records || uint64(len(r.Bytes)) > c.Records-r.First {
		return fmt.Errorf("records %d to %d: a peer may add %d", r.First, r.First+uint64(len(r.Bytes))-1, c.Records)
	}
	first, last := r.First/uint64(c.PerEpoch), (r.End()-1)/uint64(c.PerEpoch)
	if c.RunClock && last > uint64(r.Epoch) || !c.RunClock && (first != uint64(r.Epoch) || last != uint64(r.Epoch)) {
		return fmt.Errorf("records %d to %d say epoch %d: they are of epochs %d to %d", r.First, r.End()-1, r.Epoch, first, last)
	}
	if len(r.Bytes) > int(c.PerEpoch) {
		return fmt.Errorf("%d records in epoch %d: a peer may add %d", len(r.Bytes), r.Epoch, c.PerEpoch)
	}
	most := byte(c.Clips.At(r.Epoch))
	for i, b := range r.Bytes {
		if !Canonical(b) {
			return fmt.Errorf("record %d is the byte 0x80, which is malformed", r.First+uint64(i))
		}
		if Code(b) > most {
			return fmt.Errorf("record %d has code %d: epoch %d clips at %d", r.First+uint64(i), Code(b), r.Epoch, most)
		}
	}
	return nil
}

// Validate refuses settings that no run should have, with the reason in one line.
func (c Config) Validate() error {
	for _, r := range c.ranges() {
		if r.is < r.least || r.is > r.most {
			return fmt.Errorf("%s=%d: want a whole number from %d to %d", r.key, r.is, r.least, r.most)
		}
	}
	switch {
	case c.Family == Structured && (c.K&(c.K-1) != 0 || c.K > maxStructured || c.K < 2):
		return fmt.Errorf("pool=%d: a structured pool has a power of two of directions, from 2 to %d", c.K, maxStructured)
	case (c.Records-1)/uint64(c.PerEpoch) > math.MaxUint32-1:
		return fmt.Errorf("records=%d in epochs of %d are more than 2^32 epochs: make epochs longer", c.Records, c.PerEpoch)
	case len(c.Multipliers) == 0 || c.Multipliers.Most() == 0:
		return fmt.Errorf("m=%s: nothing would ever be learnt", c.Multipliers)
	case len(c.Clips) == 0 || c.Clips.Most() == 0 || c.Clips.Most() > MaxCode:
		return fmt.Errorf("clip=%s: want codes up to %d, and not 0 all the time", c.Clips, MaxCode)
	case !(c.Unit >= 1e-30 && c.Unit <= 1):
		return fmt.Errorf("unit=%g: a learning rate of %g at m=%d needs a unit outside of 1e-30 to 1", c.Unit, c.LR(0), c.Multipliers.At(0))
	case !(c.Eps >= 1e-9 && c.Eps <= 1):
		return fmt.Errorf("eps=%g: want a number from 1e-9 to 1", c.Eps)
	}
	if err := c.combinable(); err != nil {
		return err
	}
	return c.bounded()
}

type limit struct {
	key             string
	is, least, most int64
}

func (c Config) ranges() []limit {
	return []limit{
		{"pool", int64(c.K), 1, maxPool},
		{"rotate", int64(c.Rotate), 0, math.MaxUint32},
		{"epoch", int64(c.PerEpoch), 1, maxPerEpoch},
		{"records", int64(min(c.Records, math.MaxInt64)), 1, maxRecords},
		{"peers", int64(c.Peers), 1, maxPeers},
		{"g", int64(c.Exponent), -40, 40},
	}
}

// combinable refuses combinations over peers that have too little to combine.
func (c Config) combinable() error {
	if c.Combine.Kind != Plain && !c.Closed {
		return fmt.Errorf("combine=%s combines the records of an epoch when it is closed: set mode=closed, or combine=none", c.Combine)
	}
	if err := c.Combine.valid(int(c.Peers)); err != nil {
		return err
	}
	if reports := uint64(c.PerEpoch) * uint64(c.Peers) / uint64(c.K); c.Combine.Kind != Plain && !c.Common && reports < leastReports {
		return fmt.Errorf("combine=%s gets about %d reports for each direction and epoch (epoch %d times peers %d over pool %d), want %d: set seeds=common, or a smaller pool",
			c.Combine, reports, c.PerEpoch, c.Peers, c.K, leastReports)
	}
	return nil
}

// bounded refuses settings under which a sum could leave 63 bits: what all peers could add to one parameter must stay below 2⁶².
func (c Config) bounded() error {
	product, over := uint64(1), false
	for _, f := range []uint64{
		uint64(c.Multipliers.Most()), uint64(magnitudes[c.Clips.Most()]), c.Records, uint64(c.Peers), uint64(c.Family.Largest()),
	} {
		high, low := bits.Mul64(product, f)
		over, product = over || high != 0, low
	}
	if over || product >= 1<<62 {
		return fmt.Errorf("sums could overflow: m %d times value %d times records %d times peers %d times entry %d is 2^62 or more: lower records, peers or m",
			c.Multipliers.Most(), magnitudes[c.Clips.Most()], c.Records, c.Peers, c.Family.Largest())
	}
	return nil
}

// MostClosing is how many peers can close epochs together: all of them, and as many bans, are listed in what they agree on.
const MostClosing = 512

// Runs refuses settings with which replicas work, and nodes do not: those of epochs that are closed.
func (c Config) Runs() error {
	switch {
	case c.Closed && !c.RunClock:
		return fmt.Errorf("mode=closed with clock=seq: who has missed an epoch could never add to the one that is open; leave clock out")
	case c.RunClock && !c.Closed:
		return fmt.Errorf("clock=run with mode=open: a run has no clock but the epochs that are closed; leave clock out")
	case c.Closed && c.Peers > MostClosing:
		return fmt.Errorf("mode=closed with peers=%d: more than two thirds of these close the first epoch, and there can be %d; say how many take part", c.Peers, MostClosing)
	}
	return nil
}

// Founders is how many peers must add records to the first epoch, in closed mode, before it can be closed: more than two thirds of all that
// there may be.
func (c Config) Founders() int { return int(2*uint64(c.Peers)/3) + 1 }
