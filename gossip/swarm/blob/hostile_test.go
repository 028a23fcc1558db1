package blob

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"starling/storage"
)

// answerChunks reads chunk requests and calls reply for each chunk.
func answerChunks(st network.Stream, n int, reply func(i int) error) error {
	for {
		c, err := readChunkRequest(st, n)
		if err != nil {
			return err
		}
		for i := c.first; i < c.first+c.count; i++ {
			if err := reply(i); err != nil {
				return err
			}
		}
	}
}

func TestHostileHolderDoesNotSpoilTheFetch(t *testing.T) {
	data := noisy(5<<20+3, 1)
	l := storage.Chunks(data)
	other := storage.Chunks(noisy(len(data), 2))
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	// good answers a chunk as it should be.
	good := func(st io.Writer, i int) error {
		_, err := st.Write(append(appendHead(nil, statusOK, i), l.Cut(data, i)...))
		return err
	}
	for _, tt := range []struct {
		name   string
		script func(ctx context.Context, st network.Stream, q openRequest) error
		bad    string // the reason that must be reported; empty if the peer may be honest
		alone  error  // what the fetch says if there is nobody else
	}{
		{"wrong bytes", func(_ context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error {
				_, err := st.Write(append(appendHead(nil, statusOK, i), make([]byte, l.ChunkLen(i))...))
				return err
			})
		}, "wrong bytes", ErrCorrupt},
		{"one wrong bit after some good chunks", func(_ context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			count := 0
			return answerChunks(st, len(l.Hashes), func(i int) error {
				if count++; count < 3 {
					return good(st, i)
				}
				b := append(appendHead(nil, statusOK, i), l.Cut(data, i)...)
				b[len(b)/2] ^= 1
				_, err := st.Write(b)
				return err
			})
		}, "wrong bytes", ErrCorrupt},
		{"another blob's list", func(_ context.Context, st network.Stream, q openRequest) error {
			q.list = true
			listOf(st, q, other)
			return answerChunks(st, len(l.Hashes), func(i int) error { return good(st, i) })
		}, "chunk list does not match", ErrCorrupt},
		{"list of a larger blob", func(ctx context.Context, st network.Stream, q openRequest) error {
			q.list = true
			listOf(st, q, storage.Chunks(noisy(3*len(data), 1)))
			return hang(ctx)
		}, "chunk list does not match", ErrCorrupt},
		{"says that the blob has another size", func(_ context.Context, st network.Stream, q openRequest) error {
			st.Write([]byte{statusSize})
			return st.CloseWrite()
		}, "", ErrSizeMismatch},
		{"endless stream of noise", func(ctx context.Context, st network.Stream, q openRequest) error {
			r := rand.NewChaCha8([32]byte{1})
			b := make([]byte, 64<<10)
			for ctx.Err() == nil {
				r.Read(b)
				if _, err := st.Write(b); err != nil {
					return err
				}
			}
			return nil
		}, "", nil},
		{"endless stream of unknown statuses", func(ctx context.Context, st network.Stream, q openRequest) error {
			for ctx.Err() == nil {
				if _, err := st.Write([]byte(strings.Repeat("\xff", 1000))); err != nil {
					return err
				}
			}
			return nil
		}, "broke the protocol", ErrCorrupt},
		{"endless stream after the list", func(ctx context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			for ctx.Err() == nil {
				if _, err := st.Write(make([]byte, 64<<10)); err != nil {
					return err
				}
			}
			return nil
		}, "", nil},
		{"chunks in another order", func(_ context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error { return good(st, (i+1)%len(l.Hashes)) })
		}, "came instead of chunk", ErrCorrupt},
		{"never answers", func(ctx context.Context, st network.Stream, q openRequest) error {
			return hang(ctx)
		}, "", ErrNoHolders},
		{"never sends a chunk", func(ctx context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return hang(ctx)
		}, "", ErrNoHolders},
		{"stalls within a chunk", func(ctx context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error {
				st.Write(append(appendHead(nil, statusOK, i), l.Cut(data, i)[:1]...))
				return hang(ctx)
			})
		}, "", ErrNoHolders},
		{"sends a byte now and then", func(ctx context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error {
				st.Write(appendHead(nil, statusOK, i))
				for _, b := range l.Cut(data, i) {
					select {
					case <-time.After(20 * time.Millisecond):
					case <-ctx.Done():
						return ctx.Err()
					}
					if _, err := st.Write([]byte{b}); err != nil {
						return err
					}
				}
				return nil
			})
		}, "", ErrNoHolders},
		{"resets within a chunk", func(_ context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error {
				st.Write(append(appendHead(nil, statusOK, i), l.Cut(data, i)[:1]...))
				return errors.New("reset")
			})
		}, "", ErrNoHolders},
		{"ends within a chunk", func(_ context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error {
				st.Write(append(appendHead(nil, statusOK, i), l.Cut(data, i)[:1]...))
				st.Close()
				return io.EOF
			})
		}, "", ErrNoHolders},
		{"has the blob but not its chunks", func(_ context.Context, st network.Stream, q openRequest) error {
			listOf(st, q, l)
			return answerChunks(st, len(l.Hashes), func(i int) error {
				_, err := st.Write(appendHead(nil, statusNotFound, i))
				return err
			})
		}, "", ErrNoHolders},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			liar, honest, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP), newHost(t, 3, overTCP)
			rogue(t, liar, tt.script)
			serve(t, honest, holder(t, data), ServerOptions{})
			ids := meet(me, liar, honest)
			opt := FetcherOptions{Stall: time.Second, InFlight: 1 << 20}
			if tt.bad != "" {
				opt.Stall = time.Minute // wrong bytes are found out by looking at them, however long they take
			}

			res := fetch(t, NewFetcher(me, NewMemory(0), opt), data, request(data, ids...))
			if tt.bad == "" && len(res.Bad) != 0 && tt.alone != nil {
				t.Errorf("a peer that may be honest was blamed: %v", res.Bad)
			}
			for _, b := range res.Bad {
				if b.Peer != liar.ID() {
					t.Errorf("an honest holder was blamed: %v", b)
				}
			}

			_, res, err := NewFetcher(me, NewMemory(0), opt).Fetch(t.Context(), request(data, liar.ID()))
			if tt.alone != nil && !errors.Is(err, tt.alone) || err == nil {
				t.Errorf("with nobody else: %v, want %v", err, tt.alone)
			}
			if tt.bad != "" && (len(res.Bad) != 1 || res.Bad[0].Peer != liar.ID() || !strings.Contains(res.Bad[0].Reason, tt.bad)) {
				t.Errorf("with nobody else: %v was blamed, want the liar with %q", res.Bad, tt.bad)
			}
			if tt.bad == "" && tt.alone != nil && len(res.Bad) != 0 {
				t.Errorf("a peer that may be honest was blamed: %v", res.Bad)
			}
		})
	}
}

