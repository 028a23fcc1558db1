package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"starling/gossip"
)

// SeqKey is the key of the Record that holds the sequence number of the node's newest broadcast message, 8 bytes
// big-endian. A driver reads it back into [Config.Seq].
const SeqKey = "seq"

// Config is what a Core is built from. All nodes of a run agree on everything above the line.
type Config struct {
	Run     gossip.RunID
	Method  string        // "average", "outer", "scalar" or "walk"
	Average AverageConfig // for the method average
	Outer   OuterConfig   // for the method outer
	Scalar  ScalarConfig  // for the method scalar
	Walk    WalkConfig    // for the method walk

	Codec      string // canonical name of the run's codec; updates in another one are rejected
	Len        int    // length of the run's vectors in floats
	OptLen     int    // length of the optimizer's state in floats
	Tensors    int    // tensors in the layout
	MaxPayload uint64 // largest encoded vector, in bytes
	Feedback   bool   // the codec loses the same whatever the seed: what it loses is worth keeping

	// Cells is how many cells the run is divided into: broadcasts stay within the cell of their author. 0 and 1 are one.
	Cells uint32

	// ---- what may differ from node to node ----

	Self PeerID
	Seq  uint64     // sequence number of the newest message that was ever persisted; 0 for a new node
	Rand *rand.Rand // the node's own stream

	// AnnounceEvery is the shortest time between two announcements. A node whose rounds are quicker makes them longer, by
	// more local steps: gossip is for rounds of a second, not for a flood. 0 announces every round.
	AnnounceEvery Instant

	Paused bool // begin as if Pause had been commanded

	// RepairEvery is the mean interval between two digest exchanges with a random peer. It bounds how long a node can
	// miss what gossip lost, and costs 40 bytes for each member of the run. Default 10 s.
	RepairEvery Instant

	// Batch is the memory of the batches that Step returns. Cores that are stepped one after the other may share one: what a step
	// of one returns is then valid until the next step of any. Default is one for this core alone.
	Batch *Batch

	// MaxMembers bounds the roster, and so the memory that strangers can claim. When it is full the member not heard
	// from for longest gives way. Default 4096.
	MaxMembers int
}

