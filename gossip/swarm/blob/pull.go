package blob

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	tick       = 100 * time.Millisecond // how often a pull looks whether somebody should be asked
	hedge      = 2 * time.Second        // how long one peer alone may take to bring the chunk list
	moreEvery  = 3 * time.Second        // how often other peers are looked for
	askAgain   = 10 * time.Second       // when a peer that does not have the blob is asked again, at the latest
	large      = 8                      // chunks from which on several holders are worth their streams
	maxStrikes = 3                      // failures in a row, without a chunk between them, after which a peer is given up
	maxBusy    = 100                    // the same for being busy, with up to 1 s between them
	maxUseless = 10                     // the same for having none of the missing chunks, with 1 s between them
	maxPeers   = 256                    // asked for one blob
)

// A pull is one fetch of one blob. The goroutine in run decides whom to ask; a session for each peer that is asked moves
// the chunks.
type pull struct {
	f      *Fetcher
	req    Request
	start  time.Time
	offset int           // where this node begins, and
	stride int           // how it goes on, so that nodes which fetch at the same time get different chunks
	wake   chan struct{} // holds one: something happened that run should look at
	work   sync.WaitGroup

	mu     sync.Mutex
	blob   Blob         // guarded by mu: nil until the chunk list is known
	chunks []chunk      // guarded by mu
	left   int          // guarded by mu: chunks that are not here
	open   int          // guarded by mu: of these, how many nobody was asked for
	cursor int          // guarded by mu: no chunk before it, in this node's order, is among these
	peers  []*candidate // guarded by mu: in the order in which they were named
	known  map[peer.ID]bool
	fatal  error  // guarded by mu: why nobody can help
	last   error  // guarded by mu: what went wrong last
	res    Result // guarded by mu
	moreAt time.Time
}

// chunk is what a pull knows of a chunk.
type chunk struct {
	here   bool
	asked  bool       // at least once
	takers int        // sessions that have asked for it and wait
	owner  *candidate // the last of them
	eta    time.Time  // when it should come from the owner at the speed that is known
	due    time.Time  // when it is overdue, so that another may be asked
}

type state int

const (
	fresh   state = iota // was not asked
	running              // has a session
	ready                // has (some of) the blob
	lacking              // does not have the blob, may get it
	waiting              // failed or is busy
	lost                 // is not asked any more
)

// candidate is a peer that might have the blob. All fields but the first two are guarded by pull.mu.
type candidate struct {
	id     peer.ID
	remote *remote

	state   state
	until   time.Time // not before then
	queued  bool      // the session waits for its turn: the peer is asked for other blobs
	leaving bool      // the session ends by itself
	cancel  context.CancelFunc
	out     []int  // chunks that were asked for, in order
	have    bitmap // what the peer had when it was asked
	strikes int
	busy    int
	useless int
	lacks   int

	lied, differs, gone bool // why it is lost or lacking
}

func newPull(f *Fetcher, req Request) *pull {
	n := chunks(req.Size)
	p := &pull{
		f: f, req: req, start: time.Now(), wake: make(chan struct{}, 1),
		chunks: make([]chunk, n), left: n, open: n, known: map[peer.ID]bool{f.host.ID(): true},
	}
	p.res.Bytes = make(map[peer.ID]int64)
	order := sha256.Sum256(append([]byte(f.host.ID()), req.ID[:]...))
	p.offset, p.stride = int(binary.BigEndian.Uint32(order[:])), 1
	if n > 2 {
		p.stride = 1 + int(binary.BigEndian.Uint32(order[4:]))%(n-1)
		for gcd(p.stride, n) != 1 {
			p.stride--
		}
	}
	p.add(req.Holders)
	return p
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// at returns the chunk at position k of this node's order, which is a permutation as stride and length are coprime.
func (p *pull) at(k int) int {
	return int((int64(p.offset) + int64(k)*int64(p.stride)) % int64(len(p.chunks)))
}

// reopen notes that nobody is asked any more for a chunk. The caller holds mu.
func (p *pull) reopen() {
	p.open++
	p.cursor = 0
}

// close releases what the pull holds; the sessions have ended.
func (p *pull) close() {
	if p.blob != nil {
		p.blob.Close()
	}
}

// add takes up peers that were named.
func (p *pull) add(ids []peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if len(p.peers) < maxPeers && !p.known[id] {
			p.known[id] = true
			p.peers = append(p.peers, &candidate{id: id})
		}
	}
}