func TestLiarIsDroppedAtTheFirstWrongChunk(t *testing.T) {
	data := noisy(16<<20, 3)
	l := storage.Chunks(data)
	liar, honest, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP), newHost(t, 3, overTCP)
	rogue(t, liar, func(_ context.Context, st network.Stream, q openRequest) error {
		listOf(st, q, l)
		return answerChunks(st, len(l.Hashes), func(i int) error {
			_, err := st.Write(append(appendHead(nil, statusOK, i), make([]byte, l.ChunkLen(i))...))
			return err
		})
	})
	serve(t, honest, holder(t, data), ServerOptions{})
	res := fetch(t, NewFetcher(me, NewMemory(0), FetcherOptions{}), data, request(data, meet(me, liar, honest)...))
	if len(res.Bad) != 1 || res.Bad[0].Peer != liar.ID() || res.Wasted != chunkSize || res.Bytes[liar.ID()] != 0 {
		t.Errorf("%+v, want one wrong chunk of the liar", res)
	}
}

func TestFetchesFromALiarUseBoundedMemory(t *testing.T) {
	const size = 1 << 30
	liar, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	rogue(t, liar, func(_ context.Context, st network.Stream, q openRequest) error {
		_, err := st.Write(make([]byte, 1000)) // a list that begins well and then ends
		return err
	})
	meet(me, liar)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := NewFetcher(me, NewMemory(2*size), FetcherOptions{}).Fetch(t.Context(), Request{ID: ID{1}, Size: size, MaxSize: size, Holders: meet(me, liar)})
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrNoHolders) {
		t.Errorf("%v, want %v", err, ErrNoHolders)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d MiB were allocated for an announcement without a blob", used>>20)
	}
}

