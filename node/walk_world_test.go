package node

import (
	"container/heap"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starling/gossip"
	"starling/mixing/srrw"
)

// A walkWorld is several cores that hand tokens over, and what lies between them: messages get lost, come late and twice, and nodes die at
// any step.
type walkWorld struct {
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	now   Instant
	queue worldQueue
	count int
	nodes []*walkNode
	loss  float64
	crash float64 // chance, each time that a node hears or says something of a hand-over
	lag   Instant // of a message, at most
	cut   int     // 0: nothing; else nodes below and from this number on cannot talk
	walk  WalkConfig
	notes map[StatKind]int

	visited map[uint32]map[spot]int // who has trained a token where
	holders map[uint32][]int        // of the life that counts, the last of each node, oldest first
	highest map[uint32]gossip.Fence
	blobs   map[gossip.BlobID]walkBlob
	log     []string
}

type walkBlob struct {
	owner *walkNode
	life  int
	value float64
}

type walkNode struct {
	number  int
	key     ed25519.PrivateKey
	id      PeerID
	core    *Core // nil while it is down
	life    int
	dead    bool // for good
	store   map[string][]byte
	saved   State
	files   map[VecRef]float64 // of saved
	vectors map[VecRef]float64
	wake    Instant
}

func newWalkWorld(t *testing.T, seed uint64, nodes int) *walkWorld {
	w := &walkWorld{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 6)), loss: 0.3, lag: Second / 3, notes: make(map[StatKind]int),
		visited: make(map[uint32]map[spot]int), holders: make(map[uint32][]int), highest: make(map[uint32]gossip.Fence),
		blobs: make(map[gossip.BlobID]walkBlob),
	}
	w.walk = WalkConfig{
		Config: srrw.Default(), Tokens: 2, Steps: 2, BeatEvery: 2 * Second, NewsEvery: Second, CreateAfter: 2 * Second, LostAfter: 8 * Second,
		ModelEvery: 20 * Second, SaveEvery: 3, EvaluateEvery: 5,
	}
	for i := range nodes {
		var s [ed25519.SeedSize]byte
		binary.LittleEndian.PutUint64(s[:], w.rand.Uint64())
		n := &walkNode{number: i, key: ed25519.NewKeyFromSeed(s[:]), store: make(map[string][]byte), files: map[VecRef]float64{1: 1, 2: 0}}
		n.id = gossip.Ed25519Signer(n.key).ID()
		n.saved = State{Params: 1, Opt: 2}
		w.nodes = append(w.nodes, n)
	}
	return w
}

func (w *walkWorld) fatal(format string, args ...any) {
	w.t.Helper()
	from := max(0, len(w.log)-*walkLog)
	w.t.Fatalf("%s\n%s\nrepeat it with: go test ./node -run '^TestTokensSurvive$' -walk.seed %d", fmt.Sprintf(format, args...),
		strings.Join(w.log[from:], "\n"), w.seed)
}

func (w *walkWorld) note(n *walkNode, format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%7.3f node %d: %s", w.now.Seconds(), n.number, fmt.Sprintf(format, args...)))
	if len(w.log) > 4000 {
		w.log = slices.Delete(w.log, 0, 3000)
	}
}

func (w *walkWorld) after(d Instant, do func()) {
	w.count++
	heap.Push(&w.queue, worldEvent{w.now + d, w.count, do})
}

func (w *walkWorld) delay(most Instant) Instant { return 1 + Instant(w.rand.Int64N(int64(most))) }

// until runs the world up to a time.
func (w *walkWorld) until(at Instant) {
	for steps := 0; len(w.queue) > 0 && w.queue[0].at <= at; steps++ {
		if steps > 1_000_000 {
			w.fatal("the nodes never rest")
		}
		e := heap.Pop(&w.queue).(worldEvent)
		w.now = e.at
		e.do()
	}
	w.now = at
}

