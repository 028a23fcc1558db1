package walk

import (
	"context"
	"math"

	"starling/mixing/srrw"
	"starling/sim/report"
)

// Run carries the study out with so many goroutines, at least one, and returns its figures. progress, which may be nil, is told how many of
// all walks are done. The error is that of the context, or says why a graph or a problem cannot be had.
func (s *Study) Run(ctx context.Context, workers int, progress func(done, all int)) (report.Walks, error) {
	w, err := s.world()
	if err != nil {
		return report.Walks{}, err
	}
	tracks, err := w.walks(ctx, workers, progress)
	if err != nil {
		return report.Walks{}, err
	}
	out := report.Walks{Name: s.Name, About: s.About, Seed: s.Seed, Seeds: s.Seeds, Hops: w.marks}
	for g := range s.Graphs {
		for p := range s.Problems {
			for i := range s.Walks {
				out.Panels = append(out.Panels, w.panel(tracks, g, p, i))
			}
		}
	}
	return out, nil
}

// panel is one walk on one graph with one problem.
func (w *world) panel(tracks [][][][]track, graph, problem, walk int) report.Panel {
	s := w.study
	config := s.walks[walk]
	g, t := w.graphs[graph], w.tasks[graph][problem]
	out := report.Panel{
		Graph: s.Graphs[graph], Nodes: g.N(), Links: len(g.Links()), Problem: s.Problems[problem], Walk: s.Walks[walk], A: report.Real(config.A),
		B: report.Real(config.B), Case: caseOf(config),
	}
	course, trainee := w.find(graph, problem, walk)
	modes := newSpectrum(config, g)
	mixed := config.Form == srrw.Auto && !narrow(g.Degrees())
	for a, alpha := range s.Alphas {
		config.Alpha = alpha
		line := report.Strength{Alpha: report.Real(alpha)}
		ends := make([][]float64, s.Seeds)
		values := make([]float64, s.Seeds)
		for m := range w.marks {
			for k := range s.Seeds {
				values[k] = tracks[course][a][k][trainee].squares[m]
			}
			mean, half := interval(values)
			line.Curve = append(line.Curve, report.Real(mean))
			line.Low = append(line.Low, report.Real(max(0, mean-half)))
			line.High = append(line.High, report.Real(mean+half))
		}
		for k := range s.Seeds {
			ends[k] = tracks[course][a][k][trainee].end
		}
		last := len(w.marks) - 1
		line.MSE, line.MSELow, line.MSEHigh = line.Curve[last], line.Low[last], line.High[last]
		line.Formula, line.Now, line.Distance = report.Real(math.NaN()), report.Real(math.NaN()), report.Real(math.NaN())
		if n := uint64(s.Hops) - 1; !mixed {
			beta := config.Beta(n)
			if at, has := limit(config); has {
				line.Formula = report.Real(beta * trace(t.covariance(modes, config, at)))
			}
			if at := present(config, n, g.N()); at.models < 2*t.bends[0] { // else the start is not forgotten yet
				now := t.covariance(modes, config, at)
				line.Now, line.Distance = report.Real(beta*trace(now)), report.Real(apart(ends, beta, now))
			}
		}
		out.Strengths = append(out.Strengths, line)
	}
	return out
}

// caseOf says which of the two is the faster one (spec 02, section 2.6).
func caseOf(c srrw.Config) string {
	switch {
	case c.B > c.A:
		return report.HistoryFaster
	case c.B < c.A:
		return report.ModelFaster
	}
	return report.EquallyFast
}

// narrow tells whether all peers weigh their neighbours, so that auto is srrw.
func narrow(degrees []int) bool {
	for _, d := range degrees {
		if d > 32 {
			return false
		}
	}
	return true
}

// find is the course of a walk, and the trainee of it that has the problem.
func (w *world) find(graph, problem, walk int) (int, int) {
	for c := range w.courses {
		for k, t := range w.courses[c].trainees {
			if w.courses[c].graph == graph && t.problem == problem && t.walk == walk {
				return c, k
			}
		}
	}
	panic("walk: internal error: a walk without a course")
}

// interval is the mean of some values, and half of the width of the interval that holds what they are drawn from with 95 %.
func interval(values []float64) (mean, half float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	variance := 0.0
	for _, v := range values {
		variance += float64((v-mean)*(v-mean)) / (n - 1)
	}
	return mean, 1.96 * math.Sqrt(variance/n)
}

func trace(m []float64) (sum float64) {
	n := int(math.Round(math.Sqrt(float64(len(m)))))
	for i := range n {
		sum += m[i*n+i]
	}
	return sum
}

// apart is how far the covariance of the ends by beta is from what is wanted, in the norm of Frobenius, by the norm of that.
func apart(ends [][]float64, beta float64, want []float64) float64 {
	d := len(ends[0])
	far, all := 0.0, 0.0
	for p := range d {
		for q := range d {
			have := 0.0
			for _, e := range ends {
				have += float64(e[p]*e[q]) / beta / float64(len(ends))
			}
			w := want[p*d+q]
			far += float64((have - w) * (have - w))
			all += float64(w * w)
		}
	}
	return math.Sqrt(far / all)
}
