package blob

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/time/rate"

	"starling/storage"
)

// optimistic is the number of chunks up to which a blob is asked for together with its chunk list, to save a round trip.
const optimistic = 4

// maxWindow is how many chunks may be asked of a peer before the first comes.
const maxWindow = 16

// openTimeout bounds dialling and opening a stream, which has to wait behind what is under way on a busy link.
const openTimeout = 30 * time.Second

// launch starts a session. The caller holds mu.
func (p *pull) launch(ctx context.Context, c *candidate) {
	ctx, cancel := context.WithCancel(ctx)
	c.remote, c.cancel = p.f.use(c.id), cancel
	c.state, c.queued, c.leaving = running, true, false
	p.work.Go(func() {
		defer p.f.drop(c.remote)
		got, err := p.session(ctx, c)
		cancel()
		p.finish(c, got, err)
	})
}

// session pulls chunks from one peer while that is useful. It returns how many came.
func (p *pull) session(ctx context.Context, c *candidate) (got int, err error) {
	select {
	case c.remote.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-c.remote.slots }()
	p.f.begin()
	defer p.f.end()
	p.mu.Lock()
	c.queued = false
	p.mu.Unlock()

	tag := "blob " + p.req.ID.String()[:16]
	p.f.host.ConnManager().Protect(c.id, tag)
	defer p.f.host.ConnManager().Unprotect(c.id, tag)
	open, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "blobs are pulled from relayed peers too"), openTimeout)
	st, err := p.f.host.NewStream(open, c.id, Protocol)
	cancel()
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { st.Reset() })
	defer func() {
		if stop() && err == nil {
			st.Close()
		} else {
			st.Reset()
		}
	}()
	m := &meter{ctx: ctx, st: st, limiter: p.f.opt.Limiter, slice: sliceOf(p.f.opt.Limiter), stall: p.stall(c), minRate: p.f.opt.MinRate,
		grace: 2 * p.f.opt.Stall, since: time.Now()}
	return p.transfer(ctx, c, st, m)
}

// transfer is the exchange on a stream.
func (p *pull) transfer(ctx context.Context, c *candidate, st network.Stream, m *meter) (got int, err error) {
	r := bufio.NewReaderSize(m, 4<<10)
	p.mu.Lock()
	q := openRequest{id: p.req.ID, size: p.req.Size, list: p.blob == nil}
	c.have = nil
	requests := q.append(nil)
	if len(p.chunks) <= optimistic {
		requests = p.take(c, requests)
	}
	p.mu.Unlock()
	if err := m.write(requests); err != nil {
		// The peer may have answered without reading all of it.
		if a, err := readOpenReply(r, q); err == nil && a.status != statusOK {
			return 0, answer(a.status)
		}
		return 0, err
	}
	a, err := readOpenReply(r, q)
	if err != nil {
		return 0, err
	}
	if a.status != statusOK {
		return 0, answer(a.status)
	}
	if q.list {
		l, err := parseList(a.list, p.req)
		if err != nil {
			return 0, err
		}
		if err := p.begin(l); err != nil {
			return 0, err
		}
	}
	p.mu.Lock()
	c.have, c.busy = a.have, 0
	p.mu.Unlock()
	last := time.Now()
	for {
		p.mu.Lock()
		requests = p.take(c, requests[:0])
		i := -1
		if len(c.out) > 0 {
			i = c.out[0]
		}
		c.leaving = i < 0
		p.mu.Unlock()
		if i < 0 {
			return got, nil
		}
		if len(requests) > 0 {
			if err := m.write(requests); err != nil {
				return got, err
			}
		}
		n, err := p.receive(ctx, c, r, i)
		if err != nil {
			return got, err
		}
		now := time.Now()
		if n > 0 {
			got++
			p.f.observe(c.remote, n, now.Sub(last))
		}
		last = now
		m.stall, m.since, m.read = p.stall(c), now, 0
	}
}

// answer turns a status into an error.
func answer(status byte) error {
	switch status {
	case statusNotFound:
		return ErrNotFound
	case statusSize:
		return ErrSizeMismatch
	case statusBusy:
		return errBusy
	}
	return errRefused
}

