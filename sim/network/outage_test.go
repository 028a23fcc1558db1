package network

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/node"
)

func loss(t testing.TB, text string) *Loss {
	t.Helper()
	l, err := ParseLoss(text)
	return must(t, l, err)
}

func TestLossHasItsShare(t *testing.T) {
	for _, c := range []struct {
		text string
		want float64
	}{
		{"none", 0}, {"0.02", 0.02}, {"share:0.02", 0.02}, {"1e-1", 0.1}, {"1", 1}, {"0", 0},
		{"burst:good=3s,bad=1s", 0.25}, {"burst:good=3s,bad=1s,loss_bad=0.5,loss_good=0.1", 0.2},
	} {
		l := loss(t, c.text)
		r := rand.New(rand.NewPCG(seed, 3))
		lost := 0
		for i := range 200_000 {
			if l.Lost(node.Instant(i)*node.Second/10, i%2, 5, r) {
				lost++
			}
		}
		near(t, c.text, float64(lost)/200_000, c.want, 0.05)
		near(t, c.text+": the mean", l.Mean(), c.want, 1e-9)
		if l.Zero() != (c.want == 0) {
			t.Errorf("%s: zero is %t", c.text, l.Zero())
		}
	}
}

func TestLossComesInBursts(t *testing.T) {
	l := loss(t, "burst:good=9s,bad=1s")
	r := rand.New(rand.NewPCG(seed, 4))
	const each = node.Second / 100
	var runs, lost, both int
	was := false
	const n = 1_000_000
	for i := range n {
		is := l.Lost(node.Instant(i)*each, 0, 1, r)
		if back := l.Lost(node.Instant(i)*each, 1, 0, r); is && back {
			both++
		}
		if is {
			lost++
			if !was {
				runs++
			}
		}
		was = is
	}
	near(t, "the share lost", float64(lost)/n, 0.1, 0.1)
	near(t, "the mean burst in seconds", float64(lost)/float64(runs)/100, 1, 0.1)
	near(t, "the share lost in both directions", float64(both)/n, 0.01, 0.3)
	if !l.Lost(1e18, 0, 1, constantSource(0)) {
		t.Error("a link does not forget")
	}
}

type constantSource uint64

func (s constantSource) Uint64() uint64 { return uint64(s) }

func nat(t testing.TB, text string, n int) *NAT {
	t.Helper()
	x, err := ParseNAT(text, n, seed)
	return must(t, x, err)
}

func TestWhoCanDialWhom(t *testing.T) {
	const n = 600
	all := nat(t, "public=0.2,cone=0.5,symmetric=0.3,punch=0.7", n)
	relay := nat(t, "public=0.2,cone=0.5,symmetric=0.3,punch=0.7,relay=true", n)
	var of [3][]int
	for i := range n {
		of[all.Class(i)] = append(of[all.Class(i)], i)
	}
	if len(of[Public]) != 120 || len(of[Cone]) != 300 || len(of[Symmetric]) != 180 {
		t.Fatalf("%d public, %d cone, %d symmetric", len(of[Public]), len(of[Cone]), len(of[Symmetric]))
	}
	for _, c := range []struct {
		from, to NATClass
		want     float64 // share of pairs that can
		path     Path
	}{
		{Public, Public, 1, Direct}, {Cone, Public, 1, Direct}, {Symmetric, Public, 1, Direct},
		{Public, Cone, 1, Punched}, {Cone, Cone, 0.7, Punched}, {Symmetric, Cone, 0, NoPath},
		{Public, Symmetric, 0, NoPath}, {Cone, Symmetric, 0, NoPath}, {Symmetric, Symmetric, 0, NoPath},
	} {
		can, pairs := 0, 0
		for _, a := range of[c.from] {
			for _, b := range of[c.to] {
				if a == b {
					continue
				}
				pairs++
				path := all.Path(a, b)
				if all.Dialable(a, b) != (path != NoPath) || all.Connectable(a, b) != all.Connectable(b, a) {
					t.Fatalf("%v to %v: path %d, dialable %t", c.from, c.to, path, all.Dialable(a, b))
				}
				if c.from == c.to && path != all.Path(b, a) {
					t.Fatalf("%v to %v: path %d, back %d", c.from, c.to, path, all.Path(b, a))
				}
				if path != NoPath {
					can++
					if path != c.path {
						t.Fatalf("%v to %v: path %d, want %d", c.from, c.to, path, c.path)
					}
				}
				if with := relay.Path(a, b); path != NoPath && with != path || path == NoPath && with != Relayed {
					t.Fatalf("%v to %v: path %d without relays, %d with", c.from, c.to, path, with)
				}
			}
		}
		near(t, c.from.String()+" to "+c.to.String(), float64(can)/float64(pairs), c.want, 0.02)
	}
	if !all.Connectable(of[Public][0], of[Symmetric][0]) || all.Connectable(of[Cone][0], of[Symmetric][0]) {
		t.Error("a symmetric node connects to public nodes, and to no others")
	}
	for _, open := range []*NAT{{}, nat(t, "none", 5)} {
		if open.Path(3, 4) != Direct || open.Class(4) != Public {
			t.Error("without translation everybody is dialled directly")
		}
	}
}

