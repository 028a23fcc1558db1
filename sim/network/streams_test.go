package network

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/node"
)

// A plain is streams again, the slow way: after every event all rates are computed anew, from the definition, and work is
// counted in big integers.
type plain struct {
	of   []Bandwidth
	now  node.Instant
	live []*flow
}

type flow struct {
	id       StreamID
	from, to int
	bytes    int64
	work     *big.Int // left, in bits x nanoseconds per second
	rate     int64
}

func (p *plain) advance(now node.Instant) {
	for _, f := range p.live {
		f.work.Sub(f.work, new(big.Int).Mul(big.NewInt(f.rate), big.NewInt(int64(now-p.now))))
		if f.work.Sign() < 0 {
			f.work.SetInt64(0)
		}
	}
	p.now = now
}

func (p *plain) share() {
	var up, down [16]int64
	for _, f := range p.live {
		up[f.from]++
		down[f.to]++
	}
	for _, f := range p.live {
		f.rate = math.MaxInt64
		if r := p.of[f.from].Up; r != Unlimited {
			f.rate = min(f.rate, max(1, int64(r)/up[f.from]))
		}
		if r := p.of[f.to].Down; r != Unlimited {
			f.rate = min(f.rate, max(1, int64(r)/down[f.to]))
		}
	}
}

// next returns the stream that ends next, the oldest of several, and when.
func (p *plain) next() (*flow, node.Instant) {
	var first *flow
	var at node.Instant
	for _, f := range p.live {
		q, r := new(big.Int).QuoRem(f.work, big.NewInt(f.rate), new(big.Int))
		end := Forever
		if q.BitLen() < 60 {
			end = p.now + node.Instant(q.Int64())
			if r.Sign() > 0 {
				end++
			}
		}
		if first == nil || end < at {
			first, at = f, end
		}
	}
	return first, at
}

func (p *plain) received(f *flow) int64 {
	q, r := new(big.Int).QuoRem(f.work, big.NewInt(bitNanos), new(big.Int))
	left := q.Int64()
	if r.Sign() > 0 {
		left++
	}
	return f.bytes - left
}

func (p *plain) remove(f *flow) {
	p.live = slices.DeleteFunc(p.live, func(o *flow) bool { return o == f })
	p.share()
}

// randomBandwidths has slow, fast and unlimited links.
func randomBandwidths(r *rand.Rand, n int) []Bandwidth {
	some := []Rate{Unlimited, 1, 999, 64_000, 1_000_003, 10 * mbit, 3 * gbit}
	of := make([]Bandwidth, n)
	for i := range of {
		of[i] = Bandwidth{some[r.IntN(len(some))], some[r.IntN(len(some))]}
	}
	return of
}

func TestStreamsAreThoseOfThePlainSimulation(t *testing.T) {
	for seed := range uint64(60) {
		if err := comparePlain(seed); err != nil {
			t.Fatalf("%v\nrepeat with seed %d", err, seed)
		}
	}
}

