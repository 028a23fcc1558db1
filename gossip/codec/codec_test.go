package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"starling/mixing/kernel"
)

// families are codecs of every kind, by their canonical names.
var families = []string{
	"fp32", "bf16", "int8", "int4", "e3m0", "ternary", "sign",
	"fp32,huff0", "bf16,huff0", "int8,huff0", "int4,huff0", "e3m0,huff0", "ternary,huff0",
	"bf16,fse", "int8,zstd", "int4,fse", "e3m0,fse", "ternary,fse", "fp32,auto", "bf16,auto", "int8,auto", "int4,auto", "e3m0,auto", "ternary,auto",
	"bf16,unbiased", "int8,unbiased", "int4,unbiased", "ternary,unbiased", "int8,unbiased,huff0", "ternary,unbiased,auto",
	"topk:0.01,fp32,rice", "topk:0.01,int4,rice", "topk:0.2,bf16,auto", "topk:0.5,int8,huff0", "topk:0.03,sign,rice", "topk:0.1,e3m0,rice", "topk:0.1,ternary,fse",
	"randk:0.05,bf16", "randk:0.01,fp32,unbiased", "randk:0.3,int8,unbiased,auto", "randk:0.001,int4", "randk:0.2,e3m0,huff0", "randk:0.5,sign",
	"dct:k=8,sign,rice", "dct:k=32,bf16,rice", "dct:k=4096,fp32,rice", "dct:k=200,int4,auto", "dct:k=50,e3m0,rice", "dct:k=1,ternary,rice",
}

