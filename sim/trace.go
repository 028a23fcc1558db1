package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"

	"starling/gossip"
	"starling/node"
)

// A trace is a hash over everything that happens to nodes, in order.
type trace struct {
	hash hash.Hash
	buf  []byte
}

func newTrace() trace { return trace{hash: sha256.New(), buf: make([]byte, 0, 1<<13)} }

func (t *trace) put(v uint64) {
	t.buf = binary.LittleEndian.AppendUint64(t.buf, v)
}

func (t *trace) flush() {
	t.hash.Write(t.buf)
	t.buf = t.buf[:0]
}

// step takes a step of a core into the trace: when, who, what came in and what is to happen.
func (t *trace) step(now node.Instant, n int, ev node.Event, b *node.Batch) {
	if len(t.buf) > 1<<12 {
		t.flush()
	}
	what := uint64(0)
	switch ev := ev.(type) {
	case node.Received:
		t.buf = append(t.buf, ev.Msg.Author[:8]...)
		t.put(ev.Msg.Seq)
		what = 1
	case node.Trained:
		t.put(uint64(ev.Job))
		t.put(math.Float64bits(ev.Loss))
		what = 2
	case node.Fetched:
		t.put(uint64(ev.Job)<<8 | uint64(ev.Err))
		what = 3
	case node.Evaluated:
		t.put(math.Float64bits(ev.Loss))
		what = 4
	case node.Mixed:
		t.put(uint64(ev.Job))
		what = 5
	case node.Encoded:
		t.put(uint64(ev.Job))
		t.put(ev.Payload.Size)
		for _, p := range ev.Pieces {
			t.put(p.Size)
		}
		what = 6
	case node.Probed:
		t.put(uint64(ev.Job))
		t.put(math.Float64bits(ev.Slope))
		what = 7
	}
	t.put(uint64(now))
	t.put(uint64(n)<<8 | what)
	t.put(uint64(len(b.Publish))<<48 | uint64(len(b.Send))<<32 | uint64(len(b.Fetch))<<16 | uint64(len(b.Release)))
	for _, m := range b.Publish {
		t.message(m)
	}
	for i := range b.Send {
		for _, m := range b.Send[i].Forward {
			t.message(m)
		}
	}
}

func (t *trace) message(m *gossip.Message) {
	t.put(m.Seq)
	switch b := m.Body.(type) {
	case *gossip.Update:
		t.put(b.Round)
		t.put(b.Age<<32 | uint64(math.Float32bits(b.Loss)))
	case *gossip.Delta:
		t.put(uint64(b.Part)<<32 | uint64(b.Fragment))
		t.put(b.Round)
		t.put(b.Base)
		t.put(b.Age<<32 | uint64(math.Float32bits(b.Loss)))
	case *gossip.Records:
		t.put(b.First)
		t.put(uint64(b.Epoch)<<32 | uint64(len(b.Bytes)))
		t.buf = append(t.buf, b.Bytes...)
	case *gossip.Token:
		t.put(uint64(b.Token)<<32 | uint64(b.Fence.Generation))
		t.put(b.Hop)
		t.put(b.Age<<32 | uint64(math.Float32bits(b.Loss)))
	case *gossip.Offer:
		t.put(uint64(b.Token)<<32 | uint64(b.Fence.Generation))
		t.put(b.Hop)
		t.buf = append(t.buf, b.History[:]...)
	case *gossip.Proof:
		if author, first, ok := b.Against(); ok {
			t.buf = append(t.buf, author[:8]...)
			t.put(first)
		}
	}
}

// vector takes the bits of a vector into the trace.
func (t *trace) vector(v []float32) {
	for _, x := range v {
		t.buf = binary.LittleEndian.AppendUint32(t.buf, math.Float32bits(x))
		if len(t.buf) > 1<<12 {
			t.flush()
		}
	}
}

// TraceHash names everything that has happened so far, and the parameters of every node that is up.
func (w *World) TraceHash() string {
	w.trace.flush()
	// The running hash goes on as it is: asking changes nothing.
	sum := newTrace()
	sum.hash.Write(w.trace.hash.Sum(nil))
	for i := range w.hosts {
		sum.put(uint64(i))
		sum.vector(w.Params(i))
	}
	sum.flush()
	return fmt.Sprintf("%x", sum.hash.Sum(nil)[:16])
}
