package sim

import (
	"testing"

	"starling/gossip"
	"starling/node"
	"starling/sim/chance"
)

// BenchmarkEmptyMessages is the engine alone: each of a thousand cores is sent an empty message at random, through the links, the
// queue, Check and Step, and back.
func BenchmarkEmptyMessages(b *testing.B) {
	cfg := config(1000, "mean")
	cfg.Node.Average.Exchange = node.Push
	cfg.Node.Average.Push = node.PushConfig{Every: 1e15}
	cfg.Task = newQuadratic(1000, 1)
	w, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	w.Run(node.Second, nil)
	pick := chance.Stream(1, chance.Sample, 0)
	empty := func(from int) *parcel {
		to := int(chance.Below(pick.Uint64(), 1000))
		p := w.parcel(from, to, DigestTraffic, 100)
		p.msg = &gossip.Message{Run: cfg.Node.Run, Author: w.hosts[from].id, Body: &gossip.Digest{Reply: true}}
		return p
	}
	for from := range 1000 {
		w.send(empty(from))
	}
	was := w.counts.flows[DigestTraffic].Messages.Delivered
	b.ResetTimer()
	n := uint64(b.N)
	seen := was
	w.Run(1<<62, func() bool {
		if now := w.counts.flows[DigestTraffic].Messages.Delivered; now != seen {
			seen = now
			w.send(empty(int(now % 1000)))
		}
		return seen-was >= n
	})
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
