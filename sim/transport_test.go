package sim

import (
	"math"
	"testing"

	"starling/gossip"
	"starling/mixing/topology"
	"starling/node"
	"starling/sim/mesh"
	"starling/sim/network"
)

// pushing turns a configuration into one of gossip learning.
func pushing(cfg Config) Config {
	cfg.Node.Average.Exchange = node.Push
	cfg.Node.Average.Push = node.PushConfig{Every: node.Second / 2, Deviation: node.Second / 20}
	return cfg
}

// heard calls what for every message that a node takes, with the node that handed it over.
func heard(w *World, what func(from, to int, now node.Instant, m *gossip.Message)) {
	w.Observe = func(n int, now node.Instant, ev node.Event, _ *node.Batch) {
		if r, ok := ev.(node.Received); ok {
			from, _ := w.Number(r.From)
			what(from, n, now, r.Msg)
		}
	}
}

func TestPartitionsCutAndHeal(t *testing.T) {
	const from, until = 5 * node.Second, 15 * node.Second
	for name, change := range map[string]func(*Config){
		"announce": func(*Config) {},
		"push":     func(cfg *Config) { *cfg = pushing(*cfg) },
		"mesh": func(cfg *Config) {
			m := mesh.Default()
			cfg.Mesh = &m
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(8, "mean")
			change(&cfg)
			cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{{From: from, Until: until, Groups: "halves"}}, 8, 1, nil))
			w := start(t, cfg)
			var before, after int
			heard(w, func(a, b int, now node.Instant, _ *gossip.Message) {
				switch across := cfg.Network.Partitions.Group(from, a) != cfg.Network.Partitions.Group(from, b); {
				case !across:
				case now < from:
					before++
				case now >= until:
					after++
				default:
					t.Errorf("node %d hears node %d at %.3f s, in the other half", b, a, now.Seconds())
				}
			})
			w.Run(25*node.Second, nil)
			if before == 0 || after == 0 {
				t.Errorf("%d messages across before the partition and %d after it", before, after)
			}
		})
	}
}

// TestPartitionsEndTransfers has blobs that take two seconds, so that some are on their way when the network breaks.
func TestPartitionsEndTransfers(t *testing.T) {
	const from, until = 5 * node.Second, 25 * node.Second
	cfg := config(4, "mean")
	cfg.Task = newQuadratic(4, 5000)
	cfg.Network.Bandwidth = must(network.ParseBandwidth("constant:80kbit", 4, 1))
	cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{{From: from, Until: until, Groups: "halves"}}, 4, 1, nil))
	w := start(t, cfg)
	author := make(map[node.JobID]int)
	broken := 0
	w.Observe = func(n int, now node.Instant, ev node.Event, b *node.Batch) {
		for _, f := range b.Fetch {
			author[f.Job<<8|node.JobID(n)], _ = w.Number(f.Author)
		}
		f, ok := ev.(node.Fetched)
		if !ok || now < from || now >= until {
			return
		}
		p := cfg.Network.Partitions
		if a := author[f.Job<<8|node.JobID(n)]; p.Group(from, a) != p.Group(from, n) {
			if broken++; f.Err == node.FetchOK && now > from+node.Second/10 {
				t.Errorf("at %.3f s node %d has what node %d of the other half sent", now.Seconds(), n, a)
			}
		}
	}
	w.Run(from, nil)
	if w.streams.Running() == 0 {
		t.Fatal("nothing is on its way when the network breaks")
	}
	w.Run(from+1, nil)
	for _, p := range w.pulls {
		if p != nil && w.cut(p.holder, p.node) {
			t.Errorf("node %d goes on sending to node %d", p.holder, p.node)
		}
	}
	w.Run(until-1, nil)
	if broken == 0 {
		t.Error("no transfer was broken off")
	}
}

func TestPullsTakeSizeOverRate(t *testing.T) {
	cfg := config(2, "mean")
	cfg.Task = newQuadratic(2, 25_000) // 100,000 bytes
	cfg.Times.Step = node.Second       // so that no two transfers meet
	cfg.Network.Bandwidth = must(network.ParseBandwidth("constant:up=800kbit,down=8Mbit", 2, 1))
	cfg.Network.Jitter = nil
	w := start(t, cfg)
	began := make(map[int]node.Instant)
	pulls := 0
	w.Observe = func(n int, now node.Instant, ev node.Event, b *node.Batch) {
		if f, ok := ev.(node.Fetched); ok && f.Err == node.FetchOK {
			pulls++
			// One second for the bytes, and 20 ms each for request and answer.
			if took := (now - began[n]).Seconds(); math.Abs(took-1.04) > 0.01 {
				t.Errorf("node %d pulled 100,000 bytes at 100,000 B/s in %.4f s", n, took)
			}
		}
		if len(b.Fetch) > 0 {
			began[n] = now
		}
	}
	w.Run(30*node.Second, nil)
	if pulls < 4 {
		t.Errorf("%d pulls in 30 s", pulls)
	}
}

