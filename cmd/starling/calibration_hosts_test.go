package main_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"google.golang.org/protobuf/proto"

	"starling/gossip/swarm"
	"starling/sim/mesh"
)

// reality runs a scene on real hosts, and tells what they did on average and when it happened in each run.
func reality(t *testing.T, s scene) (mean reading, when []script) {
	var delays []time.Duration
	for range s.runs {
		witnesses, script := once(t, s)
		for _, w := range witnesses {
			delays = append(delays, w.delays...)
			mean.add(float64(len(w.delays)), float64(w.duplicates), float64(w.degree), w.sent, s.runs)
		}
		when = append(when, script)
	}
	mean.finish(delays)
	return mean, when
}

// once runs a scene in a bubble of virtual time.
func once(t *testing.T, s scene) (witnesses []*witness, when script) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		network, hosts := fabric(t)
		network.Start()
		defer network.Close()
		for _, h := range hosts {
			defer h.Close()
		}
		start := time.Now()
		var topics []*pubsub.Topic
		for _, h := range hosts {
			w := &witness{mesh: make(map[peer.ID]bool), self: h.ID()}
			topics = append(topics, enter(ctx, t, h, w))
			witnesses = append(witnesses, w)
			time.Sleep(stagger) // heartbeats must not coincide
		}
		connect := func(l link) time.Duration {
			to := hosts[l.to]
			if err := hosts[l.from].Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		early, late := s.links()
		for _, l := range early {
			when.early = append(when.early, connect(l))
		}
		time.Sleep(settle)
		for i, p := range s.publishers() {
			if i == s.late {
				for _, l := range late {
					when.late = append(when.late, connect(l))
				}
			}
			when.published = append(when.published, time.Since(start))
			if err := topics[p].Publish(ctx, payload(s.size, i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(s.pause)
		}
		time.Sleep(drain)
		synctest.Wait()
		for _, w := range witnesses {
			w.degree = len(w.mesh) // the hosts' closing empties it
		}
	})
	return witnesses, when
}

// fabric makes hosts on a simulated network, with latencies and bandwidth.
func fabric(t *testing.T) (*simnet.Simnet, []host.Host) {
	index := make(map[string]int)
	for i := range calibrated {
		index[simnet.IntToPublicIPv4(i).String()] = i
	}
	at := func(a net.Addr) int { return index[a.(*net.UDPAddr).IP.String()] }
	rate := simnet.LinkSettings{BitsPerSecond: linkBits}
	network, meta, err := simlibp2p.SimpleLibp2pNetwork(
		[]simlibp2p.NodeLinkSettingsAndCount{{LinkSettings: simnet.NodeBiDiLinkSettings{Downlink: rate, Uplink: rate}, Count: calibrated}},
		func(p *simnet.Packet) time.Duration { return latency(at(p.From), at(p.To)) }, simlibp2p.NetworkSettings{})
	if err != nil {
		t.Fatal(err)
	}
	network.Logger = slog.New(slog.DiscardHandler)
	return network, meta.Nodes
}

// enter starts gossipsub on a host as the daemon does, and subscribes.
func enter(ctx context.Context, t *testing.T, h host.Host, w *witness) *pubsub.Topic {
	quiet := slog.New(slog.DiscardHandler)
	ps, err := pubsub.NewGossipSub(ctx, h, append(swarm.GossipOptions(calibrateName),
		pubsub.WithRawTracer(w), pubsub.WithLogger(quiet), pubsub.WithRPCLogger(quiet))...)
	if err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(calibrateName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Subscribe(pubsub.WithBufferSize(4096)); err != nil {
		t.Fatal(err)
	}
	return topic
}

// payload is a message that begins with the time, and differs from every other.
func payload(size, i int) []byte {
	data := make([]byte, size)
	binary.BigEndian.PutUint64(data, uint64(time.Now().UnixNano()))
	binary.BigEndian.PutUint32(data[8:], uint32(i))
	return data
}

// A witness counts what one real node does. Its methods run in the node's own event loop.
type witness struct {
	self       peer.ID
	mesh       map[peer.ID]bool
	degree     int
	delays     []time.Duration
	duplicates int
	sent       [mesh.Kinds]traffic
}

func (w *witness) Graft(p peer.ID, _ string)        { w.mesh[p] = true }
func (w *witness) Prune(p peer.ID, _ string)        { delete(w.mesh, p) }
func (w *witness) OnClosedOutboundStream(p peer.ID) { delete(w.mesh, p) }
func (w *witness) DuplicateMessage(*pubsub.Message) { w.duplicates++ }

func (w *witness) DeliverMessage(m *pubsub.Message) {
	if m.ReceivedFrom != w.self {
		w.delays = append(w.delays, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(m.Data))))
	}
}

func (w *witness) SendRPC(r *pubsub.RPC, _ peer.ID) {
	if k, ok := kindOf(r); ok && k != mesh.Subscribe {
		w.count(k, r)
	}
}

// RecvRPC counts subscriptions, since the first RPC to a peer is not traced where it is sent.
func (w *witness) RecvRPC(r *pubsub.RPC) {
	if k, _ := kindOf(r); k == mesh.Subscribe {
		w.count(k, r)
	}
}

func (w *witness) count(k mesh.Kind, r *pubsub.RPC) {
	size := proto.Size(&r.RPC)
	w.sent[k].rpcs += float64(max(1, len(r.GetPublish()))) // the model answers with an RPC for each message
	w.sent[k].bytes += float64(size + len(binary.AppendUvarint(nil, uint64(size))))
}

func (w *witness) OnNewOutboundStream(peer.ID, protocol.ID)             {}
func (w *witness) Join(string)                                          {}
func (w *witness) Leave(string)                                         {}
func (w *witness) ValidateMessage(*pubsub.Message)                      {}
func (w *witness) RejectMessage(*pubsub.Message, string)                {}
func (w *witness) ThrottlePeer(peer.ID)                                 {}
func (w *witness) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (w *witness) DropRPC(*pubsub.RPC, peer.ID)                         {}
func (w *witness) UndeliverableMessage(*pubsub.Message)                 {}

// kindOf names an RPC by the first thing in it.
func kindOf(r *pubsub.RPC) (mesh.Kind, bool) {
	c := r.GetControl()
	subs := r.GetSubscriptions()
	switch {
	case len(r.GetPublish()) > 0 && c == nil:
		return mesh.Message, true
	case len(r.GetPublish()) > 0:
		return mesh.Answer, true
	case len(c.GetIhave()) > 0:
		return mesh.IHave, true
	case len(c.GetIwant()) > 0:
		return mesh.IWant, true
	case len(c.GetIdontwant()) > 0:
		return mesh.IDontWant, true
	case len(c.GetGraft()) > 0:
		return mesh.Graft, true
	case len(c.GetPrune()) > 0:
		return mesh.Prune, true
	case len(subs) > 0 && subs[0].GetSubscribe():
		return mesh.Subscribe, true
	case len(subs) > 0:
		return mesh.Unsubscribe, true
	}
	return 0, false
}
