package network

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/node"
)

func TestAMessageTakesTheSlowerLinkAndTheLatency(t *testing.T) {
	of := []Bandwidth{{8 * mbit, 80 * mbit}, {80 * mbit, 8 * mbit}, {}, {80 * mbit, 80 * mbit}}
	const µs = node.Second / 1e6
	for _, c := range []struct {
		from, to int
		want     node.Instant // of 1,000 bytes: a byte takes 1 µs at 8 Mbit/s
	}{{0, 1, 1000 * µs}, {0, 3, 1000 * µs}, {3, 1, 1000 * µs}, {3, 0, 100 * µs}, {2, 1, 1000 * µs}, {0, 2, 1000 * µs}, {2, 2, 0}} {
		l := NewLinks(of)
		left := l.Send(5*µs, c.from, 1000)
		if got := l.Receive(left+20*millisecond, c.from, c.to, 1000); got != 5*µs+20*millisecond+c.want {
			t.Errorf("from %+v to %+v: received at %d, want after %d", of[c.from], of[c.to], got, c.want)
		}
	}
}

func TestLinksWithoutLimitsTakeNoTimeAndNoMemory(t *testing.T) {
	var zero Links
	for _, l := range []*Links{&zero, NewLinks(nil), NewLinks(make([]Bandwidth, 9))} {
		for range 3 {
			if left, taken := l.Send(7, 1, 1<<30), l.Receive(8, 1, 8, 1<<30); left != 7 || taken != 8 {
				t.Errorf("sent until %d, received until %d", left, taken)
			}
		}
		if up, down := l.Waits(0, 1); up != 0 || down != 0 || l.Bandwidth(3) != (Bandwidth{}) {
			t.Errorf("waits are %d and %d", up, down)
		}
		l.Clear(1)
	}
}

func TestMessagesWaitForThoseBefore(t *testing.T) {
	l := NewLinks([]Bandwidth{{8 * mbit, 8 * mbit}, {8 * mbit, 8 * mbit}, {8 * mbit, 8 * mbit}})
	const µs = node.Second / 1e6
	if a, b := l.Send(0, 0, 100), l.Send(10*µs, 0, 50); a != 100*µs || b != 150*µs {
		t.Errorf("messages leave at %d and %d", a, b)
	}
	if up, _ := l.Waits(20*µs, 0); up != 130*µs {
		t.Errorf("the next one waits %d", up)
	}
	// Two senders at once: the receiver takes one after the other.
	if a, b := l.Receive(100*µs, 0, 2, 100), l.Receive(100*µs, 1, 2, 100); a != 100*µs || b != 200*µs {
		t.Errorf("messages are taken at %d and %d", a, b)
	}
	if _, down := l.Waits(150*µs, 2); down != 50*µs {
		t.Errorf("the next one waits %d", down)
	}
	l.Clear(2)
	if a := l.Receive(101*µs, 0, 2, 1); a != 101*µs {
		t.Errorf("a link that was cleared takes a byte at %d", a)
	}
}

// A reach is a message whose last bit reaches its receiver.
type reach struct {
	at             node.Instant
	from, to, size int
}

type reaching []reach

func (r reaching) Len() int           { return len(r) }
func (r reaching) Less(i, j int) bool { return r[i].at < r[j].at }
func (r reaching) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *reaching) Push(x any)        { *r = append(*r, x.(reach)) }
func (r *reaching) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

func TestLinksKeepOrderAndCarryNoMoreThanTheyCan(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		const n = 5
		of := randomBandwidths(r, n)
		l := NewLinks(of)
		var now, lastLeft node.Instant
		var queue reaching
		var lastTaken, begun [n]node.Instant
		var carried [n]int64
		for range 2000 {
			now += node.Instant(r.Int64N(1e6))
			from, to, size := r.IntN(n), r.IntN(n), r.IntN(2000)
			left := l.Send(now, from, int64(size))
			if from == 0 {
				if left < lastLeft {
					t.Fatalf("seed %d: a message leaves at %d, one before it at %d", seed, left, lastLeft)
				}
				lastLeft = left
			}
			heap.Push(&queue, reach{left + node.Instant(r.Int64N(5e6)), from, to, size})
		}
		for len(queue) > 0 {
			e := heap.Pop(&queue).(reach)
			taken := l.Receive(e.at, e.from, e.to, int64(e.size))
			if of[e.to].Down == Unlimited {
				continue
			}
			if taken < e.at || taken < lastTaken[e.to] {
				t.Fatalf("seed %d: taken at %d, reached at %d, the one before taken at %d", seed, taken, e.at, lastTaken[e.to])
			}
			// While the link is busy without a break, it carries exactly its rate.
			if first := e.at - of[e.from].Up.Time(int64(e.size)); first > lastTaken[e.to] || begun[e.to] == 0 {
				begun[e.to], carried[e.to] = max(first, lastTaken[e.to]), 0
			}
			carried[e.to] += int64(e.size)
			if least := begun[e.to] + of[e.to].Down.Time(carried[e.to]); taken < least {
				t.Fatalf("seed %d: %d bytes were taken in %d ns at %v", seed, carried[e.to], taken-begun[e.to], of[e.to].Down)
			}
			lastTaken[e.to] = taken
		}
	}
}

