package pairwise

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// exchange names one exchange of the model check.
type exchange struct{ from, to, seq uint64 }

// world is a state of the model check: peers, their values, messages on the wire and what has been applied.
type world struct {
	peers  []Peer
	x      []float32
	wire   []Message
	offers []int // left to make, per peer
	copies int   // left to make
	faults bool  // whether anything was lost, copied or timed out so far
	// moved is the difference that the initiator of an exchange has moved by; added marks those the responder followed.
	moved map[exchange]float32
	added map[exchange]bool
}

func (w *world) clone() *world {
	c := *w
	c.peers = slices.Clone(w.peers)
	for i := range c.peers {
		c.peers[i].seen = maps.Clone(w.peers[i].seen)
		c.peers[i].committed = maps.Clone(w.peers[i].committed)
	}
	c.x, c.wire, c.offers = slices.Clone(w.x), slices.Clone(w.wire), slices.Clone(w.offers)
	c.moved, c.added = maps.Clone(w.moved), maps.Clone(w.added)
	return &c
}

func (w *world) key() string {
	wire := make([]string, len(w.wire))
	for i, m := range w.wire {
		wire[i] = fmt.Sprint(m)
	}
	slices.Sort(wire)
	for i := range w.peers {
		w.peers[i].stats = Stats{}
	}
	return fmt.Sprint(w.peers, w.x, wire, w.offers, w.copies, w.faults, w.moved, w.added)
}

// deliver hands over a message and checks that nothing is applied twice or out of turn.
func (w *world) deliver(m Message) error {
	to := int(m.To)
	before := w.x[to]
	out := w.peers[to].Receive(m, w.x[to:to+1], 0)
	if out.Bad != "" {
		return fmt.Errorf("%v is called bad: %s", m, out.Bad)
	}
	if out.Send {
		w.wire = append(w.wire, out.Reply)
	}
	if !out.Applied {
		if w.x[to] != before {
			return fmt.Errorf("%v changed the vector without saying so", m)
		}
		return nil
	}
	switch m.Kind {
	case Accept:
		e := exchange{m.To, m.From, m.Seq}
		if _, twice := w.moved[e]; twice {
			return fmt.Errorf("initiator moved twice in %v", e)
		}
		w.moved[e] = w.x[to] - before
	case Commit:
		e := exchange{m.From, m.To, m.Seq}
		d, ok := w.moved[e]
		if !ok || w.added[e] || w.x[to]-before != -d {
			return fmt.Errorf("responder moved out of turn in %v", e)
		}
		w.added[e] = true
	default:
		return fmt.Errorf("%v moved a vector", m)
	}
	return nil
}

// check verifies the sum: it is off by exactly what initiators moved alone.
func (w *world) check(total float64) error {
	sum := 0.0
	for _, v := range w.x {
		sum += float64(v)
	}
	for e, d := range w.moved { // order-free: dyadic numbers, exact sums
		if !w.added[e] {
			sum -= float64(d)
		}
	}
	if sum != total {
		return fmt.Errorf("sum is %v with what is on the way, want %v", sum, total)
	}
	if len(w.wire) > 0 || w.faults {
		return nil
	}
	for i := range w.peers {
		if w.peers[i].Busy() {
			return fmt.Errorf("peer %d waits although nothing was lost and nothing is on the way", i)
		}
	}
	if len(w.moved) != len(w.added) {
		return fmt.Errorf("a commit without loss was not followed: %v", w.moved)
	}
	return nil
}

// next lists all states one step on.
func (w *world) next() (all []*world, err error) {
	add := func(c *world) { all = append(all, c) }
	for i := range w.peers {
		for j := range w.peers {
			if i == j || w.offers[i] == 0 || w.peers[i].Busy() {
				continue
			}
			c := w.clone()
			c.offers[i]--
			m, err := c.peers[i].Offer(uint64(j), 0)
			if err != nil {
				return nil, err
			}
			c.wire = append(c.wire, m)
			add(c)
		}
		if at, ok := w.peers[i].Deadline(); ok {
			c := w.clone()
			c.faults = true
			if m, send := c.peers[i].Tick(at); send {
				c.wire = append(c.wire, m)
			}
			if c.peers[i].Busy() {
				return nil, fmt.Errorf("peer %d is busy after its deadline", i)
			}
			add(c)
		}
	}
	for k, m := range w.wire {
		rest := slices.Delete(slices.Clone(w.wire), k, k+1)
		c := w.clone()
		c.wire = slices.Clone(rest)
		if err := c.deliver(m); err != nil {
			return nil, err
		}
		add(c)
		c = w.clone()
		c.wire, c.faults = rest, true
		add(c)
		if w.copies > 0 {
			c = w.clone()
			c.wire, c.faults = append(c.wire, m), true
			c.copies--
			add(c)
		}
	}
	return all, nil
}

