package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"starling/gossip"
)

// WalkStatus is what a node of the method walk knows of the tokens.
type WalkStatus struct {
	Tokens     []TokenStatus // ascending by number
	Neighbours int
	HandOver   Instant // how long the newest one took, from the offer to the word that the token was taken; 0 before the first
	Shown      uint32  // the token whose model the node would show,
	ShownHops  uint64  // and how many hops that model has gone; 0 if the node has seen none
}

// TokenStatus is what a node knows of one token.
type TokenStatus struct {
	Token      uint32
	Generation uint32
	Hop        uint64
	Moves      uint64 // of the hops, those from one node to another
	Age        uint64 // local steps in the copy of this node, if it has one
	Holder     PeerID // who has said last that it holds the token, or to whom this node has given it since; zero if not known
	Heard      Instant
	State      string // of that copy: held, kept, void or coming; empty if there is none
}

var copyLives = [...]string{shadow: "kept", live: "held", remnant: "void"}

func (w *walk) status() MethodStatus {
	s := MethodStatus{
		Phase: w.phaseName(), Round: w.visits, Announced: w.visits, Age: w.best.age, Step: w.step, Loss: w.loss,
		Walk: &WalkStatus{HandOver: w.handed, Shown: w.best.token, ShownHops: w.best.hop},
	}
	for _, n := range w.near.all {
		if n.m.up {
			s.Walk.Neighbours++
		}
	}
	for _, v := range w.views {
		t := TokenStatus{Token: v.number, Generation: v.fence.Generation, Hop: v.hop, Moves: v.moves, Heard: v.heard, Holder: w.lastHolder(v)}
		if v.coming != nil {
			t.State, t.Age = "coming", v.coming.offer.Age
			s.InFlight++
		}
		if cp := v.own; cp != nil {
			t.State, t.Age = copyLives[cp.life], cp.age
		}
		s.Walk.Tokens = append(s.Walk.Tokens, t)
	}
	w.report(&s)
	return s
}

// lastHolder is who holds a token as far as this node knows.
func (w *walk) lastHolder(v *tokenView) PeerID {
	switch cp := v.own; {
	case cp != nil && cp.life == live:
		return w.run.Self
	case v.gave.fence == v.fence && v.hop <= v.gave.hop+1 && v.gaveBy.seq != 0:
		return v.gaveBy.from
	case v.news != nil:
		return v.news.Author
	}
	return PeerID{}
}

func (w *walk) phaseName() string {
	switch {
	case w.closing:
		return "leaving"
	case w.train != nil:
		return "training"
	case w.idle:
		return "paused"
	case w.holds() > 0:
		return "handing over"
	}
	return "waiting"
}

// save begins a checkpoint, and takes note of what will be durable with it.
func (w *walk) save(c *Core) {
	w.unsaved = false
	w.upkeep.save(c, w.state())
	for _, v := range w.views {
		if in := v.coming; in != nil && in.complete() && !in.ready {
			in.saving = w.saveJob
		}
		if cp := v.own; cp != nil {
			cp.saving, cp.saveJob = cp.hop, w.saveJob
		}
	}
}

// endSave goes on with what waits for a checkpoint.
func (w *walk) endSave(c *Core, job JobID) {
	if w.saveErr != "" {
		w.retryAt = c.now + retrySave
		return
	}
	for _, v := range w.views {
		if cp := v.own; cp != nil && cp.saveJob == job {
			cp.durable = cp.saving
			if cp.life == live && cp.stage == stageSave {
				cp.stage = stageWait
				if cp.fence.Generation == 1 && w.connected(c) > 0 {
					cp.waitUntil = c.now + w.cfg.CreateAfter // others may have created it, too, and one of these counts
				}
				w.announce(c, v)
			}
		}
		if in := v.coming; in != nil && in.saving == job && !in.ready {
			in.ready = true
			w.takeLater(c, v)
		}
	}
}

// walkStateVersion is the first byte of the method's part of a checkpoint.
const walkStateVersion = 1

func (w *walk) state() State {
	s := State{Round: w.visits, Age: w.best.age, Step: w.step, Weight: 1, Params: w.best.params, Opt: w.opt}
	e := walkEncoder{w: w, state: &s}
	e.encode()
	s.Opaque = e.out
	return s
}

