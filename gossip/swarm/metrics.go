package swarm

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	lmetrics "github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what gossipsub does and what the streams of this package do. It is a pubsub.RawTracer: gossipsub has
// no metrics of its own, and drops messages silently in four places (its documentation's "where messages are lost").
// The tracer's methods are called from pubsub's event loop and must not block.
type metrics struct {
	published, delivered, duplicates, undeliverable prometheus.Counter
	dropped, throttled, peersGreeted, redials       prometheus.Counter
	rejected, hellosRefused, directs                *prometheus.CounterVec
	rpcBytes                                        *prometheus.CounterVec
	scores                                          prometheus.Histogram
	lowest                                          prometheus.Gauge

	mu     sync.Mutex
	meshed map[string]map[peer.ID]struct{} // guarded by mu; by topic: the one that is being left counts, too
}

func newMetrics(reg prometheus.Registerer, peers func() float64) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "starling", Subsystem: "swarm", Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "starling", Subsystem: "swarm", Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		published:     counter("published_total", "Broadcast messages that this node published."),
		delivered:     counter("delivered_total", "Broadcast messages accepted for the first time."),
		duplicates:    counter("duplicates_total", "Copies of broadcast messages that were known already."),
		undeliverable: counter("undeliverable_total", "Accepted messages dropped because the node did not take them fast enough."),
		dropped:       counter("rpc_dropped_total", "Outbound gossip dropped because a peer's queue was full."),
		throttled:     counter("peers_throttled_total", "Times the peer gater held back a peer."),
		peersGreeted:  counter("peers_up_total", "Peers that passed the handshake, counted each time."),
		redials:       counter("dials_total", "Dials that the discovery made."),
		rejected:      vec("rejected_total", "Broadcast messages not accepted, by reason.", "reason"),
		hellosRefused: vec("hello_refused_total", "Peers refused in the handshake, by reason.", "reason"),
		directs:       vec("direct_total", "Direct messages, by outcome.", "outcome"),
		rpcBytes:      vec("gossip_bytes_total", "Bytes of gossip messages, by direction.", "direction"),
		scores: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "starling", Subsystem: "swarm", Name: "peer_score", Help: "Scores of connected peers, sampled.",
			Buckets: []float64{graylistScore, publishScore, gossipScore, -50, -10, 0, 10, 50},
		}),
		lowest: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "starling", Subsystem: "swarm", Name: "peer_score_lowest", Help: "Lowest score of a connected peer.",
		}),
		meshed: make(map[string]map[peer.ID]struct{}),
	}
	if reg == nil {
		return m
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "starling", Subsystem: "swarm", Name: name, Help: help}, f)
	}
	reg.MustRegister(m.published, m.delivered, m.duplicates, m.undeliverable, m.dropped, m.throttled, m.peersGreeted,
		m.redials, m.rejected, m.hellosRefused, m.directs, m.rpcBytes, m.scores, m.lowest,
		gauge("mesh_peers", "Peers in this node's mesh of its topic.", func() float64 { return float64(len(m.mesh())) }),
		gauge("peers", "Peers that are connected and passed the handshake.", peers))
	return m
}

// mesh returns the peers in this node's mesh.
func (m *metrics) mesh() map[peer.ID]struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[peer.ID]struct{})
	for _, peers := range m.meshed {
		maps.Copy(all, peers)
	}
	return all
}

func (m *metrics) Graft(p peer.ID, topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meshed[topic] == nil {
		m.meshed[topic] = make(map[peer.ID]struct{})
	}
	m.meshed[topic][p] = struct{}{}
}

func (m *metrics) Prune(p peer.ID, topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.meshed[topic], p)
}

// OnClosedOutboundStream ends a peer's place in the mesh: gossipsub traces no Prune for a peer that disconnects.
func (m *metrics) OnClosedOutboundStream(p peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, peers := range m.meshed {
		delete(peers, p)
	}
}

func (m *metrics) Leave(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.meshed, topic)
}