// walkKept returns what was persisted of tokens, and the number of the newest message.
func walkKept(store map[string][]byte) (log []Record, seq uint64) {
	for _, key := range slices.Sorted(maps.Keys(store)) {
		if strings.HasPrefix(key, WalkKey) {
			log = append(log, Record{Key: key, Value: store[key]})
		}
	}
	if v := store[SeqKey]; v != nil {
		seq = binary.BigEndian.Uint64(v)
	}
	return log, seq
}

func (w *walkWorld) boot(n *walkNode) {
	cfg := testConfig(n.id)
	cfg.Method, cfg.Rand, cfg.Walk, cfg.RepairEvery = "walk", rand.New(rand.NewPCG(w.rand.Uint64(), 1)), w.walk, 4*Second
	cfg.OptLen = 1
	cfg.Walk.Log, cfg.Seq = walkKept(n.store)
	// A driver gives the vectors of a checkpoint new names.
	from := n.saved
	from.Params, from.Opt = 1, 2
	n.vectors = map[VecRef]float64{1: n.files[n.saved.Params], 2: n.files[n.saved.Opt]}
	from.Vectors = slices.Clone(from.Vectors)
	for i := range from.Vectors {
		n.vectors[VecRef(3+i)] = n.files[from.Vectors[i].Vec]
		from.Vectors[i].Vec = VecRef(3 + i)
	}
	core, err := New(cfg, from)
	if err != nil {
		w.fatal("%v", err)
	}
	n.core, n.wake = core, 0
	n.life++
	w.note(n, "boots")
	w.undo(n)
	w.step(n, Tick{})
	for _, o := range w.nodes {
		if o != n && o.core != nil && !w.apart(n, o) && n.core != nil {
			w.step(n, PeerUp{o.id})
			if o.core != nil {
				w.step(o, PeerUp{n.id})
			}
		}
	}
}

// undo forgets visits that a token has made at a node on end, and of which nothing was durable when it died: they are made again.
func (w *walkWorld) undo(n *walkNode) {
	for _, v := range n.method().views {
		var from spot
		switch cp, in := v.own, v.coming; {
		case in != nil && in.offerName == v.took:
			from = spot{in.offer.Fence, in.offer.Hop + 1}
		case cp != nil && cp.life == live:
			from = cp.spot
		}
		if !v.gave.includes(from) {
			maps.DeleteFunc(w.visited[v.number], func(s spot, who int) bool { return s.fence == from.fence && s.hop > from.hop && who == n.number })
		}
	}
}

func (w *walkWorld) apart(a, b *walkNode) bool {
	return w.cut != 0 && (a.number < w.cut) != (b.number < w.cut)
}

// split parts the nodes below a number from the others, or, with 0, heals that.
func (w *walkWorld) split(at int) {
	was := w.cut
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			w.cut = was
			before := w.apart(a, b)
			w.cut = at
			now := w.apart(a, b)
			if before == now || a.core == nil || b.core == nil {
				continue
			}
			if now {
				w.step(a, PeerDown{b.id})
			} else {
				w.step(a, PeerUp{b.id})
			}
		}
	}
	w.cut = at
}

func (w *walkWorld) kill(n *walkNode) {
	w.note(n, "dies")
	n.core = nil
	n.life++
	for _, o := range w.nodes {
		if o.core != nil && !w.apart(n, o) {
			w.step(o, PeerDown{n.id})
		}
	}
}

// later steps a node if it still lives then.
func (w *walkWorld) later(n *walkNode, d Instant, do func()) {
	life := n.life
	w.after(d, func() {
		if n.life == life && n.core != nil {
			do()
		}
	})
}

func (w *walkWorld) event(n *walkNode, d Instant, ev Event) { w.later(n, d, func() { w.step(n, ev) }) }

// touches reports whether a step is one of a hand-over.
func touches(ev Event, b *Batch) bool {
	if r, ok := ev.(Received); ok {
		switch r.Msg.Body.(type) {
		case *gossip.Offer, *gossip.Hand:
			return true
		}
	}
	for _, e := range b.Send {
		switch e.Msg.Body.(type) {
		case *gossip.Hand:
			return true
		}
	}
	if _, ok := ev.(Saved); ok {
		return true
	}
	return len(b.Save) > 0
}

