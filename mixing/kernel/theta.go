package kernel

// ThetaFloats sets dst[i] to base[i] − unit·theta[i]: theta[i] is rounded to float64, so is the product, so is the difference,
// and that to float32. dst may be base.
func ThetaFloats(dst, base []float32, theta []int64, unit float64) {
	best.thetaFloatsAll(dst, base, theta, unit)
}

func (t tier) thetaFloatsAll(dst, base []float32, theta []int64, unit float64) {
	same(len(dst), len(base))
	same(len(dst), len(theta))
	for i := t.thetaFloats(dst, base, theta, unit); i < len(dst); i++ {
		dst[i] = moved(base[i], theta[i], unit)
	}
}

func moved(base float32, theta int64, unit float64) float32 {
	return float32(float64(base) - float64(unit*float64(theta)))
}
