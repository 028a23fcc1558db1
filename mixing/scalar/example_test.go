package scalar_test

import (
	"fmt"

	"starling/mixing"
	"starling/mixing/scalar"
)

// Two peers measure a slope each, hear of the other's in different orders, and have the same weights.
func Example() {
	cfg, err := scalar.Parse("structured:pool=8,epoch=4,lr=0.1,g=-12")
	if err != nil {
		fmt.Println(err)
		return
	}
	const seed = 42
	layout, _ := mixing.NewLayout(mixing.Tensor{Name: "x", Shape: []int{4}})
	base := []float32{1, 2, 3, 4}
	loss := func(x []float32) (sum float64) {
		for _, v := range x {
			sum += float64(v) * float64(v) / 2
		}
		return sum
	}
	measure := func(peer uint64) scalar.Run {
		r := scalar.NewReplica(cfg, seed)
		m, _ := scalar.NewModel(layout, cfg, seed, base)
		place, _ := r.Next(peer, 0)
		plus, minus := make([]float32, 4), make([]float32, 4)
		m.Perturb(plus, place.Generation, place.K, cfg.Eps)
		m.Perturb(minus, place.Generation, place.K, -cfg.Eps)
		b, _ := scalar.Encode(scalar.Slope(loss(plus), loss(minus), cfg.Eps), cfg.GUnit(), 0.5)
		return scalar.Run{Peer: peer, First: place.Seq, Epoch: place.Epoch, Bytes: []byte{b}}
	}
	a, b := measure(1), measure(2)
	for _, order := range [][]scalar.Run{{a, b}, {b, a, b}} {
		r := scalar.NewReplica(cfg, seed)
		for _, run := range order {
			if _, err := r.Insert(run); err != nil {
				fmt.Println(err)
				return
			}
		}
		m, _ := scalar.NewModel(layout, cfg, seed, base)
		m.Queue(r.Take())
		m.Apply()
		x := make([]float32, 4)
		m.Floats(x)
		fmt.Printf("%.3f, loss %.2f, digest %.4x\n", x, loss(x), m.Digest())
	}
	// Output:
	// [2.200 1.600 1.800 2.800], loss 9.24, digest 289edc33
	// [2.200 1.600 1.800 2.800], loss 9.24, digest 289edc33
}
