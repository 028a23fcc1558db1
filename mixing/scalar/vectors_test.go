package scalar

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"starling/mixing"
	"starling/mixing/philox"
)

// A word is an integer written as 0x… in the vectors.
type word uint64

func (w *word) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 64)
	*w = word(n)
	return err
}

type vectors struct {
	Philox []struct{ Ctr, Key, Out []word } `json:"philox_kat"`
	Table  []int64                          `json:"table_T"`
	GUnit  string                           `json:"g_unit"`
	Encode []struct {
		G, U  float64
		Byte  byte
		Int   int64 `json:"int_value"`
		Value float64
	}
	Mapping struct {
		RunSeed    word   `json:"run_seed"`
		Pool       []word `json:"pool_first8"`
		Seed       word
		Tensor     uint32
		Block0     []word
		Block1     []word
		Signs      []int64 `json:"rademacher_first32"`
		SignsLater []int64 `json:"rademacher_128_to_143"`
		Binom8     []int64 `json:"binom8_first32"`
		Binom32    []int64 `json:"binom32_first8"`
		Tensor5    []int64 `json:"rademacher_tensor5_first16"`
		Assign     []struct {
			Peer     word
			Seq      uint64
			Epoch, K uint32
			Index    uint32
		}
	}
	CRDT struct {
		K       uint32
		D       int
		M       []uint16
		Eps     float64
		Unit    string
		Target  []float64
		Records []struct {
			Peer, Seq   uint64
			Epoch, K    uint32
			G           float64
			Exact       float64 `json:"g_exact"`
			U           float64
			Byte        byte
			Coefficient int64 `json:"coef"`
		}
		A            []int64
		Theta        []int64   `json:"ThetaInt"`
		Weights      []float32 `json:"theta_float32"`
		DigestA      string    `json:"sha256_A"`
		DigestTheta  string    `json:"sha256_ThetaInt"`
		Digest       string    `json:"sha256_theta_f32"`
		LossBase     float64   `json:"loss_base"`
		LossAfter    float64   `json:"loss_after"`
		Fingerprints []struct {
			Peer, Seq uint64
			B         string `json:"bytes"`
			H         string `json:"hash128"`
		} `json:"record_fingerprints"`
		All   string `json:"fingerprint_all"`
		First string `json:"fingerprint_peers_1_2"`
	}
	Legacy []struct {
		G        float64
		Power    int
		Restored float64
	} `json:"legacy_ln16"`
	Robust struct {
		Values       []int64
		Mean, Median float64
		Trimmed      float64 `json:"trimmed_2"`
		Groups       float64 `json:"median_of_means_3"`
	}
}