func comparePlain(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 2 + r.IntN(6)
	of := randomBandwidths(r, n)
	s, p := NewStreams(of), &plain{of: of}
	var now node.Instant
	var ended, lost int64
	for step := range 400 {
		first, at := p.next()
		next, ok := s.Next()
		if ok != (first != nil) || ok && at < Forever/8 && next != at {
			return fmt.Errorf("step %d: the next end is at %d (%t), want %d (%v)", step, next, ok, at, first)
		}
		switch action := r.IntN(10); {
		case action < 4 && first != nil && at < Forever/8:
			now = at
			p.advance(now)
			id, ok := s.Finish(now)
			if !ok || id != first.id {
				return fmt.Errorf("step %d: stream %d ends (%t), want %d", step, id, ok, first.id)
			}
			ended += first.bytes
			p.remove(first)
		case action < 6 && len(p.live) > 0:
			if now += node.Instant(r.Int64N(1e6)); at < Forever/8 && at >= p.now {
				now = min(now, at)
			}
			p.advance(now)
			f := p.live[r.IntN(len(p.live))]
			got, ok := s.Cancel(now, f.id)
			if want := p.received(f); !ok || got != want {
				return fmt.Errorf("step %d: %d bytes were received of a cancelled stream, want %d", step, got, want)
			}
			if _, again := s.Cancel(now, f.id); again {
				return fmt.Errorf("step %d: a stream was cancelled twice", step)
			}
			ended, lost = ended+got, lost+f.bytes-got
			p.remove(f)
		default:
			f := &flow{from: r.IntN(n), to: r.IntN(n), bytes: r.Int64N(1 << (1 + r.IntN(40)))}
			f.work = new(big.Int).Mul(big.NewInt(f.bytes), big.NewInt(bitNanos))
			id, ok := s.Start(now, f.from, f.to, f.bytes)
			if f.id = id; !ok {
				if f.bytes > 0 && (of[f.from].Up != Unlimited || of[f.to].Down != Unlimited) {
					return fmt.Errorf("step %d: %d bytes over a limited link took no time", step, f.bytes)
				}
				ended += f.bytes
				continue
			}
			p.advance(now)
			p.live = append(p.live, f)
			p.share()
		}
		var flying, arrived int64
		for _, f := range p.live {
			got, _ := s.Received(now, f.id)
			if want := p.received(f); got != want {
				return fmt.Errorf("step %d: %d bytes of %d arrived, want %d", step, got, f.bytes, want)
			}
			arrived += got
			flying += f.bytes - got
		}
		want := Transfers{Offered: ended + arrived + flying + lost, Received: ended + arrived, Lost: lost, InFlight: flying}
		if got := s.Transfers(now); got != want {
			return fmt.Errorf("step %d: counts are %+v, want %+v", step, got, want)
		}
		if s.Running() != len(p.live) {
			return fmt.Errorf("step %d: %d streams run, want %d", step, s.Running(), len(p.live))
		}
	}
	return nil
}

func TestRatesKeepToTheLinks(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	of := randomBandwidths(r, 8)
	s := NewStreams(of)
	for range 100 {
		s.Start(0, r.IntN(8), r.IntN(8), 1<<30)
	}
	var up, down [8]Rate
	for _, e := range s.heap {
		f := &s.all[e.slot]
		up[f.from] += f.rate
		down[f.to] += f.rate
	}
	for i := range of {
		if b := of[i]; b.Up > 100 && up[i] > b.Up || b.Down > 100 && down[i] > b.Down {
			t.Errorf("node %d carries %d up and %d down of %+v", i, up[i], down[i], b)
		}
	}
}

func TestStreamsShareFairly(t *testing.T) {
	// Node 0 sends to 1 and 2 at 10 Mbit/s; 2 has only 2 Mbit/s to receive with.
	of := []Bandwidth{{10 * mbit, 10 * mbit}, {10 * mbit, 100 * mbit}, {10 * mbit, 2 * mbit}}
	s := NewStreams(of)
	a, _ := s.Start(0, 0, 1, 1_250_000) // 1 s alone, 2 s at half
	b, _ := s.Start(0, 0, 2, 1_250_000) // 5 s
	if at, _ := s.Next(); at != 2*node.Second {
		t.Errorf("half of the uplink takes %v s, want 2", at.Seconds())
	}
	if id, ok := s.Finish(2 * node.Second); !ok || id != a {
		t.Errorf("stream %d ended first, want %d", id, a)
	}
	if at, _ := s.Next(); at != 5*node.Second {
		t.Errorf("the slow downlink takes %v s, want 5", at.Seconds())
	}
	if _, ok := s.Finish(5*node.Second - 1); ok {
		t.Error("a stream ended early")
	}
	if id, ok := s.Finish(5 * node.Second); !ok || id != b || s.Running() != 0 {
		t.Errorf("stream %d ended last, want %d; %d run", id, b, s.Running())
	}
}