func (c *Config) setDefaults() {
	if c.RepairEvery == 0 {
		c.RepairEvery = 10 * Second
	}
	if c.MaxMembers == 0 {
		c.MaxMembers = 4096
	}
	if c.Batch == nil {
		c.Batch = new(Batch)
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Rand == nil {
		errs = append(errs, errors.New("no random stream (Rand)"))
	}
	if c.Len <= 0 {
		errs = append(errs, fmt.Errorf("vectors of length %d (Len): a run needs a vector to train", c.Len))
	}
	if c.RepairEvery < 0 {
		errs = append(errs, fmt.Errorf("repair every %d ns (RepairEvery): must be positive", c.RepairEvery))
	}
	if c.MaxMembers < 0 {
		errs = append(errs, fmt.Errorf("at most %d members (MaxMembers): must be positive", c.MaxMembers))
	}
	return errors.Join(errs...)
}

// Core is one node's part in a run. It is not safe for concurrent use, but for Check.
type Core struct {
	cfg    Config
	now    Instant
	seq    uint64
	method Method
	shares sharer // method, if it has messages of its own; else nil

	roster roster
	ownSeq atomic.Uint64 // seq, for Check

	cell atomic.Uint64 // epoch<<32 | cell, for Check

	started bool
	mode    mode
	sent    sentLog

	lastRef VecRef
	lastJob JobID

	repairs  bool    // broadcasts that gossip has lost are fetched from others
	repairAt Instant // next digest exchange; 0 is none
	greeted  int     // digests sent to peers that came up since the last exchange
	alarmAt  Instant // what the method asked for; 0 is none

	out *Batch
}

// scratch is memory that the core uses again, of what lives as long as a batch or shorter.
type scratch struct {
	values []byte     // of Persist
	inputs []MixInput // of Mix
	ages   []uint64
	slots  []*slot // unused ones
}

type mode uint8

const (
	running mode = iota
	pausing      // no new training; Pause can be taken back
	leaving      // saving for the last time
	left
)

// New returns a core that will go on from the given state, whose vectors the driver already holds; fresh nodes get the
// initial model as a state of round 0. References from the state must be non-zero. The first Step starts the work.
func New(cfg Config, from State) (*Core, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("node config: %w", err)
	}
	if from.Params == 0 || from.Opt == 0 {
		return nil, errors.New("node config: the state names no vectors")
	}
	c := &Core{cfg: cfg, out: cfg.Batch, seq: cfg.Seq, lastRef: max(from.Params, from.Opt)}
	for _, v := range from.Vectors {
		c.lastRef = max(c.lastRef, v.Vec)
	}
	if cfg.Paused {
		c.mode = pausing
	}
	c.ownSeq.Store(c.seq)
	c.repairs = cfg.Average.Exchange != Push && cfg.Average.Exchange != Copies && cfg.Method != "scalar"
	c.roster.seed = cfg.Rand.Uint64()
	c.roster.rebuild(0, nil)
	c.cell.Store(uint64(gossip.Cell(cfg.Self, 0, cfg.Cells)))
	switch {
	case cfg.Method == "average" && cfg.Average.Exchange == Copies:
		m, err := newCopies(&c.cfg, from)
		if err != nil {
			return nil, fmt.Errorf("method average: %w", err)
		}
		c.method = m
	case cfg.Method == "average":
		m, err := newAverage(&c.cfg, from)
		if err != nil {
			return nil, fmt.Errorf("method average: %w", err)
		}
		c.method = m
	case cfg.Method == "outer":
		m, err := newOuter(cfg, from)
		if err != nil {
			return nil, fmt.Errorf("method outer: %w", err)
		}
		c.method = m
	case cfg.Method == "scalar":
		m, err := newScalar(&c.cfg, from)
		if err != nil {
			return nil, fmt.Errorf("method scalar: %w", err)
		}
		c.method, c.shares = m, m
	case cfg.Method == "walk":
		m, err := newWalk(&c.cfg, from)
		if err != nil {
			return nil, fmt.Errorf("method walk: %w", err)
		}
		c.method, c.shares = m, m
	default:
		return nil, fmt.Errorf("node config: unknown method %q; this build has average, outer, scalar and walk", cfg.Method)
	}
	return c, nil
}

// Step applies one event and returns what must happen because of it. Equal (state, now, event) give equal batches on
// every platform. It must not be called concurrently. Time never goes back: an earlier now counts as the latest one
// seen.
func (c *Core) Step(now Instant, ev Event) *Batch {
	c.now = max(c.now, now)
	c.resetBatch()
	if c.mode == left {
		c.out.Done = true
		return c.out
	}
	if !c.started {
		c.started = true
		if c.repairs {
			c.scheduleRepair()
		}
		c.method.start(c)
	}
	switch ev := ev.(type) {
	case Tick:
	case Received:
		c.received(ev.From, ev.Msg)
	case PeerUp:
		c.peerUp(ev.Peer)
	case PeerDown:
		if m := c.roster.find(ev.Peer); m != nil {
			m.up = false
		}
	case Epoch:
		c.enter(ev.Number)
	case Command:
		c.command(ev.Op)
	default:
		c.method.done(c, ev)
	}
	if c.alarmAt != 0 && c.now >= c.alarmAt {
		c.alarmAt = 0
		c.method.wake(c)
	}
	if c.repairAt != 0 && c.now >= c.repairAt {
		c.repairWithRandomPeer()
		c.scheduleRepair()
	}
	return c.out
}

// Wake reports when Step(now, Tick{}) is next due. There is always at most one such instant, and each Step replaces it.
func (c *Core) Wake() (Instant, bool) {
	if !c.started || c.mode == left {
		return 0, false
	}
	at := c.repairAt
	if c.alarmAt != 0 && (at == 0 || c.alarmAt < at) {
		at = c.alarmAt
	}
	return at, at != 0
}

