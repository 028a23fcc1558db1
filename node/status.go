package node

import "starling/gossip"

// Status is what a node can tell an operator. All of it is copied: it stays as it is when the core goes on.
type Status struct {
	Method    string
	Published uint64 // own updates in this life
	Counted   uint64 // of these, mixed in by at least one peer
	NewestSeq uint64 // newest own update that was mixed in by anybody
	NewestBy  int    // by how many
	Refused   map[string]uint64
	Members   []MemberStatus // ascending by peer
	MethodStatus
}

// MethodStatus is the part of a Status that the method knows.
type MethodStatus struct {
	Phase         string
	Round         uint64
	Announced     uint64 // newest round announced in this life
	Age           uint64
	Step          uint64
	Loss          float64
	Accuracy      float64 // of the newest evaluation; meaningful if EvaluatedAt is not 0
	EvalLoss      float64
	EvaluatedAt   uint64 // round of the newest evaluation
	SaveError     string // why the newest checkpoint could not be written; empty if it could
	InFlight      int    // vectors being fetched or waiting to be mixed in
	PushSumWeight float64
	Scalar        *ScalarStatus // of the method scalar; else nil
	Walk          *WalkStatus   // of the method walk; else nil
}

// MemberStatus is what the node knows of another member.
type MemberStatus struct {
	Peer      PeerID
	Connected bool
	Gone      bool // has said goodbye
	Round     uint64
	Age       uint64
	Loss      float64
	Heard     Instant // of its newest update
	Updates   uint64  // heard
	Mixed     uint64  // mixed in here
	Refused   map[string]uint64
	Score     float64
}

// A phaser is a method that can tell its phase without the rest of its status, which costs it much.
type phaser interface{ phaseName() string }

// Phase is the Phase of [Core.Status], at less cost. Like that it must not be called concurrently with Step.
func (c *Core) Phase() string {
	if m, ok := c.method.(phaser); ok {
		return m.phaseName()
	}
	return c.method.status().Phase
}

// MethodStatus is the part of [Core.Status] that the method knows, without a list of members. It must not be called concurrently with
// Step.
func (c *Core) MethodStatus() MethodStatus { return c.method.status() }

// Status reports what the core knows. It must not be called concurrently with Step.
func (c *Core) Status() Status {
	s := Status{
		Method: c.method.Name(), Published: c.sent.published, Counted: c.sent.counted,
		Refused: refusals(c.sent.refused), MethodStatus: c.method.status(),
	}
	s.NewestSeq, s.NewestBy = c.sent.newest()
	for _, m := range c.roster.sorted() {
		ms := MemberStatus{
			Peer: m.id, Connected: m.up, Gone: m.gone, Heard: m.heardAt, Updates: uint64(m.accepted), Mixed: uint64(m.mixed),
			Refused: refusals(m.refused), Score: m.score, Round: m.round, Age: m.age, Loss: float64(m.loss),
		}
		s.Members = append(s.Members, ms)
	}
	return s
}

// Shown returns the parameters that a checkpoint of this moment would hold, and how far they are: local steps, or with the method walk hops
// of the token. It takes less than [Core.State], and must not be called concurrently with Step.
func (c *Core) Shown() (params VecRef, age uint64) {
	if w, ok := c.method.(*walk); ok {
		return w.best.params, w.best.hop
	}
	s := c.method.state()
	return s.Params, s.Age
}

// ShownToken returns what this node has of a token of the method walk, and how many hops that has gone; params is 0 if it has nothing. It
// must not be called concurrently with Step.
func (c *Core) ShownToken(token uint32) (params VecRef, hops uint64) {
	w, ok := c.method.(*walk)
	if !ok {
		return 0, 0
	}
	if v := w.find(token); v != nil && v.own != nil {
		return v.own.params, v.own.hop
	}
	return 0, 0
}

func refusals[N uint32 | uint64](n [refusalReasons]N) map[string]uint64 {
	out := make(map[string]uint64)
	for i, n := range n {
		if n > 0 {
			out[gossip.RefusalReason(i).String()] = uint64(n)
		}
	}
	return out
}

func (a *average) status() MethodStatus {
	s := MethodStatus{
		Phase: phaseNames[a.phase], Round: a.round, Announced: a.announced, Age: a.age, Step: a.step, Loss: a.trained.Loss,
		InFlight: len(a.slots),
	}
	a.report(&s)
	if a.sum != nil {
		s.PushSumWeight = a.sum.weight
	}
	return s
}
