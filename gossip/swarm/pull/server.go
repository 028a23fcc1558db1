package pull

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// ServerOptions say what a server gives. Zero values are the defaults.
type ServerOptions struct {
	Limiter    *rate.Limiter      // bytes sent; nil is no limit
	Streams    int                // served at once; default 64
	PeerStream int                // served at once for one peer; default 8
	Allow      func(peer.ID) bool // who may ask; nil is everybody
	Sent       func(bytes int)    // told of everything that was sent; may be nil
}

// A Server answers requests for blobs.
type Server struct {
	host   host.Host
	store  Store
	opt    ServerOptions
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	closed  bool            // guarded by mu, as below
	streams int             // being served
	of      map[peer.ID]int // by peer
}

// Deadlines of a server: a stream that asks nothing for idle is closed, and an answer must get out within write.
const (
	serverIdle  = time.Minute
	serverWrite = 2 * time.Minute
)

// NewServer begins to answer on the host.
func NewServer(h host.Host, store Store, opt ServerOptions) *Server {
	if opt.Streams == 0 {
		opt.Streams = 64
	}
	if opt.PeerStream == 0 {
		opt.PeerStream = 8
	}
	s := &Server{host: h, store: store, opt: opt, of: make(map[peer.ID]int)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	h.SetStreamHandler(Protocol, s.handle)
	return s
}

// Close stops answering and waits until what was being answered has ended.
func (s *Server) Close() {
	s.host.RemoveStreamHandler(Protocol)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
}

func (s *Server) enter(p peer.ID) (ok, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || (s.opt.Allow != nil && !s.opt.Allow(p)) {
		return false, false
	}
	if s.streams >= s.opt.Streams || s.of[p] >= s.opt.PeerStream {
		return false, true
	}
	s.streams++
	s.of[p]++
	s.work.Add(1)
	return true, false
}

func (s *Server) leave(p peer.ID) {
	s.mu.Lock()
	s.streams--
	if s.of[p]--; s.of[p] == 0 {
		delete(s.of, p)
	}
	s.mu.Unlock()
	s.work.Done()
}

func (s *Server) handle(st network.Stream) {
	p := st.Conn().RemotePeer()
	ok, busy := s.enter(p)
	if !ok {
		if busy {
			st.SetDeadline(time.Now().Add(5 * time.Second))
			st.Write(answerHead(statusBusy, 0))
			st.Close()
			return
		}
		st.Reset()
		return
	}
	defer s.leave(p)
	stop := context.AfterFunc(s.ctx, func() { st.Reset() })
	defer stop()
	for {
		st.SetReadDeadline(time.Now().Add(serverIdle))
		q, err := readRequest(st)
		if err != nil {
			st.Reset() // harmless if the other side has closed it
			return
		}
		if err := s.answer(st, q); err != nil {
			st.Reset()
			return
		}
	}
}

func (s *Server) answer(st network.Stream, q request) error {
	var body []byte
	found := false
	switch q.op {
	case opList:
		if l, ok := s.store.List(q.id); ok {
			body, found = l.Encode(), true
		}
	case opChunk:
		body, found = s.store.Chunk(q.id, int(q.chunk))
	}
	head := answerHead(statusOK, len(body))
	if !found {
		head, body = answerHead(statusNone, 0), nil
	}
	// The deadline covers the writing, not the waiting for the limiter's turn.
	out := append(head, body...)
	for len(out) > 0 {
		piece := out[:min(len(out), pieceLen)]
		if s.opt.Limiter != nil {
			if err := s.opt.Limiter.WaitN(s.ctx, len(piece)); err != nil {
				return err
			}
		}
		st.SetWriteDeadline(time.Now().Add(serverWrite))
		if _, err := st.Write(piece); err != nil {
			return err
		}
		if s.opt.Sent != nil {
			s.opt.Sent(len(piece))
		}
		out = out[len(piece):]
	}
	return nil
}

// pieceLen is how much is read or written between two looks at limits and deadlines.
const pieceLen = 16 << 10
