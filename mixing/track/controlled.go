package track

import "fmt"

// Controlled is stochastic controlled averaging with an aggregator (spec 05, 5.7 A): SCAFFOLD (Karimireddy et al. 2020) in a form
// with one uplink vector, and SCALLION and SCAFCOM, which compress it (Huang, Li and Li 2024). A client has a control variate c_i
// and the aggregator x and c, the mean of all c_i. Local steps go from x to y, each along
//
//	gradient - c_i + c
//
// Then the client sends what its codec makes of delta, and adds the same to c_i.
type Controlled struct {
	Alpha float64 // without Beta: 1 is SCAFFOLD, less SCALLION, which wants a codec that is unbiased; 0.1
	Beta  float64 // above 0: SCAFCOM, whose codec may be biased; 0.2
	Rate  float64 // the global one; 1
}

// An UplinkForm has the coefficients of the model before and after the local steps, c_i, c, and SCAFCOM's momentum v_i.
type UplinkForm struct{ X, Y, Own, Common, V float64 }

// Uplink is delta, and SCAFCOM's new v_i, after local steps whose learning rates sum to work.
func (c Controlled) Uplink(work float64) (delta, v UplinkForm) {
	if c.Beta == 0 {
		step := c.Alpha / work
		return UplinkForm{X: step, Y: -step, Common: -c.Alpha}, UplinkForm{}
	}
	step := c.Beta / work
	v = UplinkForm{X: step, Y: -step, Own: c.Beta, Common: -c.Beta, V: 1 - c.Beta}
	delta = v
	delta.Own--
	return delta, v
}

// A DownForm has the coefficients of x, c and the mean of what the active clients sent.
type DownForm struct{ X, Common, Mean float64 }

// Down is the new x and c when active of all clients took part. A client that was not counted keeps its c_i.
func (c Controlled) Down(work float64, active, all int) (x, common DownForm) {
	move := float64(c.Rate * work)
	return DownForm{X: 1, Common: -move, Mean: -move}, DownForm{Common: 1, Mean: float64(active) / float64(all)}
}

// Stable refuses settings that do not converge.
func (c Controlled) Stable() error {
	switch {
	case !(c.Rate > 0):
		return fmt.Errorf("global rate %g: want more than 0, such as 1", c.Rate)
	case c.Beta != 0 && !(c.Beta > 0 && c.Beta <= 1):
		return fmt.Errorf("beta %g: want more than 0 and at most 1, such as 0.2, or 0 for none", c.Beta)
	case c.Beta == 0 && !(c.Alpha > 0 && c.Alpha <= 1):
		return fmt.Errorf("alpha %g: want more than 0 and at most 1, such as 0.1", c.Alpha)
	}
	return nil
}
