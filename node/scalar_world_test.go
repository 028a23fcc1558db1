package node

import (
	"container/heap"
	"crypto/ed25519"
	"encoding/binary"
	"flag"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starling/gossip"
	"starling/mixing/scalar"
)

var (
	scalarSeed  = flag.Uint64("scalar.seed", 0, "run TestNodesEndWithEqualSums with this seed alone")
	scalarSeeds = flag.Uint64("scalar.seeds", everyday, "run it with so many seeds")
)

// everyday is how many seeds are run if nobody asks for more.
const everyday = 12

// A scalarWorld is several cores and what lies between them: messages are sealed and opened, get lost, come late and twice.
type scalarWorld struct {
	t     *testing.T
	rand  *rand.Rand
	now   Instant
	queue worldQueue
	count int
	nodes []*worldNode
	loss  float64
	spec  string  // of the run
	batch int     // records
	pace  Instant // of a probe, at most
	every Instant // between exchanges
	lag   Instant // of a message, at most
	cut   bool    // between nodes of even and odd number
	keep  int     // batches of an author; 0 is as many as usual
	bytes int
	lists int // vectors that were sent
	notes map[StatKind]int

	closedAs map[uint32][32]byte // digests of closings, by epoch
}

type worldNode struct {
	key   ed25519.PrivateKey
	id    PeerID
	core  *Core // nil while it is down
	life  int
	store map[string][]byte
	saved State
	model map[[2]uint32]int64 // what the driver's model was told
	wake  Instant
	open  uint32 // epoch
}

type worldEvent struct {
	at    Instant
	order int
	do    func()
}

type worldQueue []worldEvent

