package trial

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"starling/mixing/kernel"
	"starling/node"
	"starling/sim"
	"starling/sim/experiment"
	"starling/sim/report"
)

// Options are what does not change the outcome.
type Options struct {
	Workers  int              // goroutines that compute; default one for each processor that Go uses
	Version  string           // of the program, for the report
	File     string           // text of the experiment's file, for the report
	Settings []report.Setting // what was set over the file, for the report
	Hash     string           // of the settings, for sweeps
	Progress func(Progress)   // told about ten times a second, if set
}

// Progress is how far a run is.
type Progress struct {
	Share    float64 // of the way to the end, 0 to 1; the end may come earlier
	Seconds  float64 // virtual
	Rounds   float64 // mean over the nodes
	Accuracy float64 // mean at the newest evaluation; not a number before the first
	Loss     float64 // likewise
	Text     bool    // the data is text: e to the power of Loss is a perplexity
	Online   int
	Wall     time.Duration
}

// Run carries out an experiment and returns its report. When ctx ends the run ends as it is, and the error is that of ctx.
func Run(ctx context.Context, e experiment.Experiment, o Options) (report.Run, error) {
	r := &runner{Experiment: e, options: o, began: time.Now(), processor: processTime(), accuracy: math.NaN(), loss: math.NaN()}
	if r.options.Workers == 0 {
		r.options.Workers = runtime.GOMAXPROCS(0)
	}
	s, err := Build(ctx, e, r.options.Workers)
	if err != nil {
		return report.Run{}, err
	}
	r.perSample = uint64(s.Program.Tokens())
	r.begin(ctx, s.Program)
	switch e.Reference.Name {
	case experiment.FedAvg:
		return r.fedavg(ctx, s)
	case experiment.AllReduce:
		return r.allReduce(ctx, s)
	}
	w, err := sim.New(s.Config)
	if err != nil {
		return report.Run{}, fmt.Errorf("experiment %s: %w", e.Name, err)
	}
	defer w.Close()
	r.world(ctx, s, w)
	if err := ctx.Err(); err != nil {
		return report.Run{}, err
	}
	if err := w.Audit(); err != nil {
		return report.Run{}, fmt.Errorf("internal error: %w; please report it with the experiment and the seed", err)
	}
	return r.report(s, w), nil
}

// runner is a run under way.
type runner struct {
	experiment.Experiment
	options   Options
	began     time.Time
	processor time.Duration // taken by the process before

	measure measure
	series  report.Series
	start   *report.Start // what the base model is worth; nil if there is none
	stopped string        // why the run is over, in words

	perSample uint64 // tokens of an example, 0 if it is no text
	resting   bool   // enough was trained, and the rounds under way are being ended
	restUntil node.Instant
	work      interval

	incomplete bool    // there are nodes that have yet to come for the first time: the worst is not known
	accuracy   float64 // mean at the newest evaluation
	loss       float64 // likewise
	nextTick   int     // round of the next evaluation, if they go by rounds
	nextTokens uint64  // of the next evaluation, if they go by tokens
	finished   uint64
	online     float64 // sum over evaluations
	shown      time.Time
}

// period is the duration of a round where that is fixed, 0 where rounds are what nodes finish.
func (r *runner) period() node.Instant {
	if r.Method.Exchange == experiment.Push && r.Method.Name != "scalar" {
		return instant(r.Method.Wake.Period)
	}
	return 0
}