// resume looks for what is in the store from an earlier attempt.
func (p *pull) resume() error {
	if p.req.Size == 0 {
		return p.begin(ChunkList{})
	}
	b, err := p.f.store.Open(p.req.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer b.Close()
	if b.List().Size != p.req.Size {
		return fmt.Errorf("%w: %d bytes, not %d", ErrSizeMismatch, b.List().Size, p.req.Size)
	}
	return p.begin(b.List())
}

// begin makes room in the store for a blob whose chunk list is known to be right.
func (p *pull) begin(l ChunkList) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blob != nil {
		return nil // another holder was faster
	}
	b, err := p.f.store.Begin(l)
	if err != nil {
		p.fatal = err
		return err
	}
	p.blob = b
	for i := range p.chunks {
		if c := &p.chunks[i]; b.Has(i) {
			c.here = true
			p.left--
			p.res.Here++
			if c.takers == 0 {
				p.open--
			}
		}
	}
	return nil
}

// recheck marks the chunks that the store has lost as missing.
func (p *pull) recheck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.chunks {
		if !p.blob.Has(i) {
			p.chunks[i] = chunk{asked: true}
			p.left++
			p.reopen()
		}
	}
}

// run asks peers until the blob is whole, nobody is left or ctx ends.
func (p *pull) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer p.work.Wait()
	defer cancel()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		if p.wantsMore(time.Now()) {
			p.add(p.req.More())
		}
		done, err := p.step(ctx, time.Now())
		if err != nil && p.lastResort() {
			continue
		}
		if done || err != nil {
			p.retire()
			if done {
				p.work.Wait() // those that wait for nothing close their streams in order
			}
			return err
		}
		select {
		case <-p.wake:
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lastResort looks once more for other peers, and reports whether there are any.
func (p *pull) lastResort() bool {
	p.mu.Lock()
	before, ask := len(p.peers), p.fatal == nil && p.req.More != nil
	p.mu.Unlock()
	if !ask {
		return false
	}
	p.add(p.req.More())
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.peers) > before
}

// retire ends the sessions that wait for something.
func (p *pull) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.peers {
		if c.state == running && !c.leaving {
			c.cancel()
		}
	}
}

// wantsMore reports whether to look for other peers.
func (p *pull) wantsMore(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.req.More == nil || now.Before(p.moreAt) || p.fatal != nil || p.left == 0 && p.blob != nil {
		return false
	}
	active := 0
	for _, c := range p.peers {
		if c.state == fresh {
			return false // there are some to be asked
		}
		if c.state == running {
			active++
		}
	}
	if active > 0 && !p.worthwhile(now, active) {
		return false
	}
	p.moreAt = now.Add(moreEvery)
	return true
}

// worthwhile reports whether one more peer should be asked while some are busy with the blob. The caller holds mu.
func (p *pull) worthwhile(now time.Time, active int) bool {
	switch {
	case active == 0:
		return true
	case p.blob == nil:
		return len(p.chunks) >= large || now.After(p.start.Add(time.Duration(active)*hedge))
	}
	if p.open >= large {
		return true
	}
	for i := range p.chunks {
		if ch := &p.chunks[i]; !ch.here && ch.takers == 1 && now.After(ch.due) {
			return true
		}
	}
	return false
}