// parseList checks the chunk list that a peer has sent.
func parseList(b []byte, req Request) (ChunkList, error) {
	l, err := storage.ParseChunkList(b, req.Size)
	if err != nil || l.Size != req.Size || l.ID() != req.ID {
		return l, lie("the chunk list does not match the ID")
	}
	return l, nil
}

// A lie is an answer that cannot come from an honest holder.
type lie string

func (l lie) Error() string { return string(l) }

// receive reads the reply about chunk i, the first that c was asked for, and keeps the chunk if it is right. It returns
// the length, which is 0 if the peer never claimed to have it.
func (p *pull) receive(ctx context.Context, c *candidate, r io.Reader, i int) (n int, err error) {
	status, err := readHead(r, i)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	blob, ch := p.blob, &p.chunks[i]
	here, claimed := ch.here, c.have.has(i)
	if status != statusOK && !claimed {
		c.out = c.out[1:]
		if ch.takers--; ch.takers == 0 && !here {
			p.reopen()
		}
	}
	p.mu.Unlock()
	switch {
	case status != statusOK && !claimed:
		return 0, nil
	case status != statusOK:
		return 0, errGone
	}
	l := blob.List()
	buf, err := p.f.buffer(ctx)
	if err != nil {
		return 0, err
	}
	defer p.f.free(buf)
	data := buf[:l.ChunkLen(i)]
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, err
	}
	if sha256.Sum256(data) != l.Hashes[i] {
		p.mu.Lock()
		p.res.Wasted += int64(len(data))
		p.mu.Unlock()
		p.f.opt.Count(FetchedWaste, int64(len(data)))
		return 0, lie(fmt.Sprintf("chunk %d has wrong bytes", i))
	}
	if !here {
		err = blob.Put(i, data)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.fatal = err
		return 0, err
	}
	c.out = c.out[1:]
	ch.takers--
	c.useless, c.strikes = 0, 0
	if ch.here {
		p.res.Wasted += int64(len(data))
		p.f.opt.Count(FetchedWaste, int64(len(data)))
		return len(data), nil
	}
	ch.here = true
	p.left--
	p.res.Bytes[c.id] += int64(len(data))
	p.f.opt.Count(FetchedBytes, int64(len(data)))
	return len(data), nil
}

// take asks a peer for as many chunks as it should be asked for now. The caller holds mu.
func (p *pull) take(c *candidate, requests []byte) []byte {
	speed := p.f.speed(c.remote)
	active := 0
	for _, other := range p.peers {
		if other.state == running && !other.queued {
			active++
		}
	}
	// Half a second's worth keeps the line busy; but near the end everybody gets a share.
	window := min(max(int(speed/2/chunkSize), 2), maxWindow)
	if speed > 0 && speed < chunkSize/4 {
		window = 1
	}
	window = min(window, len(c.out)+max(1, (p.open+active-1)/max(active, 1)))
	queued := 0
	for _, i := range c.out {
		queued += p.len(i)
	}
	now := time.Now()
	run := chunkRequest{}
	for len(c.out) < window {
		i := p.next(c, now)
		if i < 0 {
			break
		}
		ch := &p.chunks[i]
		if ch.takers == 0 {
			p.open--
		}
		if ch.asked {
			p.res.Refetched++
		}
		queued += p.len(i)
		ch.asked, ch.owner = true, c
		ch.takers++
		ch.eta = now.Add(p.f.expect(queued, c.remote))
		ch.due = now.Add(2*time.Second + 3*expect(queued, min(max(speed, 32<<10), 1<<20)))
		if speed == 0 {
			ch.due = now.Add(2*time.Second + 3*p.f.expect(queued, c.remote))
		}
		c.out = append(c.out, i)
		if run.count > 0 && i == run.first+run.count && run.count < maxRange {
			run.count++
			continue
		}
		if run.count > 0 {
			requests = run.append(requests)
		}
		run = chunkRequest{i, 1}
	}
	if run.count > 0 {
		requests = run.append(requests)
	}
	return requests
}

// len returns the length of chunk i.
func (p *pull) len(i int) int { return ChunkList{Size: p.req.Size}.ChunkLen(i) }