func TestServerSurvivesHostileClients(t *testing.T) {
	data := noisy(3*chunkSize+9, 4)
	id := storage.Chunks(data).ID()
	open := func(size int64) []byte { return openRequest{id: id, size: size}.append(nil) }
	whole := open(int64(len(data)))
	for _, tt := range []struct {
		name string
		send []byte
		hang bool   // do not end the requests
		want string // what comes before the end
		ends error  // how the stream ends
	}{
		{"nothing", nil, false, "", network.ErrReset},
		{"silence", nil, true, "", network.ErrReset},
		{"half a request", whole[:20], false, "", network.ErrReset},
		{"half a request and silence", whole[:20], true, "", network.ErrReset},
		{"noise", []byte(strings.Repeat("x", 100)), false, "", network.ErrReset},
		{"a size that cannot be", open(-1), false, "", network.ErrReset},
		{"another size", open(7), false, "\x02", nil},
		{"an unknown blob", openRequest{id: ID{1}, size: 5}.append(nil), false, "\x01", nil},
		{"nothing more", whole, false, "\x00\x00", nil},
		{"silence after the open request", whole, true, "\x00\x00", network.ErrReset},
		{"no chunks", chunkRequest{0, 0}.append(whole), false, "\x00\x00", network.ErrReset},
		{"too many chunks", chunkRequest{0, 5}.append(whole), false, "\x00\x00", network.ErrReset},
		{"a chunk after the end", chunkRequest{4, 1}.append(whole), false, "\x00\x00", network.ErrReset},
		{"chunks that overflow", chunkRequest{1<<32 - 1, 2}.append(whole), false, "\x00\x00", network.ErrReset},
		{"another open request", append(append([]byte(nil), whole...), whole...), false, "\x00\x00", network.ErrReset},
		{"half a chunk request", chunkRequest{0, 1}.append(whole)[:openLen+3], false, "\x00\x00", network.ErrReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
			serve(t, a, holder(t, data), ServerOptions{Idle: 300 * time.Millisecond, Stall: 300 * time.Millisecond})
			meet(me, a)
			st, err := me.NewStream(t.Context(), a.ID(), Protocol)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Reset()
			if _, err := st.Write(append([]byte(nil), tt.send...)); err != nil {
				t.Fatal(err)
			}
			if !tt.hang {
				st.CloseWrite()
			}
			got, err := io.ReadAll(st)
			// A reset may overtake what was sent before.
			if string(got) != tt.want && !(tt.ends != nil && strings.HasPrefix(tt.want, string(got))) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !errors.Is(err, tt.ends) || tt.ends == nil && err != nil {
				t.Errorf("the stream ended with %v, want %v", err, tt.ends)
			}
			fetch(t, NewFetcher(me, NewMemory(0), FetcherOptions{}), data, request(data, a.ID()))
		})
	}
}

func TestClientThatReadsNothingIsGivenUp(t *testing.T) {
	data := noisy(40<<20, 5)
	a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	var c counts
	broken := make(chan struct{}, 1)
	serve(t, a, holder(t, data), ServerOptions{Stall: 300 * time.Millisecond, Count: func(k Counter, n int64) {
		c.count(k, n)
		if k == ServedBroken {
			broken <- struct{}{}
		}
	}})
	meet(me, a)
	st, err := me.NewStream(t.Context(), a.ID(), Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Reset()
	req := openRequest{id: storage.Chunks(data).ID(), size: int64(len(data))}.append(nil)
	for range 10 {
		req = chunkRequest{0, 64}.append(req)
	}
	if _, err := st.Write(req); err != nil {
		t.Fatal(err)
	}
	select {
	case <-broken:
	case <-time.After(10 * time.Second):
		t.Fatal("the stream is still there")
	}
	if n := c.of(ServedBytes); n > 20<<20 {
		t.Errorf("%d MiB were sent to nobody", n>>20)
	}
}

func TestServerCloseEndsRunningStreams(t *testing.T) {
	data := noisy(8<<20, 6)
	a, me := newHost(t, 1, overTCP), newHost(t, 2, overTCP)
	srv := NewServer(a, holder(t, data), ServerOptions{})
	m := &marks{at: []int64{1 << 20}, f: func() { srv.Close() }}
	_, _, err := NewFetcher(me, NewMemory(0), FetcherOptions{Count: m.count}).Fetch(t.Context(), request(data, meet(me, a)...))
	m.work.Wait()
	if err != nil && !errors.Is(err, ErrNoHolders) {
		t.Errorf("%v, want %v", err, ErrNoHolders)
	}
	if err := srv.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
