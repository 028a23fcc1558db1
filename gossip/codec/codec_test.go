package codec

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

func all(t testing.TB) []Codec {
	var out []Codec
	for _, n := range Names() {
		for _, stage := range []string{"", ",huff0"} {
			c, err := Parse(n + stage)
			if err != nil {
				t.Fatal(err)
			}
			if c.Name() != n+stage {
				t.Errorf("%q calls itself %q", n+stage, c.Name())
			}
			out = append(out, c)
		}
	}
	return out
}

func gaussian(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * math.Exp2(float64(r.IntN(8)-12)))
	}
	return v
}

// allowed reports whether y is what the codec may make of x, in a block whose largest magnitude is most.
func allowed(c Codec, x, y float32, most float64) bool {
	d := math.Abs(float64(x) - float64(y))
	switch c.Name() {
	case "fp32", "fp32,huff0":
		return math.Float32bits(x) == math.Float32bits(y)
	case "bf16", "bf16,huff0":
		return d <= math.Abs(float64(x))/256
	}
	return d <= most/254*1.0001
}

func TestVectorsOfEveryLengthComeBack(t *testing.T) {
	lengths := []int{65536, 100003, 262144 + 5}
	for n := range 600 {
		lengths = append(lengths, n)
	}
	for _, c := range all(t) {
		for _, n := range lengths {
			v := gaussian(n, uint64(n))
			b, err := c.Encode([]byte("x"), v, 1)
			if err != nil || b[0] != 'x' {
				t.Fatalf("%s %d: %v", c.Name(), n, err)
			}
			b = b[1:]
			if len(b) > c.MaxEncoded(n) {
				t.Fatalf("%s: %d numbers take %d bytes, more than %d", c.Name(), n, len(b), c.MaxEncoded(n))
			}
			again, err := c.Encode(nil, v, 1)
			if err != nil || !bytes.Equal(b, again) {
				t.Fatalf("%s %d: not the same bytes twice", c.Name(), n)
			}
			got := make([]float32, n)
			if err := c.Decode(got, b); err != nil {
				t.Fatalf("%s %d: %v", c.Name(), n, err)
			}
			for i := range v {
				most := 0.0
				for _, x := range v[i/256*256 : min(n, i/256*256+256)] {
					most = max(most, math.Abs(float64(x)))
				}
				if !allowed(c, v[i], got[i], most) {
					t.Fatalf("%s %d: element %d was %g and is %g", c.Name(), n, i, v[i], got[i])
				}
			}
		}
	}
}

func TestExtremeNumbersStayFinite(t *testing.T) {
	v := []float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1, -1, 1e-38}
	for _, c := range all(t) {
		b, err := c.Encode(nil, v, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(v))
		if err := c.Decode(got, b); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if _, err := c.Encode(nil, []float32{1, float32(bad)}, 0); err == nil {
				t.Errorf("%s encodes %g", c.Name(), bad)
			}
		}
	}
}

func TestWrongBytesAreRefused(t *testing.T) {
	for _, c := range all(t) {
		v := gaussian(1000, 7)
		b, err := c.Encode(nil, v, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 1000)
		for name, bad := range map[string][]byte{"empty": nil, "short": b[:len(b)-1], "long": append(bytes.Clone(b), 0)} {
			if err := c.Decode(got, bad); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s: %v", c.Name(), name, err)
			}
		}
		if err := c.Decode(got[:999], b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s for another length: %v", c.Name(), err)
		}
	}
	nan := bytes.Repeat([]byte{0xff}, 4)
	if err := (plain{fp32{}}).Decode(make([]float32, 1), nan); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a number that is not finite: %v", err)
	}
}

func TestEntropyCodingGains(t *testing.T) {
	v := gaussian(1<<18, 3)
	for name, most := range map[string]float64{"bf16": 0.85, "fp32": 0.95} {
		c, _ := Parse(name + ",huff0")
		b, err := c.Encode(nil, v, 0)
		p, _ := Parse(name)
		if ratio := float64(len(b)) / float64(p.MaxEncoded(len(v))); err != nil || ratio > most {
			t.Errorf("%s: %.3f of its size, want at most %.2f", c.Name(), ratio, most)
		}
	}
}

func TestUnknownCodecsAreNamed(t *testing.T) {
	for _, bad := range []string{"", "bf15", "bf16,", "bf16,zip", "bf16,huff0,huff0", "huff0"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, c := range all(f) {
		b, _ := c.Encode(nil, gaussian(600, 1), 0)
		f.Add(uint8(i), uint16(600), b)
	}
	codecs := all(f)
	f.Fuzz(func(t *testing.T, which uint8, n uint16, b []byte) {
		c := codecs[int(which)%len(codecs)]
		dst := make([]float32, n)
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		err := c.Decode(dst, b)
		runtime.ReadMemStats(&m1)
		if grew := m1.TotalAlloc - m0.TotalAlloc; grew > 4<<20 {
			t.Errorf("%s: %d bytes allocate %d", c.Name(), len(b), grew)
		}
		if err == nil {
			for _, x := range dst {
				if x-x != 0 {
					t.Fatalf("%s gives %g", c.Name(), x)
				}
			}
		}
	})
}

func BenchmarkCodecs(b *testing.B) {
	v := gaussian(1<<20, 1)
	for _, c := range all(b) {
		enc, err := c.Encode(nil, v, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.Name()+"/encode", func(b *testing.B) {
			b.SetBytes(4 << 20)
			for b.Loop() {
				if _, err := c.Encode(enc[:0], v, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.Name()+"/decode", func(b *testing.B) {
			b.SetBytes(4 << 20)
			dst := make([]float32, len(v))
			for b.Loop() {
				if err := c.Decode(dst, enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