func explore(t *testing.T, start *world) int {
	t.Helper()
	total := 0.0
	for _, v := range start.x {
		total += float64(v)
	}
	visited := map[string]bool{start.key(): true}
	stack := []*world{start}
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := w.check(total); err != nil {
			t.Fatalf("%v\nin %s", err, w.key())
		}
		next, err := w.next()
		if err != nil {
			t.Fatalf("%v\nafter %s", err, w.key())
		}
		for _, c := range next {
			if k := c.key(); !visited[k] {
				visited[k] = true
				stack = append(stack, c)
			}
		}
	}
	return len(visited)
}

func start(x []float32, copies int, offers ...int) *world {
	w := &world{x: x, offers: offers, copies: copies, moved: map[exchange]float32{}, added: map[exchange]bool{}}
	for i := range x {
		w.peers = append(w.peers, *New(uint64(i), 0, 10))
	}
	return w
}

// Property 9 of spec 06, section 6.14, over every order of delivery, loss, copy and timeout.
func TestNoInterleavingAppliesAnExchangeTwice(t *testing.T) {
	for _, c := range []struct {
		name  string
		start *world
		least int
	}{
		{"two offers one way with two copies", start([]float32{8, -24}, 2, 2, 0), 1000},
		{"offers cross with a copy", start([]float32{8, -24}, 1, 1, 1), 1000},
		{"two offers against one", start([]float32{8, -24}, 0, 2, 1), 1000},
		{"three peers", start([]float32{8, -24, 64}, 0, 1, 1, 0), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := explore(t, c.start); n < c.least {
				t.Errorf("only %d states were explored", n)
			} else {
				t.Logf("%d states", n)
			}
		})
	}
}

// pass delivers a message and everything that follows, in order.
func pass(peers map[uint64]*Peer, x map[uint64][]float32, m Message) {
	for wire := []Message{m}; len(wire) > 0; wire = wire[1:] {
		m := wire[0]
		if out := peers[m.To].Receive(m, x[m.To], 0); out.Send {
			wire = append(wire, out.Reply)
		}
	}
}

