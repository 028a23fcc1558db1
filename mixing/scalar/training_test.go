package scalar

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing"
	"starling/mixing/philox"
)

// A trainer is a peer of a simulated run on a quadratic.
type trainer struct {
	peer    uint64
	replica *Replica
	model   *Model
	late    []Run // on its way here: late[i] arrives in step i
}

// world is a run of some peers that lose messages and get them late; what is lost comes by vectors.
type world struct {
	q      quadratic
	cfg    Config
	rng    *rand.Rand
	peers  []*trainer
	buffer [2][]float32
}

func newWorld(t testing.TB, q quadratic, cfg Config, peers int, seed uint64) *world {
	t.Helper()
	d := len(q.h)
	layout, err := mixing.NewLayout(mixing.Tensor{Name: "x", Shape: []int{d}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{q: q, cfg: cfg, rng: rand.New(philox.NewStream(seed, philox.World, 0)), buffer: [2][]float32{make([]float32, d), make([]float32, d)}}
	for i := range peers {
		m, err := NewModel(layout, cfg, runSeed, make([]float32, d))
		if err != nil {
			t.Fatal(err)
		}
		w.peers = append(w.peers, &trainer{peer: uint64(i + 1), replica: NewReplica(cfg, runSeed), model: m})
	}
	return w
}

func (w *world) loss(x []float32) float64 {
	return w.q.loss(func(i int) float64 { return float64(x[i]) })
}

// step has one peer measure and send a record, which others get up to delay steps later, or not at all.
func (w *world) step(t testing.TB, lost float64, delay int) {
	t.Helper()
	for _, p := range w.peers {
		p.model.Queue(p.replica.Take())
		p.model.Apply()
		place, ok := p.replica.Next(p.peer, 0)
		if !ok {
			t.Fatal("a peer has no next record")
		}
		p.model.Perturb(w.buffer[0], place.Generation, place.K, w.cfg.Eps)
		p.model.Perturb(w.buffer[1], place.Generation, place.K, -w.cfg.Eps)
		b, finite := Encode(Slope(w.loss(w.buffer[0]), w.loss(w.buffer[1]), w.cfg.Eps), w.cfg.GUnit(), w.rng.Float64())
		if !finite {
			t.Fatal("the run diverges")
		}
		run := Run{p.peer, place.Seq, place.Epoch, []byte{b}}
		insert(t, p.replica, run)
		for _, other := range w.peers {
			if other != p && w.rng.Float64() >= lost {
				at := 1 + w.rng.IntN(delay)
				for len(other.late) <= at {
					other.late = append(other.late, Run{})
				}
				if len(other.late[at].Bytes) == 0 {
					other.late[at] = run
				} else {
					other.late = append(other.late, run) // the step is taken: later still
				}
			}
		}
	}
	for _, p := range w.peers {
		if len(p.late) > 0 {
			if len(p.late[0].Bytes) > 0 {
				insert(t, p.replica, p.late[0])
			}
			p.late = p.late[1:]
		}
	}
}

// repair has each peer ask a random other one for what it misses.
func (w *world) repair(t testing.TB) {
	t.Helper()
	for _, p := range w.peers {
		other := w.peers[w.rng.IntN(len(w.peers))].replica.Set()
		for _, r := range p.replica.Set().Vector().Missing(other.Vector()) {
			insert(t, p.replica, other.Runs(r)...)
		}
	}
}

// The acceptance of spec 04, 4.16, 10.
func TestTwentyPeersLearnAQuadraticDespiteLossAndDelay(t *testing.T) {
	for _, f := range []Family{Rademacher, Structured} {
		rng := rand.New(philox.NewStream(61, philox.Data, 0))
		q := drawQuadratic(rng, 100, 10)
		cfg := parse(t, "%s:pool=1024,rotate=1,epoch=32,lr=0.0008,peers=20,records=4096", f)
		w := newWorld(t, q, cfg, 20, 62)
		x := make([]float32, 100)
		start := w.loss(x)
		for step := range 200 {
			w.step(t, 0.3, 50)
			if step%10 == 9 {
				w.repair(t)
			}
		}
		for range 10 { // all hear all, at last
			w.repair(t)
		}
		first := w.peers[0]
		want := state(t, first.replica)
		for _, p := range w.peers {
			p.model.Queue(p.replica.Take())
			p.model.Apply()
			if got := state(t, p.replica); got != want || p.model.Digest() != first.model.Digest() || !slices.Equal(p.model.Theta(), first.model.Theta()) {
				t.Fatalf("%s: peer %d has\n%s, the first\n%s", f, p.peer, got, want)
			}
		}
		first.model.Floats(x)
		if end := w.loss(x); !(end < start/10) {
			t.Errorf("%s: the loss went from %.3f to %.3f in %d records, want a tenth", f, start, end, first.replica.Set().Vector().Count())
		} else {
			t.Logf("%s: the loss went from %.3f to %.3f in %d records", f, start, end, first.replica.Set().Vector().Count())
		}
	}
}

// A structured pool costs nothing against a dense one of its size: 4.19. Both are left behind by the dimension of their span, so the pool is
// drawn anew now and then.
func TestStructuredPoolsLearnLikeDenseOnes(t *testing.T) {
	var losses []float64
	for _, f := range []Family{Rademacher, Structured, Binom8} {
		q := drawQuadratic(rand.New(philox.NewStream(63, philox.Data, 0)), 1000, 10)
		cfg := parse(t, "%s:pool=256,rotate=1,epoch=250,lr=0.001,peers=1,records=4096", f)
		w := newWorld(t, q, cfg, 1, 64)
		for range 3000 {
			w.step(t, 0, 1)
		}
		x := make([]float32, 1000)
		start := w.loss(x)
		w.peers[0].model.Floats(x)
		losses = append(losses, w.loss(x)/start)
	}
	t.Logf("the loss is down to %.3f", losses)
	if math.Abs(losses[1]-losses[0]) > 0.1*losses[0] || losses[0] > 0.6 {
		t.Errorf("the loss is down to %.3f of where it began with a dense pool, %.3f with a structured one", losses[0], losses[1])
	}
}
