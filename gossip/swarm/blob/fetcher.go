package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"starling/storage"
)

// FetcherOptions say how a Fetcher behaves. The zero value is what a daemon wants.
type FetcherOptions struct {
	// Limiter holds back downloads, one token for each byte; its burst should be at least 16 KiB. Nil: no limit.
	Limiter *rate.Limiter
	// Count is told what happens. It must be quick and safe for concurrent use. Nil: nobody is.
	Count func(Counter, int64)

	Parallel int           // holders that one blob is pulled from at a time; default 4
	PerPeer  int           // blobs asked of one peer at a time; default 2. Servers turn away more than 4
	InFlight int64         // bytes of unverified chunks in memory, of all fetches; default 16 MiB, at least one chunk
	Stall    time.Duration // a stream without any byte for so long is given up; default 20 s, less for fast peers
	MinRate  float64       // bytes/s; a holder that stays below for 40 s (twice Stall) is given up; default 4096
}

func (o FetcherOptions) withDefaults() FetcherOptions {
	o.Parallel = cmp.Or(o.Parallel, 4)
	o.PerPeer = cmp.Or(o.PerPeer, 2)
	o.InFlight = max(cmp.Or(o.InFlight, 16<<20), chunkSize)
	o.Stall = cmp.Or(o.Stall, 20*time.Second)
	o.MinRate = cmp.Or(o.MinRate, 4096)
	if o.Count == nil {
		o.Count = func(Counter, int64) {}
	}
	return o
}

// A Request says what to fetch and whom to ask.
type Request struct {
	ID      ID
	Size    int64 // bytes, as announced
	MaxSize int64 // larger blobs are refused before anybody is asked

	// Holders probably have the blob; the announcer comes first. They are dialled if necessary.
	Holders []peer.ID
	// More names others who might have it, for example all connected peers. It is called when the holders do not
	// suffice, and again every few seconds while the fetch goes on; from one goroutine at a time. It may be nil.
	More func() []peer.ID
}

// Result says how a fetch went; it is also filled in when the fetch failed.
type Result struct {
	Bytes     map[peer.ID]int64 // verified bytes of chunks that each peer contributed
	Here      int               // chunks that were in the store before, from an earlier attempt
	Refetched int               // chunks that were asked for once more, as a holder was lost, lied or was slow
	Wasted    int64             // bytes of chunks that were wrong or came twice
	Bad       []Bad             // peers whose answers prove that they lie or are broken; lower their score
	Duration  time.Duration
}

// Bad is a peer that served what cannot be right.
type Bad struct {
	Peer   peer.ID
	Reason string
}

// A Fetcher pulls blobs into a store. It is safe for concurrent use.
type Fetcher struct {
	host    host.Host
	store   Store
	opt     FetcherOptions
	buffers chan struct{} // a token for each chunk that is being received
	pool    sync.Pool     // of *[chunkSize]byte

	mu     sync.Mutex
	peers  map[peer.ID]*remote  // guarded by mu
	active map[ID]chan struct{} // guarded by mu: closed when the fetch of that blob ends
	busy   int                  // guarded by mu: sessions of all fetches, which share this node's link
}

// remote is what all fetches know of a peer.
type remote struct {
	slots chan struct{} // a token for each blob that is asked of the peer
	users int           // guarded by Fetcher.mu
	speed float64       // guarded by Fetcher.mu: bytes/s of one stream, moving average; 0 is unknown
}

// NewFetcher returns a fetcher that keeps what it gets in a store. It starts nothing.
func NewFetcher(h host.Host, store Store, opt FetcherOptions) *Fetcher {
	opt = opt.withDefaults()
	return &Fetcher{
		host: h, store: store, opt: opt,
		buffers: make(chan struct{}, opt.InFlight/chunkSize),
		pool:    sync.Pool{New: func() any { return new([chunkSize]byte) }},
		peers:   make(map[peer.ID]*remote), active: make(map[ID]chan struct{}),
	}
}

// Fetch gets a blob and returns its bytes, which must not be changed; it is in the store then. What is in the store
// already is not fetched again, also if an earlier fetch or an earlier process was interrupted.
//
// There is no total deadline: a fetch goes on while ctx lives and somebody is left who might bring the blob forward.
// Then the error is [ErrNotFound], [ErrCorrupt], [ErrSizeMismatch] or [ErrNoHolders], which say whether to retry;
// [ErrTooLarge] comes before anybody is asked; else it is that of ctx or the store.
func (f *Fetcher) Fetch(ctx context.Context, req Request) ([]byte, Result, error) {
	start := time.Now()
	var data []byte
	p, err := f.fetch(ctx, req, func(b Blob) (err error) {
		data, err = b.Bytes()
		return err
	})
	res := Result{}
	if p != nil {
		p.close()
		res = p.res
	}
	res.Duration = time.Since(start)
	if err != nil {
		f.opt.Count(FetchedFailure, 1)
		return nil, res, fmt.Errorf("fetch blob %s: %w", req.ID.String()[:16], err)
	}
	f.opt.Count(FetchedBlobs, 1)
	return data, res, nil
}

