package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"starling/storage"
)

func TestBlobsArriveWhole(t *testing.T) {
	sizes := []int{0, 1, 1000, chunkSize - 1, chunkSize, chunkSize + 1, 4 * chunkSize, 9*chunkSize + 7, 64 << 20}
	for name, listen := range map[string]string{"tcp": overTCP, "quic": overQUIC} {
		t.Run(name, func(t *testing.T) {
			a, b := newHost(t, 1, listen), newHost(t, 2, listen)
			store := NewMemory(256 << 20)
			serve(t, a, store, ServerOptions{})
			f := NewFetcher(b, NewMemory(256<<20), FetcherOptions{Stall: time.Minute}) // however busy the machine is
			ids := meet(b, a)
			for _, n := range sizes {
				data := noisy(n, uint64(n))
				if _, err := store.Put(t.Context(), data); err != nil {
					t.Fatal(err)
				}
				res := fetch(t, f, data, request(data, ids...))
				if n > 0 && res.Bytes[a.ID()] != int64(n) || res.Refetched != 0 || res.Wasted != 0 || len(res.Bad) != 0 {
					t.Errorf("%d bytes: %+v", n, res)
				}
			}
		})
	}
}

func TestBlobArrivesWhileHoldersDie(t *testing.T) {
	data := noisy(64<<20, 1)
	const n = 5
	var hosts []host.Host
	for i := range n {
		h := newHost(t, i+1, overTCP)
		// So slow that every holder dies with chunks on their way.
		serve(t, h, holder(t, data), ServerOptions{Limiter: rate.NewLimiter(16<<20, 64<<10)})
		hosts = append(hosts, h)
	}
	me := newHost(t, 100, overTCP)
	ids := meet(me, hosts...)
	killed := 0
	m := &marks{at: []int64{6 << 20, 18 << 20, 30 << 20, 44 << 20}}
	var mu sync.Mutex
	m.f = func() {
		mu.Lock()
		defer mu.Unlock()
		hosts[killed].Close()
		killed++
	}
	f := NewFetcher(me, NewMemory(128<<20), FetcherOptions{Count: m.count})
	req := request(data, ids[0])
	req.More = func() []peer.ID { return ids }
	res := fetch(t, f, data, req)
	m.work.Wait()
	if killed != n-1 {
		t.Fatalf("%d holders were killed, want %d", killed, n-1)
	}
	if res.Bytes[ids[n-1]] < 20<<20 {
		t.Errorf("the survivor brought only %d bytes", res.Bytes[ids[n-1]])
	}
	if res.Refetched == 0 {
		t.Errorf("no holder died with chunks on their way: the test is too tame")
	}
	t.Logf("bytes of each %v, %d chunks asked for again, %d bytes wasted, %v", values(res.Bytes, ids), res.Refetched, res.Wasted, res.Duration)
}

func values(m map[peer.ID]int64, ids []peer.ID) (v []int64) {
	for _, id := range ids {
		v = append(v, m[id])
	}
	return v
}

func TestFetchGoesOnWhereItWasAfterARestart(t *testing.T) {
	data := noisy(24<<20+5, 2)
	a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	var served counts
	serve(t, a, holder(t, data), ServerOptions{Count: served.count, Limiter: rate.NewLimiter(32<<20, 64<<10)})
	ids := meet(me, a)
	dir := t.TempDir()

	st := disk(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &marks{at: []int64{10 << 20}, f: cancel}
	_, res, err := NewFetcher(me, NewTiered(st, TieredOptions{}), FetcherOptions{Count: m.count}).Fetch(ctx, request(data, ids...))
	m.work.Wait()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted fetch: %v, want context.Canceled", err)
	}
	first := res.Bytes[a.ID()]
	if first < 10<<20 || first >= int64(len(data)) {
		t.Fatalf("%d bytes came before the restart: the test is too tame", first)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	tiered := NewTiered(disk(t, dir), TieredOptions{})
	res = fetch(t, NewFetcher(me, tiered, FetcherOptions{}), data, request(data, ids...))
	if got := res.Bytes[a.ID()]; got+first != int64(len(data)) || res.Here == 0 {
		t.Errorf("%d bytes before and %d after the restart, want %d together; %d chunks were there", first, got, len(data), res.Here)
	}
	before := served.of(ServedBytes)
	res = fetch(t, NewFetcher(me, tiered, FetcherOptions{}), data, request(data)) // nobody to ask
	if got := served.of(ServedBytes); got != before || len(res.Bytes) != 0 {
		t.Errorf("a blob that is here was fetched again: %d bytes", got-before)
	}
}

func TestLostHolderIsReplacedByOneWhoWasNotNamed(t *testing.T) {
	data := noisy(3<<20, 3)
	a, b, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP), newHost(t, 3, overTCP)
	serve(t, b, holder(t, data), ServerOptions{})
	ids := meet(me, a, b)
	a.Close()
	req := request(data, ids[0])
	req.More = func() []peer.ID { return ids[1:] }
	res := fetch(t, NewFetcher(me, NewMemory(0), FetcherOptions{}), data, req)
	if res.Bytes[b.ID()] != int64(len(data)) || len(res.Bad) != 0 {
		t.Errorf("%+v", res)
	}
}

