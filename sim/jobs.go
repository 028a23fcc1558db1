package sim

import (
	"slices"
	"sync/atomic"

	"starling/gossip"
	"starling/node"
	"starling/node/compute"
)

// A job is arithmetic whose result comes at a later virtual time.
type job struct {
	kind  jobKind
	small bool // not worth a helper
	// instant says that the job has taken no time and is done: nobody else knows of it.
	instant bool
	node    int
	life    uint32 // of the node: the end of a job of a former life is dropped

	// claimed is set by whoever does the job, or gives it up; done is closed by a helper who has done it.
	claimed atomic.Bool
	done    chan struct{}

	train  *node.TrainJob // in the batch, if the job takes no time
	probe  node.ProbeJob
	mix    *node.MixJob // likewise
	vecs   compute.Vectors
	pieces *pieces // of a vector that is encoded in parts
	in     [3][]float32
	out    [2][]float32

	result   node.Event
	accuracy float64
	loss     float64
	state    *saved
	refs     []node.VecRef      // to be dropped when the job ends
	own      [2]*compute.Vector // likewise, in no arena
}

type jobKind uint8

const (
	fetchJob jobKind = iota // the result is there already
	trainJob
	mixJob
	encodeJob
	piecesJob
	evaluateJob
	saveJob
	probeJob
	checkJob
)

// small is the number of parameters below which arithmetic takes less time than to hand it over.
const small = 4096

func (j *job) claim() bool { return j.claimed.CompareAndSwap(false, true) }

// run does the arithmetic. It may be called on any goroutine, once.
func (j *job) run(w Worker) {
	switch j.kind {
	case trainJob:
		t := w.Train(j.node, *j.train, j.in[0], j.in[1], j.in[2], j.out[0], j.out[1])
		t.Job = j.train.Job
		j.result = t
	case mixJob:
		report, err := w.Mix(*j.mix, j.vecs, j.out[0])
		if err != nil {
			report.Rejected = err.Error()
		}
		report.Weights = nil // no core asks for them, and there are many reports
		j.result = node.Mixed{Job: j.mix.Job, Report: report.Clone()}
	case piecesJob:
		j.pieces.encode(w, j.node)
	case evaluateJob:
		j.accuracy, j.loss = w.Evaluate(j.in[0])
	case probeJob:
		j.result = w.Probe(j.node, j.probe, j.in[0], j.in[1])
	case checkJob:
		j.result = node.Checked{Job: j.probe.Job, Slope: w.Probe(j.node, j.probe, j.in[0], j.in[1]).Slope}
	}
}

// jobs carries out the jobs of a batch.
func (w *World) jobs(h *host, ev node.Event, b *node.Batch) {
	if _, goesOn := ev.(node.Trained); len(b.Train) > 0 && !goesOn && (!w.cfg.pushes() || h.attack != nil) {
		h.begins(b.Train[0].Params)
	}
	for i := range b.Fetch {
		w.fetch(h, &b.Fetch[i])
	}
	for i := range b.Train {
		w.train(h, &b.Train[i])
	}
	for i := range b.Mix {
		w.mix(h, &b.Mix[i])
	}
	for _, j := range b.Encode {
		if j.Lens == nil {
			w.encode(h, j)
		} else {
			w.encodePieces(h, j)
		}
	}
	if h.replica != nil {
		h.replica.Tell(b.Apply)
	}
	for _, j := range b.Probe {
		w.probe(h, j)
	}
	for _, j := range b.Check {
		w.check(h, j)
	}
	for _, j := range b.Evaluate {
		e := w.job(h, evaluateJob)
		if h.replica != nil {
			e.own[0] = w.pool.New(w.length)
			e.in[0] = e.own[0].Data()
			h.replica.Weights(e.in[0])
		} else {
			e.in[0] = h.arena.Hold(j.Params)
			e.refs = append(e.refs, j.Params)
		}
		e.result = node.Evaluated{Job: j.Job}
		w.begun(h, e, w.duration(h, w.cfg.Times.Other))
	}
	for _, j := range b.Save {
		s := w.job(h, saveJob)
		s.result = node.Saved{Job: j.Job}
		if w.crashes() {
			s.state = h.save(j.State)
		}
		w.begun(h, s, w.duration(h, w.cfg.Times.Other))
	}
}

// begins keeps the model that a round begins with.
func (h *host) begins(params node.VecRef) {
	if h.base != nil {
		h.base.Drop()
	}
	h.base = h.arena.Share(params)
}

// crashes reports whether a checkpoint can ever be needed.
func (w *World) crashes() bool { return w.cfg.Sessions != nil || w.keepSaves }

