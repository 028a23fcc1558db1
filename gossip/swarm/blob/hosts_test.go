package blob

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	noise "github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"go.uber.org/goleak"

	"starling/storage"
)

func TestMain(m *testing.M) {
	// Badger leaves a process-wide publisher of glog behind.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

const (
	overTCP  = "/ip4/127.0.0.1/tcp/0"
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// newHost is a host with a key that follows from a number. It closes with the test, if not before.
func newHost(t testing.TB, n int, listen string) host.Host {
	t.Helper()
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("blob test"), uint64(n)))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(
		libp2p.Identity(key), libp2p.ListenAddrStrings(listen), libp2p.NoTransports,
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport), libp2p.Security(noise.ID, noise.New),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// meet tells a host the addresses of others, and returns their IDs.
func meet(h host.Host, others ...host.Host) []peer.ID {
	var ids []peer.ID
	for _, o := range others {
		h.Peerstore().AddAddrs(o.ID(), o.Addrs(), peerstore.PermanentAddrTTL)
		ids = append(ids, o.ID())
	}
	return ids
}

// noisy returns n bytes that follow from a seed.
func noisy(n int, seed uint64) []byte {
	b := make([]byte, n+8)
	r := rand.NewPCG(seed, 1)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

// holder returns a store with blobs in it.
func holder(t testing.TB, data ...[]byte) *Memory {
	t.Helper()
	m := NewMemory(256 << 20)
	for _, b := range data {
		if _, err := m.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func serve(t testing.TB, h host.Host, s Store, opt ServerOptions) *Server {
	t.Helper()
	srv := NewServer(h, s, opt)
	t.Cleanup(func() { srv.Close() })
	return srv
}

func request(data []byte, holders ...peer.ID) Request {
	return Request{ID: storage.Chunks(data).ID(), Size: int64(len(data)), MaxSize: 1 << 30, Holders: holders}
}

func disk(t testing.TB, dir string) *storage.Store {
	t.Helper()
	st, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// counts adds up what is counted.
type counts struct {
	mu sync.Mutex
	n  map[Counter]int64 // guarded by mu
}

func (c *counts) count(k Counter, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[Counter]int64)
	}
	c.n[k] += n
}

func (c *counts) of(k Counter) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[k]
}

// at calls f in a goroutine of its own once the count of served bytes is above each mark.
type marks struct {
	total atomic.Int64
	mu    sync.Mutex
	at    []int64 // guarded by mu
	f     func()
	work  sync.WaitGroup
}

func (m *marks) count(k Counter, n int64) {
	if k != FetchedBytes {
		return
	}
	total := m.total.Add(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.at) > 0 && total >= m.at[0] {
		m.at = m.at[1:]
		m.work.Go(m.f)
	}
}

// fetch must bring data.
func fetch(t testing.TB, f *Fetcher, data []byte, req Request) Result {
	t.Helper()
	got, res, err := f.Fetch(t.Context(), req)
	if err != nil {
		t.Fatalf("fetch of %d bytes: %v (%+v)", len(data), err, res)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("fetch of %d bytes: other bytes came", len(data))
	}
	return res
}

// rogue answers every request with a script.
func rogue(t testing.TB, h host.Host, script func(ctx context.Context, st network.Stream, q openRequest) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	h.SetStreamHandler(Protocol, func(st network.Stream) {
		work.Add(1)
		defer work.Done()
		defer st.Reset()
		stop := context.AfterFunc(ctx, func() { st.Reset() })
		defer stop()
		q, err := readOpen(st)
		if err == nil {
			script(ctx, st, q)
		}
	})
	t.Cleanup(func() {
		h.RemoveStreamHandler(Protocol)
		cancel()
		work.Wait()
	})
}

// listOf answers an open request as an honest holder does.
func listOf(st io.Writer, q openRequest, l ChunkList) error {
	a := openReply{}
	if q.list {
		a.list = l.Encode()
	}
	_, err := st.Write(a.append(nil))
	return err
}
