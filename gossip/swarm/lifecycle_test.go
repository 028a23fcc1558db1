package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"starling/gossip"
)

func maddr(t *testing.T, text string) ma.Multiaddr {
	t.Helper()
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustAddr(t *testing.T, text string) []byte { return maddr(t, text).Bytes() }

func TestNewSaysWhatToDo(t *testing.T) {
	busy := start(t, 0, func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} })
	for _, addr := range busy.Host().Addrs() {
		t.Run("busy "+transportOf(addr), func(t *testing.T) {
			// One free address beside the busy one: half a node is an error too.
			_, err := New(config(1, func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0", addr.String()} }))
			want := "listen on " + addr.String() + ": the port is in use, perhaps by another starling: stop that program or choose another port"
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"no key", func(c *Config) { c.Key = nil }, []string{"key: want an Ed25519 private key"}},
		{"malformed listen", func(c *Config) { c.Listen = []string{"0.0.0.0:4150"} }, []string{"0.0.0.0:4150", "write it like /ip4/"}},
		{"unknown transport", func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0/ws"} }, []string{"only tcp and quic-v1"}},
		{"no such address", func(c *Config) { c.Listen = []string{"/ip4/192.0.2.1/tcp/0"} }, []string{"this machine has no such address"}},
		{"bootstrap without peer", func(c *Config) { c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/4150"} }, []string{"copy the full address, with /p2p/"}},
		{"bootstrap without place", func(c *Config) { c.Bootstrap = []string{"/p2p/" + idOf(1).String()} }, []string{"names a peer but no place"}},
		{"several at once", func(c *Config) {
			c.MaxPeers = 1
			c.MaxMessage = 1 << 30
			c.MaxDirect = -1
			c.Queue = -1
			c.PublishRate = -1
		},
			[]string{"max peers", "max message", "max direct", "queue", "publish rate"}},
		{"long agent", func(c *Config) { c.UserAgent = strings.Repeat("x", 200) }, []string{"user agent"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(config(1, tt.change))
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestDefaultsListenOnBothTransports(t *testing.T) {
	set, err := Config{Key: key(0)}.check()
	if err != nil {
		t.Fatal(err)
	}
	if len(set.listen) != 4 || !set.optional6 || set.MaxPeers != 96 || set.low != 48 || set.high != 72 || set.MaxMessage != 64<<10 || set.Queue != 256 {
		t.Errorf("got %+v", set)
	}
}

func TestCloseDuringEverything(t *testing.T) {
	boot := start(t, 0)
	for i := 1; i <= 5; i++ {
		n := start(t, i, with(boot.Addrs()[0], full(reserve(t), 50)), func(c *Config) { c.DHT = true })
		busy := make(chan struct{})
		go func() {
			defer close(busy)
			for {
				err := n.Publish(context.Background(), []byte{byte(i)})
				if errors.Is(err, ErrClosed) {
					return
				}
				n.Send(context.Background(), boot.id, []byte("x"))
				n.Peers()
				n.Dials()
			}
		}()
		if i%2 == 0 {
			eventually(t, "connected", func() bool { return len(n.Peers()) > 0 })
		}
		n.Close()
		n.Close()
		<-busy
		n.stop()
	}
}

func TestRunEndsWithItsContextOrClose(t *testing.T) {
	s, err := New(config(0))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.Run(context.Background()); err == nil {
		t.Error("Run may be called twice")
	}
	if err := s.Join(Handlers{
		Validate: func(gossip.PeerID, []byte) (Decision, string) { return Accept, "" },
		Deliver:  func(context.Context, gossip.PeerID, []byte) {},
	}); !errors.Is(err, ErrClosed) {
		t.Errorf("join after close: got %v, want ErrClosed", err)
	}
	if err := s.Send(context.Background(), idOf(1), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("send after close: got %v, want ErrClosed", err)
	}
}

func TestRetriesAreEagerFirstAndCalmLater(t *testing.T) {
	d := defaultTiming()
	for _, tt := range []struct {
		n       int
		failing time.Duration
		boot    bool
		want    time.Duration
	}{
		{1, 0, true, 500 * time.Millisecond}, {2, time.Second, true, time.Second}, {3, 2 * time.Second, true, 2 * time.Second},
		{4, 4 * time.Second, true, 4 * time.Second}, {5, 8 * time.Second, true, 5 * time.Second},
		{60, 4 * time.Minute, true, 5 * time.Second}, {66, 5*time.Minute + 6*time.Second, true, 10 * time.Second},
		{900, 24 * time.Hour, true, 5 * time.Minute},
		{1, 0, false, 4 * time.Second}, {2, 0, false, 8 * time.Second}, {40, time.Hour, false, 5 * time.Minute},
	} {
		if got := d.retry(tt.n, tt.failing, tt.boot); got != tt.want {
			t.Errorf("failure %d after %v (bootstrap %v): got %v, want %v", tt.n, tt.failing, tt.boot, got, tt.want)
		}
	}
}

func TestPeerIDsAreThoseOfLibp2p(t *testing.T) {
	id := idOf(3)
	if got, want := ToPeer(id).String(), id.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if back, ok := FromPeer(ToPeer(id)); !ok || back != id {
		t.Errorf("got %v, %v back", back, ok)
	}
	if _, ok := FromPeer("QmSomethingElse"); ok {
		t.Error("a foreign ID was taken")
	}
	if len(id) != ed25519.PublicKeySize {
		t.Error("a peer ID is not a public key")
	}
}

func TestPeerThatNeverGreetsIsCut(t *testing.T) {
	a := start(t, 0, func(c *Config) { c.timing.hello = 200 * time.Millisecond })
	mute, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	if err := mute.Connect(t.Context(), peer.AddrInfo{ID: a.Host().ID(), Addrs: a.Host().Addrs()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "why it goes is told", func() bool {
		d := a.Dials()
		return len(d) == 1 && strings.Contains(d[0].LastError, "did not say hello")
	})
	eventually(t, "it is gone", func() bool { return len(a.Host().Network().Peers()) == 0 })
	if len(a.Peers()) != 0 {
		t.Error("it counts as a peer")
	}
}
