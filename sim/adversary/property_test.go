package adversary

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"starling/gossip"
	"starling/mixing/kernel"
)

// scene draws honest models, the vectors of an attacker, and the view.
func scene(t *rapid.T, attackers int) (models [][]float32, c *Context) {
	d := rapid.IntRange(1, 9).Draw(t, "d")
	vector := rapid.SliceOfN(rapid.Float32Range(-100, 100), d, d)
	for range rapid.IntRange(1, 8).Draw(t, "honest") {
		models = append(models, vector.Draw(t, "model"))
	}
	c = &Context{Round: rapid.Uint64Range(1, 1e6).Draw(t, "round"), Own: vector.Draw(t, "own"), View: seen(attackers, models)}
	if rapid.Bool().Draw(t, "based") {
		c.Base = vector.Draw(t, "base")
	}
	return models, c
}

func roster(t *rapid.T, n int, specs ...string) *Roster {
	r, err := Parse(specs, n, rapid.Uint64().Draw(t, "seed"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func apply(t *rapid.T, a Attack, c *Context) []float32 {
	out := make([]float32, len(c.Own))
	if !a.Announce(c, out) {
		t.Fatalf("%s leaves the vector honest", a.Name())
	}
	return out
}

func TestFlippingTwiceIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 1)
		n := len(models) + 1
		a := roster(t, n, fmt.Sprintf("sign-flip:nodes=%d", n-1)).Of(n - 1)
		once := *c
		once.Own = apply(t, a, c)
		for j, x := range apply(t, a, &once) {
			if math.Abs(float64(x-c.Own[j])) > 1e-4 {
				t.Fatalf("element %d is %g after flipping %g twice", j, x, c.Own[j])
			}
		}
	})
}

func TestScalingByOneIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 1)
		n := len(models) + 1
		out := apply(t, roster(t, n, fmt.Sprintf("scaling:1,nodes=%d", n-1)).Of(n-1), c)
		for j, x := range out {
			if math.Abs(float64(x-c.Own[j])) > 1e-4 {
				t.Fatalf("element %d: %g for %g", j, x, c.Own[j])
			}
		}
	})
}

func TestALIEStaysWithinZDeviationsOfTheHonestMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 2)
		n := len(models) + 2
		z := rapid.Float64Range(0, 3).Draw(t, "z")
		r := roster(t, n, fmt.Sprintf("alie:z=%g,nodes=%d-%d", z, n-2, n-1))
		out := apply(t, r.Of(n-1), c)
		other := *c
		other.Own, other.Base = slices.Repeat([]float32{5}, len(c.Own)), nil
		if again := apply(t, r.Of(n-2), &other); !slices.Equal(out, again) {
			t.Fatalf("colluders announce %v and %v", out, again)
		}
		for j, x := range out {
			mean, square := moments(models, j)
			sd := math.Sqrt(square / float64(max(1, len(models)-1)))
			if off := math.Abs(float64(x) - mean); off > z*sd+1e-4 || off < z*sd-1e-4 {
				t.Fatalf("element %d is %g from the mean, deviation %g, z %g", j, off, sd, z)
			}
		}
	})
}

// moments are the mean and the sum of squared differences of a coordinate.
func moments(models [][]float32, j int) (mean, square float64) {
	for _, m := range models {
		mean += float64(m[j]) / float64(len(models))
	}
	for _, m := range models {
		square += (float64(m[j]) - mean) * (float64(m[j]) - mean)
	}
	return mean, square
}

func TestIPMOpposesTheMeanUpdate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 1)
		n := len(models) + 1
		out := apply(t, roster(t, n, fmt.Sprintf("ipm:0.5,nodes=%d", n-1)).Of(n-1), c)
		product, size := 0.0, 0.0
		for j, x := range out {
			base := 0.0
			if c.Base != nil {
				base = float64(c.Base[j])
			}
			mean, _ := moments(models, j)
			product += (float64(x) - base) * (mean - base)
			size += (mean - base) * (mean - base)
		}
		if size > 1e-3 && !(product < 0) {
			t.Fatalf("inner product %g with the mean update of square %g", product, size)
		}
	})
}

