package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"starling/gossip"
	"starling/mixing/kernel"
	"starling/node"
	"starling/node/compute"
	"starling/storage"
)

// loop drives the core. One goroutine, run's, owns the core and the arena; everybody else sends to its channels.
type loop struct {
	wire    chan node.Event // checked messages
	members chan node.Event // peers that came and went
	results chan result     // jobs that ended
	orders  chan node.Op    // of the owner
	asks    chan func()     // run by the loop, for status and orders
	outbox  chan []byte     // sealed broadcasts, in order
	direct  chan directMail // sealed direct messages
	jobs    chan job        // for the compute workers
	ready   chan struct{}   // closed when the loop begins
	left    chan struct{}   // closed when the node has left: what could be saved is saved
	over    chan struct{}   // closed when the daemon stops
	began   time.Time       // set before ready is closed
	pool    *compute.Pool
	arena   *compute.Arena
}

// A job is computed by a worker.
type job func(*compute.Worker)

// A result is an event with what the loop must do before the core sees it.
type result struct {
	ev   node.Event
	drop []node.VecRef // held by the job
}

type directMail struct {
	to   gossip.PeerID
	data []byte
}

// The lengths of the queues. Wire blocks its sender, behind which swarm drops and counts; outbox and direct drop here,
// and anti-entropy repairs it. A core has few jobs at a time, so results and jobs never fill.
const (
	wireQueue   = 64
	memberQueue = 256
	mailQueue   = 256
	jobQueue    = 1024
	mailers     = 4
)

// keptVectors bounds the memory kept for reuse, in vectors of each length: a round turns over about that many.
const keptVectors = 4

func (l *loop) init() {
	l.wire = make(chan node.Event, wireQueue)
	l.members = make(chan node.Event, memberQueue)
	l.results = make(chan result, jobQueue)
	l.orders = make(chan node.Op)
	l.asks = make(chan func())
	l.outbox = make(chan []byte, mailQueue)
	l.direct = make(chan directMail, mailQueue)
	l.jobs = make(chan job, jobQueue)
	l.ready = make(chan struct{})
	l.left = make(chan struct{})
	l.over = make(chan struct{})
	l.pool = compute.NewPool(keptVectors)
	l.arena = compute.NewArena(l.pool)
}

// leaveTimeout is how long saving and saying goodbye may take before the daemon stops all the same.
const leaveTimeout = 15 * time.Second

// goodbye is how long the last message has to leave the machine.
const goodbye = 250 * time.Millisecond

// run drives the core until it has left, because ctx ended or the owner said so. The swarm lives until run's context
// ends.
func (l *loop) run(ctx, run context.Context, d *Daemon) error {
	work, stop := context.WithCancel(run)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	for range d.threads() {
		workers.Go(func() {
			w := d.program.Worker()
			for {
				select {
				case job := <-l.jobs:
					job(w)
				case <-work.Done():
					return
				}
			}
		})
	}
	for range mailers {
		workers.Go(func() { l.deliverMail(work, d) })
	}
	published := make(chan struct{})
	workers.Go(func() {
		defer close(published)
		l.publish(work, d)
	})

	s := &stepper{loop: l, d: d, core: d.core.Load(), work: work, epoch: time.Now(), fetches: &workers}
	l.began = s.epoch
	close(l.ready)
	s.step(node.Tick{})
	d.held = held(s.core.MethodStatus().Walk)
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	s.turn()
	epochs := time.NewTimer(d.cells.wait(time.Now()))
	defer epochs.Stop()
	leaving := ctx.Done()
	var late <-chan time.Time
	for !s.left {
		if at, ok := s.core.Wake(); ok {
			alarm.Reset(max(0, time.Duration(at-s.now())))
		}
		// What jobs report goes first: it is what releases memory and moves the node on.
		select {
		case r := <-l.results:
			s.finish(r)
			continue
		default:
		}
		select {
		case r := <-l.results:
			s.finish(r)
		case ev := <-l.members:
			s.member(ev)
		case <-epochs.C: // with one cell, in which nothing changes, a look at the clock a minute
			s.turn()
			epochs.Reset(d.cells.wait(time.Now()))
		case ev := <-l.wire:
			s.step(ev)
		case ask := <-l.asks:
			ask()
		case op := <-l.orders:
			if op == node.Leave && late == nil {
				leaving, late = nil, time.After(leaveTimeout)
			}
			s.step(node.Command{Op: op})
		case <-alarm.C:
			s.step(node.Tick{})
		case <-leaving:
			leaving, late = nil, time.After(leaveTimeout)
			s.step(node.Command{Op: node.Leave})
		case <-late:
			return fmt.Errorf("saving took more than %s: what was not saved is lost", leaveTimeout)
		case <-run.Done():
			return run.Err()
		}
	}
	close(l.left)
	// The goodbye is in the outbox. When it has been handed to gossipsub, nothing tells when it is on the wire.
	close(l.outbox)
	select {
	case <-published:
	case <-time.After(2 * time.Second):
	}
	time.Sleep(goodbye)
	return d.unsaved()
}