// FetchStored is Fetch without reading the bytes back: memory stays bounded however large the blob is. The caller reads
// the chunks from the blob and closes it. Should the disk have lost one in the meantime, fetching again gets that one.
func (f *Fetcher) FetchStored(ctx context.Context, req Request) (Blob, Result, error) {
	start := time.Now()
	p, err := f.fetch(ctx, req, func(Blob) error { return nil })
	res := Result{}
	if p != nil {
		res = p.res
	}
	res.Duration = time.Since(start)
	if err != nil {
		if p != nil {
			p.close()
		}
		f.opt.Count(FetchedFailure, 1)
		return nil, res, fmt.Errorf("fetch blob %s: %w", req.ID.String()[:16], err)
	}
	f.opt.Count(FetchedBlobs, 1)
	return p.blob, res, nil
}

// fetch makes the blob whole in the store and reads it, and gets once more what the store has lost. The caller closes the
// pull, which is returned also on failure, unless it did not begin.
func (f *Fetcher) fetch(ctx context.Context, req Request, read func(Blob) error) (*pull, error) {
	switch {
	case req.Size < 0 || req.Size > maxSize || req.Size > req.MaxSize:
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, req.Size, req.MaxSize)
	case req.Size == 0 && req.ID != (ChunkList{}).ID():
		return nil, ErrSizeMismatch // there is only one empty blob
	}
	done, err := f.claim(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	p := newPull(f, req)
	if err := p.resume(); err != nil {
		return p, err
	}
	// Reading back may find that the disk lost chunks; those are fetched again, but a broken disk is not fed forever.
	for range 3 {
		if err = p.run(ctx); err != nil {
			return p, err
		}
		if err = read(p.blob); !errors.Is(err, ErrNotFound) {
			return p, err
		}
		p.recheck()
	}
	return p, fmt.Errorf("store loses chunks: %w", storage.ErrDamaged)
}

// claim waits until no other fetch of the blob runs.
func (f *Fetcher) claim(ctx context.Context, id ID) (done func(), err error) {
	for {
		f.mu.Lock()
		other := f.active[id]
		if other == nil {
			mine := make(chan struct{})
			f.active[id] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.active, id)
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// maxRemotes bounds how many peers the fetcher remembers while it asks nothing of them.
const maxRemotes = 1024

// use returns what is known of a peer, until drop.
func (f *Fetcher) use(p peer.ID) *remote {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.peers[p]
	if r == nil {
		if len(f.peers) >= maxRemotes {
			for q, other := range f.peers { // order-free: any of them may go
				if other.users == 0 {
					delete(f.peers, q)
				}
			}
		}
		r = &remote{slots: make(chan struct{}, f.opt.PerPeer)}
		f.peers[p] = r
	}
	r.users++
	return r
}

func (f *Fetcher) drop(r *remote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.users--
}

// speed returns the bytes/s that a peer is known for; 0 is unknown.
func (f *Fetcher) speed(r *remote) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.speed
}

// begin and end count a session that has its peer's turn.
func (f *Fetcher) begin() { f.count(1) }
func (f *Fetcher) end()   { f.count(-1) }

func (f *Fetcher) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy += n
}

// expect returns how long n bytes of a peer take. Of one whose speed is not known yet, it expects a fair share of a link of
// 1 Mbit/s: who expects all of it takes a busy holder for a slow one, and asks a second one for the same.
func (f *Fetcher) expect(n int, r *remote) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r == nil || r.speed == 0 {
		return expect(n, 125e3/float64(max(1, f.busy)))
	}
	return expect(n, r.speed)
}

// observe takes in that n bytes took some time.
func (f *Fetcher) observe(r *remote, n int, took time.Duration) {
	const weight = 0.3
	now := float64(n) / max(took, 100*time.Microsecond).Seconds()
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.speed == 0 {
		r.speed = now
	} else {
		r.speed += weight * (now - r.speed)
	}
}

// buffer returns room for a chunk, until free. It waits while too many chunks are being received.
func (f *Fetcher) buffer(ctx context.Context) (*[chunkSize]byte, error) {
	select {
	case f.buffers <- struct{}{}:
		return f.pool.Get().(*[chunkSize]byte), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *Fetcher) free(b *[chunkSize]byte) {
	f.pool.Put(b)
	<-f.buffers
}
