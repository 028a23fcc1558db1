package swarm

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// meteredHost is the host that gossipsub gets on a node with an upload or download limit: what it reads and writes takes
// tokens. A reader that waits fills the stream's window, and then the other side's queue, which drops and counts; anti-entropy
// repairs what matters. A peer that sends far more than its share, so that not even half a window is read within gossipsub's
// deadline for a write of 30 s, loses its stream and opens another.
type meteredHost struct {
	host.Host
	s *Swarm
}

// gossipHost is the host for gossipsub.
func (s *Swarm) gossipHost() host.Host {
	if s.cfg.Upload == nil && s.cfg.Download == nil {
		return s.host
	}
	return meteredHost{s.host, s}
}

func (h meteredHost) SetStreamHandler(id protocol.ID, fn network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(st network.Stream) { fn(&meteredStream{Stream: st, s: h.s}) })
}

func (h meteredHost) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, fn network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, func(st network.Stream) { fn(&meteredStream{Stream: st, s: h.s}) })
}

func (h meteredHost) NewStream(ctx context.Context, to peer.ID, ids ...protocol.ID) (network.Stream, error) {
	st, err := h.Host.NewStream(ctx, to, ids...)
	if err != nil {
		return nil, err
	}
	return &meteredStream{Stream: st, s: h.s}, nil
}

// meteredStream takes tokens for what passes. One goroutine may read and another one write.
type meteredStream struct {
	network.Stream
	s       *Swarm
	allowed atomic.Int64 // ns that a write may take once it has its tokens; 0 is no deadline
}

func (m *meteredStream) Read(p []byte) (int, error) {
	n, err := m.Stream.Read(p)
	if wait := take(m.s.ctx, m.s.cfg.Download, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}

func (m *meteredStream) Write(p []byte) (int, error) {
	n := len(p) - m.s.prepaid.spend(len(p))
	if err := take(m.s.ctx, m.s.cfg.Upload, n); err != nil {
		return 0, err
	}
	if d := time.Duration(m.allowed.Load()); d != 0 { // the wait for tokens is not the peer's fault
		if err := m.Stream.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return 0, err
		}
	}
	return m.Stream.Write(p)
}

func (m *meteredStream) SetWriteDeadline(t time.Time) error {
	d := time.Duration(0)
	if !t.IsZero() {
		d = max(1, time.Until(t))
	}
	m.allowed.Store(int64(d))
	return m.Stream.SetWriteDeadline(t)
}

// A credit is upload that was paid for in advance: Publish waits for the tokens of all the copies of its message before it
// hands it to gossipsub, and they shall not be paid again when they are written.
type credit struct{ n atomic.Int64 }

// set replaces what is left, so that copies that were never written do not pile up.
func (c *credit) set(n int) { c.n.Store(int64(n)) }

// spend takes up to n from the credit and returns how much.
func (c *credit) spend(n int) int {
	for {
		have := c.n.Load()
		use := min(have, int64(n))
		if c.n.CompareAndSwap(have, have-use) {
			return int(use)
		}
	}
}
