package pull

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"starling/storage"
)

// Errors that callers branch on.
var (
	ErrNoHolders = errors.New("no peer serves the blob")               // later, or with other peers, it may
	ErrTooLarge  = errors.New("the blob is not of the size announced") // never helps to retry
)

// FetcherOptions say how a fetcher pulls. Zero values are the defaults.
type FetcherOptions struct {
	Limiter *rate.Limiter // bytes received; nil is no limit
	Holders int           // peers asked at once for one blob; default 4
	PerPeer int           // blobs pulled at once from one peer; default 2
	Passes  int           // how often all peers are asked again after each has failed; default 3

	stall time.Duration // tests: how long a silent stream is waited for; default 15 s
}

// A Fetcher pulls blobs. It is safe for concurrent use.
type Fetcher struct {
	host  host.Host
	store Store
	opt   FetcherOptions

	mu   sync.Mutex
	busy map[peer.ID]int     // blobs being pulled from a peer; guarded by mu, as below
	rate map[peer.ID]float64 // smoothed bytes a second
	free chan struct{}       // closed and replaced when a peer becomes less busy
}

// NewFetcher returns a fetcher that keeps what it pulls in the store.
func NewFetcher(h host.Host, store Store, opt FetcherOptions) *Fetcher {
	if opt.Holders == 0 {
		opt.Holders = 4
	}
	if opt.PerPeer == 0 {
		opt.PerPeer = 2
	}
	if opt.Passes == 0 {
		opt.Passes = 3
	}
	if opt.stall == 0 {
		opt.stall = 15 * time.Second
	}
	return &Fetcher{host: h, store: store, opt: opt, busy: make(map[peer.ID]int), rate: make(map[peer.ID]float64), free: make(chan struct{})}
}

// A Request names a blob and who may have it.
type Request struct {
	ID      ID
	Size    int64            // as announced; what is served must have it
	MaxSize int64            // larger announcements are refused with ErrTooLarge
	Holders []peer.ID        // asked first, in this order
	More    func() []peer.ID // others that may have it, asked when these do not; may be nil
}

// A Bad peer served bytes that are not what was asked for.
type Bad struct {
	Peer   peer.ID
	Reason string
}

// Result says how a pull went.
type Result struct {
	Bytes map[peer.ID]int64 // of verified chunks, by peer
	Kept  int               // chunks that were there before
	Bad   []Bad
}

// Fetch returns the bytes of a blob. It goes on as long as ctx lives and one peer serves; what came stays in the store, so
// that another Fetch goes on from there.
func (f *Fetcher) Fetch(ctx context.Context, q Request) ([]byte, Result, error) {
	if q.Size > q.MaxSize || q.Size < 0 {
		return nil, Result{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, q.Size, q.MaxSize)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &pull{f: f, q: q, result: Result{Bytes: make(map[peer.ID]int64)}, out: make(map[peer.ID]bool), changed: make(chan struct{}, 1)}
	err := p.run(ctx)
	cancel()
	p.workers.Wait()
	if err != nil {
		return nil, p.result, err
	}
	data := make([]byte, 0, p.list.Size)
	for i := range p.list.Hashes {
		chunk, ok := f.store.Chunk(q.ID, i)
		if !ok {
			return nil, p.result, fmt.Errorf("%w: the store has lost a chunk", ErrNoHolders)
		}
		data = append(data, chunk...)
	}
	return data, p.result, nil
}

// A pull is one Fetch under way.
type pull struct {
	f       *Fetcher
	q       Request
	workers sync.WaitGroup
	changed chan struct{} // a worker has ended, or all chunks are there

	mu       sync.Mutex
	list     storage.ChunkList // guarded by mu, as below; empty until known
	known    bool
	missing  map[int]int      // number of workers that are after each missing chunk
	active   int              // workers
	out      map[peer.ID]bool // tried in this pass, or found bad
	tooLarge bool
	result   Result
}

func (p *pull) run(ctx context.Context) error {
	if l, ok := p.f.store.List(p.q.ID); ok && l.Size == p.q.Size {
		if err := p.learn(l); err != nil {
			return err
		}
	}
	for pass := 0; ; {
		if p.done() {
			return nil
		}
		started := p.start(ctx)
		p.mu.Lock()
		active, tooLarge := p.active, p.tooLarge
		p.mu.Unlock()
		if active == 0 && !started {
			if tooLarge {
				return ErrTooLarge
			}
			if pass++; pass >= p.f.opt.Passes {
				return ErrNoHolders
			}
			p.forgive()
			if err := wait(ctx, time.Duration(pass)*time.Second/2, nil); err != nil {
				return err
			}
			continue
		}
		// Somebody new may turn up while others are slow.
		if err := wait(ctx, time.Second, p.changed); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration, early <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	case <-early:
	}
	return nil
}

// learn takes a verified chunk list.
func (p *pull) learn(l storage.ChunkList) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known {
		return nil
	}
	if err := p.f.store.Begin(l); err != nil {
		return err
	}
	p.list, p.known, p.missing = l, true, make(map[int]int)
	for i := range l.Hashes {
		if _, ok := p.f.store.Chunk(p.q.ID, i); !ok {
			p.missing[i] = 0
		}
	}
	p.result.Kept = len(l.Hashes) - len(p.missing)
	return nil
}