func partitions(t testing.TB, n int, l *Latency, splits ...Split) *Partitions {
	t.Helper()
	p, err := ParsePartitions(splits, n, seed, l)
	return must(t, p, err)
}

func TestPartitionsCutAndHeal(t *testing.T) {
	s := node.Second
	p := partitions(t, 20, nil,
		Split{From: 10 * s, Until: 20 * s, Groups: "nodes:0-9"},
		Split{From: 15 * s, Until: 30 * s, Groups: "nodes:0-4,10-14|5"},
		Split{From: 40 * s, Groups: "nodes:19"})
	if got, want := p.Changes(), []node.Instant{10 * s, 15 * s, 20 * s, 30 * s, 40 * s}; !slices.Equal(got, want) {
		t.Errorf("changes at %v, want %v", got, want)
	}
	for _, c := range []struct {
		at   node.Instant
		a, b int
		want bool
	}{
		{0, 0, 19, false}, {10*s - 1, 0, 19, false}, {10 * s, 0, 19, true}, {10 * s, 0, 9, false}, {10 * s, 15, 19, false},
		{15 * s, 0, 4, false}, {15 * s, 0, 10, true}, {15 * s, 0, 5, true}, {15 * s, 5, 6, true}, {15 * s, 6, 9, false}, {15 * s, 6, 15, true},
		{20 * s, 0, 10, false}, {20 * s, 6, 15, false}, {20 * s, 5, 6, true}, {20 * s, 0, 6, true}, {30 * s, 0, 19, false},
		{40 * s, 0, 19, true}, {1 << 60, 0, 19, true}, {1 << 60, 0, 18, false}, {5 * s, 0, 19, false}, {12 * s, 0, 19, true},
	} {
		if got := p.Cut(c.at, c.a, c.b); got != c.want || p.Cut(c.at, c.b, c.a) != got {
			t.Errorf("at %v s, %d and %d are cut: %t, want %t", c.at.Seconds(), c.a, c.b, got, c.want)
		}
		if same := p.Group(c.at, c.a) == p.Group(c.at, c.b); same == c.want {
			t.Errorf("at %v s, %d and %d are in groups %d and %d", c.at.Seconds(), c.a, c.b, p.Group(c.at, c.a), p.Group(c.at, c.b))
		}
	}
	if p := partitions(t, 3, nil); p.Cut(5, 0, 1) || p.Group(5, 2) != 0 || len(p.Changes()) != 0 {
		t.Error("without partitions, nodes are cut off")
	}
	if p := partitions(t, 3, nil, Split{Groups: "nodes:1"}); !p.Cut(0, 0, 1) || len(p.Changes()) != 0 {
		t.Error("a split from the beginning has no effect there, or is a change")
	}
}

func TestPartitionsHaveTheirSizes(t *testing.T) {
	for _, c := range []struct {
		groups string
		want   []int
	}{
		{"halves", []int{50, 50}}, {"shares:0.2,0.3,0.5", []int{20, 30, 50}}, {"nodes:0-9|10", []int{89, 10, 1}},
		{"regions", []int{22, 14, 8, 16, 18, 8, 6, 8}}, {"regions:us-east,us-west", []int{64, 36}}, {"regions:us-east|us-west,eu-west", []int{48, 22, 30}},
	} {
		p := partitions(t, 100, latency(t, "regions", 100), Split{Groups: c.groups})
		got := make([]int, len(c.want))
		for i := range 100 {
			got[p.Group(0, i)]++
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: groups of %v nodes, want %v", c.groups, got, c.want)
		}
	}
	two := partitions(t, 100, nil, Split{Groups: "halves"}, Split{Groups: "halves"})
	seen := make(map[int]int)
	for i := range 100 {
		seen[two.Group(0, i)]++
	}
	if len(seen) != 4 {
		t.Errorf("two splits into halves make %d groups: they are not drawn apart", len(seen))
	}
}

func BenchmarkCut(b *testing.B) {
	p := partitions(b, 1024, nil, Split{From: 1000, Until: 2000, Groups: "halves"}, Split{From: 1500, Until: 1 << 40, Groups: "halves"})
	cuts, i := 0, 0
	for b.Loop() {
		if p.Cut(node.Instant(i), i&1023, i>>3&1023) {
			cuts++
		}
		i++
	}
	if cuts == math.MaxInt {
		b.Fatal("so many")
	}
}