// world runs the world until one of the reasons to stop is there.
func (r *runner) world(ctx context.Context, s *Setup, w *sim.World) {
	r.measure = newMeasure(s)
	until := node.Instant(math.MaxInt64)
	stop := r.Stop
	if stop.Time > 0 {
		until = instant(stop.Time)
	}
	if p := r.period(); p > 0 && stop.Rounds > 0 {
		until = min(until, p*node.Instant(stop.Rounds))
	}
	if every := r.every(); every > 0 {
		r.tickAgain(w, every, until)
	}
	r.nextTick, r.nextTokens = r.Evaluate.Every.Rounds, r.Evaluate.Every.Tokens
	r.work.watch(w, instant(r.Work.From), instant(r.Work.Until))
	events := 0
	w.Run(until, func() bool {
		if events++; events&1023 == 0 {
			if ctx.Err() != nil {
				return true
			}
			r.show(w, until)
		}
		return r.over(w)
	})
	if ctx.Err() != nil {
		return
	}
	if r.stopped == "" {
		r.stopped = "its time was over"
		if _, more := w.Next(); !more && until == math.MaxInt64 {
			r.stopped = "nothing was left to happen"
		} else if r.period() > 0 && stop.Rounds > 0 && until == r.period()*node.Instant(stop.Rounds) {
			r.stopped = fmt.Sprintf("%d rounds were over", stop.Rounds)
		}
	}
	r.level(ctx, w)
	if ctx.Err() != nil {
		return
	}
	if n := len(r.series); n == 0 || r.resting || r.series[n-1].Seconds != report.Real(w.Now().Seconds()) {
		r.tick(w)
	}
}

// level has the nodes of the method scalar, when the run is over, add no more records and exchange what they have, until all have the
// same: what the result says of their sums is not to depend on what is under way. It takes 30 exchanges at the most.
func (r *runner) level(ctx context.Context, w *sim.World) {
	if w.Replicas().Nodes == 0 {
		return
	}
	r.work.end(w)
	w.Rest()
	r.resting = true
	looked, events := w.Now(), 0
	w.Run(w.Now()+30*instant(r.Method.RepairEvery), func() bool {
		if events++; events&1023 == 0 && ctx.Err() != nil {
			return true
		}
		if w.Now() < looked+node.Second/10 || !w.AtRest() {
			return false
		}
		looked = w.Now()
		return w.Replicas().Different == 1
	})
}

// every is the virtual time between two evaluations, 0 if they go by the rounds that nodes finish.
func (r *runner) every() node.Instant {
	if r.Evaluate.Every.Time > 0 {
		return instant(r.Evaluate.Every.Time)
	}
	return r.period() * node.Instant(r.Evaluate.Every.Rounds)
}

func (r *runner) tickAgain(w *sim.World, every, until node.Instant) {
	if at := w.Now() + every; at <= until {
		w.At(at, func() {
			r.tick(w)
			r.tickAgain(w, every, until)
		})
	}
}

// over reports whether the run has come to its end, after each event.
func (r *runner) over(w *sim.World) bool {
	if max := r.Stop.Events; max > 0 && w.Stats().Events >= max {
		r.stopped = fmt.Sprintf("%d events were over", max)
	}
	if max := r.Stop.Received; max > 0 && r.stopped == "" && w.Received() >= uint64(max)*uint64(w.Nodes()) {
		r.stopped = fmt.Sprintf("a node had received %s on average", max)
	}
	r.trained(w)
	if n := w.Finished(); n != r.finished && r.period() == 0 {
		r.finished = n
		round := w.Round()
		if every := r.Evaluate.Every.Rounds; every > 0 && round >= r.nextTick {
			r.tick(w)
			r.nextTick = round - round%every + every
		}
		if r.Stop.Rounds > 0 && round >= r.Stop.Rounds {
			r.stopped = fmt.Sprintf("half of the nodes had finished %d rounds", r.Stop.Rounds)
		}
	}
	return r.stopped != ""
}

// trained looks after each event how much has been trained on: whether it is time to evaluate, and whether it is enough.
func (r *runner) trained(w *sim.World) {
	tokens := w.Samples() * r.perSample
	if every := r.Evaluate.Every.Tokens; every > 0 && tokens >= r.nextTokens && !r.resting {
		r.tick(w)
		r.nextTokens = tokens - tokens%every + every
	}
	limit := r.Stop.Tokens
	switch {
	case limit == 0 || tokens < limit:
	case !r.resting:
		r.work.end(w) // what comes now is not work
		w.Rest()
		// Nobody waits for ever: who cannot end a round in as much time again as the run has taken does not end it at all.
		r.resting, r.restUntil = true, 2*w.Now()+60*node.Second
	case w.AtRest() || w.Now() >= r.restUntil:
		r.stopped = fmt.Sprintf("the nodes had trained on %d tokens, and the rounds under way were over", limit)
	}
}