func (q worldQueue) Len() int { return len(q) }
func (q worldQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q worldQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *worldQueue) Push(x any)   { *q = append(*q, x.(worldEvent)) }
func (q *worldQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func newScalarWorld(t *testing.T, seed uint64, nodes int) *scalarWorld {
	w := &scalarWorld{t: t, rand: rand.New(rand.NewPCG(seed, 5)), loss: 0.3, notes: make(map[StatKind]int)}
	w.spec, w.batch, w.pace, w.every, w.lag = "structured:pool=64,epoch=32,rotate=4,records=4096", 8, Second/5, Second, 2*Second
	for range nodes {
		var s [ed25519.SeedSize]byte
		binary.LittleEndian.PutUint64(s[:], w.rand.Uint64())
		n := &worldNode{key: ed25519.NewKeyFromSeed(s[:]), store: make(map[string][]byte)}
		n.id = gossip.Ed25519Signer(n.key).ID()
		w.nodes = append(w.nodes, n)
	}
	return w
}

func (w *scalarWorld) after(d Instant, do func()) {
	w.count++
	heap.Push(&w.queue, worldEvent{w.now + d, w.count, do})
}

func (w *scalarWorld) delay(most Instant) Instant { return 1 + Instant(w.rand.Int64N(int64(most))) }

// until runs the world up to a time.
func (w *scalarWorld) until(at Instant) {
	for steps := 0; len(w.queue) > 0 && w.queue[0].at <= at; steps++ {
		if steps > 3_000_000 {
			w.t.Fatal("the nodes never rest")
		}
		e := heap.Pop(&w.queue).(worldEvent)
		w.now = e.at
		e.do()
	}
	w.now = at
}

func scalarTestConfig(t *testing.T, spec string) scalar.Config {
	cfg, err := scalar.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (w *scalarWorld) boot(n *worldNode) {
	cfg := testConfig(n.id)
	cfg.Method, cfg.Rand = "scalar", rand.New(rand.NewPCG(w.rand.Uint64(), 1))
	cfg.Scalar = ScalarConfig{
		Config: scalarTestConfig(w.t, w.spec), RunSeed: 7, Batch: w.batch, ExchangeEvery: w.every, SaveEvery: 5,
	}
	for _, key := range slices.Sorted(maps.Keys(n.store)) {
		if strings.HasPrefix(key, ScalarKey) {
			cfg.Scalar.Log = append(cfg.Scalar.Log, Record{Key: key, Value: n.store[key]})
		}
	}
	if v := n.store[SeqKey]; v != nil {
		cfg.Seq = binary.BigEndian.Uint64(v)
	}
	from := n.saved
	from.Params, from.Opt = 1, 2
	core, err := New(cfg, from)
	if err != nil {
		w.t.Fatal(err)
	}
	n.core, n.model, n.wake, n.open = core, make(map[[2]uint32]int64), 0, 0
	n.life++
	if w.keep > 0 {
		n.method().kept.ofAuthor = w.keep
	}
	w.step(n, Tick{})
	for _, o := range w.nodes {
		if o != n && o.core != nil {
			w.step(n, PeerUp{o.id})
			w.step(o, PeerUp{n.id})
		}
	}
}

func (w *scalarWorld) crash(n *worldNode) {
	n.core = nil
	n.life++
	for _, o := range w.nodes {
		if o.core != nil {
			w.step(o, PeerDown{n.id})
		}
	}
}

// later steps a node if it still lives then.
func (w *scalarWorld) later(n *worldNode, d Instant, ev Event) {
	life := n.life
	w.after(d, func() {
		if n.life == life && n.core != nil {
			w.step(n, ev)
		}
	})
}

func (w *scalarWorld) step(n *worldNode, ev Event) {
	b := n.core.Step(w.now, ev)
	w.noteClosed(n)
	for _, r := range b.Persist {
		if len(r.Value) == 0 {
			delete(n.store, r.Key)
		} else {
			n.store[r.Key] = slices.Clone(r.Value)
		}
	}
	for _, m := range b.Publish {
		raw := w.seal(n, m)
		for _, o := range w.nodes {
			w.carry(n, o, raw, false)
		}
	}
	for _, e := range b.Send {
		msg := *e.Msg
		if k, ok := msg.Body.(*gossip.Known); ok && k.Form == gossip.FormVector {
			w.lists++
		}
		if _, ok := msg.Body.(*gossip.Repair); ok {
			r := &gossip.Repair{}
			for _, m := range e.Forward {
				r.Messages = append(r.Messages, w.seal(n, m))
			}
			msg.Body = r
		}
		sealed, err := gossip.Seal(&msg, gossip.Ed25519Signer(n.key))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range w.nodes {
			if o.id == e.To {
				w.carry(n, o, sealed.Raw, true)
			}
		}
	}
	for _, st := range b.Observe {
		w.notes[st.Kind]++
	}
	for _, c := range b.Apply {
		n.model[[2]uint32{c.Generation, c.K}] += c.By
	}
	for _, j := range b.Probe {
		slope := w.rand.NormFloat64()
		if w.rand.IntN(50) == 0 {
			slope = math.NaN()
		}
		w.later(n, w.delay(w.pace), Probed{Job: j.Job, Slope: slope, Loss: 1, Samples: 8})
	}
	for _, j := range b.Save {
		life := n.life
		state := j.State
		w.after(w.delay(Second), func() {
			if n.life == life && n.core != nil {
				n.saved = state
				w.step(n, Saved{Job: j.Job})
			}
		})
	}
	if at, ok := n.core.Wake(); ok && at != n.wake {
		n.wake = at
		life := n.life
		w.after(max(1, at-w.now), func() {
			if n.life == life && n.core != nil && n.wake == at {
				n.wake = 0
				w.step(n, Tick{})
			}
		})
	}
}

func (w *scalarWorld) seal(n *worldNode, m *gossip.Message) []byte {
	if m.Raw != nil {
		return m.Raw
	}
	sealed, err := gossip.Seal(m, gossip.Ed25519Signer(n.key))
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed.Raw
}

// carry has a message come to a node, or not.
func (w *scalarWorld) carry(from, to *worldNode, raw []byte, direct bool) {
	if from == to || to.core == nil || w.cut && (slices.Index(w.nodes, from)^slices.Index(w.nodes, to))&1 != 0 {
		return
	}
	w.bytes += len(raw)
	for w.rand.Float64() >= w.loss {
		life := to.life
		w.after(w.delay(w.lag), func() {
			if to.life == life && to.core != nil {
				w.arrive(from, to, raw, direct)
			}
		})
		if w.rand.Float64() > 0.1 { // else it comes twice
			return
		}
	}
}

func (w *scalarWorld) arrive(from, to *worldNode, raw []byte, direct bool) {
	m, v := gossip.Open(raw, gossip.DefaultLimits(), gossip.Ed25519Verifier{})
	if direct {
		m, v = gossip.OpenDirect(raw, from.id, gossip.DefaultLimits())
	}
	if v.Decision != gossip.Accept {
		w.t.Fatalf("a node sends what does not open: %v", v)
	}
	if v := to.core.Check(m); v.Decision != gossip.Accept {
		if v.Decision == gossip.Reject {
			w.t.Fatalf("a node sends what is rejected: %v %T", v, m.Body)
		}
		return
	}
	if r, ok := m.Body.(*gossip.Repair); ok {
		for _, inner := range r.Messages {
			w.arrive(from, to, inner, false)
		}
		return
	}
	w.step(to, Received{From: from.id, Msg: m})
}

func (n *worldNode) method() *scalarMethod { return n.core.method.(*scalarMethod) }

// told checks that the driver's model, told what is left to be told, is what the sums say.
func (n *worldNode) told(t *testing.T) {
	s := n.method()
	for _, c := range append(s.changes, s.replica.Take()...) {
		n.model[[2]uint32{c.Generation, c.K}] += c.By
	}
	s.changes = nil
	for at, a := range n.model {
		sums, _ := s.replica.Sums().Of(at[0])
		if sums == nil && a != 0 || sums != nil && sums[at[1]] != a {
			t.Errorf("the model has %d in direction %v, and the sums are others", a, at)
			return
		}
	}
	for _, row := range s.replica.Sums().Generations() {
		for k, a := range row.A {
			if n.model[[2]uint32{row.Generation, uint32(k)}] != a {
				t.Errorf("the model has not been told of direction %d", k)
				return
			}
		}
	}
}

// rest has all nodes be there for a while, pause, and then tell each other what there is, of which nothing gets lost any more.
func (w *scalarWorld) rest(quiet Instant) {
	for _, n := range w.nodes {
		if n.core == nil {
			w.boot(n)
		}
	}
	w.until(w.now + 10*Second)
	for _, n := range w.nodes {
		w.step(n, Command{Pause})
	}
	w.loss = 0
	w.until(w.now + quiet)
}
