package trial

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starling/node/compute"
	"starling/node/manifest"
	"starling/node/model/safetensors"
	"starling/sim/experiment"
)

// A base model is the same whether it is trained before the run or read from a file, and all methods start from it.
func TestRunsStartFromABaseModel(t *testing.T) {
	e := world(t, "scalar")
	e.Stop.Time, e.Pretrain.Steps = 4e9, 200
	s, err := Build(t.Context(), e, 1)
	if err != nil {
		t.Fatal(err)
	}
	base := s.Program.Base()
	digest := compute.Digest(base)
	want := run(t, e, Options{Workers: 1})
	start := want.Result.Start
	if start == nil || start.Model != hex.EncodeToString(digest[:]) || want.Series[0].Seconds != 0 || want.Series[0].Loss.Mean != start.Loss {
		t.Fatalf("the run begins with %+v, the series with %+v", start, want.Series[0])
	}

	path := filepath.Join(t.TempDir(), "base.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(f, s.Program.Layout(), base, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	named := e
	named.Pretrain, named.Init, named.Weights = experiment.Default().Pretrain, manifest.WeightsInit(digest), path
	if got := run(t, named, Options{Workers: 1}).Result; got.TraceHash != want.Result.TraceHash || got.Start.Loss != start.Loss || got.Start.Model != start.Model {
		t.Errorf("from a file the trace is %s and the start %+v; trained before the run %s and %+v", got.TraceHash, got.Start, want.Result.TraceHash, start)
	}
	named.Init = "weights:" + strings.Repeat("00", 32)
	if _, err := Run(t.Context(), named, Options{}); err == nil || !strings.Contains(err.Error(), "these have "+start.Model) {
		t.Errorf("weights of another digest: %v", err)
	}

	for _, reference := range []string{experiment.FedAvg, experiment.AllReduce} {
		e := e
		e.Method.Name, e.Reference.Name, e.Evaluate.Every, e.Stop = "average", reference, experiment.Cadence{Rounds: 1}, experiment.Stop{Rounds: 1}
		e.Optimizer = "sgd:lr=0.000001,momentum=0"
		got := run(t, e, Options{}).Result
		if d := float64(got.Loss.Mean - start.Loss); got.Start.Model != start.Model || d > 1e-3 || d < -1e-3 {
			t.Errorf("%s has a loss of %.4f after a round of tiny steps, and began with %.4f", reference, got.Loss.Mean, start.Loss)
		}
	}
}

func TestTrainingThatDivergesBeforeTheRunIsAnError(t *testing.T) {
	e := world(t, "scalar")
	e.Pretrain.Optimizer = "sgd:lr=1000000"
	if _, err := Run(t.Context(), e, Options{}); err == nil || !strings.Contains(err.Error(), "choose a smaller rate in pretrain.optimizer") {
		t.Error(err)
	}
}

// Runs of different methods are compared at equal bytes: each ends with the first message beyond the limit, but for what equals out
// after it.
func TestRunsEndWhenEnoughBytesWereReceived(t *testing.T) {
	for _, name := range []string{"mesh", "cells", "fedavg", "allreduce"} {
		e := world(t, name)
		e.Stop = experiment.Stop{Received: 256 * manifest.KiB}
		r := run(t, e, Options{Workers: 1})
		per := float64(r.Series[len(r.Series)-1].ReceivedPerNode)
		if !strings.Contains(r.Result.Stopped, "256KiB") || per < 256<<10 || per > 2*256<<10 {
			t.Errorf("%s: a node has received %.0f bytes; stopped because %s", name, per, r.Result.Stopped)
		}
	}
}