// finish takes in how a session ended: what it did not bring others may bring.
func (p *pull) finish(c *candidate, got int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, i := range c.out {
		ch := &p.chunks[i]
		if ch.takers--; ch.takers == 0 && !ch.here {
			p.reopen()
		} else if ch.owner == c {
			ch.due = now // the other taker was the slow one
		}
	}
	c.out = nil
	if err != nil && (p.last == nil || !errors.Is(err, ErrNotFound)) {
		p.last = err
	}
	var bad lie
	switch {
	case err == nil:
		c.state, c.until = ready, time.Time{}
		if c.have != nil && p.next(c, now) < 0 {
			// It is fetching the blob, too, and will have more soon.
			if c.until = now.Add(time.Second); got == 0 {
				c.useless++
			}
			if c.useless >= maxUseless {
				c.state, c.until, c.useless = lacking, now.Add(askAgain), 0
			}
		}
	case errors.As(err, &bad), errors.Is(err, errProtocol):
		c.state, c.lied = lost, true
		p.res.Bad = append(p.res.Bad, Bad{c.id, err.Error()})
		p.f.opt.Count(FetchedBad, 1)
	case errors.Is(err, ErrNotFound):
		c.state, c.until = lacking, now.Add(min(time.Second<<min(c.lacks, 4), askAgain))
		c.lacks++
	case errors.Is(err, ErrSizeMismatch):
		c.state, c.differs = lost, true
	case errors.Is(err, errRefused):
		c.state, c.gone = lost, true
	case turnedAway(err):
		c.state, c.until = waiting, now.Add(min(250*time.Millisecond<<min(c.busy, 2), time.Second))
		if c.busy++; c.busy >= maxBusy {
			c.state, c.gone = lost, true
		}
	default:
		c.state, c.until = waiting, now.Add(2*tick<<c.strikes)
		if c.strikes++; c.strikes >= maxStrikes {
			c.state, c.gone = lost, true
		}
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// turnedAway reports whether a peer has no room for another stream now.
func turnedAway(err error) bool {
	var reset *network.StreamError
	return errors.Is(err, errBusy) || errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamResourceLimitExceeded
}

// stall returns how long a peer may send nothing: less for those known to be fast.
func (p *pull) stall(c *candidate) time.Duration {
	most := p.f.opt.Stall
	speed := p.f.speed(c.remote)
	if speed == 0 {
		return most
	}
	return min(most, most/2+4*expect(chunkSize, speed))
}

// A meter reads from a stream, within the limit on downloads. It gives up a stream on which nothing comes, or too little.
type meter struct {
	ctx     context.Context
	st      network.Stream
	limiter *rate.Limiter
	slice   int
	stall   time.Duration
	minRate float64
	grace   time.Duration

	since time.Time // of the last chunk, without the time for which the limiter held back
	read  int       // bytes since then
	set   time.Time // when the deadline was set
}

func (m *meter) Read(b []byte) (int, error) {
	now := time.Now()
	if now.Sub(m.set) > m.stall/16 {
		if err := m.st.SetReadDeadline(now.Add(m.stall)); err != nil {
			return 0, err
		}
		m.set = now
	}
	n, err := m.st.Read(b[:min(len(b), m.slice)])
	m.read += n
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: nothing came for %v", errSlow, m.stall.Round(time.Millisecond))
		}
		return n, err
	}
	if m.limiter != nil {
		before := time.Now()
		if err := take(m.ctx, m.limiter, n); err != nil {
			return n, err
		}
		waited := time.Since(before)
		m.since, m.set = m.since.Add(waited), time.Time{}
	}
	if took := time.Since(m.since); took > m.grace && float64(m.read) < m.minRate*took.Seconds() {
		return n, fmt.Errorf("%w: %d bytes in %v", errSlow, m.read, took.Round(time.Second))
	}
	return n, nil
}

// write sends a few bytes.
func (m *meter) write(b []byte) error {
	if err := m.st.SetWriteDeadline(time.Now().Add(m.stall)); err != nil {
		return err
	}
	_, err := m.st.Write(b)
	return err
}