func TestSlowHolderDoesNotHoldTheTail(t *testing.T) {
	data := noisy(16<<20, 4)
	slow, quick, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP), newHost(t, 3, overTCP)
	serve(t, slow, holder(t, data), ServerOptions{Limiter: rate.NewLimiter(32<<10, 4<<10)})   // alone: eight minutes; two chunks: 16 s
	serve(t, quick, holder(t, data), ServerOptions{Limiter: rate.NewLimiter(16<<20, 64<<10)}) // alone: one second
	res := fetch(t, NewFetcher(me, NewMemory(0), FetcherOptions{}), data, request(data, meet(me, slow, quick)...))
	if res.Duration > 12*time.Second {
		t.Errorf("took %v: the fast holder should have taken over", res.Duration)
	}
	if res.Wasted > 2*chunkSize {
		t.Errorf("%d bytes came twice", res.Wasted)
	}
}

func TestNodesThatFetchServeEachOther(t *testing.T) {
	data := noisy(12<<20, 5)
	const n = 4
	origin := newHost(t, 1, overTCP)
	var served counts
	serve(t, origin, holder(t, data), ServerOptions{Count: served.count, Limiter: rate.NewLimiter(6<<20, 64<<10)})
	var all []host.Host
	var stores []*Memory
	for i := range n {
		h := newHost(t, i+2, overTCP)
		stores = append(stores, NewMemory(0))
		serve(t, h, stores[i], ServerOptions{})
		all = append(all, h)
	}
	var work sync.WaitGroup
	for i, h := range all {
		ids := meet(h, all...)
		req := request(data, meet(h, origin)...)
		req.More = func() []peer.ID { return ids }
		f := NewFetcher(h, stores[i], FetcherOptions{})
		work.Go(func() {
			got, res, err := f.Fetch(t.Context(), req)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("node %d: %v %+v", i, err, res)
			}
		})
	}
	work.Wait()
	copies := float64(served.of(ServedBytes)) / float64(len(data))
	if copies > n-1 {
		t.Errorf("the origin sent %.1f copies to %d nodes that could help each other", copies, n)
	}
	t.Logf("the origin sent %.2f copies to %d nodes", copies, n)
}

func TestManyFetchesShareOneServerWithinItsLimits(t *testing.T) {
	const n = 20
	a := newHost(t, 1, overTCP)
	var blobs [][]byte
	for i := range n {
		blobs = append(blobs, noisy(2<<20+i, uint64(i)))
	}
	var served counts
	srv := serve(t, a, holder(t, blobs...), ServerOptions{Streams: 6, PerPeer: 4, Budget: 1 << 20, Count: served.count})
	for _, tt := range []struct {
		name   string
		nodes  int
		perOne int // outstanding blobs that a fetcher allows itself
	}{
		{"of one node", 1, 2},
		{"of one node that asks too much", 1, 20},
		{"of twenty nodes", n, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fetchers []*Fetcher
			for i := range tt.nodes {
				h := newHost(t, i+2, overTCP)
				meet(h, a)
				fetchers = append(fetchers, NewFetcher(h, NewMemory(0), FetcherOptions{PerPeer: tt.perOne}))
			}
			busy := served.of(ServedBusy)
			var work sync.WaitGroup
			for i, data := range blobs {
				f := fetchers[i%len(fetchers)]
				work.Go(func() {
					got, res, err := f.Fetch(t.Context(), request(data, a.ID()))
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("blob %d: %v %+v", i, err, res)
					}
				})
			}
			work.Wait()
			turned := served.of(ServedBusy) > busy
			if want := tt.perOne > 2; tt.nodes == 1 && turned != want {
				t.Errorf("turned away: %v, want %v", turned, want)
			}
		})
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.active > 6 {
		t.Errorf("%d streams are active", srv.active)
	}
}

