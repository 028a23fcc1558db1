package codec

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

// packed writes codes as e3m0 does, under one scale.
func packed(scale float32, codes ...byte) []byte {
	b := make([]byte, 4)
	putScale(b, 0, scale)
	for i, c := range codes {
		if i%2 == 0 {
			b = append(b, c)
		} else {
			b[len(b)-1] |= c << 4
		}
	}
	return b
}

// The vectors of spec 03. There, 0.3 of 0.8 is in the middle between two powers, and goes down; as float32 it is above the middle, and
// the next smaller one is not.
func TestPowersGiveTheVectorsOfTheSpec(t *testing.T) {
	x := []float32{0.8, -0.41, 0.1, 0.006, -0.0031, math.Nextafter32(0.3, 0), -0.012, 0}
	got := thereAndBack(t, must(t, "e3m0"), x, 0)
	if want := []float64{0.8, -0.4, 0.1, 0, 0, 0.2, -0.0125, 0}; !near(got, want) {
		t.Errorf("%v come back as %v, want %v", x, got, want)
	}
	b, err := must(t, "e3m0").Encode(nil, x, 0)
	if want := packed(0.8, 7, 14, 4, 0, 0, 5, 9, 0); err != nil || !bytes.Equal(b, want) {
		t.Errorf("%v are encoded as %x, want %x: %v", x, b, want, err)
	}
}

// Every number between two values goes to the nearer, and one in the middle to the smaller (spec 03, 3.4).
func TestPowersRoundToTheNearestAndTiesDown(t *testing.T) {
	c := must(t, "e3m0")
	values := []float32{0}
	for e := range powersLimit {
		values = append(values, float32(math.Ldexp(1, e+1-powersLimit)))
	}
	for _, scale := range []float32{1, 3, 0x1.fffffep-30, 0x1p-100, math.MaxFloat32, 0x1.8p-126} {
		for i := range values[1:] {
			lower, upper := values[i]*scale, values[i+1]*scale
			middle := lower + (upper-lower)/2
			for _, test := range []struct{ x, want float32 }{
				{lower, lower}, {upper, upper}, {math.Nextafter32(middle, 0), lower}, {math.Nextafter32(middle, math.MaxFloat32), upper},
			} {
				if got := thereAndBack(t, c, []float32{scale, -test.x}, 0); got[1] != -test.want || got[0] != scale {
					t.Errorf("%g of %g comes back as %g, want %g", -test.x, scale, got[1], -test.want)
				}
			}
			// Whether the middle is a float32 depends on the scale.
			if float64(middle) == (float64(lower)+float64(upper))/2 {
				if got := thereAndBack(t, c, []float32{scale, middle}, 0); got[1] != lower {
					t.Errorf("%g of %g, in the middle, comes back as %g, want %g", middle, scale, got[1], lower)
				}
			}
		}
	}
}

// Encoding what was decoded gives the same bytes, for every code that there is (spec 03, 3.12, property 9).
func TestPowersAreTheirOwnEncoding(t *testing.T) {
	c := must(t, "e3m0")
	codes := []byte{7, 15, 0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14}
	for _, scale := range []float32{1, 0.3, 0x1.abcdep77, 0x1p-119} {
		want := packed(scale, codes...)
		v := make([]float32, len(codes))
		if err := c.Decode(v, want); err != nil {
			t.Fatal(err)
		}
		got, err := c.Encode(nil, v, 0)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x become %v and then %x: %v", want, v, got, err)
		}
	}
}

func TestCodesThatPowersDoNotHaveAreRefused(t *testing.T) {
	c := must(t, "e3m0")
	for name, b := range map[string][]byte{
		"minus nothing below": packed(1, 8, 7, 0), "minus nothing above": packed(1, 7, 8, 0), "minus nothing last": packed(1, 7, 1, 8),
		"a full last byte": packed(1, 7, 1, 2, 1), "infinite scale": packed(float32(math.Inf(1)), 7, 1, 2), "negative scale": packed(-1, 7, 1, 2),
	} {
		if err := c.Decode(make([]float32, 3), b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	open := powers{coded: true}
	for _, b := range []byte{8, 16, 0x17} {
		src := slices.Concat(packed(1), []byte{7, b})
		if err := open.decode(make([]float32, 2), src); !errors.Is(err, ErrCorrupt) {
			t.Errorf("code %d in a byte of its own: %v", b, err)
		}
	}
}