func (w *walkWorld) step(n *walkNode, ev Event) {
	b := n.core.Step(w.now, ev)
	when := 3
	if w.crash > 0 && touches(ev, b) && w.rand.Float64() < w.crash {
		when = w.rand.IntN(3) // before anything is durable, before anything is sent, after that
	}
	if when == 0 {
		w.goDown(n)
		return
	}
	for _, r := range b.Persist {
		n.store[r.Key] = slices.Clone(r.Value)
	}
	if when == 1 {
		w.goDown(n)
		return
	}
	w.check(n)
	w.carryOut(n, b)
	if when == 2 {
		w.goDown(n)
	}
}

// goDown ends a node that comes back in a while, unless it may stay away.
func (w *walkWorld) goDown(n *walkNode) {
	w.kill(n)
	if w.rand.IntN(6) == 0 && w.mayDie(n) && w.alive() > 4 {
		w.note(n, "stays dead")
		n.dead = true
		return
	}
	w.after(w.delay(10*Second), func() {
		if n.core == nil {
			w.boot(n)
		}
	})
}

func (w *walkWorld) alive() int {
	k := 0
	for _, n := range w.nodes {
		if !n.dead {
			k++
		}
	}
	return k
}

func (n *walkNode) value(w *walkWorld, ref VecRef) float64 {
	v, ok := n.vectors[ref]
	if !ok {
		w.fatal("node %d uses vector %d, which is not there", n.number, ref)
	}
	return v
}

func (w *walkWorld) put(n *walkNode, ref VecRef, v float64) {
	if _, ok := n.vectors[ref]; ok || ref == 0 {
		w.fatal("node %d makes vector %d twice", n.number, ref)
	}
	n.vectors[ref] = v
}

func (w *walkWorld) carryOut(n *walkNode, b *Batch) {
	for _, m := range b.Publish {
		for _, o := range w.nodes {
			w.carry(n, o, m)
		}
	}
	for _, e := range b.Send {
		for _, o := range w.nodes {
			if o.id == e.To {
				w.carry(n, o, append([]*gossip.Message{e.Msg}, e.Forward...)...)
			}
		}
	}
	for _, st := range b.Observe {
		w.notes[st.Kind]++
		switch st.Kind {
		case StatTrained, StatJoined, StatPublished, StatSaved, StatEvaluated, StatRepaired:
		default:
			w.note(n, "%s %v %d %s", st.Kind, st.Value, st.Round, st.Text)
		}
		if st.Kind == StatCreated && st.Round > 0 {
			w.fatal("node %d begins token %v anew, which is lost for good", n.number, st.Value)
		}
	}
	for _, m := range b.Score {
		if m.Score < 0 {
			w.fatal("node %d distrusts an honest peer: %s", n.number, m.Why)
		}
	}
	for _, j := range b.Fetch {
		w.fetch(n, j)
	}
	for _, j := range b.Train {
		v := n.value(w, j.Params) + float64(j.Steps)
		n.value(w, j.Opt)
		w.put(n, j.Out, v)
		w.put(n, j.OutOpt, 0)
		w.event(n, w.delay(Second/4), Trained{Job: j.Job, Steps: j.Steps, Samples: 8, Loss: 1})
	}
	for _, j := range b.Mix {
		terms := j.Terms
		for _, s := range j.Spans {
			terms = append(terms, s.Terms...)
		}
		v := 0.0
		for _, t := range terms {
			v += float64(t.Coef * n.value(w, t.Vec))
		}
		w.put(n, j.Out, v)
		w.event(n, w.delay(Second/20), Mixed{Job: j.Job})
	}
	for _, j := range b.Encode {
		w.count++
		p := gossip.Piece{Size: 16}
		binary.BigEndian.PutUint64(p.Blob[:], uint64(w.count))
		w.blobs[p.Blob] = walkBlob{n, n.life, n.value(w, j.Vec)}
		w.event(n, w.delay(Second/20), Encoded{Job: j.Job, Pieces: []gossip.Piece{p}})
	}
	for _, j := range b.Evaluate {
		n.value(w, j.Params)
		w.event(n, w.delay(Second/20), Evaluated{Job: j.Job, Accuracy: 0.5})
	}
	for _, j := range b.Save {
		files := map[VecRef]float64{j.State.Params: n.value(w, j.State.Params), j.State.Opt: n.value(w, j.State.Opt)}
		for _, v := range j.State.Vectors {
			files[v.Vec] = n.value(w, v.Vec)
		}
		w.later(n, w.delay(Second/5), func() {
			if w.rand.IntN(40) == 0 && w.crash > 0 {
				w.step(n, Saved{Job: j.Job, Err: "no room"})
				return
			}
			n.saved, n.files = j.State, files
			w.step(n, Saved{Job: j.Job})
		})
	}
	for _, ref := range b.Release {
		n.value(w, ref)
		delete(n.vectors, ref)
	}
	if b.Done {
		n.core, n.dead = nil, true
		n.life++
		return
	}
	if at, ok := n.core.Wake(); ok && at != n.wake {
		n.wake = at
		w.later(n, max(1, at-w.now), func() {
			if n.wake == at {
				n.wake = 0
				w.step(n, Tick{})
			}
		})
	}
}

