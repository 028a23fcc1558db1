package blob

import (
	"crypto/sha256"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// BenchmarkFetch compares fetching a blob with copying the same bytes over a plain stream of the same connection, in
// turns. Both ends and the hashes share the processors.
func BenchmarkFetch(b *testing.B) {
	for _, transport := range []struct{ name, listen string }{{"tcp", overTCP}, {"quic", overQUIC}} {
		for _, mib := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%dMiB", transport.name, mib), func(b *testing.B) {
				data := noisy(mib<<20, 1)
				a, me := newHost(b, 1, transport.listen), newHost(b, 2, transport.listen)
				serve(b, a, holder(b, data), ServerOptions{})
				a.SetStreamHandler("/plain", func(st network.Stream) {
					st.Write(data)
					st.Close()
				})
				req := request(data, meet(me, a)...)
				sum := make([]byte, len(data))
				plain := func() time.Duration {
					start := time.Now()
					st, err := me.NewStream(b.Context(), a.ID(), "/plain")
					if err != nil {
						b.Fatal(err)
					}
					defer st.Reset()
					st.Write([]byte{1})
					if n, err := io.Copy(io.Discard, st); err != nil || n != int64(len(data)) {
						b.Fatal(n, err)
					}
					return time.Since(start)
				}
				var copied, hashed time.Duration
				var fetched time.Duration
				f := NewFetcher(me, NewMemory(256<<20), FetcherOptions{})
				fetch(b, f, data, req)
				plain()
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					f.store = NewMemory(256 << 20)
					start := time.Now()
					if _, _, err := f.Fetch(b.Context(), req); err != nil {
						b.Fatal(err)
					}
					fetched += time.Since(start)
					b.StopTimer()
					copied += plain()
					start = time.Now()
					copy(sum, data)
					sha256.Sum256(sum)
					hashed += time.Since(start)
					b.StartTimer()
				}
				speed := func(d time.Duration) float64 { return float64(mib*b.N) / d.Seconds() }
				b.ReportMetric(speed(fetched), "MiB/s")
				b.ReportMetric(speed(copied), "plain-MiB/s")
				b.ReportMetric(speed(hashed), "hash-MiB/s")
				b.ReportMetric(copied.Seconds()/fetched.Seconds(), "ratio")
			})
		}
	}
}