func TestScaledFlipMakesTheMeanUpdateZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.IntRange(1, 4).Draw(t, "f")
		models, c := scene(t, f)
		n := len(models) + f
		r := roster(t, n, fmt.Sprintf("scaled-flip:nodes=%d-%d", len(models), n-1))
		sum := make([]float64, len(c.Own))
		for _, m := range models {
			for j, x := range m {
				sum[j] += float64(x)
			}
		}
		for i := range f {
			for j, x := range apply(t, r.Of(len(models)+i), c) {
				sum[j] += float64(x)
			}
		}
		for j, s := range sum {
			base := 0.0
			if c.Base != nil {
				base = float64(c.Base[j])
			}
			if math.Abs(s/float64(n)-base) > 1e-3 {
				t.Fatalf("element %d: the mean of all is %g, the base %g", j, s/float64(n), base)
			}
		}
	})
}

func TestMimicAnnouncesTheVectorOfItsTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 1)
		n := len(models) + 1
		k := rapid.IntRange(0, len(models)-1).Draw(t, "target")
		out := apply(t, roster(t, n, fmt.Sprintf("mimic:%d,nodes=%d", k, n-1)).Of(n-1), c)
		if !slices.Equal(out, models[k]) {
			t.Fatalf("announces %v, the target %v", out, models[k])
		}
	})
}

func TestEveryKindAnnouncesFiniteVectorsAndTwiceTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 1)
		n := len(models) + 1
		c.Own[0] = rapid.SampledFrom([]float32{0, 1, -largest, largest}).Draw(t, "extreme")
		for _, name := range Names() {
			kind, _, settings := strings.Cut(name, ":")
			if kind == "nan" || kind == "infinity" {
				continue
			}
			spec := kind + ":"
			if kind == "alie" {
				spec += "z=1e30,"
			} else if settings {
				spec = strings.ReplaceAll(name, "=1.5", "=1e30") + ","
				spec = strings.ReplaceAll(spec, "factor=10", "factor=1e30")
				spec = strings.ReplaceAll(spec, "sigma=1", "sigma=1e30")
			}
			a := roster(t, n, fmt.Sprintf("%snodes=%d", spec, n-1)).Of(n - 1)
			c.Version = a.Version(0)
			own, base := slices.Clone(c.Own), slices.Clone(c.Base)
			out, again := make([]float32, len(own)), make([]float32, len(own))
			if did := a.Announce(c, out); did != a.Announce(c, again) || !slices.Equal(out, again) {
				t.Fatalf("%s announces %v, then %v", a.Name(), out, again)
			}
			if !kernel.Finite(out) {
				t.Fatalf("%s announces %v", a.Name(), out)
			}
			if !slices.Equal(own, c.Own) || !slices.Equal(base, c.Base) {
				t.Fatalf("%s changes what it was handed", a.Name())
			}
		}
	})
}

func TestViewEqualsSumsMadeAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const nodes, d = 6, 4
		v := NewView(nodes)
		vector := rapid.SliceOfN(rapid.Float32Range(-10, 10), d, d)
		held := make([][]float32, nodes)
		for range 40 {
			i := rapid.IntRange(0, nodes-1).Draw(t, "node")
			var vec []float32
			if rapid.IntRange(0, 5).Draw(t, "kind") > 0 {
				vec = vector.Draw(t, "vec")
			}
			if old := v.Put(i, 1, 1, vec); !slices.Equal(old, held[i]) || (old == nil) != (held[i] == nil) {
				t.Fatalf("Put returns %v, was given %v", old, held[i])
			}
			held[i] = vec
			var models [][]float32
			for _, m := range held {
				if m != nil {
					models = append(models, m)
				}
			}
			if rapid.Bool().Draw(t, "ask") && v.ready(make([]float32, d)) {
				for j := range d {
					mean, square := moments(models, j)
					sd := math.Sqrt(square / float64(max(1, len(models)-1)))
					if math.Abs(v.mean(j)-mean) > 1e-9 || math.Abs(v.deviation(j)-sd) > 1e-6 {
						t.Fatalf("coordinate %d of %v: mean %g, deviation %g; want %g, %g", j, models, v.mean(j), v.deviation(j), mean, sd)
					}
				}
			}
		}
	})
}

