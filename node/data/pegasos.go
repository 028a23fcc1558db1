package data

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// The shape of the pegasos set: that of Spambase, on which gossip learning of linear models is usually compared.
const (
	pegasosRows   = 4601
	pegasosTrain  = 4141
	pegasosInputs = 57

	pegasosNoise     = 0.35 // deviation of what blurs the border
	pegasosThreshold = 0.27 // puts a good third of the rows into class 1
)

// Pegasos returns a source of two classes with 57 features, 4,141 rows for training and 460 for evaluation. A direction w is
// drawn from the unit sphere; then, row by row, features x from N(0, I) and e from N(0, 1), and the label is 1 where
// ⟨w,x⟩ + 0.35·e > 0.27. Last the features are standardized: over all rows each has mean 0 and variance 1.
func Pegasos(seed uint64) *Source {
	c := draw(seed, forSynthetic, 2, 0)
	var w [pegasosInputs]float64
	var squares float64
	for i := range w {
		w[i] = c.normal()
		squares += float64(w[i] * w[i])
	}
	norm := math.Sqrt(squares)
	x, labels := make([]float64, pegasosRows*pegasosInputs), make([]int32, pegasosRows)
	for r := range labels {
		var side float64
		for i := range w {
			v := c.normal()
			x[r*pegasosInputs+i] = v
			side += float64(v * w[i] / norm)
		}
		if side+float64(pegasosNoise*c.normal()) > pegasosThreshold {
			labels[r] = 1
		}
	}
	standardize(x, pegasosInputs)
	set := func(from, to int) *Set {
		s := &Set{inputs: pegasosInputs, classes: 2, labels: labels[from:to:to], numbers: newPages[float32](pegasosInputs)}
		for r := from; r < to; r++ {
			row := s.numbers.add(to - from)
			for i := range row {
				row[i] = float32(x[r*pegasosInputs+i])
			}
		}
		return s
	}
	train, test := set(0, pegasosTrain), set(pegasosTrain, pegasosRows)
	return &Source{name: "pegasos", inputs: pegasosInputs, classes: 2, labels: train.labels, load: subsets(train, test)}
}

// standardize shifts and scales each column of x to mean 0 and population variance 1.
func standardize(x []float64, columns int) {
	rows := float64(len(x) / columns)
	for i := range columns {
		var sum, squares float64
		for at := i; at < len(x); at += columns {
			sum += x[at]
		}
		mean := sum / rows
		for at := i; at < len(x); at += columns {
			x[at] -= mean
			squares += float64(x[at] * x[at])
		}
		deviation := math.Sqrt(squares / rows)
		for at := i; at < len(x); at += columns {
			x[at] /= deviation
		}
	}
}

// PegasosSeed returns the seed in pegasos, where it is 1, or pegasos:seed=N.
func PegasosSeed(spec string) (uint64, error) {
	if spec == "pegasos" {
		return 1, nil
	}
	number, ok := strings.CutPrefix(spec, "pegasos:seed=")
	seed, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("data pegasos has one setting, its seed, such as pegasos:seed=1; %s is none", spelling.Quote(spec))
	}
	return seed, nil
}