func (w *World) job(h *host, k jobKind) *job {
	if last := len(w.jobList) - 1; last >= 0 {
		j := w.jobList[last]
		w.jobList = w.jobList[:last]
		j.kind, j.node, j.life = k, h.index, h.life
		return j
	}
	return &job{kind: k, node: h.index, life: h.life}
}

// recycle keeps a job for later. Those that went to helpers may still lie in their channel, so they are left alone.
func (w *World) recycle(j *job) {
	if j.done == nil && len(w.jobList) < 1024 {
		*j = job{refs: j.refs[:0]}
		w.jobList = append(w.jobList, j)
	}
}

// duration is how long a job takes on a node.
func (w *World) duration(h *host, normal node.Instant) node.Instant {
	if w.cfg.Speeds == nil || normal == 0 {
		return normal
	}
	return w.cfg.Speeds.Duration(h.index, w.now, normal)
}

// begun lets a job run while virtual time passes. A job without duration, or too small to share, is done at once.
func (w *World) begun(h *host, j *job, takes node.Instant) {
	j.small = w.length < small
	if takes == 0 && j.kind != saveJob && !j.claimed.Load() {
		w.crew.mineDo(j)
		w.instant(j)
		return
	}
	switch {
	case j.claimed.Load(): // an attack has seen to it: a helper would not do it, and who waits for a helper would wait for ever
	case takes == 0 || j.small:
		j.claim()
		w.crew.mineDo(j)
	default:
		w.crew.offer(j)
	}
	h.working = append(h.working, j)
	w.queue.push(w.now, w.now+takes, event{kind: ended, job: j})
}

// instant has the end of a job that is done follow at once, behind those that follow already: before anything of the queue, even of
// the same time, since it is of this event's making.
func (w *World) instant(j *job) {
	j.instant = true
	w.instants = append(w.instants, j)
}

// nextInstant takes out the first of the ends that follow at once, nil if there is none.
func (w *World) nextInstant() *job {
	if w.instantsDone == len(w.instants) {
		return nil
	}
	j := w.instants[w.instantsDone]
	if w.instantsDone++; w.instantsDone == len(w.instants) {
		w.instants, w.instantsDone = w.instants[:0], 0
	}
	return j
}

func (w *World) jobEnded(j *job) {
	h := &w.hosts[j.node]
	if h.life != j.life {
		return
	}
	if !h.online {
		h.deferred = append(h.deferred, event{kind: ended, job: j})
		return
	}
	if !j.instant {
		w.crew.join(j)
		i := slices.Index(h.working, j)
		h.working = slices.Delete(h.working, i, i+1)
	}
	if j.kind == piecesJob {
		j.result = w.publishable(h, j.pieces)
	}
	for _, ref := range j.refs {
		h.arena.Drop(ref)
	}
	j.letGo()
	switch j.kind {
	case evaluateJob:
		e := j.result.(node.Evaluated)
		e.Accuracy, e.Loss = j.accuracy, j.loss
		j.result = e
	case probeJob:
		if h.attack != nil {
			p := j.result.(node.Probed)
			p.Slope = h.attack.Slope(p.Slope)
			j.result = p
		}
	case saveJob:
		// Durable when it ends, not before: a crash in between loses it.
		if j.state != nil {
			h.saved.drop()
			h.saved, j.state = j.state, nil
		}
	}
	result := j.result
	w.recycle(j)
	w.step(h, result)
}

// giveUp ends the jobs of a node that goes down. Nobody works on its vectors afterwards.
func (w *World) giveUp(h *host) {
	for _, j := range h.working {
		if !j.claim() && j.done != nil {
			<-j.done
		}
		j.state.drop()
		j.letGo()
	}
	h.working, h.deferred = nil, nil
}

// probe begins to measure a slope. The weights on both sides are made at once: the model goes on before the job ends.
func (w *World) probe(h *host, p node.ProbeJob) {
	j := w.sides(h, probeJob, p)
	h.replica.Sides(p, j.in[0], j.in[1])
	w.begun(h, j, w.duration(h, w.cfg.Times.Step))
}

// sides makes a job that measures a slope, with room for the weights on both sides.
func (w *World) sides(h *host, kind jobKind, p node.ProbeJob) *job {
	j := w.job(h, kind)
	j.probe = p
	for i := range j.own {
		j.own[i] = w.pool.New(w.length)
		j.in[i] = j.own[i].Data()
	}
	return j
}

