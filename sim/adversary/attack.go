package adversary

import (
	"math"

	"starling/gossip"
)

// An Attack is what makes one node an adversary. The engine calls the methods in the order of events, never at the same
// time as those of another attack of the same roster.
type Attack interface {
	// Name is the kind with all its settings, as [Parse] reads them.
	Name() string

	// Idle reports whether the node skips the local steps of the round, and then the number of samples and the loss
	// that it claims. The engine gives it its parameters and optimizer state back unchanged after the time that training
	// would have taken. The argument samples is what an honest node would have seen.
	Idle(v *View, samples uint64) (claimed uint64, loss float64, idle bool)

	// Labels changes the labels of a batch, all below classes, before the node trains on it.
	Labels(y []int32, classes int)

	// Announce writes to out what leaves the node in place of c.Own and reports whether it did; if not, out is as it was
	// and c.Own leaves. out must not overlap a vector of the context. It is called at least once for every round, with
	// rounds ascending; further calls for the newest round, for the same or other versions, are answered alike as long
	// as the view is the same.
	Announce(c *Context, out []float32) bool

	// Version returns which version of a round's vector the receiver is told of. 0 is the only version of an attack that
	// tells all the same. Where it is not 0 the vector must be announced as a blob, not inline, and be the honest one
	// under version 0: Send renames the blob with [Blob], and an engine that is asked for a name it does not know finds
	// the version with [VersionOf] and makes the vector then.
	Version(to int) uint32

	// Send returns the message that goes to a receiver in place of m, which is not changed: mostly m itself, nil if
	// nothing goes. It is asked for messages of the node's own only, broadcast or direct; what a mesh passes on for
	// others is not its business.
	Send(to int, m *gossip.Message) *gossip.Message

	// Serves reports whether the receiver gets the node's blobs.
	Serves(to int) bool
}

// A Context is what an attack knows when a vector is to leave the node. It must not change the vectors, which are valid
// until it returns.
type Context struct {
	Round   uint64    // the node's count of rounds, from 1
	Own     []float32 // what an honest node would announce now
	Base    []float32 // the last mixed model: what the local steps of the round began from; nil stands for zero
	View    *View     // what honest nodes have announced; nil is nothing
	Version uint32    // for which receivers: what Version returned
}

// Honest is an attack that does nothing. Kinds embed it and change what they need.
type Honest struct{}

var _ Attack = Honest{}

// Name returns "honest".
func (Honest) Name() string { return "honest" }

// Idle says that the node trains.
func (Honest) Idle(*View, uint64) (uint64, float64, bool) { return 0, 0, false }

// Labels leaves the labels as they are.
func (Honest) Labels([]int32, int) {}

// Announce lets the node's own vector leave.
func (Honest) Announce(*Context, []float32) bool { return false }

// Version returns 0: all receivers are told the same.
func (Honest) Version(int) uint32 { return 0 }

// Send lets the message go.
func (Honest) Send(_ int, m *gossip.Message) *gossip.Message { return m }

// Serves returns true.
func (Honest) Serves(int) bool { return true }

// largest is the largest number of bf16: a larger float32 would become infinite in that codec.
const largest = 0x1.fep127

// narrow rounds to a float32 that every codec can carry.
func narrow(x float64) float32 { return float32(max(-largest, min(largest, x))) }

// origin is the vector that updates are counted from: the base, or zero.
type origin []float32

func (o origin) at(j int) float64 {
	if o == nil {
		return 0
	}
	return float64(o[j])
}

// originOf returns where updates are counted from; literal is the setting on=model.
func originOf(c *Context, literal bool) origin {
	if literal {
		return nil
	}
	return c.Base
}

// rms is the root mean square of own - from.
func rms(own []float32, from origin) float64 {
	sum := 0.0
	for j, x := range own {
		d := float64(x) - from.at(j)
		sum += float64(d * d)
	}
	return math.Sqrt(sum / float64(max(1, len(own))))
}
