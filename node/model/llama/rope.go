package llama

import (
	"math"

	"starling/mixing/kernel"
)

// rotations makes tables of the cosines and sines of so many positions. Angles are products in float32, as in the reference.
func (m *Model) rotations(positions int) {
	turns := m.base.turns
	if len(turns) == 0 || len(m.cos) >= positions*len(turns) {
		return
	}
	for p := len(m.cos) / len(turns); p < positions; p++ {
		for _, turn := range turns {
			c, s := circle(float64(float32(p) * turn))
			m.cos, m.sin = append(m.cos, c), append(m.sin, s)
		}
	}
}

// circle returns the cosine and the sine of an angle that is not negative.
func circle(angle float64) (cos, sin float32) {
	turn := angle / (2 * math.Pi)
	turn -= math.Floor(turn)
	// cosine of 2π·x, for x from 0 on
	cosine := func(x float64) float64 {
		x -= math.Floor(x)
		return kernel.CosPi(2 * min(x, 1-x))
	}
	return float32(cosine(turn)), float32(cosine(turn + 0.75))
}

// rotate turns the heads of a row for its position: element i of a head and element i + half by the same angle. back turns
// them the other way.
func (m *Model) rotate(row []float32, position int, back bool) {
	half := len(m.base.turns)
	if half == 0 {
		return
	}
	cos, sin := m.cos[position*half:][:half], m.sin[position*half:][:half]
	for ; len(row) > 0; row = row[2*half:] {
		low, high := row[:half], row[half:][:half]
		for i, x := range low {
			y, s := high[i], sin[i]
			if back {
				s = -s
			}
			low[i] = float32(x*cos[i]) - float32(y*s)
			high[i] = float32(y*cos[i]) + float32(x*s)
		}
	}
}
