package sim

import (
	"fmt"
	"math/rand/v2"

	"starling/gossip"
	"starling/node"
	"starling/sim/chance"
	"starling/sim/mesh"
)

// A topic is the mesh of one cell in one epoch.
type topic struct {
	mesh    *mesh.Topic
	members []int32 // by their number in the topic
	msgs    map[mesh.MsgID]*gossip.Message
	ages    []aged // of msgs, oldest first
	last    mesh.MsgID
	// told holds what single nodes have been told under an ID instead of what is in msgs, by adversaries.
	told map[told]*gossip.Message
}

type aged struct {
	id mesh.MsgID
	at node.Instant
}

type told struct {
	id   mesh.MsgID
	node int32
}

// forgetAfter is how long messages are kept for those that ask for them: longer than a mesh offers them.
const forgetAfter = 30 * node.Second

// meshNet carries out what the mesh of a topic decides.
type meshNet struct {
	w *World
	t *topic
}

func (w *World) newTopic(members []int32, number int) (*topic, error) {
	t := &topic{members: members, msgs: make(map[mesh.MsgID]*gossip.Message), told: make(map[told]*gossip.Message)}
	var err error
	t.mesh, err = mesh.New(*w.cfg.Mesh, len(members), rand.New(chance.Stream(w.cfg.Seed, chance.Mesh, number)), meshNet{w, t})
	return t, err
}

// Send sends a record to a member, as [mesh.Network] says.
func (n meshNet) Send(from, to int, r mesh.RPC) {
	w, t := n.w, n.t
	f, g := int(t.members[from]), int(t.members[to])
	traffic := ControlTraffic
	var msg *gossip.Message
	if r.Kind == mesh.Message || r.Kind == mesh.Answer {
		if msg = w.hosts[f].says(g, t.message(int32(from), r.Msg)); msg == nil {
			return
		}
		traffic = broadcastTraffic(msg)
	}
	p := w.parcel(f, g, traffic, int64(r.Bytes))
	p.msg, p.rpc, p.topic, p.ends = msg, r, t, [2]int32{int32(from), int32(to)}
	w.send(p)
}

// Wake asks for a heartbeat, as [mesh.Network] says.
func (n meshNet) Wake(member int, at node.Instant) {
	n.w.queue.push(n.w.now, at, event{kind: beat, node: int32(member), topic: n.t})
}

// message returns what a member knows under an ID.
func (t *topic) message(member int32, id mesh.MsgID) *gossip.Message {
	if m, ok := t.told[told{id, member}]; ok {
		return m
	}
	return t.msgs[id]
}

// publish sends a broadcast of a member.
func (t *topic) publish(w *World, h *host, m *gossip.Message) {
	for len(t.ages) > 0 && w.now-t.ages[0].at > forgetAfter {
		delete(t.msgs, t.ages[0].id)
		t.ages = t.ages[1:]
	}
	t.last++
	t.msgs[t.last] = m
	t.ages = append(t.ages, aged{t.last, w.now})
	if id := t.mesh.Publish(w.now, h.local, gossip.SealedSize(m, false)); id != t.last {
		panic(fmt.Sprintf("sim: internal error: message %d of a topic is numbered %d", t.last, id))
	}
}

// receive takes a record from another member.
func (t *topic) receive(w *World, h, from *host, p *parcel) {
	if !t.mesh.Receive(w.now, int(p.ends[1]), int(p.ends[0]), p.rpc) || p.msg == nil {
		return
	}
	if h.core.Check(p.msg).Decision != gossip.Accept {
		w.counts.refused++
		return
	}
	if t.msgs[p.rpc.Msg] != p.msg {
		t.told[told{p.rpc.Msg, p.ends[1]}] = p.msg
	}
	t.mesh.Accept(w.now, int(p.ends[1]), int(p.ends[0]), p.rpc)
	w.step(h, node.Received{From: from.id, Msg: p.msg})
}

// beat carries out a heartbeat of a member.
func (t *topic) beat(w *World, member int) {
	if w.hosts[t.members[member]].online {
		t.mesh.Heartbeat(w.now, member)
	}
}