func TestUploadLimitIsKeptAndSharedFairly(t *testing.T) {
	const n, bps = 4, 4 << 20
	data := noisy(64<<20, 6)
	a := newHost(t, 1, overTCP)
	var served counts
	serve(t, a, holder(t, data), ServerOptions{Limiter: rate.NewLimiter(bps, 64<<10), Count: served.count})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	got := make([]int64, n)
	var work sync.WaitGroup
	start := time.Now()
	for i := range n {
		h := newHost(t, i+2, overTCP)
		ids := meet(h, a)
		work.Go(func() {
			_, res, err := NewFetcher(h, NewMemory(0), FetcherOptions{}).Fetch(ctx, request(data, ids...))
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("node %d: %v", i, err)
			}
			got[i] = res.Bytes[a.ID()]
		})
	}
	work.Wait()
	took := time.Since(start).Seconds()
	total := served.of(ServedBytes)
	if most := int64(bps*took) + 128<<10; total > most {
		t.Errorf("%d bytes were sent in %.1f s, at most %d may be", total, took, most)
	}
	for i, b := range got {
		if share := float64(b) / float64(total); share < 0.6/n || share > 1.5/n {
			t.Errorf("node %d got %.0f %% of the bytes: %v", i, 100*share, got)
		}
	}
}

func TestDownloadLimitIsKept(t *testing.T) {
	data := noisy(3<<20, 7)
	a, b, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP), newHost(t, 3, overTCP)
	serve(t, a, holder(t, data), ServerOptions{})
	serve(t, b, holder(t, data), ServerOptions{})
	f := NewFetcher(me, NewMemory(0), FetcherOptions{Limiter: rate.NewLimiter(2<<20, 64<<10)})
	res := fetch(t, f, data, request(data, meet(me, a, b)...))
	if res.Duration < 1400*time.Millisecond {
		t.Errorf("3 MiB at 2 MiB/s came in %v", res.Duration)
	}
}

func TestFetchSaysWhyItFailed(t *testing.T) {
	data := noisy(1<<20, 8)
	has, hasNot, refuses, dead, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP), newHost(t, 3, overTCP), newHost(t, 4, overTCP), newHost(t, 5, overTCP)
	serve(t, has, holder(t, data), ServerOptions{})
	serve(t, hasNot, NewMemory(0), ServerOptions{})
	serve(t, refuses, holder(t, data), ServerOptions{Allow: func(p peer.ID) bool { return p != me.ID() }})
	meet(me, has, hasNot, refuses, dead)
	dead.Close()
	small := NewMemory(1 << 10)
	for _, tt := range []struct {
		name   string
		store  Store
		change func(*Request)
		want   error
	}{
		{"above the caller's limit", nil, func(r *Request) { r.MaxSize = r.Size - 1 }, ErrTooLarge},
		{"negative size", nil, func(r *Request) { r.Size = -1 }, ErrTooLarge},
		{"above the store's room", small, func(r *Request) {}, ErrTooLarge},
		{"announced too large", nil, func(r *Request) { r.Size++ }, ErrSizeMismatch},
		{"announced too small", nil, func(r *Request) { r.Size-- }, ErrSizeMismatch},
		{"announced as empty", nil, func(r *Request) { r.Size = 0 }, ErrSizeMismatch},
		{"nobody has it", nil, func(r *Request) { r.Holders = []peer.ID{hasNot.ID()} }, ErrNotFound},
		{"nobody to ask", nil, func(r *Request) { r.Holders = nil }, ErrNoHolders},
		{"only oneself to ask", nil, func(r *Request) { r.Holders = []peer.ID{me.ID()} }, ErrNoHolders},
		{"holder is dead", nil, func(r *Request) { r.Holders = []peer.ID{dead.ID()} }, ErrNoHolders},
		{"holder refuses", nil, func(r *Request) { r.Holders = []peer.ID{refuses.ID()} }, ErrNoHolders},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := tt.store
			if store == nil {
				store = NewMemory(0)
			}
			req := request(data, has.ID())
			tt.change(&req)
			got, _, err := NewFetcher(me, store, FetcherOptions{}).Fetch(t.Context(), req)
			if !errors.Is(err, tt.want) || got != nil {
				t.Errorf("got %d bytes and %v, want %v", len(got), err, tt.want)
			}
		})
	}
}

