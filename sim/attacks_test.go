package sim

import (
	"math"
	"sync/atomic"
	"testing"

	"starling/gossip"
	"starling/node"
	"starling/sim/adversary"
)

// counted is a task that counts who trains.
type counted struct {
	*quadratic
	trained [8]atomic.Int64
}

func (c *counted) Worker() Worker { return countedWorker{c.quadratic, c} }

type countedWorker struct {
	*quadratic
	of *counted
}

func (w countedWorker) Train(n int, job node.TrainJob, params, opt, shift, out, outOpt []float32) node.Trained {
	w.of.trained[n].Add(1)
	return w.quadratic.Train(n, job, params, opt, shift, out, outOpt)
}

// attacked runs eight nodes of which two attack, and returns how far the honest ones are from the optimum on average.
func attacked(t *testing.T, spec string, look func(w *World, roster *adversary.Roster, task *counted)) float64 {
	t.Helper()
	cfg := config(8, "mean")
	task := &counted{quadratic: newQuadratic(8, 12)}
	cfg.Task = task
	if spec != "" {
		cfg.Adversaries = must(adversary.Parse([]string{spec}, 8, 1))
	}
	w := start(t, cfg)
	if look != nil {
		look(w, cfg.Adversaries, task)
	}
	w.Run(20*node.Second, nil)
	sum, honest := 0.0, 0
	for n := range 8 {
		if cfg.Adversaries == nil || cfg.Adversaries.Of(n) == nil {
			sum += task.distance(w.Params(n))
			honest++
		}
	}
	return sum / float64(honest)
}

// TestAttacksOnVectorsDoHarm compares with the same run without attackers.
func TestAttacksOnVectorsDoHarm(t *testing.T) {
	peace := attacked(t, "", nil)
	for _, spec := range []string{"sign-flip:count=2", "scaled-flip:count=2", "scaling:factor=10,count=2", "gaussian:sigma=10,count=2",
		"ipm:eps=2,count=2", "alie:z=3,count=2", "infinity:count=2", "nan:count=2"} {
		harm := attacked(t, spec, nil)
		switch spec {
		case "infinity:count=2", "nan:count=2": // nobody takes these in
			if !(harm < math.Inf(1)) {
				t.Errorf("%s: honest nodes are %g from the optimum", spec, harm)
			}
		default:
			if !(harm > peace*1.02) {
				t.Errorf("%s: honest nodes are %.4f from the optimum, without attackers %.4f", spec, harm, peace)
			}
		}
	}
}

func TestSilentNodesSayNothingAndTrain(t *testing.T) {
	var task *counted
	var roster *adversary.Roster
	attacked(t, "silence:count=2", func(w *World, r *adversary.Roster, c *counted) {
		task, roster = c, r
		heard(w, func(_, to int, now node.Instant, m *gossip.Message) {
			if n, ok := w.Number(m.Author); ok && r.Of(n) != nil {
				t.Errorf("at %.3f s node %d hears node %d, which is silent", now.Seconds(), to, n)
			}
		})
	})
	for n := range 8 {
		if task.trained[n].Load() == 0 {
			t.Errorf("node %d has not trained (silent: %t)", n, roster.Of(n) != nil)
		}
	}
}

func TestFreeRidersAnnounceAndNeverTrain(t *testing.T) {
	var task *counted
	var roster *adversary.Roster
	announced := make(map[int]int)
	attacked(t, "free-rider:count=2", func(w *World, r *adversary.Roster, c *counted) {
		task, roster = c, r
		heard(w, func(_, _ int, _ node.Instant, m *gossip.Message) {
			if n, ok := w.Number(m.Author); ok {
				announced[n]++
			}
		})
	})
	for n := range 8 {
		if rides := roster.Of(n) != nil; rides != (task.trained[n].Load() == 0) || announced[n] == 0 {
			t.Errorf("node %d (free rider: %t) has trained %d times and announced %d", n, rides, task.trained[n].Load(), announced[n])
		}
	}
}

// TestHelpersDoNotWaitForFreeRiders has models that are large enough for helpers, who find the job of a free rider done.
func TestHelpersDoNotWaitForFreeRiders(t *testing.T) {
	trace := func(workers int) string {
		cfg := config(6, "mean")
		cfg.Task, cfg.Workers = newQuadratic(6, 2*small), workers
		cfg.Adversaries = must(adversary.Parse([]string{"free-rider:count=2"}, 6, 1))
		w := start(t, cfg)
		w.Crash(0, 3*node.Second)
		w.Crash(1, 3*node.Second+node.Second/100)
		w.Run(5*node.Second, nil)
		return w.TraceHash()
	}
	if a, b := trace(1), trace(3); a != b {
		t.Errorf("trace %s alone, %s with two helpers", a, b)
	}
}