func (p *pull) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known && len(p.missing) == 0
}

// forgive lets all peers be asked again that are not known to be bad.
func (p *pull) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.out)
	for _, b := range p.result.Bad {
		p.out[b.Peer] = true
	}
}

// start begins to pull from peers that were not tried yet, as many as may be asked at once.
func (p *pull) start(ctx context.Context) bool {
	candidates := slices.Clone(p.q.Holders)
	if p.q.More != nil {
		candidates = append(candidates, p.q.More()...)
	}
	started := false
	for _, id := range candidates {
		p.mu.Lock()
		room := p.active < p.f.opt.Holders && !p.out[id] && id != p.f.host.ID() && (!p.known || len(p.missing) > p.active)
		if room {
			p.out[id] = true
			p.active++
		}
		p.mu.Unlock()
		if !room {
			continue
		}
		started = true
		p.workers.Go(func() {
			p.from(ctx, id)
			p.mu.Lock()
			p.active--
			p.mu.Unlock()
			p.wake()
		})
	}
	return started
}

func (p *pull) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// from pulls from one peer until nothing is missing or the peer fails.
func (p *pull) from(ctx context.Context, id peer.ID) {
	if p.f.acquire(ctx, id) != nil {
		return
	}
	defer p.f.release(id)
	st, err := p.f.host.NewStream(network.WithAllowLimitedConn(ctx, "blob"), id, Protocol)
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { st.Reset() })
	defer stop()
	defer st.Reset()
	c := &conn{f: p.f, st: st, peer: id}
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	if !known && !p.askList(ctx, c) {
		return
	}
	for {
		i, ok := p.next()
		if !ok {
			st.Close()
			return
		}
		chunk, status, err := c.ask(ctx, request{op: opChunk, id: p.q.ID, chunk: uint32(i)}, p.list.ChunkLen(i))
		bad := ""
		switch {
		case errors.Is(err, errProtocol):
			bad = err.Error()
		case err == nil && status == statusOK && p.f.store.PutChunk(p.list, i, chunk) != nil:
			bad = fmt.Sprintf("chunk %d has another hash", i)
		}
		p.mu.Lock()
		if _, still := p.missing[i]; still {
			p.missing[i]--
			if err == nil && status == statusOK && bad == "" {
				delete(p.missing, i)
				p.result.Bytes[id] += int64(len(chunk))
			}
		}
		if bad != "" {
			p.result.Bad = append(p.result.Bad, Bad{Peer: id, Reason: bad})
		}
		all := len(p.missing) == 0
		p.mu.Unlock()
		if all {
			p.wake()
		}
		if err != nil || status != statusOK || bad != "" {
			return
		}
	}
}

// askList gets and checks the chunk list.
func (p *pull) askList(ctx context.Context, c *conn) bool {
	raw, status, err := c.ask(ctx, request{op: opList, id: p.q.ID}, listBytes(p.q.MaxSize))
	if errors.Is(err, errProtocol) {
		p.blame(c.peer, err.Error())
	}
	if err != nil || status != statusOK {
		return false
	}
	l, err := storage.ParseChunkList(raw, p.q.MaxSize)
	if err != nil || l.ID() != p.q.ID {
		p.blame(c.peer, "the chunk list has another hash")
		return false
	}
	if l.Size != p.q.Size {
		// The holder is honest: the announcement lied.
		p.mu.Lock()
		p.tooLarge = true
		p.mu.Unlock()
		return false
	}
	return p.learn(l) == nil
}

