package node

import (
	"slices"

	"starling/gossip"
)

// maxRepair is how many messages a repair passes on at the most; the driver drops those that do not fit into the
// largest direct message. What is left out comes with the next exchange.
const maxRepair = 64

// maxGreeted is how many peers that come up between two exchanges are sent a digest.
const maxGreeted = 3

func (c *Core) scheduleRepair() {
	c.greeted = 0
	// Uniform in [1/2, 3/2) of the interval, so that the nodes of a run do not fall into step.
	half := int64(c.cfg.RepairEvery / 2)
	c.repairAt = c.now + Instant(half+c.cfg.Rand.Int64N(2*half+1))
}

func (c *Core) repairWithRandomPeer() {
	up := make([]PeerID, 0, len(c.roster.all))
	for _, m := range c.roster.sorted() {
		if m.up {
			up = append(up, m.id)
		}
	}
	if len(up) > 0 {
		c.sendDigest(up[c.cfg.Rand.IntN(len(up))], false)
	}
}

func (c *Core) sendDigest(to PeerID, reply bool) {
	d := &gossip.Digest{Reply: reply}
	for _, m := range c.roster.sorted() {
		if m.last != nil {
			d.Known = append(d.Known, gossip.Mark{Author: m.id, Seq: m.seq.Load()})
		}
	}
	if c.roster.own != nil {
		own := gossip.Mark{Author: c.cfg.Self, Seq: c.roster.own.Seq}
		i, _ := slices.BinarySearchFunc(d.Known, own, func(a, b gossip.Mark) int { return comparePeers(a.Author, b.Author) })
		d.Known = slices.Insert(d.Known, i, own)
	}
	c.send(to, d, nil)
}

// answerDigest sends back what the other side lacks, and asks in turn if it seems to know more.
func (c *Core) answerDigest(from PeerID, d *gossip.Digest) {
	known := make(map[PeerID]uint64, len(d.Known))
	for _, k := range d.Known {
		known[k.Author] = k.Seq
	}
	var forward []*gossip.Message
	if own := c.roster.own; own != nil && own.Seq > known[c.cfg.Self] {
		forward = append(forward, own)
	}
	// Start at a random member, so that a run larger than one repair is covered by several.
	if n := len(c.roster.all); n > 0 {
		first := c.cfg.Rand.IntN(n)
		for i := range n {
			m := c.roster.sorted()[(first+i)%n]
			if m.last != nil && m.id != from && m.seq.Load() > known[m.id] && len(forward) < maxRepair {
				forward = append(forward, m.last)
			}
		}
	}
	if len(forward) > 0 {
		c.send(from, &gossip.Repair{}, forward)
		c.observe(Stat{Kind: StatRepaired, Peer: from, Value: float64(len(forward))})
	}
	if !d.Reply && c.lacks(d) {
		c.sendDigest(from, true)
	}
}

// lacks reports whether the digest names a message that this node has not seen.
func (c *Core) lacks(d *gossip.Digest) bool {
	for _, k := range d.Known {
		if k.Author == c.cfg.Self {
			continue
		}
		if m := c.roster.find(k.Author); m == nil || k.Seq > m.seq.Load() {
			return true
		}
	}
	return false
}

func (c *Core) send(to PeerID, body gossip.Body, forward []*gossip.Message) {
	c.out.Send = append(c.out.Send, Envelope{
		To:      to,
		Msg:     &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Body: body},
		Forward: forward,
	})
}
