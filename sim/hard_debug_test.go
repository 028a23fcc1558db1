package sim

import (
	"fmt"
	"os"
	"testing"

	"starling/gossip"
	"starling/node"
)

func debugWorld(w *World) {
	if os.Getenv("HARD") == "" {
		return
	}
	var from float64
	fmt.Sscan(os.Getenv("HARD"), &from)
	w.Observe = func(n int, now node.Instant, ev node.Event, b *node.Batch) {
		if now.Seconds() < from {
			return
		}
		for _, m := range b.Publish {
			if d, ok := m.Body.(*gossip.Delta); ok {
				var mx []int
				for _, k := range d.Mixed {
					i, _ := w.Number(k.Author)
					mx = append(mx, i)
				}
				fmt.Printf("%.3f node %d publishes #%d part %d frag %d round %d base %x version %x steps %d mixed %v\n", now.Seconds(), n, m.Seq, d.Part, d.Fragment, d.Round, d.Base&0xffff, d.Version&0xffff, d.Steps, mx)
			}
		}
		for _, s := range b.Send {
			if r, ok := s.Msg.Body.(*gossip.Request); ok {
				i, _ := w.Number(s.To)
				fmt.Printf("%.3f node %d asks %d for part %d\n", now.Seconds(), n, i, r.Part)
			}
		}
		for _, s := range b.Observe {
			if s.Kind != node.StatSaved && s.Kind != node.StatEvaluated && s.Kind != node.StatTrained && s.Kind != node.StatPublished {
				i, _ := w.Number(s.Peer)
				fmt.Printf("%.3f node %d %s round %d value %.3g peer %d %s\n", now.Seconds(), n, s.Kind, s.Round, s.Value, i, s.Text)
			}
		}
		if c, ok := ev.(node.Command); ok {
			fmt.Printf("%.3f node %d command %d\n", now.Seconds(), n, c.Op)
		}
	}
}

var _ = testing.Short
