package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"starling/gossip"
)

// A Decision is what a validator says of a message.
type Decision int

// The decisions. Reject only what is a property of the bytes: it costs the sender score. What might be this node's own
// fault (a full disk, an unknown dependency, a doubt about time) is Ignore.
const (
	Accept Decision = iota // deliver and pass on
	Ignore                 // drop, no blame
	Reject                 // drop and blame the peer that sent it
)

// Handlers take what arrives. All of them must be safe for concurrent use.
type Handlers struct {
	// Validate judges a broadcast message that came through peer from (not necessarily its author). It runs inline in
	// the validation workers, on every core at once: it must not block and should take less than a millisecond.
	// reason goes into metrics, so it must come from a small fixed set; it is ignored with Accept. data must not be
	// changed. Messages that this node publishes are not validated.
	Validate func(from gossip.PeerID, data []byte) (d Decision, reason string)

	// Deliver takes accepted messages, one at a time, from a single goroutine of Run. It may block: behind it is a
	// queue of Config.Queue messages, and what does not fit is dropped and counted. It must return when ctx ends.
	Deliver func(ctx context.Context, from gossip.PeerID, data []byte)

	// Direct takes direct messages, at most 4 at once from one peer. ctx ends with the stream's deadline. A nil Direct
	// refuses direct messages.
	Direct func(ctx context.Context, from gossip.PeerID, data []byte)
}

// A Store keeps the addresses of good peers across restarts.
type Store interface {
	SavePeers([]byte) error
	LoadPeers() ([]byte, error) // nil, nil when nothing was saved
}

// Config says how a Swarm behaves. Key and Run are required; the zero value of everything else is a sensible default.
type Config struct {
	Key       ed25519.PrivateKey
	Run       gossip.RunID
	UserAgent string // what peers are shown; default "starling"

	// Listen holds multiaddrs; default QUIC and TCP on port 4150 of all IPv4 and IPv6 addresses, where a machine
	// without IPv6 is not an error.
	Listen []string
	// Bootstrap holds full multiaddrs, each ending in /p2p/<peer ID>. They are dialled for as long as Run runs.
	Bootstrap []string

	// MaxPeers caps the connected peers; default 96, at least 4; bootstrap peers may come on top. From it derive all
	// other limits: a node dials until half of it are connected, sends some away when there are more than three
	// quarters, and sends newcomers on to other peers when it is full.
	MaxPeers int

	MDNS       bool // find peers on the local network
	DHT        bool // find peers through a DHT of the run's own
	NATPortMap bool // ask the router for a port by UPnP or NAT-PMP
	Relay      bool // use relays and hole punching when not reachable; relay for others when reachable

	// TrustedPrefixes are exempt from the limits for each IP address, as loopback and private networks always are.
	TrustedPrefixes []netip.Prefix

	// Admit, when set, is asked before a connection is made or taken; false refuses the peer. It must not block.
	Admit func(gossip.PeerID) bool

	Topic string // gossipsub topic; default "/starling/<run>/1"
	// Topics says which other topics belong to the run: those that this node may move to, and that peers may be in.
	// Default: none.
	Topics      func(topic string) bool
	MaxMessage  int     // bytes of one broadcast message; default and at most 64 KiB
	MaxDirect   int     // bytes of one direct message; default 1 MiB, at most 4 MiB
	Queue       int     // length of each of the outbound, validation and delivery queues; default 256
	PublishRate float64 // own broadcasts a second, with a burst of twice that; default 50

	Handlers // may be left empty and be given later to Join

	// PeerEvent is told when a peer has passed the handshake (up) and when its last connection is gone. Calls come
	// from one goroutine of Run, in order for each peer; it should not block for long.
	PeerEvent func(p gossip.PeerID, up bool)

	Store Store // default: nothing is remembered

	// Upload and Download meter gossip, direct messages and manifests; share them with the blob transfers. Bytes are
	// tokens. What a handshake or a list of peers takes is not worth metering. Default: no limit.
	Upload, Download *rate.Limiter

	// Registry takes the metrics of this node and of its libp2p host, labelled node=<short ID>. Default: no metrics.
	Registry *prometheus.Registry
	Logger   *slog.Logger // default: discard

	// Tap, when set, stands between the streams of a TCP connection and its encryption: what it returns is used in place of the
	// connection. It is for tests that watch what is sent.
	Tap func(net.Conn) net.Conn

	timing *timing // for tests
}

// timing holds every interval, so that tests can be quick.
type timing struct {
	retryFirst  time.Duration // first pause between dials of an address that fails
	retryCap    time.Duration // longest pause while eager
	eager       time.Duration // how long a failing address is dialled eagerly
	calmCap     time.Duration // longest pause afterwards
	refused     time.Duration // pause after a peer proved to be of another run
	dial        time.Duration // deadline of one dial
	hello       time.Duration // time for a new connection to pass the handshake
	stream      time.Duration // deadline of one stream
	exchange    time.Duration // between peer exchanges at first
	exchangeFor time.Duration // how long "at first" is
	exchangeCap time.Duration // between peer exchanges later
	rotate      time.Duration // how long a random link is kept before a newer one may replace it
	sweep       time.Duration // between checks of connections
	lobby       time.Duration // how long a peer may stay at least when there are too many
	inspect     time.Duration // between exports of scores
	save        time.Duration // between saves of the good peers
	find        time.Duration // between searches in the DHT
	banAfter    time.Duration // how long a peer may be graylisted before it is disconnected
	banFor      time.Duration // how long it then stays out
}