func (p *pull) blame(id peer.ID, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.Bad = append(p.result.Bad, Bad{Peer: id, Reason: reason})
}

// next picks a missing chunk: one that nobody is after, else one that the fewest are, so that a slow peer does not hold up
// the end.
func (p *pull) next() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	best, fewest := -1, 0
	for _, i := range slices.Sorted(maps.Keys(p.missing)) {
		if n := p.missing[i]; best < 0 || n < fewest {
			best, fewest = i, n
			if n == 0 {
				break
			}
		}
	}
	if best < 0 {
		return 0, false
	}
	p.missing[best]++
	return best, true
}

// acquire waits until fewer than PerPeer blobs are pulled from the peer.
func (f *Fetcher) acquire(ctx context.Context, id peer.ID) error {
	for {
		f.mu.Lock()
		if f.busy[id] < f.opt.PerPeer {
			f.busy[id]++
			f.mu.Unlock()
			return nil
		}
		free := f.free
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-free:
		}
	}
}

func (f *Fetcher) release(id peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[id]--; f.busy[id] == 0 {
		delete(f.busy, id)
	}
	close(f.free)
	f.free = make(chan struct{})
}

// conn is a stream to one holder.
type conn struct {
	f    *Fetcher
	st   network.Stream
	peer peer.ID
}

// slowest is the rate below which a peer counts as stalled, in bytes a second: a chunk takes a minute then.
const slowest = 4 << 10

// ask sends a request and reads the answer. A stream on which nothing moves is given up, and so is one that takes ten times
// as long as the peer's own rate makes likely.
func (c *conn) ask(ctx context.Context, q request, most int) ([]byte, byte, error) {
	began := time.Now()
	end := began.Add(c.f.patience(c.peer, most))
	c.st.SetDeadline(c.soonest(end))
	if _, err := c.st.Write(q.encode()); err != nil {
		return nil, 0, err
	}
	status, n, err := readAnswerHead(c.st, most)
	if err != nil || status != statusOK {
		return nil, status, err
	}
	if q.op == opChunk && n != most {
		return nil, 0, fmt.Errorf("%w: a chunk of %d bytes instead of %d", errProtocol, n, most)
	}
	body := make([]byte, 0, n)
	for len(body) < n {
		piece := body[len(body):min(n, len(body)+pieceLen)]
		if c.f.opt.Limiter != nil {
			if err := c.f.opt.Limiter.WaitN(ctx, len(piece)); err != nil {
				return nil, 0, err
			}
			end = end.Add(time.Since(began)) // waiting for one's own limit is not the peer's fault
			began = time.Now()
		}
		c.st.SetReadDeadline(c.soonest(end))
		got, err := c.st.Read(piece)
		body = body[:len(body)+got]
		if err != nil && len(body) < n {
			return nil, 0, err
		}
	}
	c.f.measured(c.peer, n, time.Since(began))
	return body, statusOK, nil
}

// soonest is when a silent stream is given up, at the latest at end.
func (c *conn) soonest(end time.Time) time.Time {
	if t := time.Now().Add(c.f.opt.stall); t.Before(end) {
		return t
	}
	return end
}

// patience is how long n bytes may take from a peer.
func (f *Fetcher) patience(id peer.ID, n int) time.Duration {
	f.mu.Lock()
	r := f.rate[id]
	f.mu.Unlock()
	longest := time.Duration(float64(n)/slowest*float64(time.Second)) + f.opt.stall
	if r == 0 {
		return longest
	}
	return min(longest, f.opt.stall+time.Duration(10*float64(n)/r*float64(time.Second)))
}

// mostRates bounds the peers whose rate is remembered.
const mostRates = 1024

// measured takes a transfer into the peer's smoothed rate.
func (f *Fetcher) measured(id peer.ID, n int, d time.Duration) {
	r := float64(n) / max(d.Seconds(), 1e-6)
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.rate[id]; old > 0 {
		r = old + (r-old)/4
	} else if len(f.rate) >= mostRates {
		clear(f.rate)
	}
	f.rate[id] = r
}