func TestNodesThatCannotBeDialledNeverMeet(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"announce": func(*Config) {},
		"push":     func(cfg *Config) { *cfg = pushing(*cfg) },
		"mesh": func(cfg *Config) {
			m := mesh.Default()
			cfg.Mesh = &m
		},
	} {
		t.Run(name, func(t *testing.T) {
			const nodes = 10
			cfg := config(nodes, "mean")
			change(&cfg)
			cfg.Network.NAT = must(network.ParseNAT("public=0.4,symmetric=0.6", nodes, 1))
			w := start(t, cfg)
			talked := 0
			heard(w, func(a, b int, now node.Instant, _ *gossip.Message) {
				talked++
				if cfg.Network.NAT.Class(a) == network.Symmetric && cfg.Network.NAT.Class(b) == network.Symmetric {
					t.Errorf("node %d hears node %d at %.3f s: both are behind symmetric translation", b, a, now.Seconds())
				}
			})
			w.Run(15*node.Second, nil)
			if talked == 0 {
				t.Error("nobody hears anybody")
			}
		})
	}
}

func TestTheShareOfLossIsTheOneAskedFor(t *testing.T) {
	cfg := config(8, "mean")
	cfg.Network.Loss = loss(0.2)
	w := start(t, cfg)
	w.Run(60*node.Second, nil)
	m := w.Stats().Flows[UpdateTraffic].Messages
	// Five standard deviations of the share in so many draws.
	if share, slack := float64(m.Lost)/float64(m.Sent), 5*math.Sqrt(0.2*0.8/float64(m.Sent)); math.Abs(share-0.2) > slack || m.Sent < 1000 {
		t.Errorf("%d of %d updates got lost, a share of %.4f: want 0.2 and at most %.4f more or less", m.Lost, m.Sent, share, slack)
	}
	if f := w.Stats().Flows[BlobTraffic].Messages; f.Lost != 0 {
		t.Errorf("%d blobs got lost, though streams repeat what is lost", f.Lost)
	}
}

// TestANodeWithoutLinksPushesToNobody has a graph in which the last node stands alone, and a world of one node.
func TestANodeWithoutLinksPushesToNobody(t *testing.T) {
	g, err := topology.NewGraph(4, false, [][2]int{{0, 1}, {1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := pushing(config(4, "mean"))
	cfg.Graph = &g
	w := start(t, cfg)
	heard(w, func(a, b int, _ node.Instant, _ *gossip.Message) {
		if !g.Has(a, b) && !g.Has(b, a) {
			t.Errorf("node %d hears node %d, to which it has no link", b, a)
		}
	})
	w.Run(20*node.Second, nil)

	alone := start(t, pushing(config(1, "mean")))
	alone.Run(20*node.Second, nil)
	if s := alone.Stats(); s.Total().Messages.Sent != 0 {
		t.Errorf("a single node has sent %+v", s.Total().Messages)
	}
}

// TestANodeHearsOnlyItsCell has cells that change every seven seconds.
func TestANodeHearsOnlyItsCell(t *testing.T) {
	cfg := config(12, "mean")
	cfg.CellSize, cfg.CellEpoch = 4, 7*node.Second
	w := start(t, cfg)
	talked := make(map[uint64]int)
	heard(w, func(a, b int, now node.Instant, _ *gossip.Message) {
		epoch := uint64(now / cfg.CellEpoch)
		talked[epoch]++
		if gossip.Cell(w.ID(a), epoch, w.cells) != gossip.Cell(w.ID(b), epoch, w.cells) {
			t.Errorf("at %.3f s node %d hears node %d of another cell", now.Seconds(), b, a)
		}
	})
	w.Run(20*node.Second, nil)
	if w.cells != 3 || talked[0] == 0 || talked[1] == 0 || talked[2] == 0 {
		t.Errorf("%d cells; messages by epoch: %v", w.cells, talked)
	}
}