func TestFetchesOfOneBlobAreOneFetch(t *testing.T) {
	data := noisy(2<<20, 9)
	a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	var served counts
	serve(t, a, holder(t, data), ServerOptions{Count: served.count})
	f := NewFetcher(me, NewMemory(0), FetcherOptions{})
	req := request(data, meet(me, a)...)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			if got, _, err := f.Fetch(t.Context(), req); err != nil || !bytes.Equal(got, data) {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if n := served.of(ServedBytes); n != int64(len(data)) {
		t.Errorf("%d bytes were sent, want %d", n, len(data))
	}
}

func TestFetchStoredLeavesTheBytesInTheStore(t *testing.T) {
	data := noisy(6<<20, 10)
	a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	serve(t, a, holder(t, data), ServerOptions{})
	b, res, err := NewFetcher(me, NewTiered(disk(t, t.TempDir()), TieredOptions{}), FetcherOptions{}).FetchStored(t.Context(), request(data, meet(me, a)...))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := b.Bytes()
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v", err)
	}
	if want := (map[peer.ID]int64{a.ID(): int64(len(data))}); !maps.Equal(res.Bytes, want) {
		t.Errorf("%v, want %v", res.Bytes, want)
	}
}

func TestChunksThatTheDiskLostAreFetchedAgain(t *testing.T) {
	data := noisy(6<<20, 11)
	a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	serve(t, a, holder(t, data), ServerOptions{})
	f := NewFetcher(me, &lossy{Store: NewMemory(0), lose: map[int]int{3: 1, 7: 2}}, FetcherOptions{})
	res := fetch(t, f, data, request(data, meet(me, a)...))
	if res.Refetched != 3 {
		t.Errorf("%d chunks were fetched again, want 3", res.Refetched)
	}
	f = NewFetcher(me, &lossy{Store: NewMemory(0), lose: map[int]int{3: 100}}, FetcherOptions{})
	if _, _, err := f.Fetch(t.Context(), request(data, a.ID())); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("a store that loses what it gets: %v, want %v", err, storage.ErrDamaged)
	}
}

// lossy is a store that loses chunks some times when the blob is read.
type lossy struct {
	Store
	lose map[int]int
}

func (s *lossy) Begin(l ChunkList) (Blob, error) {
	b, err := s.Store.Begin(l)
	return &lossyBlob{b, s.lose, make(map[int]bool)}, err
}

type lossyBlob struct {
	Blob
	lose map[int]int
	gone map[int]bool
}

func (b *lossyBlob) Has(i int) bool { return b.Blob.Has(i) && !b.gone[i] }

func (b *lossyBlob) Put(i int, chunk []byte) error {
	delete(b.gone, i)
	return b.Blob.Put(i, chunk)
}

func (b *lossyBlob) Bytes() ([]byte, error) {
	for i := range b.lose {
		if b.lose[i] > 0 {
			b.lose[i]--
			b.gone[i] = true
		}
	}
	if len(b.gone) > 0 {
		return nil, fmt.Errorf("%w: %d chunks", ErrNotFound, len(b.gone))
	}
	return b.Blob.Bytes()
}
