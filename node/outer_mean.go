package node

import (
	"slices"

	"starling/gossip"
)

// A shardMean is the mean of a shard as its author has announced it.
type shardMean struct {
	author PeerID
	seq    uint64
	d      *gossip.Delta
	vec    VecRef // 0 until it is there
}

func (x *shardMean) release(c *Core) {
	c.release(x.vec)
	x.vec = 0
}

// A shardSum is what this node pulls to sum up a shard.
type shardSum struct {
	shard  int
	vecs   []VecRef  // by contributor; 0 if it is not there
	clips  []float64 // what to multiply it by
	served []bool    // it has come in time
	open   int       // pulls under way that are worth waiting for
	done   bool      // the mean is being computed, and what comes now is too late
}

func (x *shardSum) release(c *Core) {
	for i, v := range x.vecs {
		c.release(v)
		x.vecs[i] = 0
	}
}

// sum pulls the pieces of a shard, and announces their mean when they are there.
func (t *together) sum(c *Core, f *turn, s int) {
	r := t.shard(f.fragment, s)
	sum := &shardSum{shard: s, vecs: make([]VecRef, len(f.with)), clips: make([]float64, len(f.with)), served: make([]bool, len(f.with))}
	f.sums = append(f.sums, sum)
	for i, x := range f.with {
		if x.m == nil {
			continue
		}
		wait := 1
		if t.debts[x.Author] >= maxDebt {
			wait = 0
		}
		sum.open += wait
		t.o.fetch(c, x.m, x.Seq, x.d, s, r.To-r.From, func(c *Core, vec VecRef, norm float64) {
			sum.open -= wait
			if vec != 0 {
				sum.served[i] = !sum.done || wait == 0
			}
			if sum.done {
				c.release(vec)
				return
			}
			if vec != 0 {
				sum.vecs[i], sum.clips[i] = vec, t.norms[f.fragment*t.o.cfg.Shards+s].Clip(norm)
			}
			if sum.open == 0 {
				t.mean(c, f, sum)
			}
		})
	}
	if sum.open == 0 {
		t.mean(c, f, sum)
	}
}

// weigh gives every contribution that is there the weight of its local steps, but no more than twice what is usual: what others say
// of their steps is their word alone.
func (sum *shardSum) weigh(f *turn, at int) (terms []Term, mixed []int, steps uint64) {
	var all []uint64
	for i, x := range f.with {
		if x.m == nil || sum.vecs[i] != 0 {
			mixed, all = append(mixed, i), append(all, x.steps)
		}
	}
	if len(all) == 0 {
		return nil, nil, 0
	}
	slices.Sort(all)
	most := 2 * min(max(1, all[(len(all)-1)/2]), 1<<31)
	total := uint64(0)
	for _, i := range mixed {
		x := &f.with[i]
		term := Term{Vec: sum.vecs[i], Coef: sum.clips[i]}
		if x.m == nil {
			term = Term{Vec: f.sent, Coef: 1, At: at}
		}
		weight := min(max(1, x.steps), most)
		total += weight
		term.Coef *= float64(weight)
		terms = append(terms, term)
	}
	for i := range terms {
		terms[i].Coef /= float64(total)
	}
	return terms, mixed, total / uint64(len(mixed))
}

// mean computes, encodes and announces the mean of what is there of a shard. It is of no use a second time, and without half of the
// contributors nobody would believe it: then it waits for those that it would not wait for otherwise.
func (t *together) mean(c *Core, f *turn, sum *shardSum) {
	if sum.done || t.flight != f {
		return
	}
	r := t.shard(f.fragment, sum.shard)
	n := r.To - r.From
	terms, with, steps := sum.weigh(f, r.From-t.o.cfg.Fragments[f.fragment].From)
	if 2*len(with) < len(f.with) {
		if sum.done = c.now >= f.cut; sum.done {
			sum.release(c)
		}
		return
	}
	sum.done = true
	var mixed []gossip.Mark
	for _, i := range with {
		x := &f.with[i]
		mixed = append(mixed, x.Mark)
		if x.m != nil {
			t.o.counted(c, x.m, x.Seq)
		}
	}
	t.o.combine(c, func(c *Core, in []VecRef) {
		sum.release(c)
		job := EncodeJob{Vec: in[0], Lens: []int{n}, Apart: true, Sent: c.newRef()}
		t.o.encode(c, job, func(c *Core, ev Encoded) {
			c.release(in[0])
			if t.flight != f || t.busy || len(ev.Pieces) == 0 {
				c.release(job.Sent)
				return
			}
			t.announceMean(c, f, sum.shard, job, &gossip.Delta{Mixed: mixed, Steps: steps, Len: uint32(n), Pieces: ev.Pieces})
		})
	}, []Span{{Len: n, Terms: terms}})
}