func all(t testing.TB) []Codec {
	var out []Codec
	for _, name := range families {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name() != name {
			t.Errorf("%q calls itself %q", name, c.Name())
		}
		out = append(out, c)
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

// allowed reports whether y is what the quantizer may make of x, in a block whose largest magnitude is most. For random rounding
// that is twice as far.
func allowed(name string, x, y float32, most float64) bool {
	d := math.Abs(float64(x) - float64(y))
	random := 1.0
	if strings.Contains(name, ",unbiased") {
		random = 2
	}
	switch name, _, _ := strings.Cut(name, ","); name {
	case "fp32":
		return math.Float32bits(x) == math.Float32bits(y)
	case "bf16":
		return d <= random*math.Abs(float64(x))/256
	case "int8":
		return d <= random*most/254*1.0001
	case "int4":
		return d <= random*most/14*1.0001
	case "e3m0":
		if x := math.Abs(float64(x)); x < 0.75/64*most {
			return d <= x // it is nothing, or up to twice as much
		}
		return d <= math.Abs(float64(x))/3*1.0001
	}
	return math.Abs(float64(y)) <= most*1.0001 // ternary and sign
}

func blockOf(name string) int {
	switch name, _, _ := strings.Cut(name, ","); name {
	case "int4":
		return int4Block
	case "e3m0":
		return powersBlock
	case "ternary":
		return ternaryBlock
	case "sign":
		return denseSigns
	}
	return int8Block
}

// theLengths are those that every codec is tried on.
func theLengths(most int) []int {
	out := []int{4095, 4096, 4097, 8192, 12345, 65536, 100003}
	for n := range most {
		out = append(out, n)
	}
	return out
}

// thereAndBack encodes and decodes v, and checks what holds for every codec.
func thereAndBack(t *testing.T, c Codec, v []float32, seed uint64) []float32 {
	t.Helper()
	n := len(v)
	b, err := c.Encode([]byte("x"), v, seed)
	if err != nil || b[0] != 'x' {
		t.Fatalf("%s %d: %v", c.Name(), n, err)
	}
	b = b[1:]
	if len(b) > c.MaxEncoded(n) {
		t.Fatalf("%s: %d numbers take %d bytes, more than %d", c.Name(), n, len(b), c.MaxEncoded(n))
	}
	again, err := c.Encode(nil, v, seed)
	if err != nil || !bytes.Equal(b, again) {
		t.Fatalf("%s %d: not the same bytes twice", c.Name(), n)
	}
	got := gaussian(n, 99) // what was there before does not show
	if err := c.Decode(got, b); err != nil {
		t.Fatalf("%s %d: %v", c.Name(), n, err)
	}
	return got
}

func TestVectorsOfEveryLengthComeBack(t *testing.T) {
	for _, c := range all(t) {
		dense := c.(*line).keep == nil
		for _, n := range theLengths(700) {
			v := gaussian(n, uint64(n))
			got := thereAndBack(t, c, v, uint64(n))
			if !dense {
				continue
			}
			length := blockOf(c.Name())
			for at := 0; at < n; at += length {
				block := v[at:min(n, at+length)]
				most := 0.0
				for _, x := range block {
					most = max(most, math.Abs(float64(x)))
				}
				for i, x := range block {
					if !allowed(c.Name(), x, got[at+i], most) {
						t.Fatalf("%s %d: element %d was %g and is %g", c.Name(), n, at+i, x, got[at+i])
					}
				}
			}
		}
	}
}

// kept is the least part of a vector's squared length that a biased codec leaves it (spec 05, 5.3): delta.
func kept(t *testing.T, name string, v []float32) float64 {
	n := float64(len(v))
	switch {
	case strings.HasPrefix(name, "topk:") && strings.Contains(name, ",fp32"):
		return float64(must(t, name).(*line).keep.kept(len(v))) / n
	case strings.HasPrefix(name, "dct:k=4096,fp32"):
		return 1 - 1e-9 // but for rounding
	case name == "sign" && len(v) <= denseSigns:
		squares := kernel.Dot(v, v)
		return total(v) * total(v) / (n * squares)
	case strings.HasPrefix(name, "int8") && len(v) <= int8Block:
		return 1 - n/(4*int8Limit*int8Limit)
	case strings.HasPrefix(name, "int4") && len(v) <= int4Block:
		return 1 - n/(4*int4Limit*int4Limit)
	case strings.HasPrefix(name, "e3m0") && len(v) <= powersBlock:
		// A third of each number at most is lost, and all of those that are small beside the largest.
		return 8.0 / 9 * (1 - n*(0.75/64)*(0.75/64))
	}
	return 0
}

// Contractive codecs leave a vector at least the part that the spec says, and never take it farther from where it was than
// nothing is (spec 05, 5.13, property 2).
func TestBiasedCodecsContract(t *testing.T) {
	for _, c := range all(t) {
		if c.Unbiased() && c.Lossy() {
			continue
		}
		for _, n := range theLengths(260) {
			v := gaussian(n, uint64(3*n))
			got := thereAndBack(t, c, v, uint64(n))
			var lost, whole float64
			for i, x := range v {
				lost += (float64(x) - float64(got[i])) * (float64(x) - float64(got[i]))
				whole += float64(x) * float64(x)
			}
			if n > 0 && lost > whole*(1-kept(t, c.Name(), v)+1e-6) {
				t.Fatalf("%s of %d numbers loses %g of %g, more than all but %g", c.Name(), n, lost, whole, kept(t, c.Name(), v))
			}
		}
	}
}

func TestExtremeNumbersStayFinite(t *testing.T) {
	v := []float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1, -1, 1e-38}
	for _, c := range all(t) {
		v := v
		if strings.HasPrefix(c.Name(), "dct:") {
			if _, err := c.Encode(nil, v, 0); err == nil {
				t.Errorf("%s takes the largest numbers", c.Name())
			}
			v = []float32{0, 0x1p100, -0x1p100, math.SmallestNonzeroFloat32}
		}
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
		if k := c.(*line).keep; k != nil && k.kept(900) == k.kept(1000) {
			continue // then it may be one
		}
		if err := c.Decode(got[:900], b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s for another length: %v", c.Name(), err)
		}
	}
	nan := bytes.Repeat([]byte{0xff}, 4)
	if err := (&line{write: fp32{}}).Decode(make([]float32, 1), nan); !errors.Is(err, ErrCorrupt) {
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

// Whatever the bytes say, decoding allocates in proportion to the vector expected, and gives finite numbers or an error.
func FuzzDecode(f *testing.F) {
	codecs := all(f)
	for i, c := range codecs {
		for _, n := range []int{5, 600, 5000} {
			b, err := c.Encode(nil, gaussian(n, 1), 0)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), uint16(n), b)
		}
	}
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
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", c.Name(), err)
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

// Whatever the numbers are, each codec gives back as many, and all that can be encoded can be decoded.
func FuzzEncode(f *testing.F) {
	codecs := all(f)
	f.Add(uint64(1), []byte("0123456789abcdef"))
	f.Add(uint64(2), bytes.Repeat([]byte{0, 0, 0x80, 0x7f}, 300))
	f.Add(uint64(3), bytes.Repeat([]byte{0xff, 0xff, 0x7f, 0xff, 1, 0, 0, 0}, 2100))
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		v := make([]float32, len(b)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		for _, c := range codecs {
			if _, err := c.Encode(nil, v, seed); err != nil {
				continue
			}
			if got := thereAndBack(t, c, v, seed); !c.Lossy() && !slices.Equal(got, v) {
				t.Errorf("%s changes numbers", c.Name())
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, name := range families {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		c, err := Parse(spec)
		if err != nil {
			return
		}
		if again, err := Parse(c.Name()); err != nil || again.Name() != c.Name() || len(c.Name()) > 64 {
			t.Errorf("%q is %q, which is %v: %v", spec, c.Name(), again, err)
		}
	})
}