// A walkEncoder writes the method's part of a checkpoint: what the best model is, and of each token what is known and what there is of it.
// Numbers are uvarints. A vector is a number: 0 none, 1 the parameters of the state, 2 its optimizer's state, 3 and more a named one.
type walkEncoder struct {
	w     *walk
	state *State
	out   []byte
	named []VecRef
}

func (e *walkEncoder) encode() {
	w := e.w
	e.out = append(e.out, walkStateVersion)
	e.spot(w.best.spot)
	e.numbers(uint64(w.best.token), uint64(w.rates.hop), uint64(len(w.views)))
	for _, v := range w.views {
		e.numbers(uint64(v.number), uint64(v.made), v.moves)
		e.spot(spot{v.fence, v.hop})
		e.spot(v.gave)
		e.offerName(v.gaveBy)
		e.offerName(v.took)
		if v.own == nil {
			e.numbers(0)
		} else {
			e.copied(v.own)
		}
		// What has not come in full is not worth keeping.
		if in := v.coming; in == nil || !in.complete() {
			e.numbers(0)
		} else {
			e.numbers(1)
			e.message(in.msg)
			e.message(in.proof)
			e.vector(in.params, w.run.Len)
			e.vector(in.opt, w.run.OptLen)
			e.numbers(math.Float64bits(in.norm))
			e.memory(in.memory)
		}
	}
}

func (e *walkEncoder) copied(cp *tokenCopy) {
	w := e.w
	e.numbers(1 + uint64(cp.life))
	e.spot(cp.spot)
	learned := uint64(0)
	if cp.learned {
		learned = 1
	}
	e.numbers(cp.moves, cp.age, math.Float64bits(cp.norm), cp.stay, learned)
	e.vector(cp.params, w.run.Len)
	e.vector(cp.opt, w.run.OptLen)
	e.message(cp.came)
	e.bytes(cp.told)
	e.memory(cp.memory)
}

func (e *walkEncoder) numbers(n ...uint64) { e.out = appendNumbers(e.out, n...) }

func (e *walkEncoder) spot(p spot) {
	e.numbers(uint64(p.fence.Generation), p.fence.Maker, p.fence.Base, p.hop)
}

func (e *walkEncoder) offerName(n offerName) {
	e.out = append(e.out, n.from[:]...)
	e.numbers(n.seq)
}

func (e *walkEncoder) bytes(b []byte) {
	e.numbers(uint64(len(b)))
	e.out = append(e.out, b...)
}

// memory writes the forms; none are two empty ones.
func (e *walkEncoder) memory(m memory) {
	if m.history == nil {
		e.numbers(0, 0)
		return
	}
	history, shared := m.forms()
	e.bytes(history)
	e.bytes(shared)
}

func (e *walkEncoder) vector(ref VecRef, length int) {
	switch {
	case ref == 0:
		e.numbers(0)
		return
	case ref == e.state.Params && length == e.w.run.Len:
		e.numbers(1)
		return
	case ref == e.state.Opt:
		e.numbers(2)
		return
	}
	i := slices.Index(e.named, ref)
	if i < 0 {
		i = len(e.named)
		e.named = append(e.named, ref)
		e.state.Vectors = append(e.state.Vectors, NamedVector{Name: vectorName(i), Vec: ref, Len: length})
	}
	e.numbers(3 + uint64(i))
}

// vectorName is a name of lower-case letters for each number.
func vectorName(i int) string {
	name := "copy"
	for ; i >= 0; i = i/26 - 1 {
		name += string(rune('a' + i%26))
	}
	return name
}

// message writes an offer, sealed; or, of one that was never sealed as in a simulation, 1 and what it says.
func (e *walkEncoder) message(m *gossip.Message) {
	if m == nil {
		e.numbers(0)
		return
	}
	if len(m.Raw) > 0 {
		e.bytes(m.Raw)
		return
	}
	o := m.Body.(*gossip.Offer)
	e.numbers(1)
	e.out = append(append(e.out, m.Author[:]...), o.To[:]...)
	e.numbers(m.Seq, uint64(o.Token))
	e.spot(spot{o.Fence, o.Hop})
	remnant := uint64(0)
	if o.Remnant {
		remnant = 1
	}
	e.numbers(o.Moves, o.Age, remnant, math.Float64bits(o.Norm), uint64(o.Len), uint64(o.StateLen))
	e.out = append(e.out, o.History[:]...)
	e.bytes([]byte(o.Codec))
	for _, p := range []gossip.Piece{o.Model, o.State} {
		e.numbers(p.Size)
		e.bytes(p.Inline)
		e.out = append(e.out, p.Blob[:]...)
	}
}

