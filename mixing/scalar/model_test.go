package scalar

import (
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing"
	"starling/mixing/philox"
)

func TestWhatIsPrivateOrAStatisticStays(t *testing.T) {
	layout, err := mixing.NewLayout(
		mixing.Tensor{Name: "w", Shape: []int{5, 7}},
		mixing.Tensor{Name: "mean", Shape: []int{7}, Kind: mixing.RunningMean},
		mixing.Tensor{Name: "head", Shape: []int{7}, Private: true},
		mixing.Tensor{Name: "bias", Shape: []int{7}, Kind: mixing.Bias},
	)
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, "rademacher:pool=4")
	base := slices.Repeat([]float32{1}, layout.Len())
	m, err := NewModel(layout, cfg, runSeed, base)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, x []float32) {
		t.Helper()
		for i, tensor := range layout.Tensors {
			moves := i == 0 || i == 3
			for _, v := range tensor.Of(x) {
				if (v != 1) != moves {
					t.Errorf("%s: a parameter of %s is %g", what, tensor.Name, v)
				}
			}
		}
	}
	x := make([]float32, len(base))
	m.Perturb(x, 0, 1, 0.1)
	check("perturbed", x)
	m.Queue([]Change{{0, 2, 1 << 20}})
	m.Apply()
	m.Floats(x)
	check("moved", x)
	m.Rebuild([]Sums{{0, []int64{0, 0, 5 << 20, 0}}})
	m.Floats(x)
	check("rebuilt", x)
}

// Parts may run in any order, and the result is the one of the whole.
func TestPartsMakeTheWhole(t *testing.T) {
	rng := rand.New(philox.NewStream(71, philox.Data, 0))
	layout := layoutOf(t, 3*pieceLen+5, 9, pieceLen)
	base := make([]float32, layout.Len())
	for i := range base {
		base[i] = float32(rng.NormFloat64())
	}
	for _, f := range families() {
		cfg := parse(t, "%s:pool=8", f)
		models := make([]*Model, 3)
		for i, make := range []func(*mixing.Layout, Config, uint64, []float32) (*Model, error){NewModel, NewModel, NewLightModel} {
			models[i], _ = make(layout, cfg, runSeed, base)
			models[i].Queue([]Change{{0, 1, 1 << 30}, {0, 7, -3 << 30}, {5, 2, 1 << 31}})
		}
		shuffled := func(parts []func()) {
			rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			run(parts)
		}
		models[0].Apply()
		shuffled(models[1].ApplyParts(4))
		x, y := make([]float32, len(base)), make([]float32, len(base))
		models[0].Perturb(x, 5, 3, 1e-3)
		shuffled(models[1].PerturbParts(y, 5, 3, 1e-3, 3))
		if !slices.Equal(models[0].Theta(), models[1].Theta()) || !slices.Equal(x, y) {
			t.Errorf("%s: parts make another model", f)
		}
		shuffled(models[2].ApplyParts(4))
		shuffled(models[2].PerturbParts(y, 5, 3, 1e-3, 3))
		if !slices.Equal(x, y) || models[2].ThetaDigest() != models[0].ThetaDigest() || models[2].Digest() != models[0].Digest() {
			t.Errorf("%s: a light model is another", f)
		}
		models[0].Floats(x)
		shuffled(models[1].FloatsParts(y, 100))
		if !slices.Equal(x, y) || models[0].Digest() != models[1].Digest() {
			t.Errorf("%s: parts make other weights", f)
		}
		for _, j := range []int{0, pieceLen, 3*pieceLen + 4, 3*pieceLen + 5, len(base) - 1} {
			tensor, first := uint32(0), uint64(j)
			for i, tt := range layout.Tensors {
				if j >= tt.Offset {
					tensor, first = uint32(i), uint64(j-tt.Offset)
				}
			}
			p := cfg.Pool(runSeed)
			theta := 1<<30*p.At(0, 1, tensor, first) - 3<<30*p.At(0, 7, tensor, first) + 1<<31*p.At(5, 2, tensor, first)
			if want := float32(float64(base[j]) - float64(cfg.Unit*float64(theta))); x[j] != want {
				t.Errorf("%s: parameter %d is %g, want %g", f, j, x[j], want)
			}
		}
	}
}

func TestAModelHasTheParametersOfItsLayout(t *testing.T) {
	if _, err := NewModel(layoutOf(t, 5), parse(t, "rademacher"), 1, make([]float32, 4)); err == nil {
		t.Error("a base of 4 parameters goes with a layout of 5")
	}
}

func TestThePlaceOfTheNextRecord(t *testing.T) {
	r := NewReplica(parse(t, "structured:pool=8,epoch=4,records=12,rotate=1,mode=closed"), runSeed)
	want := func(seq uint64, epoch, clock uint32, possible bool) {
		t.Helper()
		p, ok := r.Next(1, clock)
		k := r.Config().Pool(runSeed).Assign(1, seq, epoch)
		if ok != possible || p != (Place{seq, epoch, epoch, k}) {
			t.Errorf("the next record is %v, %v, want %v, %v", p, ok, Place{seq, epoch, epoch, k}, possible)
		}
	}
	want(0, 0, 0, true)
	want(0, 7, 7, true)
	insert(t, r, Run{1, 0, 7, make([]byte, 4)})
	want(4, 7, 0, false) // the epoch is full
	want(4, 8, 8, true)
	for range 9 {
		if _, err := r.Close(nil); err != nil {
			t.Fatal(err)
		}
	}
	want(4, 9, 8, true) // what is closed takes no more
	insert(t, r, Run{1, 4, 9, make([]byte, 4)}, Run{1, 8, 10, make([]byte, 4)})
	want(12, 11, 11, false) // the budget is spent
	if err := r.Ban(1, 6); err != nil {
		t.Fatal(err)
	}
	want(6, 11, 11, false)

	r = NewReplica(parse(t, "structured:pool=8,epoch=4,rotate=1"), runSeed) // the place says the epoch
	want(0, 0, 7, true)
	insert(t, r, Run{1, 0, 0, make([]byte, 4)})
	want(4, 1, 0, true)
}

func BenchmarkApply(b *testing.B) {
	const d = 1 << 22
	layout := layoutOf(b, d)
	for _, text := range []string{"structured", "rademacher:pool=64"} {
		b.Run(text, func(b *testing.B) {
			cfg := parse(b, "%s", text)
			m, err := NewModel(layout, cfg, runSeed, make([]float32, d))
			if err != nil {
				b.Fatal(err)
			}
			var changes []Change
			for k := range cfg.K {
				changes = append(changes, Change{0, k, int64(k) * 1001})
			}
			for b.Loop() {
				m.Queue(changes)
				m.Apply()
			}
			b.ReportMetric(float64(d)*float64(cfg.K)*float64(b.N)/b.Elapsed().Seconds()/1e9, "G/s")
		})
	}
}

func BenchmarkInsert(b *testing.B) {
	cfg := parse(b, "structured:records=1099511627776,peers=1,m=1,epoch=1024")
	r := NewReplica(cfg, runSeed)
	for seq := uint64(0); b.Loop(); seq += 64 {
		if _, err := r.Insert(Run{1, seq, uint32(seq / 1024), make([]byte, 64)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/record")
}
