package scalar

import (
	"math"
	"math/rand/v2"
	"testing"

	"starling/mixing/philox"
)

const gUnit = 1.0 / 4096

func TestTheTableRises(t *testing.T) {
	for m := 1; m <= MaxCode; m++ {
		if want := math.Floor(16*math.Pow(2, float64(m-1)/8) + 0.5); float64(magnitudes[m]) != want || magnitudes[m] <= magnitudes[m-1] {
			t.Errorf("code %d stands for %d after %d, want %g", m, magnitudes[m], magnitudes[m-1], want)
		}
	}
	if magnitudes[0] != 0 || Value(MaxCode) != MaxMagnitude || Value(0xff) != -MaxMagnitude {
		t.Error("the ends of the table are wrong")
	}
}

// The smaller of two bytes is sent for u from a number on, so the mean over u is known exactly from where that is.
func TestTheMeanOfAByteIsTheSlope(t *testing.T) {
	rng := rand.New(philox.NewStream(1, philox.Data, 0))
	for range 2000 {
		g := math.Exp(rng.Float64()*14-8) * float64(sign(rng.IntN(2) == 0))
		if math.Abs(g) > MaxMagnitude*gUnit {
			continue
		}
		low, _ := Encode(g, gUnit, 1-1e-16)
		high, _ := Encode(g, gUnit, 0)
		up, down := 0.0, 1.0 // Encode goes away from zero for u below the place between them
		for range 60 {
			u := (up + down) / 2
			if b, _ := Encode(g, gUnit, u); b == high {
				up = u
			} else {
				down = u
			}
		}
		a, b := float64(Value(low))*gUnit, float64(Value(high))*gUnit
		if low == high {
			up = 0
		}
		if mean := a + up*(b-a); math.Abs(mean-g) > 1e-12*math.Max(1, math.Abs(g)) {
			t.Errorf("the mean of bytes for %g is %g: %g up to u = %g, then %g", g, mean, b, up, a)
		}
		if variance := up * (1 - up) * (b - a) * (b - a); math.Abs(g) >= 16*gUnit && variance > 0.0031*g*g {
			t.Errorf("the byte of %g adds the variance %g of its square, want at most 0.0031", g, variance/g/g)
		}
	}
}

func TestLargerSlopesHaveLargerBytes(t *testing.T) {
	rng := rand.New(philox.NewStream(2, philox.Data, 0))
	for range 5000 {
		u := rng.Float64()
		x, y := math.Exp(rng.Float64()*20-10), math.Exp(rng.Float64()*20-10)
		if rng.IntN(2) == 0 {
			x = -x
		}
		b, _ := Encode(min(x, y), gUnit, u)
		c, _ := Encode(max(x, y), gUnit, u)
		if Value(b) > Value(c) || !Canonical(b) || !Canonical(c) {
			t.Errorf("with u = %g, %g becomes %d and %g becomes %d", u, min(x, y), Value(b), max(x, y), Value(c))
		}
	}
}

func TestWhatIsNotFiniteIsNotSent(t *testing.T) {
	for _, g := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), Slope(math.Inf(1), 1, 1e-3), Slope(math.NaN(), 1, 1e-3)} {
		if b, ok := Encode(g, gUnit, 0.5); ok {
			t.Errorf("%g is sent as %#x", g, b)
		}
	}
	if b, ok := Encode(math.MaxFloat64, gUnit, 0.5); !ok || b != MaxCode {
		t.Errorf("the largest number is sent as %#x, %v", b, ok)
	}
	if b, ok := Encode(math.Copysign(0, -1), gUnit, 0); !ok || b != 0 {
		t.Errorf("-0 is sent as %#x", b)
	}
}

func TestClippedBytesKeepTheirSign(t *testing.T) {
	for b := range 256 {
		for most := range 128 {
			c := Clip(byte(b), byte(most))
			want := min(int64(magnitudes[Code(byte(b))]), int64(magnitudes[most]))
			if b > 128 {
				want = -want
			}
			if b != 0x80 && (Value(c) != want || !Canonical(c)) {
				t.Fatalf("byte %#x clipped at %d is %#x = %d, want %d", b, most, c, Value(c), want)
			}
		}
	}
}
