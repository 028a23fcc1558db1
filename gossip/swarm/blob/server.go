package blob

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// A Counter names something that is counted.
type Counter string

// What is counted.
const (
	ServedBytes    Counter = "served_bytes"    // bytes of chunks that were sent
	ServedStreams  Counter = "served_streams"  // streams on which a blob was served
	ServedNot      Counter = "served_not"      // requests for blobs that are not here
	ServedBusy     Counter = "served_busy"     // requests turned away because of the limits
	ServedRefused  Counter = "served_refused"  // requests of peers that are not served
	ServedBroken   Counter = "served_broken"   // streams that ended with an error
	FetchedBytes   Counter = "fetched_bytes"   // bytes of verified chunks that came
	FetchedWaste   Counter = "fetched_waste"   // bytes of chunks that were wrong or came twice
	FetchedBlobs   Counter = "fetched_blobs"   // fetches that succeeded
	FetchedBad     Counter = "fetched_bad"     // holders dropped for wrong bytes
	FetchedFailure Counter = "fetched_failure" // fetches that failed
)

// ServerOptions say how a Server behaves. The zero value is what a daemon wants.
type ServerOptions struct {
	// Limiter holds back uploads, one token for each byte; its burst should be at least 16 KiB. The streams share it
	// evenly. Nil: no limit.
	Limiter *rate.Limiter
	// Allow says whether a peer is served, for example because it belongs to the run. Nil: all are. It must be quick
	// and safe for concurrent use.
	Allow func(peer.ID) bool
	// Count is told what happens. It must be quick and safe for concurrent use. Nil: nobody is.
	Count func(Counter, int64)

	Streams int           // served at a time; default 64. Who comes later is told to come back
	PerPeer int           // streams of one peer; default 4
	Budget  int64         // bytes of chunks in memory at a time; default 16 MiB, at least one chunk
	Idle    time.Duration // how long to wait for the next request; default 30 s
	Stall   time.Duration // how long the peer may take nothing of what is sent; default 45 s
}

func (o ServerOptions) withDefaults() ServerOptions {
	o.Streams = cmp.Or(o.Streams, 64)
	o.PerPeer = cmp.Or(o.PerPeer, 4)
	o.Budget = max(cmp.Or(o.Budget, 16<<20), chunkSize)
	o.Idle = cmp.Or(o.Idle, 30*time.Second)
	o.Stall = cmp.Or(o.Stall, 45*time.Second)
	if o.Count == nil {
		o.Count = func(Counter, int64) {}
	}
	if o.Allow == nil {
		o.Allow = func(peer.ID) bool { return true }
	}
	return o
}

// A Server answers requests for the blobs of a store, also for those that are not whole yet.
type Server struct {
	host   host.Host
	store  Store
	opt    ServerOptions
	budget *semaphore.Weighted
	slice  int // bytes sent at a time
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	closed bool            // guarded by mu
	lobby  int             // guarded by mu: streams, including those that will be turned away
	active int             // guarded by mu: streams being served
	each   map[peer.ID]int // guarded by mu: streams being served for each peer
}

// NewServer begins to serve a store to the peers of a host. It serves until [Server.Close].
func NewServer(h host.Host, store Store, opt ServerOptions) *Server {
	opt = opt.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		host: h, store: store, opt: opt, budget: semaphore.NewWeighted(opt.Budget), slice: sliceOf(opt.Limiter),
		ctx: ctx, cancel: cancel, each: make(map[peer.ID]int),
	}
	h.SetStreamHandler(Protocol, s.handle)
	return s
}

// Close ends all streams and waits for them. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		s.host.RemoveStreamHandler(Protocol)
		s.cancel()
	}
	s.work.Wait()
	return nil
}

