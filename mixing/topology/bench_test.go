package topology

import (
	"fmt"
	"testing"
)

func BenchmarkRandomRegular(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprintf("n=%d,d=4", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := RandomRegular(n, 4, seed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, spec := range []string{"regular:4", "watts-strogatz", "geometric", "base:k=1", "equistatic", "erdos-renyi"} {
		b.Run(spec, func(b *testing.B) {
			for b.Loop() {
				parse(b, spec, 10000, seed)
			}
		})
	}
}

func BenchmarkRow(b *testing.B) {
	for _, spec := range []string{"regular:4", "base:k=1", "od-equidyn", "ou-equidyn", "matching"} {
		top := parse(b, spec, 10000, seed)
		b.Run(spec, func(b *testing.B) {
			for round := uint64(0); b.Loop(); round++ {
				top.Row(1, round, 17)
			}
		})
	}
}

func BenchmarkGap(b *testing.B) {
	for _, n := range []int{64, 1024, 10000} {
		m := parse(b, "regular:4", n, seed).Matrix(0, 0)
		b.Run(fmt.Sprintf("regular:4,n=%d", n), func(b *testing.B) {
			for b.Loop() {
				Gap(m)
			}
		})
	}
}
