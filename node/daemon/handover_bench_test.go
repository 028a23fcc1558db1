package daemon

import (
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"starling/gossip/swarm"
	"starling/node"
)

// BenchmarkHandOver compares handing over a token of 16 MiB between two daemons, from the offer to the word that it was taken, with
// copying as many bytes over a plain stream of the same connection, in turns. In between the model is trained on one example. Both daemons
// share the processors and the disk.
func BenchmarkHandOver(b *testing.B) {
	const size = 16 << 20
	m := walking()
	m.Data.Shards, m.Method.Tokens, m.Method.Steps.Count, m.Method.Batch = 2, 1, 1, 1
	m.Model, m.Codec, m.Optimizer, m.Evaluate.Every, m.Checkpoint.Every = "mlp:5275", "fp32", "sgd:lr=0.001", 0, 1000
	homes := []string{b.TempDir(), b.TempDir()}
	link, err := CreateRun(homes[0], m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		b.Fatal(err)
	}
	var daemons []*Daemon
	for i, home := range homes {
		cfg := local(home)
		cfg.Shard, cfg.walk = i, func(c *node.WalkConfig) {
			briskly(c)
			c.ModelEvery = 600 * node.Second
		}
		d, _ := serve(b, link.String(), cfg)
		daemons = append(daemons, d)
		link.Bootstrap = d.Addrs()
	}
	data := make([]byte, size)
	for _, d := range daemons {
		reports(b, d, "hand-overs", func(r Report) bool { return r.Counted > 1 })
		d.swarm.Host().SetStreamHandler("/plain", func(st network.Stream) {
			st.Write(data)
			st.Close()
		})
	}
	plain := func() time.Duration {
		began := time.Now()
		st, err := daemons[1].swarm.Host().NewStream(b.Context(), swarm.ToPeer(daemons[0].self), "/plain")
		if err != nil {
			b.Fatal(err)
		}
		defer st.Reset()
		st.Write([]byte{1})
		if n, err := io.Copy(io.Discard, st); err != nil || n != size {
			b.Fatal(n, err)
		}
		return time.Since(began)
	}
	// next waits until one more hand-over has ended, and returns how long it took.
	counted := func(d *Daemon) (s node.Status) {
		if err := d.loop.ask(b.Context(), func() { s = d.core.Load().Status() }); err != nil {
			b.Fatal(err)
		}
		return s
	}
	next := func() time.Duration {
		var before [2]uint64
		for i, d := range daemons {
			before[i] = counted(d).Counted
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			for i, d := range daemons {
				if s := counted(d); s.Counted > before[i] {
					return time.Duration(s.Walk.HandOver)
				}
			}
		}
		b.Fatal("no hand-over for a minute")
		return 0
	}
	b.SetBytes(size)
	var handed, copied time.Duration
	for b.Loop() {
		handed += next()
		for _, d := range daemons {
			if err := d.order(b.Context(), "pause"); err != nil {
				b.Fatal(err)
			}
		}
		copied += plain()
		for _, d := range daemons {
			if err := d.order(b.Context(), "resume"); err != nil {
				b.Fatal(err)
			}
		}
	}
	speed := func(d time.Duration) float64 { return float64(size>>20) * float64(b.N) / d.Seconds() }
	b.ReportMetric(speed(handed), "handed-MiB/s")
	b.ReportMetric(speed(copied), "plain-MiB/s")
	b.ReportMetric(handed.Seconds()/copied.Seconds(), "ratio")
}