// stepper is the state of one run of the loop.
type stepper struct {
	*loop
	d       *Daemon
	core    *node.Core
	work    context.Context
	epoch   time.Time
	era     uint64 // the epoch of the run's cells, once the core was told of it
	fetches *sync.WaitGroup
	owed    []storage.Record // that could not be written yet
	left    bool
}

func (s *stepper) now() node.Instant { return node.Instant(time.Since(s.epoch)) }

func (s *stepper) finish(r result) {
	for _, v := range r.drop {
		s.arena.Drop(v)
	}
	s.step(r.ev)
}

// step hands an event to the core and carries out the batch, in the order of its fields.
func (s *stepper) step(ev node.Event) {
	b := s.core.Step(s.now(), ev)
	if b.Cell != nil {
		s.move(*b.Cell)
	}
	durable := s.persist(b.Persist)
	if durable {
		for _, m := range b.Publish {
			s.seal(m)
		}
		for i := range b.Send {
			s.mail(&b.Send[i])
		}
	}
	for _, j := range b.Fetch {
		s.fetch(j)
	}
	for _, j := range b.Train {
		s.train(j)
	}
	for _, j := range b.Mix {
		s.mix(j)
	}
	for _, j := range b.Encode {
		s.encode(j)
	}
	if s.d.replica != nil {
		s.d.replica.Tell(b.Apply)
	}
	for _, j := range b.Probe {
		s.probe(j)
	}
	for _, j := range b.Check {
		s.check(j)
	}
	for _, j := range b.Evaluate {
		s.evaluate(j)
	}
	for _, j := range b.Save {
		s.save(j)
	}
	for _, v := range b.Release {
		s.arena.Release(v)
	}
	for _, m := range b.Score {
		s.d.swarm.SetScore(m.Peer, m.Score)
		if m.Score < 0 {
			s.d.log.Warn("peer lost trust", "peer", m.Peer.Short(), "score", m.Score, "why", m.Why)
		}
	}
	for _, st := range b.Observe {
		s.d.metrics.observe(st)
		s.d.logStat(st)
	}
	s.left = s.left || b.Done
}

// report sends a job's end to the loop.
func (s *stepper) report(ev node.Event, drop ...node.VecRef) {
	select {
	case s.results <- result{ev, drop}:
	case <-s.work.Done():
	}
}

func (s *stepper) compute(kind string, j job) {
	began := time.Now()
	s.jobs <- func(w *compute.Worker) {
		j(w)
		s.d.metrics.worked(kind, time.Since(began))
	}
}

func (s *stepper) train(j node.TrainJob) {
	params, opt := s.arena.Hold(j.Params), s.arena.Hold(j.Opt)
	out, outOpt := s.arena.Alloc(j.Out, s.d.program.Len()), s.arena.Alloc(j.OutOpt, s.d.program.OptLen())
	held := []node.VecRef{j.Params, j.Opt, j.Out, j.OutOpt}
	var shift []float32
	if j.Shift != 0 {
		shift, held = s.arena.Hold(j.Shift), append(held, j.Shift)
	}
	s.compute(jobTrain, func(w *compute.Worker) {
		s.report(w.Train(s.work, s.d.node, j, params, opt, shift, out, outOpt), held...)
	})
}

func (s *stepper) mix(j node.MixJob) {
	vecs := s.arena.HoldMix(j)
	refs := []node.VecRef{j.Out}
	for _, v := range vecs {
		refs = append(refs, v.Ref)
	}
	out := s.arena.Alloc(j.Out, compute.OutLen(j, s.d.program.Len()))
	j = compute.CloneMix(j)
	s.compute(jobMix, func(w *compute.Worker) {
		r, err := w.Mix(j, vecs, out)
		if err != nil {
			r.Rejected = err.Error()
		}
		s.report(node.Mixed{Job: j.Job, Report: r.Clone()}, refs...)
	})
}

func (s *stepper) encode(j node.EncodeJob) {
	e := compute.Encoding{Vec: s.arena.Hold(j.Vec)}
	held := []node.VecRef{j.Vec}
	alloc := func(ref node.VecRef) []float32 {
		if ref == 0 {
			return nil
		}
		held = append(held, ref)
		return s.arena.Alloc(ref, len(e.Vec))
	}
	e.Sent, e.Lost = alloc(j.Sent), alloc(j.Lost)
	j.Lens = slices.Clone(j.Lens)
	s.compute(jobEncode, func(w *compute.Worker) {
		ev, err := s.d.encodePayload(s.work, w, j, e)
		if err != nil && s.work.Err() == nil {
			// The vector came out of training and was finite then: a full disk is what is left.
			s.d.trouble.set(troubleEncode, fmt.Errorf("cannot prepare an announcement: %w", err))
			s.d.log.Error("encode", "error", err)
		} else {
			s.d.trouble.clear(troubleEncode)
		}
		s.report(ev, held...)
	})
}