func TestADeadNodesStreamsAreFoundAndLost(t *testing.T) {
	of := make([]Bandwidth, 4)
	for i := range of {
		of[i] = Bandwidth{8 * mbit, 8 * mbit} // a byte each microsecond
	}
	s := NewStreams(of)
	s.Start(0, 0, 1, 1000)
	s.Start(0, 2, 0, 1000)
	s.Start(0, 0, 0, 1000)
	other, _ := s.Start(0, 2, 3, 1000)
	// Links of 0 carry two each, so that each gets half; 1000 µs later half a byte each µs has arrived.
	now := 100 * node.Second / 1e6
	for _, id := range s.Of(0) {
		if got, ok := s.Cancel(now, id); !ok || got != 50 {
			t.Errorf("%d bytes were received (%t), want 50", got, ok)
		}
	}
	if got, want := s.Transfers(now), (Transfers{Offered: 4000, Received: 200, Lost: 2850, InFlight: 950}); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
	if ids := s.Of(3); !slices.Equal(ids, []StreamID{other}) || len(s.Of(0)) != 0 {
		t.Errorf("streams of node 3 are %v, want %d", ids, other)
	}
	if at, _ := s.Next(); at != now+950*node.Second/1e6 {
		t.Errorf("the other stream ends at %d ns", at)
	}
}

func TestUnlimitedStreamsTakeNoTime(t *testing.T) {
	for _, of := range [][]Bandwidth{nil, make([]Bandwidth, 2)} {
		s := NewStreams(of)
		if _, ok := s.Start(7, 0, 1, 1<<40); ok {
			t.Error("a stream without limits is not over at once")
		}
		if _, ok := s.Next(); ok {
			t.Error("something is to happen")
		}
		if got, want := s.Transfers(7), (Transfers{Offered: 1 << 40, Received: 1 << 40}); got != want {
			t.Errorf("counts are %+v, want %+v", got, want)
		}
		if of == nil && s.Of(1) != nil {
			t.Error("there are streams")
		}
	}
}

func TestSlotsAreUsedAgainButIDsAreNot(t *testing.T) {
	s := NewStreams([]Bandwidth{{mbit, mbit}, {mbit, mbit}})
	a, _ := s.Start(0, 0, 1, 100)
	s.Cancel(0, a)
	b, _ := s.Start(0, 0, 1, 100)
	if a == b || a.Slot() != b.Slot() {
		t.Errorf("IDs %d and %d have slots %d and %d", a, b, a.Slot(), b.Slot())
	}
	for _, id := range []StreamID{0, a, 1 << 40, math.MaxUint64} {
		if _, ok := s.Received(0, id); ok {
			t.Errorf("stream %d runs", id)
		}
	}
}

func TestTimesAreRoundedUp(t *testing.T) {
	for _, c := range []struct {
		rate  Rate
		bytes int64
		want  node.Instant
	}{
		{Unlimited, 1 << 50, 0}, {8, 0, 0}, {8, -1, 0}, {8, 1, node.Second}, {3, 1, 2_666_666_667}, {maxRate, 1, 1}, {10 * mbit, 1_250_000, node.Second},
		{10 * mbit, 125 << 40, 109951162777600 * 1000}, {1, math.MaxInt64, 1 << 62},
	} {
		if got := c.rate.Time(c.bytes); got != c.want {
			t.Errorf("%d bytes at %v take %d ns, want %d", c.bytes, c.rate, got, c.want)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	// 100 nodes with 10 streams up and 10 down each: one ends and another one starts.
	const n, each = 100, 10
	of := make([]Bandwidth, n)
	for i := range of {
		of[i] = Bandwidth{10*mbit + Rate(i), 50*mbit + Rate(i)}
	}
	s := NewStreams(of)
	ids := make([]StreamID, 0, n*each)
	start := func(i int) StreamID {
		id, _ := s.Start(0, i%n, (i+1+i/n)%n, 1<<30+int64(i))
		return id
	}
	for i := range n * each {
		ids = append(ids, start(i))
	}
	i := 0
	for b.Loop() {
		s.Cancel(0, ids[i])
		ids[i] = start(i)
		if i++; i == len(ids) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/change")
}
