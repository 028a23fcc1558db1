package walk

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"starling/mixing/srrw"
	"starling/mixing/topology"
)

// A course is what walks have in common that visit the same peers: a graph, and a walk without the steps of the model.
type course struct {
	graph    int
	config   srrw.Config // B is 1, and alpha still to be set
	gammas   []float64
	trainees []trainee
}

// A trainee is a model that is trained along a course.
type trainee struct {
	problem int
	walk    int // of Study.Walks
	betas   []float64
}

// A track is how one model did on one walk.
type track struct {
	squares []float64 // of the distance from the optimum, at each of the marks
	end     []float64 // where it was from the optimum after the last hop, by the axes of the curvature
}

// places are the peers of a graph with their neighbours. All are to be visited alike.
func places(g topology.Graph) []srrw.Place {
	peer := func(i int) srrw.Peer { return srrw.Peer{Tag: uint64(i), Degree: len(g.Out[i]), Mu: 1, Visits: 1} }
	out := make([]srrw.Place, g.N())
	for i := range out {
		out[i].Self = peer(i)
		for _, j := range g.Out[i] {
			out[i].Neighbours = append(out[i].Neighbours, peer(j))
		}
	}
	return out
}

// marks are hops at which the models are looked at, about evenly by their logarithm, and the last one.
func marks(hops int) []int {
	const perDecade = 12
	var out []int
	for k := perDecade; ; k++ {
		n := int(math.Round(math.Pow(10, float64(k)/perDecade)))
		if n >= hops {
			return append(out, hops)
		}
		out = append(out, n)
	}
}

// A world is the graphs and problems of a study.
type world struct {
	study   *Study
	graphs  []topology.Graph
	tasks   [][]*task // by graph and problem
	courses []course
	marks   []int
}

func (s *Study) world() (*world, error) {
	w := &world{study: s, marks: marks(s.Hops)}
	for k, spec := range s.Graphs {
		g, err := s.graph(spec)
		if err != nil {
			return nil, err
		}
		w.graphs = append(w.graphs, g)
		w.tasks = append(w.tasks, nil)
		for _, name := range s.Problems {
			t, err := newTask(name, g.N(), s.Seed)
			if err != nil {
				return nil, err
			}
			w.tasks[k] = append(w.tasks[k], t)
		}
	}
	for g := range w.graphs {
		w.addCourses(g)
	}
	return w, nil
}

// addCourses finds which walks of a graph take the same way.
func (w *world) addCourses(g int) {
	at := map[srrw.Config]int{}
	for i, c := range w.study.walks {
		betas := make([]float64, w.study.Hops)
		for n := range betas {
			betas[n] = c.Beta(uint64(n))
		}
		c.B = 1
		k, known := at[c]
		if !known {
			k = len(w.courses)
			at[c] = k
			gammas := make([]float64, w.study.Hops)
			for n := range gammas {
				gammas[n] = c.Gamma(uint64(n), w.graphs[g].N())
			}
			w.courses = append(w.courses, course{graph: g, config: c, gammas: gammas})
		}
		for p := range w.study.Problems {
			w.courses[k].trainees = append(w.courses[k].trainees, trainee{p, i, betas})
		}
	}
}

// walk is one walk of a course: the track of each of its trainees. All alphas have the same numbers to draw with.
func (w *world) walk(c *course, alpha float64, seed int) []track {
	s := w.study
	config := c.config
	config.Alpha = alpha
	at := places(w.graphs[c.graph])
	tags := make([]uint64, len(at))
	for i := range tags {
		tags[i] = uint64(i)
	}
	h := srrw.NewHistory(config.Limit, tags...)
	gamma := func(n uint64, _ int) float64 { return c.gammas[n] }
	key := draw(s.Seed, walkKey, c.graph, seed)
	here := draw(s.Seed, startKey, c.graph, seed) % uint64(len(at))
	tracks, models := make([]track, len(c.trainees)), make([][]float64, len(c.trainees))
	for k, t := range c.trainees {
		models[k] = make([]float64, w.tasks[c.graph][t.problem].dimension())
	}
	var slope [8]float64
	next := 0
	for n := range s.Hops {
		here = config.Next(h.Look(at[here]), srrw.Uniform(key, uint64(n), 0))
		h.Visit(here, gamma)
		for k := range c.trainees {
			task, model := w.tasks[c.graph][c.trainees[k].problem], models[k]
			g := slope[:len(model)]
			task.gradient(g, model, int(here))
			step := float64(c.trainees[k].betas[n] * task.scale)
			for i := range model {
				model[i] -= float64(step * g[i])
			}
		}
		if n+1 == w.marks[next] {
			next++
			for k, t := range c.trainees {
				tracks[k].squares = append(tracks[k].squares, w.tasks[c.graph][t.problem].distance2(models[k]))
			}
		}
	}
	for k, t := range c.trainees {
		tracks[k].end = w.tasks[c.graph][t.problem].byAxes(models[k])
	}
	return tracks
}

func (t *task) distance2(model []float64) (sum float64) {
	for k := range model {
		d := model[k] - t.optimum[k]
		sum += float64(d * d)
	}
	return sum
}

// byAxes is the distance from the optimum along each axis of the curvature.
func (t *task) byAxes(model []float64) []float64 {
	out := make([]float64, len(model))
	for p := range out {
		for k := range model {
			out[p] += float64(t.axes[p][k] * (model[k] - t.optimum[k]))
		}
	}
	return out
}

// walks carries all walks out: tracks by course, alpha, seed and trainee. progress, which may be nil, is told how many are done, by one
// goroutine at a time.
func (w *world) walks(ctx context.Context, workers int, progress func(done, all int)) ([][][][]track, error) {
	s := w.study
	out := make([][][][]track, len(w.courses))
	for c := range out {
		out[c] = make([][][]track, len(s.Alphas))
		for a := range out[c] {
			out[c][a] = make([][]track, s.Seeds)
		}
	}
	all := len(w.courses) * len(s.Alphas) * s.Seeds
	var taken atomic.Int64
	var mu sync.Mutex // guards done, and calls of progress
	done := 0
	var group sync.WaitGroup
	for range max(1, workers) {
		group.Go(func() {
			for ctx.Err() == nil {
				k := int(taken.Add(1)) - 1
				if k >= all {
					return
				}
				c, a, seed := k/s.Seeds/len(s.Alphas), k/s.Seeds%len(s.Alphas), k%s.Seeds
				out[c][a][seed] = w.walk(&w.courses[c], s.Alphas[a], seed)
				mu.Lock()
				done++
				if progress != nil {
					progress(done, all)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return out, ctx.Err()
}
