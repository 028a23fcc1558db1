package adversary

import "fmt"

// ipm is inner product manipulation (Xie et al. 2020), also called fall of empires: against the mean of the honest updates,
// little enough to pass for one of them. The scaled flip is the same with the factor that makes the plain mean of all
// updates zero.
type ipm struct {
	*member
	eps     float64 // 0: the number of honest nodes heard of over the number of attackers of the kind
	literal bool
}

func (a *ipm) Announce(c *Context, out []float32) bool {
	eps := a.eps
	if eps == 0 {
		eps = float64(len(c.View.Nodes())) / float64(a.group.size)
	}
	return opposeMean(c, out, originOf(c, a.literal), eps)
}

// alie is a little is enough (Baruch et al. 2019): all attackers announce the mean of the honest less z standard
// deviations, by coordinate.
type alie struct {
	*member
	z float64
}

func (a *alie) Announce(c *Context, out []float32) bool {
	if !c.View.ready(c.Own) {
		return false
	}
	for j := range out {
		out[j] = narrow(c.View.mean(j) - float64(a.z*c.View.deviation(j)))
	}
	return true
}

// largestZ returns the z of alie with which the attackers, f of n nodes, and the s honest nodes that lie farther out are
// a majority (spec 07, section 19).
func largestZ(n, f int) (s int, z float64, err error) {
	s = n/2 + 1 - f
	if p := float64(n-f-s) / float64(n-f); p > 0 && p < 1 {
		return s, quantile(p), nil
	}
	return s, 0, fmt.Errorf("z=auto has no value for %d attackers among %d nodes: they may be half of the nodes at most, of three at least; give a number, such as z=1.5", f, n)
}

// mimic copies an honest node, so that its data counts many times over (Karimireddy et al. 2022): a fixed one, or after
// so many learning rounds the one that sticks out most.
type mimic struct {
	*member
	target int // node
	axis   *axis
}

func (a *mimic) Announce(c *Context, out []float32) bool {
	target := a.target
	if a.axis != nil {
		target = a.axis.target(c, target)
	}
	vec := c.View.Of(target)
	if len(vec) != len(out) {
		return false
	}
	copy(out, vec)
	return true
}
