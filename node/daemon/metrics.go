package daemon

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"starling/gossip"
	"starling/gossip/swarm/blob"
	"starling/node"
)

// metrics are the node's own figures, in a registry of its own beside those of libp2p and gossipsub.
type metrics struct {
	registry *prometheus.Registry

	round    prometheus.Gauge
	loss     prometheus.Gauge
	checks   *prometheus.CounterVec // by peer and outcome
	accuracy prometheus.Gauge
	mixed    prometheus.Counter
	hops     prometheus.Gauge
	bytes    *prometheus.CounterVec // of models, by which way they went
	events   *prometheus.CounterVec // by kind
	messages *prometheus.CounterVec // not taken, by verdict and reason
	dropped  *prometheus.CounterVec // own messages, by queue
	blobs    *prometheus.CounterVec // what blob.Counter says
	jobs     *prometheus.SummaryVec // seconds, by kind

	mu      sync.Mutex
	reasons map[string]uint64 // guarded by mu: messages not taken, for the report
	work    map[string]Work   // guarded by mu: jobs by kind, for the report
	counts  map[string]int64  // guarded by mu: of blobs, for the report
}

// The kinds of jobs.
const (
	jobTrain    = "train"
	jobProbe    = "probe" // two losses, for a slope
	jobCheck    = "check" // the same of somebody else's record
	jobMix      = "mix"
	jobEncode   = "encode"
	jobEvaluate = "evaluate"
	jobSave     = "save"
	jobFetch    = "fetch"
	jobPersist  = "persist" // what has to be on disk before an announcement
)

func newMetrics(reg *prometheus.Registry, d *Daemon) *metrics {
	m := &metrics{
		registry: reg,
		round:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "starling_round", Help: "Rounds done by this node."}),
		loss:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "starling_loss", Help: "Mean training loss of the newest round."}),
		accuracy: prometheus.NewGauge(prometheus.GaugeOpts{Name: "starling_accuracy", Help: "Accuracy at the newest evaluation, 0 to 1."}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starling_records_checked_total",
			Help: "Records of others that were measured again, or were to be: right, wrong, unanswered or unable, by the last characters of their author's ID."},
			[]string{"peer", "outcome"}),
		mixed: prometheus.NewCounter(prometheus.CounterOpts{Name: "starling_mixed_total", Help: "Updates of others that were mixed in."}),
		hops:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "starling_token_hops", Help: "Hops of the token that came here last."}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starling_model_bytes_total", Help: "Encoded models: published, handed over included, and taken."}, []string{"way"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starling_events_total", Help: "What happened, by kind."},
			[]string{"kind"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starling_messages_refused_total",
			Help: "Messages of others that were not taken."}, []string{"verdict", "reason"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starling_messages_dropped_total",
			Help: "Own messages that found their queue full; anti-entropy makes up for them."}, []string{"queue"}),
		blobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starling_blob_total", Help: "Blobs served and fetched: bytes, streams, failures."},
			[]string{"what"}),
		jobs: prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "starling_job_seconds",
			Help: "How long jobs took, by kind, waiting for a free core included."}, []string{"kind"}),
		reasons: make(map[string]uint64),
		work:    make(map[string]Work),
		counts:  make(map[string]int64),
	}
	reg.MustRegister(m.round, m.loss, m.accuracy, m.checks, m.mixed, m.hops, m.bytes, m.events, m.messages, m.dropped, m.blobs, m.jobs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "starling_disk_bytes", Help: "Bytes of the run's store on disk."},
			func() float64 { return float64(d.store.Usage()) }))
	return m
}

func (m *metrics) observe(s node.Stat) {
	m.events.WithLabelValues(string(s.Kind)).Inc()
	if outcome := checkOutcomes[s.Kind]; outcome != "" {
		m.checks.WithLabelValues(s.Peer.Short(), outcome).Inc()
	}
	switch s.Kind {
	case node.StatTrained:
		m.round.Set(float64(s.Round))
		m.loss.Set(s.Value)
	case node.StatEvaluated:
		m.accuracy.Set(s.Value)
	case node.StatMixed:
		m.mixed.Add(s.Value)
	case node.StatPublished:
		m.bytes.WithLabelValues("published").Add(s.Value)
	case node.StatTaken:
		m.hops.Set(float64(s.Round))
		m.bytes.WithLabelValues("taken").Add(s.Value)
	}
}

// checkOutcomes are the values of the label outcome.
var checkOutcomes = map[node.StatKind]string{
	node.StatChecked: "right", node.StatWrong: "wrong", node.StatUnanswered: "unanswered", node.StatUnable: "unable",
}

func (m *metrics) refused(v gossip.Verdict) {
	reason := v.Reason.String()
	verdict := "ignored"
	if v.Decision == gossip.Reject {
		verdict = "rejected"
	}
	m.messages.WithLabelValues(verdict, reason).Inc()
	// What was heard before is how gossip works, not news for the owner.
	if v.Reason == gossip.ReasonReplayed {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reasons[reason]++
}

func (m *metrics) refusals() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]uint64, len(m.reasons))
	for k, v := range m.reasons {
		out[k] = v
	}
	return out
}

// worked takes note of a job that has ended, and how long after it was asked for.
func (m *metrics) worked(kind string, took time.Duration) {
	m.jobs.WithLabelValues(kind).Observe(took.Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.work[kind]
	m.work[kind] = Work{Done: w.Done + 1, Seconds: w.Seconds + took.Seconds()}
}

func (m *metrics) works() map[string]Work {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.work)
}

// count takes what the blob server and the fetcher report.
func (m *metrics) count(what blob.Counter, n int64) {
	m.blobs.WithLabelValues(string(what)).Add(float64(n))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[string(what)] += n
}

func (m *metrics) blobCounts() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}

// logStat writes what a person would care about as information and the rest for debugging.
func (d *Daemon) logStat(s node.Stat) {
	level := slog.LevelDebug
	switch s.Kind {
	case node.StatEvaluated, node.StatJoined, node.StatLeft, node.StatAdopted, node.StatCaughtUp, node.StatCreated, node.StatRevived, node.StatFenced:
		level = slog.LevelInfo
	case node.StatDiverged, node.StatSaveError, node.StatBanned, node.StatConflict, node.StatCrowded, node.StatForgotten, node.StatWrong:
		level = slog.LevelWarn
	}
	attrs := []any{"round", s.Round}
	if s.Peer != (node.PeerID{}) {
		attrs = append(attrs, "peer", s.Peer.Short())
	}
	if s.Value != 0 {
		attrs = append(attrs, "value", s.Value)
	}
	if s.Text != "" {
		attrs = append(attrs, "why", s.Text)
	}
	d.log.Log(context.Background(), level, string(s.Kind), attrs...)
}