// handle serves one stream, within the limits and with Reset on every error.
func (s *Server) handle(st network.Stream) {
	from := st.Conn().RemotePeer()
	admitted, ok := s.enter(from)
	if !ok {
		st.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	defer s.leave(from, admitted)
	stop := context.AfterFunc(s.ctx, func() { st.Reset() })
	defer stop()
	if err := s.serve(st, from, admitted); err != nil {
		s.opt.Count(ServedBroken, 1)
		code := network.StreamNoError
		if errors.Is(err, errRequest) {
			code = network.StreamProtocolViolation
		}
		st.ResetWithError(code)
		return
	}
	st.Close()
}

// enter counts a stream. It is not ok if even telling the peer that the server is busy would be too much.
func (s *Server) enter(p peer.ID) (admitted, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.lobby >= 2*s.opt.Streams {
		return false, false
	}
	s.work.Add(1)
	s.lobby++
	if s.active >= s.opt.Streams || s.each[p] >= s.opt.PerPeer {
		return false, true
	}
	s.active++
	s.each[p]++
	return true, true
}

func (s *Server) leave(p peer.ID, admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lobby--
	if admitted {
		s.active--
		if s.each[p]--; s.each[p] == 0 {
			delete(s.each, p)
		}
	}
	s.work.Done()
}

func (s *Server) serve(st network.Stream, from peer.ID, admitted bool) error {
	if err := st.SetReadDeadline(time.Now().Add(s.opt.Stall)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(st, 512)
	q, err := readOpen(r)
	if err != nil {
		return err
	}
	blob, status := s.open(q, from, admitted)
	a := openReply{status: status}
	if status != statusOK {
		return s.send(st, a.append(nil))
	}
	defer blob.Close()
	s.opt.Count(ServedStreams, 1)
	l := blob.List()
	if missing(blob) > 0 {
		a.have = newBitmap(len(l.Hashes))
		for i := range l.Hashes {
			if blob.Has(i) {
				a.have.set(i)
			}
		}
	}
	if q.list {
		a.list = l.Encode()
	}
	if err := s.send(st, a.append(nil)); err != nil {
		return err
	}
	buf := make([]byte, headLen, headLen+s.slice)
	for {
		if err := st.SetReadDeadline(time.Now().Add(s.opt.Idle)); err != nil {
			return err
		}
		c, err := readChunkRequest(r, len(l.Hashes))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for i := c.first; i < c.first+c.count; i++ {
			if err := s.sendChunk(st, blob, i, buf); err != nil {
				return err
			}
		}
	}
}

// open looks a blob up and says how to answer.
func (s *Server) open(q openRequest, from peer.ID, admitted bool) (Blob, byte) {
	if !s.opt.Allow(from) {
		s.opt.Count(ServedRefused, 1)
		return nil, statusRefused
	}
	if !admitted {
		s.opt.Count(ServedBusy, 1)
		return nil, statusBusy
	}
	blob, err := s.store.Open(q.id)
	if err != nil { // a failing disk has nothing to serve either
		s.opt.Count(ServedNot, 1)
		return nil, statusNotFound
	}
	if blob.List().Size != q.size {
		blob.Close()
		return nil, statusSize
	}
	return blob, statusOK
}

// sendChunk sends a chunk, or that it is not here. buf has room for the head and a slice.
func (s *Server) sendChunk(st network.Stream, blob Blob, i int, buf []byte) error {
	n := int64(blob.List().ChunkLen(i))
	if err := s.budget.Acquire(s.ctx, n); err != nil {
		return err
	}
	defer s.budget.Release(n)
	data, err := blob.Chunk(i)
	if err != nil {
		return s.send(st, appendHead(buf[:0], statusNotFound, i))
	}
	// The head goes with the first slice, as every write costs a frame.
	first := min(len(data), s.slice)
	if err := take(s.ctx, s.opt.Limiter, first); err != nil {
		return err
	}
	if err := s.send(st, append(appendHead(buf[:0], statusOK, i), data[:first]...)); err != nil {
		return err
	}
	s.opt.Count(ServedBytes, int64(first))
	for rest := data[first:]; len(rest) > 0; {
		k := min(len(rest), s.slice)
		if err := take(s.ctx, s.opt.Limiter, k); err != nil {
			return err
		}
		if err := s.send(st, rest[:k]); err != nil {
			return err
		}
		s.opt.Count(ServedBytes, int64(k))
		rest = rest[k:]
	}
	return nil
}

func (s *Server) send(st network.Stream, b []byte) error {
	if err := st.SetWriteDeadline(time.Now().Add(s.opt.Stall)); err != nil {
		return err
	}
	_, err := st.Write(b)
	return err
}