func (c *Core) resetBatch() {
	b := c.out
	b.Persist, b.values = b.Persist[:0], b.values[:0]
	b.inputs = b.inputs[:0]
	b.Publish = b.Publish[:0]
	b.Send = b.Send[:0]
	b.Fetch = b.Fetch[:0]
	b.Train = b.Train[:0]
	b.Mix = b.Mix[:0]
	b.Encode = b.Encode[:0]
	b.Apply = b.Apply[:0]
	b.Probe = b.Probe[:0]
	b.Check = b.Check[:0]
	b.Evaluate = b.Evaluate[:0]
	b.Save = b.Save[:0]
	b.Release = b.Release[:0]
	b.Score = b.Score[:0]
	b.Observe = b.Observe[:0]
	b.Cell = nil
	b.Done = false
}

func (c *Core) received(from PeerID, msg *gossip.Message) {
	if msg.Author == c.cfg.Self {
		c.meetSelf(msg)
		switch msg.Body.(type) {
		case *gossip.Records, *gossip.Ballot, *gossip.Offer:
			if c.shares != nil {
				c.shares.received(c, from, msg)
			}
		}
		return
	}
	switch body := msg.Body.(type) {
	case *gossip.Digest:
		if c.repairs {
			c.answerDigest(from, body)
		}
	case *gossip.Update:
		m := c.admit(msg, false)
		if m == nil {
			return
		}
		if m.update != nil {
			m.observeInterval(c.now - m.heardAt)
		}
		m.update, m.heardAt, m.gone = body, c.now, false
		m.round, m.age, m.loss = body.Round, body.Age, body.Loss
		m.accepted++
		c.sent.credit(c.cfg.Self, body.Mixed, body.Refused)
		c.method.heard(c, m)
	case *gossip.Delta:
		m := c.admit(msg, true)
		if m == nil {
			return
		}
		m.gone = false
		m.accepted++
		mixed := body.Mixed
		if body.Part == gossip.PartMean {
			mixed = m.credited.untold(c.cfg.Self, mixed)
		}
		if body.Part != gossip.PartState { // which says nothing of messages
			c.sent.credit(c.cfg.Self, mixed, body.Refused)
		}
		c.method.delta(c, m, msg.Seq, body)
	case *gossip.Request:
		c.method.asked(c, from, body)
	case *gossip.Records, *gossip.Proof, *gossip.Known, *gossip.Fetch, *gossip.Snapshot, *gossip.Ballot, *gossip.Certificate, *gossip.Challenge,
		*gossip.Basis, *gossip.Standing, *gossip.Token, *gossip.Offer, *gossip.Hand, *gossip.Beat:
		if c.shares != nil {
			c.shares.received(c, from, msg)
		}
	case *gossip.Leave:
		if m := c.admit(msg, false); m != nil {
			m.update, m.gone = nil, true
			c.observe(Stat{Kind: StatLeft, Peer: m.id})
		}
	}
	// A Repair does not come here: the driver opens and checks what is in it, message by message.
}

// admit returns the member that wrote msg and takes note of msg, or nil if msg is not newer than what is known; or, with late, if it
// was there before. Check has said so before, but two copies can pass Check before the first of them is applied.
func (c *Core) admit(msg *gossip.Message, late bool) *member {
	m := c.member(msg.Author)
	newest := m.seq.Load()
	switch {
	case msg.Seq > newest:
		if c.repairs {
			m.last = msg
		}
		m.seen.Store(m.seen.Load()<<(msg.Seq-newest) | 1)
		m.seq.Store(msg.Seq)
	case late && m.late(msg.Seq):
		m.seen.Or(1 << (newest - msg.Seq))
	default:
		return nil
	}
	return m
}

// meetSelf takes a message that this node has signed and does not remember: its home was restored from a backup, or the
// same key runs elsewhere. Others would ignore its next messages as old, so it numbers them from there on.
func (c *Core) meetSelf(msg *gossip.Message) {
	if msg.Seq <= c.seq {
		return
	}
	c.seq = msg.Seq
	c.ownSeq.Store(c.seq)
	c.persistSeq()
	c.observe(Stat{Kind: StatForgotten, Value: float64(msg.Seq)})
}