// tick evaluates some nodes and adds a row to the series.
func (r *runner) tick(w *sim.World) {
	t := r.measure.tick(w)
	stats := w.Stats()
	total := stats.Total()
	n := float64(w.Nodes())
	t.Seconds, t.Rounds, t.Events = report.Real(w.Now().Seconds()), report.Real(r.rounds(w)), stats.Events
	t.SentPerNode, t.ReceivedPerNode = report.Real(float64(total.Bytes.Sent)/n), report.Real(float64(total.Bytes.Delivered)/n)
	t.Samples, t.Tokens = w.Samples(), w.Samples()*r.perSample
	t.Online = w.Online()
	r.online += float64(t.Online)
	r.incomplete = slices.ContainsFunc(r.measure.honest, func(n int) bool { return !w.Begun(n) })
	before := r.stopped
	r.add(t)
	if goal := r.stopped; before == "" && goal != "" && r.Compute.Evaluate > 0 {
		r.stopped = "" // nobody knows yet
		w.At(w.Now()+instant(r.Compute.Evaluate), func() { r.stopped = goal })
	}
}

// rounds is how many rounds a node has behind it: those it finished, or, with the exchange push, the periods that are over.
func (r *runner) rounds(w *sim.World) float64 {
	if p := r.period(); p > 0 {
		return float64(w.Now()) / float64(p)
	}
	return w.Rounds()
}

// add takes a row into the series, and looks whether it reaches what the run is to reach.
func (r *runner) add(t report.Tick) {
	r.series = append(r.series, t)
	r.accuracy, r.loss = float64(t.Accuracy.Mean), float64(t.Loss.Mean)
	switch s := r.Stop; {
	case s.Accuracy > 0 && float64(t.Accuracy.Mean) >= s.Accuracy:
		r.stopped = fmt.Sprintf("the mean accuracy had reached %g", s.Accuracy)
	case s.Loss > 0 && float64(t.Loss.Mean) <= s.Loss:
		r.stopped = fmt.Sprintf("the mean loss had come down to %g", s.Loss)
	case s.Perplexity > 0 && kernel.Exp(float64(t.Loss.Mean)) <= s.Perplexity:
		r.stopped = fmt.Sprintf("the perplexity had come down to %g", s.Perplexity)
	case s.Worst > 0 && !r.incomplete && float64(t.Accuracy.Worst) >= s.Worst:
		r.stopped = fmt.Sprintf("every node that was evaluated had reached %g", s.Worst)
	}
}

// show tells how far the run is, at most ten times a second.
func (r *runner) show(w *sim.World, until node.Instant) {
	if r.options.Progress == nil || time.Since(r.shown) < time.Second/10 {
		return
	}
	share := 0.0
	if until != math.MaxInt64 {
		share = float64(w.Now()) / float64(until)
	}
	if n := r.Stop.Rounds; n > 0 && r.period() == 0 {
		share = max(share, float64(w.Round())/float64(n))
	}
	if n := r.Stop.Events; n > 0 {
		share = max(share, float64(w.Stats().Events)/float64(n))
	}
	if n := r.Stop.Received; n > 0 {
		share = max(share, float64(w.Received())/float64(w.Nodes())/float64(n))
	}
	if n := r.Stop.Tokens; n > 0 {
		share = max(share, float64(w.Samples()*r.perSample)/float64(n))
	}
	r.tell(share, w.Now().Seconds(), r.rounds(w), w.Online())
}

func (r *runner) tell(share, seconds, rounds float64, online int) {
	if r.options.Progress == nil || time.Since(r.shown) < time.Second/10 {
		return
	}
	r.shown = time.Now()
	r.options.Progress(Progress{Share: min(1, share), Seconds: seconds, Rounds: rounds, Accuracy: r.accuracy, Loss: r.loss, Text: r.perSample > 0, Online: online, Wall: time.Since(r.began)})
}