func (s *stepper) evaluate(j node.EvaluateJob) {
	v := s.arena.Hold(j.Params)
	s.compute(jobEvaluate, func(w *compute.Worker) {
		accuracy, loss := 0.0, 0.0
		if r := s.d.replica; r != nil {
			accuracy, loss = w.EvaluateReplica(s.work, r)
		} else {
			accuracy, loss = w.EvaluateOf(s.work, s.d.node, v)
		}
		s.report(node.Evaluated{Job: j.Job, Accuracy: accuracy, Loss: loss}, j.Params)
	})
}

func (s *stepper) save(j node.SaveJob) {
	params, opt := s.arena.Hold(j.State.Params), s.arena.Hold(j.State.Opt)
	held := []node.VecRef{j.State.Params, j.State.Opt}
	var vectors [][]float32
	j.State.Vectors, j.State.Numbers = slices.Clone(j.State.Vectors), slices.Clone(j.State.Numbers)
	for _, v := range j.State.Vectors {
		vectors, held = append(vectors, s.arena.Hold(v.Vec)), append(held, v.Vec)
	}
	began := time.Now()
	s.fetches.Go(func() {
		if r := s.d.replica; r != nil {
			params = make([]float32, len(params))
			r.WeightsOf(j.State.Sums, params) // the replica may know more, or less, than the state
		}
		// Not the loop's context: a node that leaves still saves.
		err := s.d.saveState(context.WithoutCancel(s.work), j.State, params, opt, vectors)
		text := ""
		if err != nil {
			text = err.Error()
			s.d.trouble.set(troubleSave, fmt.Errorf("%w; %s", err, s.d.unsavedMeans()))
			s.d.log.Error("save checkpoint", "round", j.State.Round, "error", err)
		} else {
			s.d.trouble.clear(troubleSave)
		}
		s.d.metrics.worked(jobSave, time.Since(began))
		s.report(node.Saved{Job: j.Job, Err: text}, held...)
	})
}

func (s *stepper) fetch(j node.FetchJob) {
	out := s.arena.Alloc(j.Out, j.Len)
	began := time.Now()
	s.fetches.Go(func() {
		ev := node.Fetched{Job: j.Job}
		ev.Err, ev.Bad = s.d.pull(s.work, j, out)
		if j.Norm && ev.Err == node.FetchOK {
			ev.Norm = kernel.Norm2(out)
		}
		s.d.metrics.worked(jobFetch, time.Since(began))
		s.report(ev, j.Out)
	})
}

// seal signs a broadcast message and puts it into the outbox.
func (s *stepper) seal(m *gossip.Message) {
	sealed, err := gossip.Seal(m, s.d.signer)
	if err != nil {
		s.d.log.Error("seal message", "error", err)
		return
	}
	select {
	case s.outbox <- sealed.Raw:
	default:
		s.d.metrics.dropped.WithLabelValues("outbox").Inc()
	}
}

// mail seals a direct message, with the broadcast messages it passes on.
func (s *stepper) mail(e *node.Envelope) {
	to := e.To
	if to == (gossip.PeerID{}) {
		var ok bool
		if to, ok = s.anyMember(); !ok {
			return
		}
	}
	msg := *e.Msg
	if _, ok := msg.Body.(*gossip.Repair); ok {
		r := &gossip.Repair{}
		size := repairSlack
		for _, m := range e.Forward {
			raw := m.Raw
			if raw == nil { // an own message
				sealed, err := gossip.Seal(m, s.d.signer)
				if err != nil {
					continue
				}
				raw = sealed.Raw
			}
			if size += len(raw) + repairEntry; size > s.d.limits.MaxDirect || len(r.Messages) == s.d.limits.MaxRepair {
				break
			}
			r.Messages = append(r.Messages, raw)
		}
		msg.Body = r
	}
	sealed, err := gossip.Seal(&msg, s.d.signer)
	if err != nil {
		s.d.log.Error("seal message", "error", err)
		return
	}
	select {
	case s.direct <- directMail{to, sealed.Raw}:
	default:
		s.d.metrics.dropped.WithLabelValues("direct").Inc()
	}
}

// What a repair needs beside the messages in it.
const (
	repairSlack = 256
	repairEntry = 8
)

func (l *loop) publish(ctx context.Context, d *Daemon) {
	for {
		select {
		case data, ok := <-l.outbox:
			if !ok {
				return
			}
			if err := d.swarm.Publish(ctx, data); err != nil && ctx.Err() == nil {
				d.log.Warn("publish", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (l *loop) deliverMail(ctx context.Context, d *Daemon) {
	for {
		select {
		case m := <-l.direct:
			if err := d.swarm.Send(ctx, m.to, m.data); err != nil && ctx.Err() == nil {
				d.log.Debug("direct message", "peer", m.to.Short(), "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// errNotReady is what status and orders get before the run's manifest is known.
var errNotReady = errors.New("not ready: the manifest has not been found yet")

// errStopping is what they get when the daemon is on its way out.
var errStopping = errors.New("the daemon is stopping")

// ask runs f in the loop's goroutine and waits for it.
func (l *loop) ask(ctx context.Context, f func()) error {
	select {
	case <-l.ready:
	default:
		return errNotReady
	}
	done := make(chan struct{})
	select {
	case l.asks <- func() { f(); close(done) }:
		<-done
		return nil
	case <-l.over:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}