func TestBothPeersEndAtTheMean(t *testing.T) {
	peers := map[uint64]*Peer{1: New(1, 0, 10), 2: New(2, 0, 10)}
	x := map[uint64][]float32{1: {1, 2, -3}, 2: {3, -2, 5}}
	m, err := peers[2].Offer(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	pass(peers, x, m)
	want := []float32{2, 0, 1}
	if !slices.Equal(x[1], want) || !slices.Equal(x[2], want) {
		t.Errorf("vectors are %v and %v, want %v", x[1], x[2], want)
	}
	if got, want := peers[2].Stats(), (Stats{Offered: 1, Committed: 1}); got != want {
		t.Errorf("initiator counts %+v, want %+v", got, want)
	}
	if got, want := peers[1].Stats(), (Stats{Applied: 1}); got != want {
		t.Errorf("responder counts %+v, want %+v", got, want)
	}
}

func TestTrainingWhileWaitingKeepsTheSum(t *testing.T) {
	a, b := New(1, 0, 10), New(2, 0, 10)
	xa, xb := []float32{1}, []float32{3}
	offer, err := a.Offer(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	accept := b.Receive(offer, xb, 0).Reply
	xb[0] += 16
	xa[0] += 4
	commit := a.Receive(accept, xa, 0).Reply
	b.Receive(commit, xb, 0)
	if xa[0]+xb[0] != 1+3+16+4 {
		t.Errorf("sum is %v, want 24", xa[0]+xb[0])
	}
}

func TestALostCommitIsCountedAndBounded(t *testing.T) {
	a, b := New(1, 0, 10), New(2, 0, 10)
	xa, xb := []float32{1}, []float32{3}
	offer, err := a.Offer(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	commit := a.Receive(b.Receive(offer, xb, 0).Reply, xa, 0).Reply
	if _, send := b.Tick(9); send || !b.Busy() {
		t.Error("the responder gave up before its deadline")
	}
	b.Tick(10)
	if b.Busy() || b.Stats().Doubtful != 1 {
		t.Errorf("after the deadline: busy %v, %+v", b.Busy(), b.Stats())
	}
	if out := b.Receive(commit, xb, 11); out.Applied || xb[0] != 3 {
		t.Error("a commit after the deadline was applied")
	}
	if xa[0]+xb[0]-4 != (3-1)/2 {
		t.Errorf("the sum moved by %v, want half the difference", xa[0]+xb[0]-4)
	}
}

func TestACopyOfAnAcceptDoesNotCallTheCommitBack(t *testing.T) {
	a, b := New(1, 0, 10), New(2, 0, 10)
	xa, xb := []float32{1}, []float32{3}
	offer, err := a.Offer(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	accept := b.Receive(offer, xb, 0).Reply
	commit := a.Receive(accept, xa, 0).Reply
	if out := a.Receive(accept, xa, 0); out.Send || out.Applied {
		t.Errorf("the copy led to %+v, want nothing", out)
	}
	if out := b.Receive(commit, xb, 0); !out.Applied || xa[0] != xb[0] {
		t.Errorf("vectors are %v and %v", xa, xb)
	}
	// An accept of an offer that was given up does get an abort, so that the other side need not wait.
	offer, err = a.Offer(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	accept = b.Receive(offer, xb, 0).Reply
	a.Tick(10)
	abort := a.Receive(accept, xa, 11)
	if abort.Reply.Kind != Abort {
		t.Fatalf("a late accept is answered with %+v, want an abort", abort)
	}
	if b.Receive(abort.Reply, xb, 11); b.Busy() || b.Stats().Doubtful != 0 {
		t.Errorf("after the abort: busy %v, %+v", b.Busy(), b.Stats())
	}
}

func TestCrossedOffersEndInOneExchange(t *testing.T) {
	a, b := New(1, 0, 10), New(2, 0, 10)
	xa, xb := []float32{1}, []float32{3}
	ma, errA := a.Offer(2, 0)
	mb, errB := b.Offer(1, 0)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	toB := b.Receive(ma, xb, 0)
	toA := a.Receive(mb, xa, 0)
	if toB.Reply.Kind != Accept || toA.Reply.Kind != Reject {
		t.Fatalf("answers are %v and %v, want accept and reject", toB.Reply.Kind, toA.Reply.Kind)
	}
	b.Receive(toA.Reply, xb, 0)
	b.Receive(a.Receive(toB.Reply, xa, 0).Reply, xb, 0)
	if xa[0] != 2 || xb[0] != 2 || a.Busy() || b.Busy() {
		t.Errorf("vectors are %v and %v, want 2 and 2, and nobody busy", xa, xb)
	}
}

func TestBadMessagesAreNamedAndChangeNothing(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name string
		m    Message
	}{
		{"other address", Message{Kind: Offer, From: 2, To: 3, Seq: 1}},
		{"from itself", Message{Kind: Offer, From: 1, To: 1, Seq: 1}},
		{"unknown kind", Message{Kind: 9, From: 2, To: 1, Seq: 1}},
		{"vector in an offer", Message{Kind: Offer, From: 2, To: 1, Seq: 1, X: []float32{1}}},
		{"wrong length", Message{Kind: Accept, From: 2, To: 1, Seq: 1, X: []float32{1, 2}}},
		{"not finite", Message{Kind: Accept, From: 2, To: 1, Seq: 1, X: []float32{nan}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, x := New(1, 0, 10), []float32{7}
			if _, err := p.Offer(2, 0); err != nil {
				t.Fatal(err)
			}
			if out := p.Receive(c.m, x, 0); out.Bad == "" || out.Applied || x[0] != 7 {
				t.Errorf("outcome %+v, vector %v", out, x)
			}
		})
	}
	t.Run("commit", func(t *testing.T) {
		p, x := New(1, 0, 10), []float32{7}
		p.Receive(Message{Kind: Offer, From: 2, To: 1, Seq: 1}, x, 0)
		out := p.Receive(Message{Kind: Commit, From: 2, To: 1, Seq: 1, X: []float32{nan}}, x, 0)
		if out.Bad == "" || x[0] != 7 || p.Busy() || p.Stats().Doubtful != 1 {
			t.Errorf("outcome %+v, vector %v, busy %v, %+v", out, x, p.Busy(), p.Stats())
		}
	})
}

func TestOneExchangeAtATime(t *testing.T) {
	p := New(1, 41, 10)
	m, err := p.Offer(2, 0)
	if err != nil || m.Seq != 42 {
		t.Fatalf("first offer is %v, %v; want number 42", m, err)
	}
	if _, err := p.Offer(3, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("second offer: %v, want ErrBusy", err)
	}
	if out := p.Receive(Message{Kind: Offer, From: 3, To: 1, Seq: 1}, nil, 0); out.Reply.Kind != Reject {
		t.Errorf("a busy peer answers %v, want reject", out.Reply.Kind)
	}
	if m, send := p.Tick(10); !send || m.Kind != Abort || m.Seq != 42 || p.Stats().Expired != 1 {
		t.Errorf("after the deadline: %v %v %+v, want an abort of 42", m, send, p.Stats())
	}
	if _, err := New(1, 0, 10).Offer(1, 0); err == nil {
		t.Error("an offer to itself is no error")
	}
}

func TestAForgottenPeerMayBeginAgain(t *testing.T) {
	p, x := New(1, 0, 10), []float32{7}
	offer := Message{Kind: Offer, From: 2, To: 1, Seq: 5}
	p.Receive(offer, x, 0)
	p.Receive(Message{Kind: Abort, From: 2, To: 1, Seq: 5}, x, 0)
	if out := p.Receive(offer, x, 0); out.Send {
		t.Error("a copy of an old offer was answered")
	}
	p.Forget(2)
	if out := p.Receive(offer, x, 0); out.Reply.Kind != Accept {
		t.Error("an offer of a forgotten peer was not accepted")
	}
}

func ExamplePeer() {
	alice, bob := New(1, 0, 1000), New(2, 0, 1000)
	a, b := []float32{1, 2}, []float32{3, 6}
	offer, err := alice.Offer(2, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	accept := bob.Receive(offer, b, 1)
	commit := alice.Receive(accept.Reply, a, 2)
	bob.Receive(commit.Reply, b, 3)
	fmt.Println(a, b)
	// Output: [2 4] [2 4]
}