func (d *decoder) spot() spot {
	return spot{gossip.Fence{Generation: uint32(d.number()), Maker: d.number(), Base: d.number()}, d.number()}
}

func (d *decoder) peer() (id PeerID) {
	copy(id[:], d.bytes(uint64(len(id))))
	return id
}

func (d *decoder) offerName() offerName { return offerName{d.peer(), d.number()} }

func (d *decoder) float() float64 { return math.Float64frombits(d.number()) }

func (d *decoder) offer(run gossip.RunID) *gossip.Message {
	switch n := d.number(); n {
	case 0:
		return nil
	case 1:
	default:
		m, v := gossip.Open(slices.Clone(d.bytes(n)), gossip.DefaultLimits(), trusting{})
		if v.Decision == gossip.Accept {
			if _, ok := m.Body.(*gossip.Offer); ok {
				return m
			}
		}
		d.bad = true
		return nil
	}
	m, o := &gossip.Message{Run: run, Author: d.peer()}, &gossip.Offer{To: d.peer()}
	m.Body = o
	m.Seq, o.Token = d.number(), uint32(d.number())
	p := d.spot()
	o.Fence, o.Hop = p.fence, p.hop
	o.Moves, o.Age, o.Remnant, o.Norm, o.Len, o.StateLen = d.number(), d.number(), d.number() == 1, d.float(), uint32(d.number()), uint32(d.number())
	copy(o.History[:], d.bytes(uint64(len(o.History))))
	o.Codec = string(d.bytes(d.number()))
	for _, p := range []*gossip.Piece{&o.Model, &o.State} {
		p.Size = d.number()
		if n := d.number(); n > 0 {
			p.Inline = slices.Clone(d.bytes(n))
		}
		copy(p.Blob[:], d.bytes(uint64(len(p.Blob))))
	}
	return m
}

// restore goes on from the method's part of a checkpoint; a fresh node has none.
func (w *walk) restore(from State) error {
	if len(from.Opaque) == 0 {
		return nil
	}
	d := decoder{rest: from.Opaque}
	if v := d.bytes(1)[0]; v != walkStateVersion {
		return fmt.Errorf("version %d is not known to this build", v)
	}
	vector := func(length int) VecRef {
		n := d.number()
		switch {
		case n == 0:
			return 0
		case n == 1:
			return w.vecs.hold(from.Params)
		case n == 2:
			return w.vecs.hold(from.Opt)
		case n-3 < uint64(len(from.Vectors)) && from.Vectors[n-3].Len == length:
			return w.vecs.hold(from.Vectors[n-3].Vec)
		}
		d.bad = true
		return 0
	}
	var wrong error
	recall := func(token uint32) (m memory) {
		history, shared := d.bytes(d.number()), d.bytes(d.number())
		if len(history) == 0 || d.bad {
			return m
		}
		told := append(binary.AppendUvarint(nil, uint64(len(history))), history...)
		told = append(binary.AppendUvarint(told, uint64(len(shared))), shared...)
		r, err := w.retell(token, told, 0)
		wrong = errors.Join(wrong, err)
		return r.memory
	}
	w.best.spot, w.best.token, w.best.age = d.spot(), uint32(d.number()), from.Age
	w.rates.hop = Instant(d.number() & math.MaxInt64)
	for n := d.number(); n > 0 && !d.bad; n-- {
		v := w.view(uint32(d.number()))
		v.made, v.moves = uint32(d.number()), d.number()
		v.since = v.moves
		p := d.spot()
		v.fence, v.hop = p.fence, p.hop
		v.gave, v.gaveBy, v.took = d.spot(), d.offerName(), d.offerName()
		if life := d.number(); life > 0 && !d.bad {
			cp := &tokenCopy{life: copyLife(life - 1), token: v.number, spot: d.spot()}
			cp.moves, cp.age, cp.norm, cp.stay, cp.learned = d.number(), d.number(), d.float(), d.number(), d.number() == 1
			cp.params, cp.opt = vector(w.run.Len), vector(w.run.OptLen)
			cp.came, cp.told = d.offer(w.run.Run), slices.Clone(d.bytes(d.number()))
			cp.memory, cp.durable = recall(v.number), cp.hop
			d.bad = d.bad || life > uint64(remnant)+1 || cp.params == 0 || cp.memory.history == nil
			v.own = cp
		}
		if d.number() == 1 && !d.bad {
			in := &incoming{msg: d.offer(w.run.Run), proof: d.offer(w.run.Run), ready: true}
			in.params, in.opt, in.norm, in.memory = vector(w.run.Len), vector(w.run.OptLen), d.float(), recall(v.number)
			if in.msg == nil || in.params == 0 {
				d.bad = true
				break
			}
			in.offer, in.offerName = in.msg.Body.(*gossip.Offer), offerName{in.msg.Author, in.msg.Seq}
			d.bad = d.bad || !in.complete()
			v.coming = in
		}
	}
	if wrong != nil {
		return wrong
	}
	if d.bad || len(d.rest) > 0 {
		return errCutOff
	}
	return nil
}

