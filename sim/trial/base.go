package trial

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"

	"starling/mixing/kernel"
	"starling/node"
	"starling/node/compute"
	"starling/node/manifest"
	"starling/sim/experiment"
	"starling/sim/report"
)

// seeded has made data drawn by the experiment's seed of data, unless it names its own.
func seeded(m *manifest.Manifest, e *experiment.Experiment) {
	switch m.Data.Source {
	case "pegasos", "babble":
		m.Data.Source = fmt.Sprintf("%s:seed=%d", m.Data.Source, e.DataSeed)
	}
}

// pretrained trains the base model that all nodes are to start from; nil if there is to be none.
func pretrained(ctx context.Context, e experiment.Experiment) ([]float32, error) {
	if e.Pretrain.Source == experiment.None {
		return nil, nil
	}
	m := e.PretrainManifest()
	seeded(&m, &e)
	p, err := compute.New(m, compute.Options{DataSeed: &e.DataSeed, Rows: 1})
	if err != nil {
		return nil, fmt.Errorf("pretrain: %w", err)
	}
	n, err := p.Node(e.Seed, 0)
	if err != nil {
		return nil, fmt.Errorf("pretrain: %w", err)
	}
	from, opt := make([]float32, p.Len()), make([]float32, p.OptLen())
	p.Init(n, from, opt)
	out, outOpt := make([]float32, p.Len()), make([]float32, p.OptLen())
	t := p.Worker().Train(ctx, n, node.TrainJob{Steps: uint64(e.Pretrain.Steps)}, from, opt, nil, out, outOpt)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case math.IsNaN(t.Loss) || !kernel.Finite(out):
		return nil, fmt.Errorf("pretrain: training diverged: choose a smaller rate in pretrain.optimizer")
	}
	return out, nil
}

// begin evaluates the base model, if there is one, before anything happens: it is the first row of the series.
func (r *runner) begin(ctx context.Context, p *compute.Program) {
	base := p.Base()
	if base == nil {
		return
	}
	accuracy, loss := p.Worker().Evaluate(ctx, base)
	digest := compute.Digest(base)
	r.start = &report.Start{
		Model: hex.EncodeToString(digest[:]), Accuracy: report.Real(accuracy), Loss: report.Real(loss), Perplexity: report.Real(math.NaN()),
	}
	if r.perSample > 0 {
		r.start.Perplexity = report.Real(kernel.Exp(loss))
	}
	r.series = append(r.series, report.Tick{
		Accuracy: report.Accuracies([]float64{accuracy}), Loss: report.Losses([]float64{loss}), Evaluated: 1,
	})
}
