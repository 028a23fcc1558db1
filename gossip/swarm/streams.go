package swarm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"starling/gossip"
)

// The stream protocols. Every stream carries one exchange: the opener writes one frame, the other answers with one, the
// opener closes. A frame is its length (4 bytes, big endian) and that many bytes.
const (
	protoHello    protocol.ID = gossip.ProtocolHello
	protoPeers    protocol.ID = gossip.ProtocolPeers
	protoDirect   protocol.ID = gossip.ProtocolDirect
	protoManifest protocol.ID = gossip.ProtocolManifest
	protoBlob     protocol.ID = gossip.ProtocolBlob // served by package blob; listed for its limits
)

// protocols says how many inbound streams a protocol may have, in total and for each peer.
var protocols = []struct {
	id             protocol.ID
	total, perPeer int
}{
	{protoHello, 128, 2},
	{protoPeers, 32, 2},
	{protoDirect, 64, 4},
	{protoManifest, 16, 2},
	{protoBlob, 128, 4},
}

// gauge counts the streams being served.
type gauge struct {
	total, perPeer int

	mu   sync.Mutex
	all  int             // guarded by mu
	each map[peer.ID]int // guarded by mu
}

func (g *gauge) enter(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= g.total || g.each[p] >= g.perPeer {
		return false
	}
	g.all++
	g.each[p]++
	return true
}

func (g *gauge) leave(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.each[p]--; g.each[p] <= 0 {
		delete(g.each, p)
	}
}

// serve registers fn for a protocol. Around fn: a bound on streams, a deadline, Reset on error, Close on success. Close
// of the swarm waits for fn.
func (s *Swarm) serve(id protocol.ID, deadline time.Duration, fn func(ctx context.Context, st network.Stream) error) {
	g := &gauge{each: make(map[peer.ID]int)}
	for _, p := range protocols {
		if p.id == id {
			g.total, g.perPeer = p.total, p.perPeer
		}
	}
	s.host.SetStreamHandler(id, func(st network.Stream) {
		from := st.Conn().RemotePeer()
		if !s.enter() {
			st.Reset()
			return
		}
		defer s.work.Done()
		if !g.enter(from) {
			st.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		defer g.leave(from)
		ctx, cancel := context.WithTimeout(s.ctx, deadline)
		defer cancel()
		stop := context.AfterFunc(ctx, func() { st.Reset() })
		defer stop()
		if err := fn(ctx, st); err != nil {
			st.Reset()
			s.cfg.Logger.Debug("stream refused", "protocol", id, "peer", short(from), "err", err)
			return
		}
		st.Close()
	})
}

// call opens a stream to a connected peer, writes one frame and reads one of at most limit bytes.
func (s *Swarm) call(ctx context.Context, to peer.ID, id protocol.ID, request []byte, limit int) (answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.timing.stream)
	defer cancel()
	open := network.WithAllowLimitedConn(network.WithNoDial(ctx, "starling calls connected peers"), "starling calls are short")
	st, err := s.host.NewStream(open, to, id)
	if err != nil {
		if len(s.host.Network().ConnsToPeer(to)) == 0 {
			return nil, ErrNotConnected
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { st.Reset() })
	defer stop()
	defer func() {
		if err != nil {
			st.Reset()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
		} else {
			st.Close()
		}
	}()
	if err := writeFrame(st, request); err != nil {
		return nil, err
	}
	return readFrame(st, limit) // the stream is closed only then: its end tells the peer that the answer was read
}

func writeFrame(w io.Writer, data []byte) error {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(data)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// readFrame reads a frame of at most limit bytes. Memory grows with what has arrived, not with what was announced.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, at most %d: %w", n, limit, ErrTooLarge)
	}
	var buf bytes.Buffer
	buf.Grow(min(int(n), 4<<10))
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf.Bytes(), nil
}

// take takes n tokens from a limiter, in pieces that fit its burst; a nil limiter gives all.
func take(ctx context.Context, l *rate.Limiter, n int) error {
	if l == nil || l.Limit() == rate.Inf {
		return nil
	}
	for n > 0 {
		k := min(n, l.Burst())
		if k < 1 {
			return errors.New("rate limiter has no burst: set it to at least 64 KiB")
		}
		if err := l.WaitN(ctx, k); err != nil {
			return err
		}
		n -= k
	}
	return nil
}