func load(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/04-shared-seed-spsa.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVectorsOfTheGenerator(t *testing.T) {
	for _, c := range load(t).Philox {
		got := philox.Block(uint64(c.Key[0]|c.Key[1]<<32), [4]uint32{uint32(c.Ctr[0]), uint32(c.Ctr[1]), uint32(c.Ctr[2]), uint32(c.Ctr[3])})
		for i, w := range c.Out {
			if got[i] != uint32(w) {
				t.Errorf("word %d of %x is %x, want %x", i, c.Ctr, got[i], w)
			}
		}
	}
}

func TestVectorsOfTheByte(t *testing.T) {
	v := load(t)
	for m, want := range v.Table {
		if got := Value(byte(m)); got != want || len(v.Table) != MaxCode+1 {
			t.Errorf("code %d of %d stands for %d, want %d", m, len(v.Table), got, want)
		}
	}
	unit, err := number(v.GUnit)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Encode {
		b, ok := Encode(c.G, unit, c.U)
		if !ok || b != c.Byte || Value(b) != c.Int || float64(Value(b))*unit != c.Value {
			t.Errorf("Encode(%g) with u = %g is %#x (%d, %g), want %#x (%d, %g)", c.G, c.U, b, Value(b), float64(Value(b))*unit, c.Byte, c.Int, c.Value)
		}
	}
}

func TestVectorsOfPools(t *testing.T) {
	m := load(t).Mapping
	p := Pool{Family: Rademacher, K: 4096, Seed: uint64(m.RunSeed)}
	for k, want := range m.Pool {
		if got := p.Key(0, uint32(k)); got != uint64(want) {
			t.Errorf("seed %d of the pool is %#x, want %#x", k, got, want)
		}
	}
	for b, want := range [][]word{m.Block0, m.Block1} {
		for i, w := range philox.Block(uint64(m.Seed), [4]uint32{uint32(b), 0, m.Tensor, philox.Perturbation}) {
			if word(w) != want[i] {
				t.Errorf("word %d of block %d is %#x, want %#x", i, b, w, want[i])
			}
		}
	}
	for _, c := range []struct {
		family Family
		tensor uint32
		first  uint64
		want   []int64
	}{
		{Rademacher, m.Tensor, 0, m.Signs},
		{Rademacher, m.Tensor, 128, m.SignsLater},
		{Binom8, m.Tensor, 0, m.Binom8},
		{Binom32, m.Tensor, 0, m.Binom32},
		{Rademacher, 5, 0, m.Tensor5},
	} {
		p.Family = c.family
		for i, want := range c.want {
			if got := p.At(0, 0, c.tensor, c.first+uint64(i)); got != want { // key 0 of the pool is the seed of the vectors
				t.Errorf("%s entry %d of tensor %d is %d, want %d", c.family, c.first+uint64(i), c.tensor, got, want)
			}
		}
	}
	for _, a := range m.Assign {
		if got := (Pool{K: a.K}).Assign(uint64(a.Peer), a.Seq, a.Epoch); got != a.Index {
			t.Errorf("record %d of peer %#x in epoch %d takes direction %d of %d, want %d", a.Seq, a.Peer, a.Epoch, got, a.K, a.Index)
		}
	}
}

// crdtConfig is the run of the vectors. There the sender's clock says the epoch: two records of a peer are of different epochs once,
// and of one otherwise.
func crdtConfig(t *testing.T, v vectors) Config {
	t.Helper()
	c := v.CRDT
	cfg, err := Parse(fmt.Sprintf("rademacher:pool=%d,epoch=2,m=%dx1:%d,unit=%s,eps=%g,clock=run", c.K, c.M[0], c.M[1], c.Unit, c.Eps))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestVectorsOfARun(t *testing.T) {
	v := load(t)
	c, cfg, seed := v.CRDT, crdtConfig(t, v), uint64(v.Mapping.RunSeed)
	layout, err := mixing.NewLayout(mixing.Tensor{Name: "theta", Shape: []int{c.D}})
	if err != nil {
		t.Fatal(err)
	}
	loss := func(at func(j int) float64) (sum float64) {
		for j, target := range c.Target {
			d := at(j) - target
			sum += 0.5 * d * d
		}
		return sum
	}
	r := NewReplica(cfg, seed)
	for _, rec := range c.Records {
		k := cfg.Direction(r.Pool(), rec.Peer, rec.Seq, rec.Epoch)
		side := func(eps float64) float64 {
			return loss(func(j int) float64 { return eps * float64(r.Pool().At(0, k, 0, uint64(j))) })
		}
		g := Slope(side(cfg.Eps), side(-cfg.Eps), cfg.Eps)
		b, ok := Encode(rec.G, cfg.GUnit(), rec.U)
		if k != rec.K || math.Abs(g-rec.G) > 1e-9 || math.Abs(g-rec.Exact) > 1e-9 || !ok || b != rec.Byte || cfg.Coefficient(rec.Epoch, b) != rec.Coefficient {
			t.Errorf("record %d of peer %d: direction %d, slope %.12g, byte %d, coefficient %d; want %d, %.12g, %d, %d",
				rec.Seq, rec.Peer, k, g, b, cfg.Coefficient(rec.Epoch, b), rec.K, rec.G, rec.Byte, rec.Coefficient)
		}
		res, err := r.Insert(Run{rec.Peer, rec.Seq, rec.Epoch, []byte{rec.Byte}})
		if err != nil || res.Verdict != Added {
			t.Fatalf("record %d of peer %d: %v %v %v", rec.Seq, rec.Peer, res.Verdict, res.Err, err)
		}
	}
	m, err := NewModel(layout, cfg, seed, make([]float32, c.D))
	if err != nil {
		t.Fatal(err)
	}
	m.Queue(r.Take())
	m.Apply()
	a, _ := r.Sums().Of(0)
	weights := make([]float32, c.D)
	m.Floats(weights)
	if !slices.Equal(a, c.A) || !slices.Equal(m.Theta(), c.Theta) || !slices.Equal(weights, c.Weights) {
		t.Errorf("sums %v, theta %v, weights %v;\nwant %v, %v, %v", a, m.Theta(), weights, c.A, c.Theta, c.Weights)
	}
	for i, got := range [][32]byte{DigestOf(a), m.ThetaDigest(), m.Digest()} {
		if want := []string{c.DigestA, c.DigestTheta, c.Digest}[i]; hex.EncodeToString(got[:]) != want {
			t.Errorf("digest %d is %x, want %s", i, got, want)
		}
	}
	before, after := loss(func(int) float64 { return 0 }), loss(func(j int) float64 { return float64(weights[j]) })
	if math.Abs(before-c.LossBase) > 1e-9 || math.Abs(after-c.LossAfter) > 1e-9 {
		t.Errorf("losses %g and %g, want %g and %g", before, after, c.LossBase, c.LossAfter)
	}
}

func TestVectorsOfFingerprints(t *testing.T) {
	v := load(t)
	set := NewSet(crdtConfig(t, v))
	text := func(s Sum) string { return fmt.Sprintf("%016x%016x", s[1], s[0]) }
	for i, f := range v.CRDT.Fingerprints {
		rec := v.CRDT.Records[i]
		r := Record{rec.Peer, rec.Seq, rec.Epoch, rec.Byte}
		form, err := r.AppendBinary(nil)
		if err != nil || len(form) != RecordSize || hex.EncodeToString(form) != f.B || text(r.Hash()) != f.H || f.Peer != r.Peer || f.Seq != r.Seq {
			t.Errorf("record %v is %x with hash %s, want %s with %s", r, form, text(r.Hash()), f.B, f.H)
		}
		set.Insert(Run{rec.Peer, rec.Seq, rec.Epoch, []byte{rec.Byte}})
	}
	n, all := set.Fingerprint()
	first := set.print(Print, Key{}, Key{Peer: 3})
	if n != 6 || text(all) != v.CRDT.All || first.Count != 4 || text(first.Sum) != v.CRDT.First {
		t.Errorf("fingerprints of %d records %s and of %d %s, want %s and %s", n, text(all), first.Count, text(first.Sum), v.CRDT.All, v.CRDT.First)
	}
}

// The reference code's byte is a power of a sixteenth of e and a sign apart. It is not the one of runs; the vectors say what it does.
func TestVectorsOfTheReferencePower(t *testing.T) {
	for _, c := range load(t).Legacy {
		power := min(127, max(-127, int(math.RoundToEven(16*math.Log(math.Abs(c.G))))))
		restored := math.Copysign(math.Exp(float64(power)/16), c.G)
		if power != c.Power || math.Abs(restored-c.Restored) > 1e-9*math.Abs(c.Restored) {
			t.Errorf("%g is power %d and %g, want %d and %g", c.G, power, restored, c.Power, c.Restored)
		}
	}
}

func TestVectorsOfCombining(t *testing.T) {
	v := load(t).Robust
	for _, c := range []struct {
		by   Combine
		want float64
	}{{Combine{}, v.Mean}, {Combine{Kind: Median}, v.Median}, {Combine{Kind: Trimmed, Trim: 2500}, v.Trimmed}, {Combine{Kind: MedianOfMeans, Groups: 3}, v.Groups}} {
		if got := c.by.Of(slices.Clone(v.Values), func(i int) int { return i % 3 }); got != int64(math.Floor(c.want)) {
			t.Errorf("%s of %v is %d, want %g rounded down", c.by, v.Values, got, c.want)
		}
	}
}
