package trial

import (
	"context"
	"errors"
	"fmt"
	"math"

	"starling/mixing/kernel"
	"starling/node"
	"starling/node/optim"
	"starling/sim"
	"starling/sim/network"
	"starling/sim/report"
)

// allReduce is the reference that is data-parallel: in every step each node computes the gradient of a batch of its own at the model
// that all have, the mean of them goes around by a ring (reduce-scatter and all-gather, Patarasuk and Yuan 2009), and all make the
// same step with it.
func (r *runner) allReduce(ctx context.Context, s *Setup) (report.Run, error) {
	f := &parallelism{reference: newReference(s, r.options.Workers), grads: make([]gradient, s.Config.Nodes)}
	for n := range f.grads {
		f.grads[n].vec = make([]float32, f.task.Len())
	}
	f.links()
	until := node.Instant(math.MaxInt64)
	if r.Stop.Time > 0 {
		until = instant(r.Stop.Time)
	}
	perRound := f.Config.Node.Average.Steps
	if perRound == 0 {
		perRound = f.task.Pass(0)
	}
	perRound = max(1, perRound)
	every := r.Evaluate.Every
	due := cadence{round: every.Rounds, time: instant(every.Time), tokens: every.Tokens}
	for r.stopped == "" {
		if err := ctx.Err(); err != nil {
			return report.Run{}, err
		}
		if err := f.together(); err != nil {
			return report.Run{}, err
		}
		f.rounds = float64(f.steps) / float64(perRound)
		if due.comes(every.Rounds, instant(every.Time), every.Tokens, int(f.steps/perRound), f.now, f.samples*r.perSample) {
			f.tick(r)
		}
		f.limits(r, until)
		if f.timeless(r) {
			return report.Run{}, errors.New("steps of the reference take no time, so stop.time never comes: give compute.step, or stop.rounds")
		}
		r.tell(f.share(r, until), f.now.Seconds(), f.rounds, r.Nodes)
	}
	if n := len(r.series); n == 0 || r.series[n-1].Samples != f.samples {
		f.tick(r)
	}
	return f.report(r, "gradient"), nil
}

// parallelism is the nodes of the reference.
type parallelism struct {
	reference
	grads []gradient
	mean  []float32
	steps uint64

	hop    node.Instant // how long the slowest hop of the ring is under way, without its bytes
	narrow network.Rate // of the narrowest link
}

type gradient struct {
	vec     []float32
	samples uint64
	loss    float64
}

// A cadence knows when the next evaluation is due.
type cadence struct {
	round  int
	time   node.Instant
	tokens uint64
}

// comes reports whether an evaluation is due, and puts it off to the next time if so.
func (c *cadence) comes(rounds int, time node.Instant, tokens uint64, round int, now node.Instant, seen uint64) bool {
	switch {
	case rounds > 0 && round >= c.round:
		c.round = round - round%rounds + rounds
	case time > 0 && now >= c.time:
		c.time = now - now%time + time
	case tokens > 0 && seen >= c.tokens:
		c.tokens = seen - seen%tokens + tokens
	default:
		return false
	}
	return true
}

// links finds what bounds the ring, in which node n sends to node n+1.
func (f *parallelism) links() {
	n := f.Config.Nodes
	for i := range n {
		next := (i + 1) % n
		if next != i {
			f.hop = max(f.hop, f.Config.Network.Latency.Between(i, next))
		}
		if b := f.Config.Network.Bandwidth; b != nil && n > 1 {
			for _, rate := range []network.Rate{b[i].Up, b[i].Down} {
				if rate != network.Unlimited && (f.narrow == network.Unlimited || rate < f.narrow) {
					f.narrow = rate
				}
			}
		}
	}
}

// together makes one step.
func (f *parallelism) together() error {
	step := f.steps
	f.parallel(len(f.grads), func(w sim.Worker, n int) {
		g := &f.grads[n]
		g.loss, g.samples = w.Gradient(n, step, f.model, g.vec)
	})
	var total, payload uint64
	for n := range f.grads {
		total += f.grads[n].samples
	}
	if total == 0 {
		return errors.New("no node has any data to train on")
	}
	_, plain := f.task.Plain()
	vecs, weights := make([][]float32, 0, len(f.grads)), make([]float64, 0, len(f.grads))
	for n := range f.grads {
		g := &f.grads[n]
		if !kernel.Finite(g.vec) {
			return fmt.Errorf("node %d diverged in step %d: choose a smaller rate", n, step+1)
		}
		b, _, err := f.workers[0].Encode(n, g.vec)
		if err != nil {
			return err
		}
		payload += uint64(len(b))
		if !plain {
			if err := f.task.Decode(g.vec, f.task.Codec(), b); err != nil {
				return err
			}
		}
		if g.samples > 0 {
			vecs, weights = append(vecs, g.vec), append(weights, float64(g.samples)/float64(total))
		}
	}
	if f.mean == nil {
		f.mean = make([]float32, len(f.model))
	}
	kernel.WeightedSum(f.mean, weights, vecs)
	rule := f.Program.Optimizer()
	if err := rule.Step(f.model, f.mean, f.opt, optim.Context{Step: step, Age: step, LR: rule.Rate(step)}); err != nil {
		return err
	}
	f.samples += total
	f.steps++
	f.account(payload)
	return nil
}

// account takes the time and the traffic of a step. Of n nodes each sends 2(n-1) pieces, of which n make a gradient.
func (f *parallelism) account(payload uint64) {
	takes := f.Config.Times.Step
	if epoch := f.Config.Times.Epoch; epoch > 0 {
		takes = epoch / node.Instant(max(1, f.task.Pass(0)))
	}
	slowest := takes
	for n := range f.grads {
		if f.Config.Speeds != nil {
			d := f.Config.Speeds.Duration(n, f.now, takes)
			if n == 0 || d > slowest {
				slowest = d
			}
		}
	}
	n := uint64(len(f.grads))
	hops := 2 * (n - 1)
	sent := hops * payload / n / n // by each, since payload is of all
	f.now += slowest + f.Config.Times.Other + node.Instant(hops)*f.hop + f.narrow.Time(int64(sent))
	f.messages += int(n * hops)
	f.bytes += n * sent
}