func (w *walkWorld) fetch(n *walkNode, j FetchJob) {
	b, there := w.blobs[j.Piece.Blob]
	w.later(n, w.delay(Second/2), func() {
		ev := Fetched{Job: j.Job, Norm: 1}
		if !there || b.owner.life != b.life || b.owner.core == nil || w.apart(n, b.owner) || w.rand.IntN(20) == 0 {
			ev.Err = FetchUnavailable
		}
		w.put(n, j.Out, b.value)
		w.step(n, ev)
	})
}

// carry has messages come to a node together, or not.
func (w *walkWorld) carry(from, to *walkNode, msgs ...*gossip.Message) {
	if from == to || to.core == nil || w.apart(from, to) {
		return
	}
	for w.rand.Float64() >= w.loss {
		// What is forwarded together comes in its order, but not at once: what comes at the same time may come between.
		at := w.delay(w.lag)
		for _, m := range msgs {
			w.later(to, at, func() {
				if to.core != nil {
					w.arrive(from, to, m)
				}
			})
			at += w.delay(Second / 20)
		}
		if w.rand.Float64() > 0.1 { // else they come twice
			return
		}
	}
}

func (w *walkWorld) arrive(from, to *walkNode, m *gossip.Message) {
	if _, ok := m.Body.(*gossip.Repair); ok {
		return // what it forwards comes by itself
	}
	if w.rand.IntN(16) == 0 && m.Author == from.id {
		m = w.sealed(from, m)
	}
	if v := to.core.Check(m); v.Decision != gossip.Accept {
		if v.Decision == gossip.Reject {
			w.fatal("a node sends what is rejected: %v %+v", v, m.Body)
		}
		return
	}
	w.step(to, Received{From: from.id, Msg: m})
}

// sealed sends a message through its wire form.
func (w *walkWorld) sealed(from *walkNode, m *gossip.Message) *gossip.Message {
	s, err := gossip.Seal(m, gossip.Ed25519Signer(from.key))
	if err != nil {
		w.fatal("%v", err)
	}
	out, v := gossip.Open(s.Raw, gossip.DefaultLimits(), gossip.Ed25519Verifier{})
	if m.Seq == 0 {
		out, v = gossip.OpenDirect(s.Raw, from.id, gossip.DefaultLimits())
	}
	if v.Decision != gossip.Accept {
		w.fatal("a node sends what does not open: %v %+v", v, m.Body)
	}
	return out
}

func (n *walkNode) method() *walk { return n.core.method.(*walk) }