func TestStaleReplaysItsOwnPast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := rapid.IntRange(1, 7).Draw(t, "delay")
		a := roster(t, 2, fmt.Sprintf("stale:%d,nodes=1", delay)).Of(1)
		own := make([]float32, 1) // the engine uses its memory again
		for round := 1; round <= 30; round++ {
			own[0] = float32(round)
			for range 2 {
				out := apply(t, a, &Context{Round: uint64(round), Own: own})
				if want := float32(max(1, round-delay)); out[0] != want {
					t.Fatalf("round %d: announces that of round %g, want %g", round, out[0], want)
				}
			}
		}
		if kept := len(a.(*stale).kept); kept != delay+1 {
			t.Fatalf("%d vectors kept for a delay of %d", kept, delay)
		}
	})
}

func TestEquivocationTellsReceiversApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, c := scene(t, 1)
		versions := rapid.SampledFrom([]int{0, 2, 5, 1000}).Draw(t, "versions")
		a := roster(t, 100, fmt.Sprintf("equivocation:%d,nodes=99", versions)).Of(99)
		honest := &gossip.Message{Seq: 7, Body: &gossip.Update{Round: c.Round, Blob: gossip.BlobID{1, 2, 31: 9}}}
		body := *honest.Body.(*gossip.Update)
		told := map[string]uint32{}
		for to := range 99 {
			m := a.Send(to, honest)
			if m.Seq != honest.Seq || m != a.Send(to, honest) && versions == 2 {
				t.Fatalf("receiver %d: message %d, want %d and always the same", to, m.Seq, honest.Seq)
			}
			version, ok := VersionOf(body.Blob, m.Body.(*gossip.Update).Blob)
			if !ok || version != a.Version(to) || version == 0 {
				t.Fatalf("receiver %d is told of version %d (%v), want %d", to, version, ok, a.Version(to))
			}
			c.Version = version
			text := fmt.Sprint(apply(t, a, c))
			if v, known := told[text]; known && v != version {
				t.Fatalf("versions %d and %d are the same", v, version)
			}
			told[text] = version
		}
		if want := min(versions, 99); versions != 1000 && len(told) != map[int]int{0: 99}[versions]+want {
			t.Fatalf("%d vectors are told, of %d versions", len(told), versions)
		}
		if fmt.Sprint(body) != fmt.Sprint(*honest.Body.(*gossip.Update)) {
			t.Fatal("the honest message was changed")
		}
	})
}

func TestColludingMimicsCopyTheSameNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, c := scene(t, 3)
		n := len(models) + 3
		learn := rapid.IntRange(0, 3).Draw(t, "learn")
		r := roster(t, n, fmt.Sprintf("mimic:learn=%d,nodes=%d-%d", learn, n-3, n-1))
		for range 10 { // the members are not in step
			i := rapid.IntRange(n-3, n-1).Draw(t, "member")
			c.Round += rapid.Uint64Range(0, 1).Draw(t, "later")
			late := *c
			late.Round = max(1, late.Round-rapid.Uint64Range(0, 1).Draw(t, "behind"))
			want := apply(t, r.Of(i), c)
			for j := n - 3; j < n; j++ {
				if got := apply(t, r.Of(j), &late); !slices.Equal(got, want) {
					t.Fatalf("member %d copies %v, member %d %v", i, want, j, got)
				}
			}
		}
	})
}
