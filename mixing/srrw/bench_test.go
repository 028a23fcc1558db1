package srrw

import (
	"math/rand/v2"
	"testing"

	"starling/mixing/philox"
)

// A hop of a walk on 100 peers: the place, the draw and the visit.
func BenchmarkHop(b *testing.B) {
	for _, form := range []Form{Rows, Proposals} {
		b.Run(form.String(), func(b *testing.B) {
			r := rand.New(philox.NewStream(1, philox.Walk, 0))
			g := network(b, r, 100)
			c := Default()
			c.Form = form
			w := start(c, g, 0)
			b.ReportAllocs()
			for b.Loop() {
				w.hop(g, r.Float64())
			}
		})
	}
}
