package daemon

import (
	"testing"

	"starling/node/manifest"
)

func TestAStatusNamesThePartOfTheMethodThatMakesADifference(t *testing.T) {
	for _, c := range []struct {
		method manifest.Method
		want   string
	}{
		{manifest.Method{Name: "average", Mix: "mean", Exchange: manifest.Announce}, "average, mean"},
		{manifest.Method{Name: "average", Mix: "metropolis", Exchange: manifest.Copies}, "average, metropolis, copies"},
		{manifest.Method{Name: "outer", Outer: "noloco:group=4,gamma=0.5", Mix: "variance-corrected", Exchange: manifest.Announce}, "outer, noloco"},
		{manifest.Method{Name: "scalar", Scalar: "rademacher:pool=64", Mix: "variance-corrected", Exchange: manifest.Announce}, "scalar, rademacher"},
		{manifest.Method{Name: "walk", Walk: "srrw:alpha=10", Mix: "variance-corrected", Exchange: manifest.Announce}, "walk, srrw"},
	} {
		if got := methodText(c.method); got != c.want {
			t.Errorf("%+v: %q, want %q", c.method, got, c.want)
		}
	}
}