// check begins to measure a record of another node again. It takes as long as a record.
func (w *World) check(h *host, c node.CheckJob) {
	c.Probe.Job = c.Job
	j := w.sides(h, checkJob, c.Probe)
	h.replica.SidesOf(c.Sums, c.Probe, j.in[0], j.in[1])
	w.begun(h, j, w.duration(h, w.cfg.Times.Step))
}

// letGo drops the vectors that are the job's own.
func (j *job) letGo() {
	for i, v := range j.own {
		if v != nil {
			v.Drop()
			j.own[i] = nil
		}
	}
}

func (w *World) train(h *host, t *node.TrainJob) {
	j := w.job(h, trainJob)
	task := w.cfg.Task
	steps := t.Steps
	takes := w.cfg.Times.Epoch
	if steps == 0 {
		steps = task.Pass(h.index)
	}
	if t.Steps != 0 || takes == 0 {
		takes = w.cfg.Times.Step * node.Instant(steps)
	}
	if takes = w.duration(h, takes); takes != 0 {
		kept := *t
		t = &kept
	}
	j.train = t
	j.in[0], j.in[1] = h.arena.Hold(t.Params), h.arena.Hold(t.Opt)
	j.out[0] = h.arena.Alloc(t.Out, w.length)
	j.refs = append(j.refs, t.Params, t.Opt, t.Out)
	if t.Shift != 0 {
		j.in[2] = h.arena.Hold(t.Shift)
		j.refs = append(j.refs, t.Shift)
	}
	if w.optLength == 0 {
		h.arena.Put(t.OutOpt, w.nothing.Share())
	} else {
		j.out[1] = h.arena.Alloc(t.OutOpt, w.optLength)
		j.refs = append(j.refs, t.OutOpt)
	}
	if h.attack != nil {
		w.attackTraining(h, j, steps)
	}
	w.begun(h, j, takes)
}

func (w *World) mix(h *host, m *node.MixJob) {
	j := w.job(h, mixJob)
	j.mix = m
	j.out[0] = h.arena.Alloc(m.Out, compute.OutLen(*m, w.length))
	j.refs = append(j.refs, m.Out)
	takes := w.duration(h, w.cfg.Times.Other)
	if takes == 0 {
		j.vecs = &h.arena
	} else {
		held := h.arena.HoldMix(*m)
		for _, v := range held {
			j.refs = append(j.refs, v.Ref)
		}
		j.vecs = held
		kept := compute.CloneMix(*m)
		j.mix = &kept
	}
	w.begun(h, j, takes)
}

// encode makes the payload of a vector: bytes that travel inside the message, or a blob.
func (w *World) encode(h *host, e node.EncodeJob) {
	j := w.job(h, encodeJob)
	size, plain := w.cfg.Task.Plain()
	own := h.arena.Share(e.Vec)
	vec := w.attackVector(h, own)
	forged := vec != own
	var payload gossip.Piece
	var stats []gossip.TensorStat
	if plain && (size > w.cfg.Inline || h.forked) {
		payload = gossip.Piece{Size: size, Blob: w.blobs.add(vec, h.index, size)}
	} else {
		payload, stats = w.pack(h, vec)
	}
	if payload.Inline == nil {
		w.keep(h, payload.Blob, e.Vec, forged)
	}
	j.result = node.Encoded{Job: e.Job, Payload: payload, Stats: stats}
	w.begun(h, j, w.duration(h, w.cfg.Times.Other))
}

// pack encodes a vector, whose use it takes over, in the run's codec. A blob holds what receivers will decode.
func (w *World) pack(h *host, vec *compute.Vector) (gossip.Piece, []gossip.TensorStat) {
	b, stats, err := w.crew.mine.Encode(h.index, vec.Data())
	if err != nil {
		// Only vectors of adversaries cannot be encoded, since they need not be finite. Receivers find that out.
		size := w.cfg.Task.MaxPayload()
		id := w.blobs.add(vec, h.index, size)
		w.blobs.find(id).bad = true
		return gossip.Piece{Size: size, Blob: id}, nil
	}
	size := uint64(len(b))
	if size <= w.cfg.Inline && !h.forked {
		vec.Drop()
		return gossip.Piece{Inline: b, Size: size}, stats
	}
	if _, plain := w.cfg.Task.Plain(); !plain {
		decoded := w.pool.New(w.length)
		if err := w.cfg.Task.Decode(decoded.Data(), w.cfg.Task.Codec(), b); err != nil {
			panic("sim: internal error: a payload does not decode: " + err.Error())
		}
		vec.Drop()
		vec = decoded
	}
	return gossip.Piece{Size: size, Blob: w.blobs.add(vec, h.index, size)}, stats
}
