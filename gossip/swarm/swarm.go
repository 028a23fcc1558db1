package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"starling/gossip"
)

// A Swarm is one node's place in the network of one run. All methods are safe for concurrent use.
type Swarm struct {
	cfg     *settings
	host    host.Host
	pubsub  *pubsub.PubSub
	conns   *connmgr.BasicConnMgr
	traffic *traffic
	metrics *metrics
	pace    *rate.Limiter // own broadcasts
	prepaid credit
	bootIDs map[peer.ID]bool
	life    uint64 // not zero; see hello

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	opened chan struct{} // closed when host is set: libp2p may call back before New has it
	closer sync.Once
	ran    atomic.Bool

	filter   *topicFilter
	handlers Handlers              // written by Join, before gossipsub knows of any topic
	joined   chan struct{}         // closed by Join, after place and handlers are set
	place    atomic.Pointer[place] // nil before Join

	joinMu sync.Mutex // held while Join and Move run; mu is taken within it
	want   string     // guarded by joinMu: the topic to be in

	dialNow     chan struct{} // wakes the dialler
	exchangeNow chan struct{} // wakes the peer exchange
	changed     chan struct{} // wakes the announcer of peer events

	work sync.WaitGroup // streams being served and handshakes; Add only through enter

	mu        sync.Mutex
	closed    bool                          // guarded by mu, as all below
	peers     map[peer.ID]*member           // connected peers, and those whose going was not announced yet
	book      map[peer.ID]*target           // peers to dial
	refusals  []DialStatus                  // newest last: peers that came by themselves and were refused
	toMeet    map[peer.ID]struct{}          // peers to exchange peers with soon
	fresh     []peer.ID                     // links held to randomly chosen peers, oldest first
	good      []goodPeer                    // newest first
	goodDirty bool                          // good changed since the last save
	scores    map[peer.ID]float64           // of the last inspection; replaced, never changed
	appScores map[peer.ID]float64           // set by SetScore
	graySince map[peer.ID]time.Time         // when a peer fell below the graylist threshold
	banned    map[peer.ID]time.Time         // until when
	manifest  []byte                        // what FetchManifest of others gets
	rotated   time.Time                     // when the oldest fresh link was last replaced
	together  func(a, b gossip.PeerID) bool // who belongs to one topic; nil: everybody
}

// New creates the host and begins to listen and to answer; it dials nobody until Run. Errors say what to do.
func New(cfg Config) (*Swarm, error) {
	set, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("swarm config: %w", err)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(set.Key)
	if err != nil {
		return nil, fmt.Errorf("swarm config: key: %w", err)
	}
	s := &Swarm{
		cfg: set, traffic: newTraffic(), pace: rate.NewLimiter(rate.Limit(set.PublishRate), max(1, int(2*set.PublishRate))),
		bootIDs: make(map[peer.ID]bool), life: rand.Uint64() | 1, joined: make(chan struct{}), opened: make(chan struct{}),
		dialNow: make(chan struct{}, 1), exchangeNow: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		peers: make(map[peer.ID]*member), book: make(map[peer.ID]*target), toMeet: make(map[peer.ID]struct{}),
		scores: make(map[peer.ID]float64), appScores: make(map[peer.ID]float64),
		graySince: make(map[peer.ID]time.Time), banned: make(map[peer.ID]time.Time),
		filter: newTopicFilter(set), want: set.Topic,
	}
	for _, b := range set.bootstrap {
		s.bootIDs[b.info.ID] = true
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(key); err != nil {
		s.cancel()
		if s.host != nil {
			s.host.Close()
		}
		return nil, err
	}
	if set.Validate != nil {
		if err := s.Join(set.Handlers); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// open builds the host and everything on it.
func (s *Swarm) open(key crypto.PrivKey) (err error) {
	set := s.cfg
	s.conns, err = connmgr.NewConnManager(set.low, set.high, connmgr.WithGracePeriod(30*time.Second))
	if err != nil {
		return fmt.Errorf("connection manager: %w", err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return fmt.Errorf("swarm config: key: %w", err)
	}
	// Windows grow with use up to this; libp2p's 16 MiB for each stream is more than a home machine should give.
	mux := *yamux.DefaultTransport
	mux.MaxStreamWindowSize = 4 << 20
	// What is written waits behind the windows of all streams of the connection, in one queue. Uploads to three peers fill a
	// link of 1 Mbit/s for longer than yamux's 10 s, after which it gives up connections that are well.
	mux.ConnectionWriteTimeout = time.Minute
	var muxer network.Multiplexer = &mux
	if set.Tap != nil {
		muxer = tapped{&mux, set.Tap}
	}
	opts := []libp2p.Option{
		libp2p.Identity(key), libp2p.UserAgent(set.UserAgent),
		libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport),
		libp2p.Security(noise.ID, noise.New), libp2p.Muxer(yamux.ID, muxer),
		libp2p.ListenAddrs(), // none yet: listen below, where each failure can be told
		libp2p.ConnectionManager(s.conns), libp2p.ConnectionGater(gate{s}),
		libp2p.BandwidthReporter(s.traffic), libp2p.Ping(false),
	}
	var reg prometheus.Registerer
	limitOpts := []rcmgr.Option{rcmgr.WithMetricsDisabled()}
	if set.Registry != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"node": short(id)}, set.Registry)
		opts = append(opts, libp2p.PrometheusRegisterer(reg))
		limitOpts = nil
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	limits, err := resourceManager(set.MaxPeers, set.TrustedPrefixes, limitOpts...)
	if err != nil {
		return fmt.Errorf("resource manager: %w", err)
	}
	opts = append(opts, libp2p.ResourceManager(limits))
	if set.NATPortMap {
		opts = append(opts, libp2p.NATPortMap())
	}
	if set.Relay {
		opts = append(opts, libp2p.EnableRelay(), libp2p.EnableRelayService(), libp2p.EnableHolePunching(),
			libp2p.EnableNATService(),
			libp2p.EnableAutoRelayWithPeerSource(s.relayCandidates, autorelay.WithBootDelay(20*time.Second)))
	} else {
		opts = append(opts, libp2p.DisableRelay())
	}
	if set.Relay || set.NATPortMap {
		opts = append(opts, libp2p.EnableAutoNATv2())
	} else {
		opts = append(opts, libp2p.DisableIdentifyAddressDiscovery())
	}
	s.metrics = newMetrics(reg, func() float64 { return float64(s.countUp()) })
	s.host, err = libp2p.New(opts...)
	if err != nil {
		limits.Close()
		return fmt.Errorf("start libp2p: %w", err)
	}
	close(s.opened)
	for _, b := range set.bootstrap {
		s.conns.Protect(b.info.ID, "bootstrap")
	}
	s.seedBook()
	s.serveHello()
	s.servePeers()
	s.serveDirect()
	s.serveManifest()
	s.host.Network().Notify(&network.NotifyBundle{ConnectedF: s.connected, DisconnectedF: s.disconnected})
	if s.pubsub, err = s.newPubSub(); err != nil {
		return fmt.Errorf("start gossipsub: %w", err)
	}
	return s.listen()
}

// listen listens on each address; libp2p itself complains only when none of them works.
func (s *Swarm) listen() error {
	var failed []error
	for _, a := range s.cfg.listen {
		err := vacant(a)
		if err == nil {
			err = s.host.Network().Listen(a)
		}
		if err == nil {
			continue
		}
		if _, is6 := a.ValueForProtocol(ma.P_IP6); is6 == nil && s.cfg.optional6 && !errors.Is(err, syscall.EADDRINUSE) {
			s.cfg.Logger.Debug("no IPv6 here", "addr", a, "err", err)
			continue
		}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			err = fmt.Errorf("listen on %s: the port is in use, perhaps by another starling: stop that program or choose another port", a)
		case errors.Is(err, syscall.EACCES):
			err = fmt.Errorf("listen on %s: not permitted: choose a port above 1023", a)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			err = fmt.Errorf("listen on %s: this machine has no such address: choose one of its own, or 0.0.0.0", a)
		default:
			err = fmt.Errorf("listen on %s: %w", a, err)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// vacant tries an address the plain way first. libp2p listens on TCP with SO_REUSEPORT, so a second program on the same
// port would go unnoticed and take half of the connections; and it keeps only the text of the operating system's error.
func vacant(a ma.Multiaddr) error {
	socket, _ := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_QUIC_V1 })
	network, place, err := manet.DialArgs(socket)
	if err != nil {
		return err
	}
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, place)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen(network, place)
	if err != nil {
		return err
	}
	return l.Close()
}

