package sim

import (
	"starling/gossip"
	"starling/mixing/kernel"
	"starling/node"
	"starling/node/compute"
	"starling/sim/chance"
	"starling/sim/network"
)

// A pull is one node's attempt to get a blob, from one holder after the other.
type pull struct {
	node   int
	life   uint32
	job    node.FetchJob
	holder int
	tried  []int32

	blob   *blob   // on its way, nil if the holder has none
	parcel *parcel // in which it is
	stream network.StreamID
}

// maxHolders is how many holders are asked for a blob at the most.
const maxHolders = 4

// What the protocol of blobs needs beside the bytes: see gossip/swarm/blob.
const (
	blobChunk   = 256 << 10
	blobRequest = 42 + len(gossip.ProtocolBlob) + 2
	blobAsk     = 7  // for 64 chunks
	blobReply   = 10 // with the list of chunks
	chunkReply  = 5 + 32
)

func requestBytes(size uint64) int64 {
	return int64(blobRequest) + blobAsk*int64((size/blobChunk+64)/64)
}

func replyBytes(size uint64) int64 {
	return int64(size) + blobReply + chunkReply*int64((size+blobChunk-1)/blobChunk)
}

// fetch gets the vector of an update: out of the message, or from whoever has the blob.
func (w *World) fetch(h *host, f *node.FetchJob) {
	if b := f.Piece.Inline; b != nil {
		j := w.job(h, fetchJob)
		result := node.Fetched{Job: f.Job}
		vec := h.arena.Alloc(f.Out, f.Len)
		if w.cfg.Task.Decode(vec, f.Codec, b) != nil {
			result.Err = node.FetchCorrupt
		} else if f.Norm {
			result.Norm = kernel.Norm2(vec)
		}
		j.result = result
		j.refs = append(j.refs, f.Out)
		w.instant(j)
		return
	}
	p := &pull{node: h.index, life: h.life, job: *f}
	if author := w.host(f.Author); author != nil {
		w.ask(p, author.index)
		return
	}
	w.later(0, func() { w.retryPull(p) })
}

// ask sends the request for a blob to a holder.
func (w *World) ask(p *pull, holder int) {
	p.holder = holder
	p.tried = append(p.tried, int32(holder))
	if !w.hosts[holder].online || w.cut(p.node, holder) {
		w.pullFailed(p) // it cannot be dialled
		return
	}
	r := w.parcel(p.node, holder, RequestTraffic, requestBytes(p.job.Piece.Size))
	r.pull = p
	w.send(r)
}

// serve answers a request for a blob.
func (w *World) serve(p *pull) {
	p.blob = w.serves(&w.hosts[p.holder], p.job.Piece.Blob, p.node)
	bytes := int64(1)
	if p.blob != nil {
		bytes = replyBytes(p.blob.size)
	}
	c := w.parcel(p.holder, p.node, BlobTraffic, bytes)
	c.pull = p
	w.counts.sent(c)
	p.parcel = c
	if w.streams != nil && p.blob != nil {
		if id, ok := w.streams.Start(w.now, p.holder, p.node, bytes); ok {
			for len(w.pulls) <= id.Slot() {
				w.pulls = append(w.pulls, nil)
			}
			p.stream, w.pulls[id.Slot()] = id, p
			w.armStreams()
			return
		}
	}
	w.fly(p)
}

// fly brings a blob whose last byte has left its holder to who pulls it.
func (w *World) fly(p *pull) {
	luck := w.luck(p.holder, p.node, BlobTraffic)
	w.queue.push(w.now, w.now+w.flight(p.holder, p.node, &luck), event{kind: taken, parcel: p.parcel})
	p.parcel = nil
}

// streamed takes the streams that have ended by now.
func (w *World) streamed() {
	for {
		id, ok := w.streams.Finish(w.now)
		if !ok {
			break
		}
		p := w.pulls[id.Slot()]
		w.pulls[id.Slot()] = nil
		w.fly(p)
	}
	w.armStreams()
}

func (w *World) armStreams() {
	if at, ok := w.streams.Next(); !ok {
		w.queue.cancel(w.streamTimer())
	} else if was, armed := w.queue.when(w.streamTimer()); !armed || was != at {
		w.queue.set(w.streamTimer(), max(at, w.now))
	}
}

// cancelStreams ends the transfers from and to a node that goes offline.
func (w *World) cancelStreams(n int) {
	if w.streams == nil {
		return
	}
	for _, id := range w.streams.Of(n) {
		w.cancelStream(w.pulls[id.Slot()])
	}
	w.armStreams()
}

// cutStreams ends the transfers between nodes that cannot talk any more.
func (w *World) cutStreams() {
	if w.streams == nil {
		return
	}
	for _, p := range w.pulls {
		if p != nil && w.cut(p.holder, p.node) {
			w.cancelStream(p)
		}
	}
	w.armStreams()
}

func (w *World) cancelStream(p *pull) {
	w.streams.Cancel(w.now, p.stream)
	w.pulls[p.stream.Slot()] = nil
	c := p.parcel
	p.parcel = nil
	w.drop(c)
}

// pulled takes the answer of a holder.
func (w *World) pulled(p *pull) {
	b := p.blob
	if b == nil {
		w.pullFailed(p)
		return
	}
	p.blob = nil
	h := &w.hosts[p.node]
	if b.bad || len(b.vec.Data()) != p.job.Len {
		w.endPull(h, p, nil, node.FetchCorrupt)
	} else {
		b.holders = append(b.holders, int32(p.node))
		w.endPull(h, p, b.vec.Share(), node.FetchOK)
	}
	w.blobs.drop(b)
}

// pullFailed goes on with another holder, once the node has noticed.
func (w *World) pullFailed(p *pull) {
	w.blobs.drop(p.blob)
	p.blob = nil
	luck := w.luck(p.node, p.holder, BlobTraffic)
	w.later(2*w.flight(p.node, p.holder, &luck), func() { w.retryPull(p) })
}

func (w *World) retryPull(p *pull) {
	h := &w.hosts[p.node]
	switch {
	case h.life != p.life:
		return
	case !h.online:
		h.deferred = append(h.deferred, event{kind: control, do: func() { w.retryPull(p) }})
		return
	}
	if b := w.blobs.find(p.job.Piece.Blob); b != nil && len(p.tried) < maxHolders {
		luck := w.luck(p.node, len(p.tried), BlobTraffic)
		for range len(b.holders) {
			n := b.holders[chance.Below(luck.Uint64(), uint64(len(b.holders)))]
			if !contains(p.tried, n) && int(n) != p.node {
				w.ask(p, int(n))
				return
			}
		}
	}
	w.endPull(h, p, nil, node.FetchUnavailable)
}

func contains(list []int32, n int32) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// endPull tells the core what became of a fetch.
func (w *World) endPull(h *host, p *pull, vec *compute.Vector, err node.FetchError) {
	if vec == nil {
		vec = w.nothing.Share() // the core releases what it named, whatever came of it
	}
	h.arena.Put(p.job.Out, vec)
	ev := node.Fetched{Job: p.job.Job, Err: err}
	if p.job.Norm && err == node.FetchOK {
		ev.Norm = kernel.Norm2(vec.Data())
	}
	w.step(h, ev)
}
