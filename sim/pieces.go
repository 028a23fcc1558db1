package sim

import (
	"starling/gossip"
	"starling/node"
	"starling/node/compute"
)

// Pieces are what becomes of a vector that is encoded in parts.
type pieces struct {
	job  node.EncodeJob
	vecs compute.Encoding

	payloads [][]byte
	norm     float64
	err      error
}

func (p *pieces) encode(w Worker, n int) {
	p.payloads, p.norm, p.err = w.EncodePieces(n, p.job, p.vecs)
}

// keptPieces is how many of the newest vectors that were encoded in parts a node serves.
const keptPieces = 8

// encodePieces encodes a vector part by part, as a job of its own: it may be long.
func (w *World) encodePieces(h *host, e node.EncodeJob) {
	j := w.job(h, piecesJob)
	p := &pieces{job: e}
	p.job.Lens = append([]int(nil), e.Lens...)
	p.vecs.Vec = h.arena.Hold(e.Vec)
	j.refs = append(j.refs, e.Vec)
	if h.attack != nil && !e.Plain {
		forged := w.pool.New(len(p.vecs.Vec))
		if w.forgeChange(h, p.vecs.Vec, forged.Data()) {
			p.vecs.Vec = append([]float32(nil), forged.Data()...)
		}
		forged.Drop()
	}
	if e.Sent != 0 {
		p.vecs.Sent = h.arena.Alloc(e.Sent, len(p.vecs.Vec))
		j.refs = append(j.refs, e.Sent)
	}
	if e.Lost != 0 {
		p.vecs.Lost = h.arena.Alloc(e.Lost, len(p.vecs.Vec))
		j.refs = append(j.refs, e.Lost)
	}
	j.pieces = p
	w.begun(h, j, w.duration(h, w.cfg.Times.Other))
}

// publishable makes messages or blobs of what was encoded.
func (w *World) publishable(h *host, p *pieces) node.Event {
	ev := node.Encoded{Job: p.job.Job, Norm: p.norm}
	if p.err != nil {
		// Only vectors of adversaries cannot be encoded, since they need not be finite. Receivers find that out.
		clear(p.vecs.Sent)
		clear(p.vecs.Lost)
		p.payloads = make([][]byte, len(p.job.Lens))
	}
	codec := w.cfg.Task.Codec()
	if p.job.Plain {
		codec = node.PlainCodec
	}
	var kept []*blob
	at := 0
	for i, n := range p.job.Lens {
		b := p.payloads[i]
		size := max(1, uint64(len(b)))
		if p.err == nil && !p.job.Apart && size <= w.cfg.Inline {
			ev.Pieces = append(ev.Pieces, gossip.Piece{Inline: b, Size: size})
			at += n
			continue
		}
		vec := w.pool.New(n)
		switch {
		case p.err != nil:
			clear(vec.Data())
		case p.vecs.Sent != nil:
			copy(vec.Data(), p.vecs.Sent[at:])
		default:
			if err := w.cfg.Task.Decode(vec.Data(), codec, b); err != nil {
				panic("sim: internal error: a payload does not decode: " + err.Error())
			}
		}
		id := w.blobs.add(vec, h.index, size)
		made := w.blobs.find(id)
		made.bad = p.err != nil
		kept = append(kept, made)
		ev.Pieces = append(ev.Pieces, gossip.Piece{Blob: id, Size: size})
		at += n
	}
	if len(kept) > 0 {
		if len(h.pieces) == keptPieces {
			w.dropPieces(h.pieces[0])
			h.pieces = append(h.pieces[:0], h.pieces[1:]...)
		}
		h.pieces = append(h.pieces, kept)
	}
	return ev
}

func (w *World) dropPieces(kept []*blob) {
	for _, b := range kept {
		w.blobs.drop(b)
	}
}

func (w *World) clearPieces(h *host) {
	for _, kept := range h.pieces {
		w.dropPieces(kept)
	}
	h.pieces = nil
}