func defaultTiming() *timing {
	return &timing{
		retryFirst: 500 * time.Millisecond, retryCap: 5 * time.Second, eager: 5 * time.Minute, calmCap: 5 * time.Minute,
		refused: 10 * time.Minute, dial: 15 * time.Second, hello: 10 * time.Second, stream: 20 * time.Second,
		exchange: 5 * time.Second, exchangeFor: 2 * time.Minute, exchangeCap: 30 * time.Second, rotate: 5 * time.Minute,
		sweep: 5 * time.Second, lobby: 15 * time.Second, inspect: 10 * time.Second, save: time.Minute, find: 2 * time.Minute,
		banAfter: 2 * time.Minute, banFor: time.Hour,
	}
}

const (
	maxMessage = 64 << 10
	maxDirect  = 4 << 20
	// defaultQueue is as good as longer queues, and makes tails at full load a tenth of those with gossipsub's own 32.
	defaultQueue = 256
	// rpcSlack is what the framing of a message may add to it: topic name, lengths, control messages alongside.
	rpcSlack = 2 << 10
)

func defaultListen() []string {
	return []string{"/ip4/0.0.0.0/udp/4150/quic-v1", "/ip4/0.0.0.0/tcp/4150", "/ip6/::/udp/4150/quic-v1", "/ip6/::/tcp/4150"}
}

// settings is a Config that was checked and completed.
type settings struct {
	Config
	listen    []ma.Multiaddr
	optional6 bool // IPv6 addresses may fail to listen
	bootstrap []bootAddr
	low, high int
}

// A bootAddr is one bootstrap address as it was written, and its parts.
type bootAddr struct {
	text string
	info peer.AddrInfo
}

// check reports all problems at once.
func (c Config) check() (*settings, error) {
	s := &settings{Config: c}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Key) != ed25519.PrivateKeySize {
		bad("key: want an Ed25519 private key of %d bytes, got %d", ed25519.PrivateKeySize, len(c.Key))
	}
	if s.UserAgent == "" {
		s.UserAgent = "starling"
	}
	if len(s.UserAgent) > maxAgent {
		bad("user agent: %d bytes, at most %d", len(s.UserAgent), maxAgent)
	}
	listen := c.Listen
	if len(listen) == 0 {
		listen, s.optional6 = defaultListen(), true
	}
	for _, text := range listen {
		a, err := ma.NewMultiaddr(text)
		switch {
		case err != nil:
			bad("listen address %q: %w: write it like /ip4/0.0.0.0/udp/4150/quic-v1 or /ip4/0.0.0.0/tcp/4150", text, err)
		case !dialable(a):
			bad("listen address %q: only tcp and quic-v1 are served: write it like /ip4/0.0.0.0/udp/4150/quic-v1", text)
		default:
			s.listen = append(s.listen, a)
		}
	}
	for _, text := range c.Bootstrap {
		info, err := peer.AddrInfoFromString(text)
		switch {
		case err != nil:
			bad("bootstrap address %q: %w: copy the full address, with /p2p/<peer ID> at its end, from the other node", text, err)
		case len(info.Addrs) == 0:
			bad("bootstrap address %q names a peer but no place: put /ip4/<address>/udp/<port>/quic-v1 before /p2p/", text)
		default:
			if _, ok := fromPeer(info.ID); !ok {
				bad("bootstrap address %q: the peer ID is not of an Ed25519 key", text)
				continue
			}
			s.bootstrap = append(s.bootstrap, bootAddr{text: text, info: *info})
		}
	}
	if s.MaxPeers == 0 {
		s.MaxPeers = 96
	}
	if s.MaxPeers < 4 {
		bad("max peers: %d is too few for a mesh, at least 4", s.MaxPeers)
	}
	s.low, s.high = s.MaxPeers/2, s.MaxPeers*3/4
	if s.Topic == "" {
		s.Topic = fmt.Sprintf("/starling/%x/1", c.Run[:])
	}
	if s.MaxMessage == 0 {
		s.MaxMessage = maxMessage
	}
	if s.MaxMessage < 0 || s.MaxMessage > maxMessage {
		bad("max message: %d is not within 1 and %d bytes", s.MaxMessage, maxMessage)
	}
	if s.MaxDirect == 0 {
		s.MaxDirect = 1 << 20
	}
	if s.MaxDirect < 0 || s.MaxDirect > maxDirect {
		bad("max direct: %d is not within 1 and %d bytes", s.MaxDirect, maxDirect)
	}
	if s.Queue == 0 {
		s.Queue = defaultQueue
	}
	if s.Queue < 1 {
		bad("queue: %d, at least 1", s.Queue)
	}
	if s.PublishRate == 0 {
		s.PublishRate = 50
	}
	if s.PublishRate < 0 {
		bad("publish rate: %v is negative", s.PublishRate)
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.timing == nil {
		s.timing = defaultTiming()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}