// persist writes down what this node has given away, what it has taken, and the lives that it has begun, of one token.
func (w *walk) persist(c *Core, v *tokenView) {
	e := walkEncoder{w: w}
	e.numbers(uint64(v.made))
	e.spot(v.gave)
	e.offerName(v.gaveBy)
	e.offerName(v.took)
	c.out.Persist = append(c.out.Persist, Record{Key: fmt.Sprintf("%s%08x", WalkKey, v.number), Value: e.out})
	w.dirty = true
}

// replay takes what was persisted: it is newer than the checkpoint, or says the same.
func (w *walk) replay(log []Record) error {
	for _, r := range log {
		var token uint32
		if n, err := fmt.Sscanf(strings.TrimPrefix(r.Key, WalkKey), "%08x", &token); n != 1 || err != nil || token >= w.tokenLimit() {
			return fmt.Errorf("record %s: not that of a token", r.Key)
		}
		v := w.view(token)
		d := decoder{rest: r.Value}
		v.made = max(v.made, uint32(d.number()))
		gave, gaveBy, took := d.spot(), d.offerName(), d.offerName()
		if d.bad || len(d.rest) > 0 {
			return fmt.Errorf("record %s: %w", r.Key, errCutOff)
		}
		v.gave, v.gaveBy, v.took = gave, gaveBy, took
	}
	return nil
}

// accompanied has a node that came back go on with its tokens: there is a neighbour.
func (w *walk) accompanied() {
	for _, v := range w.views {
		if cp := v.own; cp != nil && cp.stage == stageWait && cp.waitUntil == w.listens {
			cp.waitUntil = 0
		}
	}
}

// awake goes on with a token as the checkpoint and what was persisted since say.
func (w *walk) awake(c *Core, v *tokenView) {
	if in := v.coming; in != nil {
		at := spot{in.offer.Fence, in.offer.Hop + 1}
		switch taken := in.offerName == v.took || v.gave.includes(at); {
		case taken && !in.offer.Remnant:
			w.dropCopy(c, v)
			v.own, v.coming = w.arrived(in), nil
		case taken, in.offer.Remnant:
			w.dropComing(c, v) // merged, or to be had again
		default:
			in.began, in.at = c.now, c.now
			w.takeLater(c, v)
		}
	}
	cp := v.own
	if v.heard = max(c.now, 1); v.fence.Generation == 0 && cp == nil {
		v.heard = 0
	}
	v.jitter = w.drawJitter(c)
	if cp == nil {
		return
	}
	if v.gave.includes(cp.spot) {
		cp.life = shadow
	}
	if cp.life == live {
		if cp.stage = stageWait; cp.moves > 0 {
			// Alone it would walk on the spot, many times a second, before the first neighbour is found again.
			cp.waitUntil = w.listens
		}
	} else {
		cp.stage = stageHere
	}
	w.known(c, v, cp.spot, cp.moves)
	w.fenced(c, v)
	if g := v.gaveBy; v.gave.fence == cp.fence && cp.life == shadow && g.seq != 0 {
		w.given = append(w.given, &given{offerName: g, spot: v.gave, moves: cp.moves, token: v.number})
		w.tellGiven(c, w.given[len(w.given)-1])
	}
}