// Run dials, discovers and delivers until ctx ends or the swarm is closed, and returns when everything it started has.
// It may be called once. The error is nil then; no peer and no network trouble ends it.
func (s *Swarm) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("swarm: Run was called before")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	s.recall()
	var wg sync.WaitGroup
	for _, f := range []func(context.Context) error{s.dialLoop, s.exchangeLoop, s.deliver, s.announce, s.sweepLoop, s.saveLoop} {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				s.cfg.Logger.Error("swarm loop ended", "err", err)
			}
		})
	}
	if s.cfg.MDNS {
		wg.Go(func() { s.runMDNS(ctx) })
	}
	if s.cfg.DHT {
		wg.Go(func() { s.runDHT(ctx) })
	}
	wg.Wait()
	s.save()
	return nil
}

// Close leaves the network and waits for everything that was started. It may be called at any time and more than once.
func (s *Swarm) Close() error {
	var err error
	s.closer.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.cancel()
		err = s.host.Close()
		s.work.Wait()
	})
	return err
}

// enter counts a piece of work that Close waits for; false means that the swarm is closed. Follow with work.Done.
func (s *Swarm) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// Host returns the libp2p host, for further protocols.
func (s *Swarm) Host() host.Host { return s.host }

// Addrs returns the addresses under which others may reach this node, each complete with /p2p/<peer ID>.
func (s *Swarm) Addrs() []string {
	var out []string
	for _, a := range s.host.Addrs() {
		out = append(out, a.String()+"/p2p/"+s.host.ID().String())
	}
	return out
}

// wake makes the reader of a channel look again; it never blocks.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// quiet passes on libp2p's errors as warnings and everything below as debug lines: most of it is about the other side.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(lower{l.Handler()}) }

type lower struct{ h slog.Handler }

func (l lower) level(v slog.Level) slog.Level {
	if v >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (l lower) Enabled(ctx context.Context, v slog.Level) bool { return l.h.Enabled(ctx, l.level(v)) }

func (l lower) Handle(ctx context.Context, r slog.Record) error {
	r.Level = l.level(r.Level)
	return l.h.Handle(ctx, r)
}

func (l lower) WithAttrs(a []slog.Attr) slog.Handler { return lower{l.h.WithAttrs(a)} }
func (l lower) WithGroup(name string) slog.Handler   { return lower{l.h.WithGroup(name)} }
