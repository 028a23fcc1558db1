package node

import (
	"maps"
	"math"
	"slices"

	"starling/gossip"
)

// PushSum is the name of the mixing by push-sum, which conserves mass on directed and lossy links (spec 06, 6.7).
const PushSum = "push-sum"

// pushSum is the part of the method average that replaces the mixing rule.
//
// The node's numerator is weight times its model. Each round a share of both goes to every out-neighbour, as a running
// sum: an update carries the total of what was ever sent over the present links, and a receiver adds the difference to
// what it has seen, so that a lost or doubled update loses or doubles nothing. When the set of out-neighbours changes,
// all links start anew; what was not received by then is lost from numerator and weight alike, which leaves the ratio
// right. The same holds for a crash.
//
// The share that counts as sent is the difference of the rounded running sums, so mass is conserved in float32 too.
type pushSum struct {
	weight float64

	to     []PeerID // out-neighbours, ascending
	epoch  uint64   // of the links to them: the sequence number of the first update over them
	total  VecRef   // running sum; 0 before the first share
	totalW float64

	next  VecRef // running sum with this round's share
	nextW float64

	in map[PeerID]*inLink
}

// An inLink is what was taken in from one in-neighbour.
type inLink struct {
	epoch uint64
	seen  VecRef
	seenW float64
	lost  bool // seen was dropped to save memory: the next update over these links only tells where they are
}

const (
	// starvedWeight is where the estimate becomes too noisy to train on (spec 06, 6.7).
	starvedWeight = 1e-3
	// leastWeight guards the division.
	leastWeight = 1e-12
	// mostWeight bounds what an in-neighbour can claim: no run has this many nodes.
	mostWeight = 1e6
)

func newPushSum(weight float64) *pushSum {
	if weight <= 0 {
		weight = 1
	}
	return &pushSum{weight: weight, in: make(map[PeerID]*inLink)}
}

func checkPushSum(u *gossip.Update) gossip.Verdict {
	if !(u.Weight >= 0) || math.IsInf(u.Weight, 0) {
		return reject(gossip.ReasonNonFinite)
	}
	if len(u.To) > maxDegree {
		return reject(gossip.ReasonMalformed)
	}
	return accepted
}

func (p *pushSum) starved() bool { return p.weight < starvedWeight }

// share splits off this round's share for the out-neighbours; the running sum is what gets announced.
func (p *pushSum) share(c *Core, a *average) {
	to := p.choose(c, a)
	if !slices.Equal(to, p.to) {
		c.release(p.total)
		p.to, p.epoch, p.total, p.totalW = to, c.seq+1, 0, 0
	}
	part := p.weight / float64(len(p.to)+1)
	p.next, p.nextW = c.newRef(), p.totalW+part
	job := MixJob{Job: c.newJob(), Out: p.next}
	if p.total != 0 {
		job.Terms = append(job.Terms, Term{Vec: p.total, Coef: 1})
	}
	job.Terms = append(job.Terms, Term{Vec: a.params, Coef: part})
	a.phase, a.job, a.mixOut = combining, job.Job, p.next
	c.out.Mix = append(c.out.Mix, job)
}

// choose keeps the out-neighbours that are still active and fills up with random others, so that links last.
func (p *pushSum) choose(c *Core, a *average) []PeerID {
	var keep, others []PeerID
	for _, m := range c.roster.sorted() {
		switch {
		case !m.active(c.now, a.roundTime):
		case slices.Contains(p.to, m.id):
			keep = append(keep, m.id)
		default:
			others = append(others, m.id)
		}
	}
	for i := 0; i < len(others) && len(keep) < a.cfg.Degree; i++ {
		j := i + c.cfg.Rand.IntN(len(others)-i)
		others[i], others[j] = others[j], others[i]
		keep = append(keep, others[i])
	}
	slices.SortFunc(keep, comparePeers)
	return keep
}

func (p *pushSum) describe(u *gossip.Update) {
	u.To, u.LinkEpoch, u.Weight = p.to, p.epoch, p.nextW
}

// mix takes the sent share off the own numerator, adds what has arrived, and divides by the new weight.
func (p *pushSum) mix(c *Core, a *average) {
	job := MixJob{Job: c.newJob(), Out: c.newRef()}
	weight := 0.0
	p.forget(c, a)
	if a.adoptable(c) == nil {
		// A node far behind brings no mass in: it takes over what it hears (spec 06, 6.7, join with w = 0).
		n := float64(len(p.to))
		weight = p.weight
		job.Terms = append(job.Terms, Term{Vec: a.params, Coef: p.weight})
		if p.next != 0 {
			weight -= float64(n * (p.nextW - p.totalW))
			job.Terms = append(job.Terms, Term{Vec: p.next, Coef: -n})
			if p.total != 0 {
				job.Terms = append(job.Terms, Term{Vec: p.total, Coef: n})
			}
		}
	}
	for _, s := range a.inMix {
		weight += p.arrive(c, s, &job)
	}
	if p.next != 0 {
		c.release(p.total)
		p.total, p.totalW, p.next = p.next, p.nextW, 0
	}
	if weight < leastWeight {
		// Nothing of its own and nothing heard: keep the estimate, which no division can improve.
		a.inMix = a.inMix[:0]
		a.endRound(c)
		return
	}
	for i := range job.Terms {
		job.Terms[i].Coef /= weight
	}
	p.weight = weight
	a.startMix(c, job)
}

// arrive adds what the update brings beyond what was seen before over the same links, and returns its weight.
func (p *pushSum) arrive(c *Core, s *slot, job *MixJob) float64 {
	l := p.in[s.m.id]
	if l == nil {
		l = &inLink{}
		p.in[s.m.id] = l
	}
	if l.epoch != s.update.LinkEpoch {
		c.release(l.seen)
		*l = inLink{epoch: s.update.LinkEpoch}
	}
	w := s.update.Weight - l.seenW
	if l.lost {
		w = 0
	} else if w < 0 || s.update.Weight > mostWeight {
		c.mark(s.m, scoreCorrupt, "running sum went down")
		w = 0
	} else {
		job.Terms = append(job.Terms, Term{Vec: s.vec, Coef: 1})
		if l.seen != 0 {
			job.Terms = append(job.Terms, Term{Vec: l.seen, Coef: -1})
		}
	}
	c.release(l.seen)
	l.seen, l.seenW, l.lost = s.vec, s.update.Weight, false
	return w
}

// forget drops the vectors of links over which nothing comes any more.
func (p *pushSum) forget(c *Core, a *average) {
	for _, id := range slices.SortedFunc(maps.Keys(p.in), comparePeers) {
		l, m := p.in[id], c.roster.find(id)
		if l.seen != 0 && (m == nil || !m.active(c.now, a.roundTime)) {
			c.release(l.seen)
			l.seen, l.lost = 0, true
		}
	}
}
