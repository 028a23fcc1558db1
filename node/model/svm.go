package model

import (
	"fmt"
	"math"

	"starling/mixing"
	"starling/mixing/kernel"
)

// svm is a linear support vector machine for two classes, without a bias. A row with features x and a label of 0 or 1, which
// stands for y = -1 or 1, has the hinge loss max(0, 1 − y·⟨w,x⟩) and the subgradient −y·x where that is above zero, else 0.
// Rows on the far side of zero from class 1, and those at zero, are classified as 0. It has no scratch memory.
type svm struct {
	layout *mixing.Layout
}

func newSVM(inputs, classes int) (Model, error) {
	if classes != 2 {
		return nil, fmt.Errorf("tells 2 classes apart, and this data has %d: use softmax or mlp", classes)
	}
	if inputs > maxParams {
		return nil, fmt.Errorf("has as many parameters as a row has features, and %d are more than %d", inputs, maxParams)
	}
	layout, err := mixing.NewLayout(mixing.Tensor{Name: "weight", Shape: []int{inputs}, Kind: mixing.Weight})
	return svm{layout}, err
}

func (s svm) Layout() *mixing.Layout    { return s.layout }
func (s svm) Row() (inputs, labels int) { return s.layout.Len(), 1 }
func (s svm) Clone() Model              { return s }

// Init sets all weights to zero, where the subgradient method starts.
func (s svm) Init(params []float32, _ uint64) { clear(params) }

func (s svm) Gradient(grad, params, x []float32, y []int32) float64 {
	s.check(params, x, y)
	if len(grad) != len(params) || len(y) == 0 {
		panic(fmt.Sprintf("model: internal error: gradient of %d for %d parameters and %d rows", len(grad), len(params), len(y)))
	}
	clear(grad)
	var sum float64
	for i, label := range y {
		row := x[i*len(params):][:len(params)]
		loss, alpha := hinge(label, kernel.Dot(params, row)), 1/float64(len(y))
		if loss <= 0 {
			continue
		}
		if label == 1 {
			alpha = -alpha
		}
		sum += loss // also if it is not a number
		kernel.Axpy(float32(alpha), row, grad)
	}
	return sum / float64(len(y))
}

func (s svm) Evaluate(params, x []float32, y []int32) (loss float64, right int) {
	s.check(params, x, y)
	var sides [chunk]float32
	in := len(params)
	for first := 0; first < len(y); first += chunk {
		n := min(chunk, len(y)-first)
		kernel.MulNT(false, n, 1, in, x[first*in:][:n*in], in, params, in, sides[:n], 1)
		judge(sides[:n], y[first:], &loss, &right)
	}
	return loss, right
}

// Prepare keeps a copy of the features in the order in which a product with a single vector reads them: to bring them into it takes
// longer than the product.
func (s svm) Prepare(x []float32, y []int32) func(params []float32) (loss float64, right int) {
	in := s.layout.Len()
	var packed []*kernel.Packed
	for first := 0; first < len(y); first += chunk {
		packed = append(packed, kernel.PackNT(nil, min(chunk, len(y)-first), in, x[first*in:], in))
	}
	return func(params []float32) (loss float64, right int) {
		s.check(params, x, y)
		var sides [chunk]float32
		for i, p := range packed {
			n := min(chunk, len(y)-i*chunk)
			kernel.MulPacked(false, 1, params, in, p, sides[:n], n)
			judge(sides[:n], y[i*chunk:], &loss, &right)
		}
		return loss, right
	}
}

// judge adds up the losses of rows, and how many of them are classified right. It does not branch on what no processor can foresee.
func judge(sides []float32, y []int32, loss *float64, right *int) {
	sum, count := *loss, *right
	for i, s := range sides {
		side, label := float64(s), int(y[i])
		count += one(side > 0)&label | one(side <= 0)&^label
		l := 1 - float64(float64(2*label-1)*side)
		sum += (l + math.Abs(l)) / 2 // also if it is not a number
	}
	*loss, *right = sum, count
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hinge returns 1 − y·side, which is the loss where it is above zero.
func hinge(label int32, side float64) float64 {
	if label == 1 {
		return 1 - side
	}
	return 1 + side
}

func (s svm) check(params, x []float32, y []int32) {
	if len(params) != s.layout.Len() || len(x) != len(y)*len(params) {
		panic(fmt.Sprintf("model: internal error: %d parameters, want %d; %d features for %d rows", len(params), s.layout.Len(), len(x), len(y)))
	}
}
