package trial

import (
	"math"
	"math/rand/v2"
	"slices"

	"starling/sim"
	"starling/sim/chance"
	"starling/sim/experiment"
	"starling/sim/report"
)

// measure evaluates the models of some honest nodes that are online.
type measure struct {
	honest  []int
	portion experiment.Portion
	draw    *rand.PCG
	chosen  []int
	scores  []sim.Score // of the newest evaluation, by chosen
}

func newMeasure(s *Setup) measure {
	m := measure{portion: s.Experiment.Evaluate.Nodes, draw: chance.Stream(s.Experiment.Seed, chance.Sample, 0)}
	for n := range s.Experiment.Nodes {
		if s.Roster == nil || s.Roster.Of(n) == nil {
			m.honest = append(m.honest, n)
		}
	}
	return m
}

// tick evaluates a new choice of nodes.
func (m *measure) tick(w *sim.World) report.Tick {
	m.choose(w)
	scores, _ := w.Evaluate(m.chosen)
	m.scores = scores
	accuracy, loss := make([]float64, len(scores)), make([]float64, len(scores))
	models := make([][]float32, len(scores))
	for i, s := range scores {
		accuracy[i], loss[i], models[i] = s.Accuracy, s.Loss, w.Model(m.chosen[i])
	}
	return report.Tick{
		Accuracy: report.Accuracies(accuracy), Loss: report.Losses(loss), ConsensusDistance: report.Real(spread(models)), Evaluated: len(scores),
	}
}

// choose draws from the honest nodes that are online now.
func (m *measure) choose(w *sim.World) {
	m.chosen = m.chosen[:0]
	for _, n := range m.honest {
		if w.Up(n) {
			m.chosen = append(m.chosen, n)
		}
	}
	count := min(m.portion.Of(len(m.honest)), len(m.chosen))
	for i := range count {
		j := i + int(chance.Below(m.draw.Uint64(), uint64(len(m.chosen)-i)))
		m.chosen[i], m.chosen[j] = m.chosen[j], m.chosen[i]
	}
	m.chosen = m.chosen[:count]
	slices.Sort(m.chosen)
}

// spread is the root mean square distance of models from their mean.
func spread(models [][]float32) float64 {
	if len(models) == 0 {
		return math.NaN()
	}
	n := float64(len(models))
	mean := make([]float64, len(models[0]))
	for _, v := range models {
		for j, x := range v {
			mean[j] += float64(x)
		}
	}
	for j := range mean {
		mean[j] /= n
	}
	sum := 0.0
	for _, v := range models {
		for j, x := range v {
			d := float64(x) - mean[j]
			sum += float64(d * d)
		}
	}
	return math.Sqrt(sum / n)
}