// announceMean publishes a mean of this node and takes it.
func (t *together) announceMean(c *Core, f *turn, s int, job EncodeJob, d *gossip.Delta) {
	d.Part, d.Fragment, d.Round, d.Base = gossip.PartMean, uint32(f.fragment*t.o.cfg.Shards+s), f.number, t.at.lineage
	d.Age, d.Codec = t.o.age, t.o.run.Codec
	f.asked[s] = f.rank(s, t.o.self)
	seq := t.o.tell(c, d)
	if len(d.Mixed) > 1 { // else nobody has anything of it but this node
		c.sent.credit(t.o.self, t.credited.untold(t.o.self, d.Mixed), nil)
	}
	t.settle(c, f, s, &shardMean{author: t.o.self, seq: seq, d: d, vec: job.Sent})
}

// meanCame pulls a mean that somebody has announced, if it is credible and better than what is there. One of a turn that is not closed
// yet is kept.
func (t *together) meanCame(c *Core, mean *shardMean) {
	f := t.flight
	switch {
	case mean.d.Round < t.at.turn || mean.d.Round >= t.at.turn+maxLag:
		return
	case f == nil || !f.closed || mean.d.Round != t.at.turn:
		t.keepEarly(mean)
		t.progress(c)
		return
	case mean.d.Base != t.at.lineage || t.busy || !f.credible(mean):
		return
	}
	s := int(mean.d.Fragment) % t.o.cfg.Shards
	m := c.roster.find(mean.author)
	rank := f.rank(s, mean.author)
	if m == nil || m.banned.Load() || rank >= f.asked[s] {
		return
	}
	f.asked[s] = rank
	f.pulls++
	f.deadline = max(f.deadline, c.now+t.patience())
	t.o.fetch(c, m, mean.seq, mean.d, 0, int(mean.d.Len), func(c *Core, vec VecRef, _ float64) {
		f.pulls--
		if vec == 0 {
			f.asked[s] = noRank
			t.progress(c)
			return
		}
		mean.vec = vec
		t.settle(c, f, s, mean)
	})
}

// keepEarly keeps a mean until its turn is closed here: no more of an author than it can owe, and of all not many.
func (t *together) keepEarly(mean *shardMean) {
	of := 0
	for _, x := range t.early {
		if x.author == mean.author {
			of++
		}
	}
	if of < maxLag*t.o.cfg.Shards && len(t.early) < 2*maxLag*t.o.cfg.Shards {
		t.early = append(t.early, mean)
	}
}

// credible reports whether at least half of those that have contributed, as far as is known here, are in a mean.
func (f *turn) credible(mean *shardMean) bool {
	others, in := 0, 0
	for _, x := range f.with {
		if x.m == nil {
			continue
		}
		others++
		if slices.ContainsFunc(mean.d.Mixed, func(y gossip.Mark) bool { return y.Author == x.Author }) {
			in++
		}
	}
	return 2*in >= others
}

// settle takes a mean that is there, unless a better one is.
func (t *together) settle(c *Core, f *turn, s int, mean *shardMean) {
	if t.flight != f || t.busy {
		mean.release(c)
		return
	}
	if was := f.means[s]; was != nil {
		if f.rank(s, was.author) <= f.rank(s, mean.author) {
			mean.release(c)
			return
		}
		was.release(c)
	}
	f.means[s] = mean
	f.deadline = max(f.deadline, c.now+t.patience())
	t.progress(c)
}