func (m *metrics) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (m *metrics) Join(string)                              {}
func (m *metrics) ValidateMessage(*pubsub.Message)          {}
func (m *metrics) SendRPC(*pubsub.RPC, peer.ID)             {}
func (m *metrics) DeliverMessage(*pubsub.Message)           { m.delivered.Inc() }
func (m *metrics) DuplicateMessage(*pubsub.Message)         { m.duplicates.Inc() }
func (m *metrics) ThrottlePeer(peer.ID)                     { m.throttled.Inc() }
func (m *metrics) DropRPC(*pubsub.RPC, peer.ID)             { m.dropped.Inc() }
func (m *metrics) UndeliverableMessage(*pubsub.Message)     { m.undeliverable.Inc() }
func (m *metrics) RecvRPC(rpc *pubsub.RPC) {
	m.rpcBytes.WithLabelValues("in").Add(float64(rpcSize(rpc)))
}

func (m *metrics) SendRPCCompleted(rpc *pubsub.RPC, _ peer.ID, _ time.Duration) {
	m.rpcBytes.WithLabelValues("out").Add(float64(rpcSize(rpc)))
}

// RejectMessage counts by pubsub's own reasons, which are a fixed set. What the validator turned down has a reason of
// its own: it is counted where the validator runs.
func (m *metrics) RejectMessage(_ *pubsub.Message, reason string) {
	if reason != pubsub.RejectValidationFailed && reason != pubsub.RejectValidationIgnored {
		m.rejected.WithLabelValues(reason).Inc()
	}
}

// traffic counts bytes for each peer, as libp2p's BandwidthReporter. libp2p's own counter keeps moving averages for
// every peer and protocol and a goroutine that updates them; two integers a peer are enough here.
type traffic struct {
	in, out atomic.Int64

	mu    sync.Mutex
	peers map[peer.ID]*flow // guarded by mu
}

type flow struct{ in, out atomic.Int64 }

func newTraffic() *traffic { return &traffic{peers: make(map[peer.ID]*flow)} }

// of returns the counters of p.
func (t *traffic) of(p peer.ID) *flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.peers[p]
	if f == nil {
		f = new(flow)
		t.peers[p] = f
	}
	return f
}

// forget drops the counters of every peer that keep does not want.
func (t *traffic) forget(keep func(peer.ID) bool) {
	t.mu.Lock()
	known := make([]peer.ID, 0, len(t.peers))
	for p := range t.peers {
		known = append(known, p)
	}
	t.mu.Unlock()
	for _, p := range known {
		if !keep(p) {
			t.mu.Lock()
			delete(t.peers, p)
			t.mu.Unlock()
		}
	}
}

func (t *traffic) LogSentMessage(n int64) { t.out.Add(n) }
func (t *traffic) LogRecvMessage(n int64) { t.in.Add(n) }

func (t *traffic) LogSentMessageStream(n int64, _ protocol.ID, p peer.ID) { t.of(p).out.Add(n) }
func (t *traffic) LogRecvMessageStream(n int64, _ protocol.ID, p peer.ID) { t.of(p).in.Add(n) }

func (t *traffic) GetBandwidthForPeer(p peer.ID) lmetrics.Stats {
	f := t.of(p)
	return lmetrics.Stats{TotalIn: f.in.Load(), TotalOut: f.out.Load()}
}

func (t *traffic) GetBandwidthTotals() lmetrics.Stats {
	return lmetrics.Stats{TotalIn: t.in.Load(), TotalOut: t.out.Load()}
}

func (t *traffic) GetBandwidthByPeer() map[peer.ID]lmetrics.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[peer.ID]lmetrics.Stats, len(t.peers))
	for p, f := range t.peers {
		out[p] = lmetrics.Stats{TotalIn: f.in.Load(), TotalOut: f.out.Load()}
	}
	return out
}

// GetBandwidthForProtocol is always zero: bytes are kept for each peer only.
func (t *traffic) GetBandwidthForProtocol(protocol.ID) lmetrics.Stats { return lmetrics.Stats{} }

// GetBandwidthByProtocol is always empty, as GetBandwidthForProtocol.
func (t *traffic) GetBandwidthByProtocol() map[protocol.ID]lmetrics.Stats { return nil }

func (t *traffic) Reset() {
	t.forget(func(peer.ID) bool { return false })
	t.in.Store(0)
	t.out.Store(0)
}

// TrimIdle does nothing: the sweep of Run forgets peers that are gone.
func (t *traffic) TrimIdle(time.Time) {}
