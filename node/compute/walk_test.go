package compute

import (
	"slices"
	"testing"

	"starling/mixing/srrw"
	"starling/node"
	"starling/node/manifest"
)

func TestTheWalkIsThatOfTheManifest(t *testing.T) {
	m := softmax()
	s := build(t, m, Options{}, 7, 3)
	if w, err := s.Walk(); err != nil || w.Config != (srrw.Config{}) {
		t.Errorf("with method %s: %+v, %v", m.Method.Name, w, err)
	}
	m.Method.Name, m.Method.Walk, m.Method.Tokens, m.Method.Mix = "walk", "srrw:alpha=7", 3, manifest.Default().Method.Mix
	m.Optimizer = "sgd:lr=0.1,momentum=0.9"
	s = build(t, m, Options{}, 7, 3)
	w, err := s.Walk()
	if err != nil || w.Alpha != 7 || w.Tokens != 3 || !w.Carry || w.Steps != uint64(m.Method.Steps.Count) || w.SaveEvery == 0 {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestTheScheduleOfAWalkingModelGoesByItsAge(t *testing.T) {
	m := softmax()
	m.Optimizer = "sgd:lr=0.1,schedule=cosine,warmup=10,total=1000"
	s := build(t, m, Options{}, 7, 3)
	params, opt := s.init()
	run := func(job node.TrainJob) []float32 {
		out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
		s.Train(t.Context(), s.node, job, params, opt, nil, out, outOpt)
		return out
	}
	job := node.TrainJob{Step: 5, Age: 500, Steps: 3}
	byStep := run(job)
	job.Aged = true
	byAge := run(job)
	if slices.Equal(byStep, byAge) {
		t.Error("the age of the model makes no difference")
	}
	job.Age = 5
	if !slices.Equal(byStep, run(job)) {
		t.Error("at the same age as the step of the node the rate is another one")
	}
}