func TestRatesAreRead(t *testing.T) {
	for text, want := range map[string]Rate{
		"10Mbit": 10e6, "10Mbit/s": 10e6, "1.5kbit": 1500, "3Gbit": 3e9, "8bit": 8, "1B": 8, "1kB": 8000, "1MB": 8e6, "2GB": 16e9, "1KiB": 8192,
		"1MiB": 8 << 20, "0.5GiB": 4 << 30, "10 Mbit": 10e6, "unlimited": 0, "1bit": 1,
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q is %v (%v), want %d", text, int64(got), err, want)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %v (%v)", text, got, again, err)
		}
	}
	for _, text := range []string{"", "10", "10mb", "Mbit", "-1Mbit", "0bit", "0.1bit", "1e30Gbit", "nanMbit", "infMbit", "1MbitMbit", "10 M", "1/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestBandwidthsHaveTheirDistribution(t *testing.T) {
	of, err := ParseBandwidth("constant:up=10Mbit,down=50Mbit", 3, seed)
	if must(t, of, err); of[2] != (Bandwidth{10 * mbit, 50 * mbit}) {
		t.Errorf("constant is %v", of)
	}
	of, err = ParseBandwidth("constant:1MB", 3, seed)
	if must(t, of, err); of[0] != (Bandwidth{8 * mbit, 8 * mbit}) {
		t.Errorf("constant is %v", of)
	}
	of, err = ParseBandwidth("unlimited", 3, seed)
	if must(t, of, err); of != nil {
		t.Errorf("unlimited is %v", of)
	}
	of, err = ParseBandwidth("lognormal:up=10Mbit,down=unlimited,sigma=0.8", 10_001, seed)
	must(t, of, err)
	slices.SortFunc(of, func(a, b Bandwidth) int { return int(a.Up - b.Up) })
	near(t, "the median", float64(of[5000].Up), 10e6, 0.03)
	near(t, "a quantile", float64(of[8413].Up), 10e6*2.2255, 0.05) // one sigma above
	if of[77].Down != Unlimited {
		t.Error("unlimited became limited")
	}
	for text, want := range map[string][3]int{
		"classes:fiber=0.3,cable=0.5,dsl=0.2": {30, 50, 20}, "fiber:0.3,cable:0.5,dsl:0.2": {30, 50, 20}, "classes:dsl:1": {0, 0, 100}, "dsl:1": {0, 0, 100},
		"classes:testdata/classes.csv": {0, 0, 60}, "classes": {30, 35, 20},
	} {
		of, err := ParseBandwidth(text, 100, seed)
		must(t, of, err)
		var got [3]int
		for _, b := range of {
			switch b {
			case Classes()[2].Bandwidth:
				got[0]++
			case Classes()[3].Bandwidth:
				got[1]++
			case Classes()[4].Bandwidth:
				got[2]++
			}
		}
		if got != want {
			t.Errorf("%s: %v nodes with fiber, cable, dsl; want %v", text, got, want)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	of := make([]Bandwidth, 1024)
	for i := range of {
		of[i] = Bandwidth{10*mbit + Rate(i), 50*mbit + Rate(i)}
	}
	for name, l := range map[string]*Links{"limited": NewLinks(of), "unlimited": NewLinks(nil)} {
		b.Run(name, func(b *testing.B) {
			var now node.Instant
			i := 0
			for b.Loop() {
				now += 1000
				from, to := i&1023, i>>3&1023
				l.Receive(l.Send(now, from, 300)+millisecond, from, to, 300)
				i++
			}
		})
	}
}
