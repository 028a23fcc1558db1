package daemon

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
	"starling/gossip/swarm"
	"starling/gossip/swarm/blob"
	"starling/node"
	"starling/node/compute"
)

// validate judges a broadcast message. It runs on many goroutines at once.
func (d *Daemon) validate(_ gossip.PeerID, data []byte) (swarm.Decision, string) {
	_, v := d.open(data)
	switch v.Decision {
	case gossip.Accept:
		return swarm.Accept, ""
	case gossip.Ignore:
		return swarm.Ignore, v.Reason.String()
	}
	return swarm.Reject, v.Reason.String()
}

// open decodes and verifies a broadcast message and asks the core about it.
func (d *Daemon) open(raw []byte) (*gossip.Message, gossip.Verdict) {
	m, v := gossip.Open(raw, d.limits, gossip.Ed25519Verifier{})
	if v.Decision == gossip.Accept {
		v = d.core.Load().Check(m)
	}
	if v.Decision != gossip.Accept {
		d.metrics.refused(v)
	}
	return m, v
}

// deliver takes what validate has accepted.
func (d *Daemon) deliver(ctx context.Context, from gossip.PeerID, data []byte) {
	if m, v := gossip.Open(data, d.limits, nil); v.Decision == gossip.Accept { // verified before
		d.received(ctx, from, m)
	}
}

func (d *Daemon) received(ctx context.Context, from gossip.PeerID, m *gossip.Message) {
	select {
	case d.loop.wire <- node.Received{From: from, Msg: m}:
	case <-ctx.Done():
	}
}

// direct takes a direct message. What a repair brings is judged message by message like any broadcast.
func (d *Daemon) direct(ctx context.Context, from gossip.PeerID, data []byte) {
	m, v := gossip.OpenDirect(data, from, d.limits)
	if v.Decision == gossip.Accept {
		v = d.core.Load().Check(m)
	}
	if v.Decision != gossip.Accept {
		d.metrics.refused(v)
		return
	}
	repair, ok := m.Body.(*gossip.Repair)
	if !ok {
		d.received(ctx, from, m)
		return
	}
	for _, raw := range repair.Messages {
		if m, v := d.open(raw); v.Decision == gossip.Accept {
			d.received(ctx, from, m)
		}
	}
}

func (d *Daemon) peerEvent(p gossip.PeerID, up bool) {
	var ev node.Event = node.PeerDown{Peer: p}
	if up {
		ev = node.PeerUp{Peer: p}
	}
	select {
	case d.loop.members <- ev:
	case <-d.loop.over:
	}
}

// encodePayload encodes a vector, and makes blobs of what does not fit into an announcement.
func (d *Daemon) encodePayload(ctx context.Context, w *compute.Worker, j node.EncodeJob, e compute.Encoding) (ev node.Encoded, err error) {
	ev.Job = j.Job
	if j.Lens == nil {
		var b []byte
		if b, ev.Stats, err = w.Encode(d.node, e.Vec); err == nil {
			ev.Payload, err = d.payload(ctx, b, false)
		}
		return ev, err
	}
	encoded, norm, err := w.EncodePieces(d.node, j, e)
	if err != nil {
		return ev, err
	}
	ev.Norm = norm
	for _, b := range encoded {
		p, err := d.payload(ctx, b, j.Apart)
		if err != nil {
			ev.Pieces = nil
			return ev, err
		}
		ev.Pieces = append(ev.Pieces, p)
	}
	return ev, nil
}

// payload makes what travels of an encoded vector, which is a blob if it is too large for an announcement. The newest blobs of this node
// stay in the store whatever it pulls besides, which is more than the few tokens that a node has at a time; what is gone all the same
// is encoded anew by the core when a pull fails.
func (d *Daemon) payload(ctx context.Context, b []byte, apart bool) (gossip.Piece, error) {
	p := gossip.Piece{Size: uint64(len(b))}
	if !apart && len(b) <= int(d.manifest.Limits.Inline) {
		p.Inline = b
		return p, nil
	}
	id, err := d.blobs.Put(ctx, b)
	p.Blob = gossip.BlobID(id)
	return p, err
}

// pull gets the vector of an update into out, and says who served wrong bytes.
func (d *Daemon) pull(ctx context.Context, j node.FetchJob, out []float32) (_ node.FetchError, liars []node.PeerID) {
	payload := j.Piece.Inline
	if payload == nil {
		author := swarm.ToPeer(j.Author)
		b, result, err := d.fetcher.Fetch(ctx, blob.Request{
			ID: blob.ID(j.Piece.Blob), Size: int64(j.Piece.Size), MaxSize: int64(d.program.MaxPiece(j.Codec, j.Len)),
			Holders: []peer.ID{author}, More: d.connected,
		})
		for _, bad := range result.Bad {
			d.log.Warn("peer served wrong bytes", "peer", bad.Peer, "why", bad.Reason)
			if id, ok := swarm.FromPeer(bad.Peer); ok {
				liars = append(liars, id)
			}
		}
		switch {
		case ctx.Err() != nil:
			return node.FetchCancelled, nil
		case errors.Is(err, blob.ErrTooLarge), errors.Is(err, blob.ErrSizeMismatch):
			return node.FetchCorrupt, liars
		case err != nil:
			d.log.Debug("fetch blob", "author", j.Author.Short(), "error", err)
			return node.FetchUnavailable, liars
		}
		payload = b
	}
	if err := d.program.Decode(out, j.Codec, payload); err != nil {
		d.log.Warn("payload does not decode", "author", j.Author.Short(), "error", err)
		return node.FetchCorrupt, liars
	}
	return node.FetchOK, liars
}

// connected lists the peers to ask for a blob that its author does not serve.
func (d *Daemon) connected() []peer.ID {
	var ids []peer.ID
	for _, p := range d.swarm.Peers() {
		ids = append(ids, swarm.ToPeer(p.ID))
	}
	return ids
}
