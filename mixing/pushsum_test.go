package mixing

import (
	"math"
	"math/rand/v2"
	"testing"
)

type pushStep struct {
	X, W, Z []float64
	TotalX  float64 `json:"total_x"`
}

// network runs push-sum over directed links; drop says which messages are lost.
type network struct {
	out   [][]int
	nodes []*PushSum
	links []*Outlink
	in    []map[int]*Inlink
}

func newNetwork(out [][]int, x0 []float64) *network {
	n := &network{out: out}
	for i := range out {
		n.nodes = append(n.nodes, &PushSum{X: []float32{float32(x0[i])}, W: 1})
		n.links = append(n.links, &Outlink{Sum: make([]float32, 1)})
		n.in = append(n.in, make(map[int]*Inlink))
	}
	return n
}

type sums struct {
	epoch uint64
	x     float32
	w     float64
}

func (n *network) round(t *testing.T, deliver func(from, to int, s sums)) {
	for i := range n.nodes {
		n.links[i].Share(n.nodes[i], len(n.out[i]))
	}
	for i, to := range n.out {
		for _, j := range to {
			deliver(i, j, sums{n.links[i].Epoch, n.links[i].Sum[0], n.links[i].W})
		}
	}
}

func (n *network) receive(from, to int, s sums) {
	l := n.in[to][from]
	if l == nil {
		l = &Inlink{Seen: make([]float32, 1)}
		n.in[to][from] = l
	}
	l.Receive(n.nodes[to], s.epoch, []float32{s.x}, s.w)
}

// mass is what all nodes hold and what was sent and not yet received.
func (n *network) mass() (x, w float64) {
	for i, p := range n.nodes {
		x += float64(p.X[0])
		w += p.W
		for _, j := range n.out[i] {
			seen := &Inlink{Seen: make([]float32, 1)}
			if l := n.in[j][i]; l != nil {
				seen = l
			}
			x += float64(n.links[i].Sum[0]) - float64(seen.Seen[0])
			w += n.links[i].W - seen.W
		}
	}
	return x, w
}

func TestPushSumMatchesTheVectors(t *testing.T) {
	var file struct {
		Plain struct {
			Out   map[string][]int `json:"out_neighbours"`
			X0    []float64
			Steps []pushStep
		} `json:"push_sum"`
		Robust struct {
			Drops [][3]int
			Steps []pushStep
		} `json:"robust_push_sum"`
	}
	vectors(t, "06-topologies-and-mixing.json", &file)
	out := make([][]int, len(file.Plain.Out))
	for i := range out {
		out[i] = file.Plain.Out[string(rune('0'+i))]
	}
	for name, c := range map[string]struct {
		steps []pushStep
		drops [][3]int
	}{"plain": {file.Plain.Steps, nil}, "with losses": {file.Robust.Steps, file.Robust.Drops}} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(out, file.Plain.X0)
			for round, want := range c.steps {
				n.round(t, func(from, to int, s sums) {
					for _, d := range c.drops {
						if d == [3]int{round, from, to} {
							return
						}
					}
					n.receive(from, to, s)
				})
				for i, p := range n.nodes {
					if math.Abs(float64(p.X[0])-want.X[i]) > 1e-5 || math.Abs(p.W-want.W[i]) > 1e-12 {
						t.Fatalf("round %d node %d: (%g, %g), want (%g, %g)", round, i, p.X[0], p.W, want.X[i], want.W[i])
					}
				}
			}
		})
	}
}

// Properties 6 and 7 of spec 06, 6.14.
func TestPushSumConservesMassWhateverHappensToMessages(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		size := 3 + r.IntN(6)
		out := make([][]int, size)
		x0 := make([]float64, size)
		mean := 0.0
		for i := range out {
			out[i] = []int{(i + 1) % size}
			if j := r.IntN(size); j != i && j != (i+1)%size {
				out[i] = append(out[i], j)
			}
			x0[i] = float64(float32(r.NormFloat64()))
			mean += x0[i] / float64(size)
		}
		n := newNetwork(out, x0)
		type flight struct {
			from, to int
			s        sums
		}
		var air []flight
		for round := range 400 {
			n.round(t, func(from, to int, s sums) {
				switch {
				case round < 300 && r.IntN(10) < 3: // lost
				case round < 300 && r.IntN(10) < 3:
					air = append(air, flight{from, to, s}) // late, perhaps after newer ones
				default:
					n.receive(from, to, s)
					if r.IntN(5) == 0 {
						n.receive(from, to, s) // twice
					}
				}
			})
			for len(air) > 3 {
				k := r.IntN(len(air))
				n.receive(air[k].from, air[k].to, air[k].s)
				air = append(air[:k], air[k+1:]...)
			}
			x, w := n.mass()
			if math.Abs(x-mean*float64(size)) > 2e-4 || math.Abs(w-float64(size)) > 1e-9 {
				t.Fatalf("seed %d round %d: mass (%g, %g), want (%g, %d)", seed, round, x, w, mean*float64(size), size)
			}
			for i, p := range n.nodes {
				if !(p.W > 0) {
					t.Fatalf("seed %d round %d: node %d has weight %g", seed, round, i, p.W)
				}
			}
		}
		for i, p := range n.nodes {
			z := make([]float32, 1)
			if !p.Estimate(z) || math.Abs(float64(z[0])-mean) > 1e-3 {
				t.Errorf("seed %d: node %d estimates %g, want %g", seed, i, z[0], mean)
			}
		}
	}
}

func TestGraceAndTrickery(t *testing.T) {
	p := &PushSum{X: []float32{3}, W: 2}
	q := &PushSum{X: []float32{0}, W: 0} // a newcomer brings nothing in
	if z := []float32{7}; q.Estimate(z) || z[0] != 7 || !q.Starved() {
		t.Error("a node without mass gives an estimate")
	}
	q.Take(p.Leave())
	z := make([]float32, 1)
	if !q.Estimate(z) || z[0] != 1.5 || p.W != 0 || p.X[0] != 0 {
		t.Errorf("after a graceful leave: %v, %+v", z, p)
	}
	l := &Inlink{Seen: make([]float32, 1)}
	if !l.Receive(q, 1, []float32{1}, 1) || l.Receive(q, 1, []float32{9}, 0.5) || l.Receive(q, 0, []float32{9}, 5) ||
		l.Receive(q, 1, []float32{9}, math.NaN()) || l.Receive(q, 1, []float32{9}, math.Inf(1)) {
		t.Error("sums that no honest sender sends are taken")
	}
	if q.W != 3 || q.X[0] != 4 {
		t.Errorf("mass (%g, %g), want (4, 3)", q.X[0], q.W)
	}
	o := &Outlink{Sum: []float32{5}, W: 2}
	o.Restart()
	if o.Epoch != 1 || o.Sum[0] != 0 || o.W != 0 {
		t.Errorf("after a restart: %+v", o)
	}
}

func TestTokenAccountsSendAsOftenAsTheyMayAndNoMore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a := &TokenAccount{Size: 10, Capacity: 20}
	sent := 0
	const periods = 5000
	for i := range periods {
		if a.Period(r.Float64()) {
			sent++
		}
		if i%7 == 0 {
			sent += a.React(i%2 == 0, r.Float64())
		}
		if a.Tokens < 0 || a.Tokens > a.Capacity+1 {
			t.Fatalf("%d tokens", a.Tokens)
		}
	}
	if sent > periods || sent < periods*9/10 {
		t.Errorf("%d messages in %d periods", sent, periods)
	}
}
