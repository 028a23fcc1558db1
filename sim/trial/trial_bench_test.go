package trial

import (
	"testing"

	"starling/sim/experiment"
	"starling/sim/experiments"
)

// load reads an experiment of the program with overrides.
func load(tb testing.TB, name string, sets ...string) experiment.Experiment {
	tb.Helper()
	text, filename, err := experiments.Read(name)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := experiment.Load(text, filename, sets, experiment.Owners())
	if err != nil {
		tb.Fatal(err)
	}
	return f.Points[0].Experiment
}

// benchmark runs a whole experiment, everything included, in one goroutine.
func benchmark(b *testing.B, name string, sets ...string) {
	e := load(b, name, sets...)
	for b.Loop() {
		run, err := Run(b.Context(), e, Options{Workers: 1})
		if err != nil {
			b.Fatal(err)
		}
		r := &run.Result
		b.ReportMetric(float64(r.CPUSeconds), "cpu-s")
		b.ReportMetric(float64(r.TrainCPUSeconds), "train-cpu-s")
		b.ReportMetric(float64(r.EvalCPUSeconds), "eval-cpu-s")
		b.ReportMetric(float64(r.Accuracy.Mean), "accuracy")
		b.ReportMetric(float64(r.PeakRSSBytes)/(1<<20), "peak-MiB")
	}
}

func BenchmarkPegasos1000(b *testing.B)  { benchmark(b, "pegasos-1000") }
func BenchmarkPegasos10000(b *testing.B) { benchmark(b, "pegasos-1000", "nodes=10000") }
func BenchmarkMLP1000(b *testing.B)      { benchmark(b, "mlp-1000") }
