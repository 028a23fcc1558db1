package node

import (
	"starling/gossip"
)

var accepted = gossip.Verdict{Decision: gossip.Accept}

func reject(r gossip.Reason) gossip.Verdict {
	return gossip.Verdict{Decision: gossip.Reject, Reason: r}
}

func ignore(r gossip.Reason) gossip.Verdict {
	return gossip.Verdict{Decision: gossip.Ignore, Reason: r}
}

// Check judges an opened message: signature, encoding and finite numbers were judged by package gossip. It reads only
// immutable configuration and atomically published facts about the roster, and is safe for concurrent use, also with
// Step. It rejects what no honest node would send and ignores what may be old, unknown or our own fault.
func (c *Core) Check(m *gossip.Message) gossip.Verdict {
	if m.Run != c.cfg.Run {
		return reject(gossip.ReasonWrongRun)
	}
	switch m.Body.(type) {
	case *gossip.Records, *gossip.Proof, *gossip.Ballot: // whatever their number, and whoever lost trust: all nodes have to end with the same set
		if c.shares != nil {
			return c.shares.checkShared(m)
		}
	}
	if m.Author == c.cfg.Self && m.Seq <= c.ownSeq.Load() {
		return ignore(gossip.ReasonReplayed)
	}
	known := c.roster.find(m.Author)
	if known != nil && known.banned.Load() {
		return ignore(gossip.ReasonBanned)
	}
	switch body := m.Body.(type) {
	case *gossip.Digest, *gossip.Repair, *gossip.Request:
		return accepted
	case *gossip.Delta:
		if !c.sameCell(m.Author) {
			return ignore(gossip.ReasonCell)
		}
		if v := c.checkDelta(body); v.Decision != gossip.Accept {
			return v
		}
		if known != nil && known.late(m.Seq) {
			return accepted
		}
	case *gossip.Update:
		if !c.sameCell(m.Author) {
			return ignore(gossip.ReasonCell)
		}
		if v := c.checkUpdate(body); v.Decision != gossip.Accept {
			return v
		}
	case *gossip.Leave:
	case *gossip.Known, *gossip.Fetch, *gossip.Snapshot, *gossip.Certificate, *gossip.Challenge, *gossip.Basis, *gossip.Standing:
		if c.shares != nil {
			return c.shares.checkDirect(body)
		}
		return reject(gossip.ReasonUnknownKind) // no other method has records
	default:
		return reject(gossip.ReasonUnknownKind)
	}
	if known != nil && m.Seq <= known.seq.Load() {
		return ignore(gossip.ReasonReplayed)
	}
	return accepted
}

func (c *Core) checkUpdate(u *gossip.Update) gossip.Verdict {
	switch {
	case u.Codec != c.cfg.Codec:
		return reject(gossip.ReasonCodec)
	case int(u.Len) != c.cfg.Len || u.Size > c.cfg.MaxPayload:
		return reject(gossip.ReasonLength)
	case len(u.Stats) != 0 && len(u.Stats) != c.cfg.Tensors:
		return reject(gossip.ReasonLength)
	case u.Age == 0 || u.Round == 0:
		return reject(gossip.ReasonMalformed)
	}
	return c.method.Check(u)
}

// checkDelta bounds what a delta can make a node fetch. Vectors of a method's state may be several times as long as the model.
func (c *Core) checkDelta(d *gossip.Delta) gossip.Verdict {
	switch most := uint64(c.cfg.Len) * maxStateVectors; {
	case d.Codec != c.cfg.Codec && d.Codec != PlainCodec:
		return reject(gossip.ReasonCodec)
	case uint64(d.Len) > most || d.Size() > max(c.cfg.MaxPayload, 4*uint64(c.cfg.Len))*maxStateVectors:
		return reject(gossip.ReasonLength)
	}
	return c.method.CheckDelta(d)
}

// PlainCodec is the codec of vectors that have to come as they are.
const PlainCodec = "fp32"

// maxStateVectors is how many vectors as long as the model a delta can announce.
const maxStateVectors = 8