func (c *Core) persistSeq() {
	from := len(c.out.values)
	c.out.values = binary.BigEndian.AppendUint64(c.out.values, c.seq)
	c.out.Persist = append(c.out.Persist, Record{Key: SeqKey, Value: c.out.values[from:]})
}

func (c *Core) peerUp(id PeerID) {
	if id == c.cfg.Self {
		return
	}
	m := c.member(id)
	m.up = true
	if m.heardAt == 0 {
		m.heardAt = c.now
	}
	if c.repairs && c.greeted < maxGreeted {
		// A newcomer learns the state of the run from the first peers it meets, not from the next broadcasts. One that meets
		// everybody at once, at the start or in a new cell, needs to be told only once or twice.
		c.greeted++
		c.sendDigest(id, false)
	}
	if c.shares != nil {
		c.shares.met(c, id)
	}
}

// enter moves the node to its cell of another epoch. Who is not in it, too, is heard of no more: what it announced last is
// forgotten, so that the node does not ask for vectors of a former cell, and its sequence number is kept.
func (c *Core) enter(epoch uint64) {
	if c.cfg.Cells <= 1 || epoch <= c.cell.Load()>>32 {
		return
	}
	cell := gossip.Cell(c.cfg.Self, epoch, c.cfg.Cells)
	c.cell.Store(epoch<<32 | uint64(cell))
	c.greeted = 0
	for _, m := range c.roster.sorted() {
		if gossip.Cell(m.id, epoch, c.cfg.Cells) != cell {
			m.up, m.update, m.last = false, nil, nil
		}
	}
	c.out.Cell = &cell
	c.observe(Stat{Kind: StatCell, Value: float64(cell)})
}

// sameCell reports whether broadcasts of the peer belong into this node's cell.
func (c *Core) sameCell(p PeerID) bool {
	if c.cfg.Cells <= 1 {
		return true
	}
	now := c.cell.Load()
	return gossip.Cell(p, now>>32, c.cfg.Cells) == uint32(now)
}

func (c *Core) command(op Op) {
	switch {
	case op == Pause && c.mode == running:
		c.mode = pausing
	case op == Resume && c.mode == pausing:
		c.mode = running
	case op == Leave && c.mode < leaving:
		c.mode = leaving
	default:
		return
	}
	c.method.paused(c)
}

// number gives out the next sequence number and makes it durable.
func (c *Core) number() uint64 {
	c.seq++
	c.ownSeq.Store(c.seq)
	c.persistSeq()
	return c.seq
}

// publish numbers a broadcast message and sends it.
func (c *Core) publish(body gossip.Body) uint64 {
	msg := c.broadcast(body)
	c.out.Publish = append(c.out.Publish, msg)
	return msg.Seq
}

// broadcast numbers a message of this node to all.
func (c *Core) broadcast(body gossip.Body) *gossip.Message {
	c.number()
	c.roster.own = &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: c.seq, Body: body}
	return c.roster.own
}

// finish ends the core's work: called by the method when a leaving node has nothing left to save.
func (c *Core) finish() {
	c.publish(&gossip.Leave{})
	c.mode = left
	c.out.Done = true
}

// State returns what a checkpoint of this moment would hold. It must not be called concurrently with Step.
func (c *Core) State() State { return c.method.state() }

func (c *Core) newRef() VecRef {
	c.lastRef++
	return c.lastRef
}

func (c *Core) newJob() JobID {
	c.lastJob++
	return c.lastJob
}

func (c *Core) release(ref VecRef) {
	if ref != 0 {
		c.out.Release = append(c.out.Release, ref)
	}
}

func (c *Core) observe(s Stat) { c.out.Observe = append(c.out.Observe, s) }

// alarm asks for Method.wake at the given instant, in place of any earlier wish.
func (c *Core) alarm(at Instant) { c.alarmAt = at }