// step starts the sessions that are worth it.
func (p *pull) step(ctx context.Context, now time.Time) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fatal != nil {
		return false, p.fatal
	}
	if p.blob != nil && p.left == 0 {
		return true, nil
	}
	active, all := 0, 0
	for _, c := range p.peers {
		if c.state == running {
			all++
			if !c.queued {
				active++
			}
		}
	}
	for active < p.f.opt.Parallel && all < 2*p.f.opt.Parallel {
		c := p.choose(now, active)
		if c == nil {
			break
		}
		p.launch(ctx, c)
		active++
		all++
	}
	if all > 0 {
		return false, nil
	}
	for _, c := range p.peers {
		if c.state != lost && c.state != lacking {
			return false, nil
		}
	}
	return false, p.failure()
}

// choose returns who should be asked next: the fastest of those that have missing chunks, else who was not asked, else
// who should be asked again. The caller holds mu.
func (p *pull) choose(now time.Time, active int) *candidate {
	var best *candidate
	worthwhile := p.worthwhile(now, active)
	for _, c := range p.peers {
		if now.Before(c.until) {
			continue
		}
		switch c.state {
		case ready:
			if p.next(c, now) < 0 && (c.have == nil || !worthwhile) {
				continue
			}
		case fresh, waiting, lacking:
			if !worthwhile {
				continue
			}
		default:
			continue
		}
		if best == nil || p.before(c, best) {
			best = c
		}
	}
	return best
}

// before orders candidates. The caller holds mu.
func (p *pull) before(a, b *candidate) bool {
	rank := [...]int{fresh: 1, ready: 0, waiting: 2, lacking: 3}
	if ra, rb := rank[a.state], rank[b.state]; ra != rb {
		return ra < rb
	}
	return a.state == ready && p.f.speed(a.remote) > p.f.speed(b.remote)
}

// failure says why nobody is left. The caller holds mu.
func (p *pull) failure() error {
	var bad, differ, gone int
	for _, c := range p.peers {
		switch {
		case c.lied:
			bad++
		case c.differs:
			differ++
		case c.gone:
			gone++
		}
	}
	err := ErrNotFound
	switch {
	case len(p.peers) == 0 || gone > 0:
		err = ErrNoHolders
	case bad > 0:
		err = ErrCorrupt
	case differ > 0:
		err = ErrSizeMismatch
	}
	here := len(p.chunks) - p.left
	if p.last == nil {
		return fmt.Errorf("%w: %d peers asked, %d of %d chunks are here", err, len(p.peers), here, len(p.chunks))
	}
	return fmt.Errorf("%w: %d peers asked, %d of %d chunks are here, last: %v", err, len(p.peers), here, len(p.chunks), p.last)
}

// next returns the chunk that a peer should be asked for, or -1: one that nobody was asked for, else one that comes from somewhere else too slowly. The caller holds mu.
func (p *pull) next(c *candidate, now time.Time) int {
	mine := p.f.expect(chunkSize, c.remote) // until the peer would bring it
	if p.open > 0 {
		passed := true // all before k
		for k := p.cursor; k < len(p.chunks); k++ {
			i := p.at(k)
			if ch := &p.chunks[i]; ch.here || ch.takers > 0 {
				if passed {
					p.cursor = k + 1
				}
			} else if passed = false; c.have.has(i) {
				return i
			}
		}
	}
	best, worst := -1, time.Duration(0)
	for i := range p.chunks {
		ch := &p.chunks[i]
		if ch.here || ch.takers != 1 || ch.owner == c || !c.have.has(i) {
			continue
		}
		remaining := ch.eta.Sub(now)
		if now.After(ch.due) {
			remaining = time.Hour + now.Sub(ch.due)
		} else if remaining < 2*mine+tick {
			continue
		}
		if best < 0 || remaining > worst {
			best, worst = i, remaining
		}
	}
	return best
}

// expect returns how long n bytes take at some speed; 0 stands for a link of 1 Mbit/s.
func expect(n int, speed float64) time.Duration {
	if speed <= 0 {
		speed = 125e3
	}
	return time.Duration(min(float64(n)/speed, 3600) * float64(time.Second))
}
