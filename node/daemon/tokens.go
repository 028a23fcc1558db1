package daemon

import (
	"fmt"
	"time"

	"starling/gossip"
	"starling/gossip/swarm/blob"
	"starling/node"
)

// walk fills in what the method walk needs beside what the manifest says; with another method it does nothing.
func (d *Daemon) walk() (node.WalkConfig, error) {
	cfg, err := d.program.Walk()
	if err != nil || d.manifest.Method.Name != "walk" {
		return cfg, err
	}
	setPace(&cfg, d.program.MaxPayload())
	if d.cfg.walk != nil {
		d.cfg.walk(&cfg)
	}
	log, err := d.store.Records(node.WalkKey)
	if err != nil {
		return cfg, fmt.Errorf("read what was given away and taken: %w", err)
	}
	for _, r := range log {
		cfg.Log = append(cfg.Log, node.Record{Key: r.Key, Value: r.Value})
	}
	return cfg, nil
}

// slowLink is the bytes a second of a link over which a token is to walk without being taken for lost. How long hops do take a node
// observes, and has patience in proportion; this is for as long as it has observed nothing.
const slowLink = 1 << 20

// setPace sets the times of a walk by how long a model takes over a slow link: small ones hop many times a second, and one that is not
// heard of for a while is lost, while a large one is under way for that long.
func setPace(cfg *node.WalkConfig, payload uint64) {
	hop := node.Instant(float64(payload) / slowLink * float64(node.Second))
	cfg.NewsEvery = min(max(node.Second, hop), 15*node.Second)
	cfg.BeatEvery = 2 * cfg.NewsEvery
	cfg.CreateAfter = 3 * cfg.NewsEvery
	cfg.LostAfter = max(8*cfg.NewsEvery, 2*hop)
	// So a node that no token visits pulls a tenth of what the slow link carries at the most.
	cfg.ModelEvery = max(3*node.Second, 10*hop)
}

// tiers says where blobs are. Those of tokens are made and pulled at every hop and of no use after it: up to a size that does not hurt they
// stay in memory, a few at a time.
func tiers(method string, payload int64) (o blob.TieredOptions) {
	const most, hops = 64 << 20, 4
	if method == "walk" && payload <= most {
		o.Threshold, o.Memory = most, max(blob.DefaultMemory, hops*payload)
	}
	return o
}

// held counts the tokens that a node has.
func held(s *node.WalkStatus) (n int) {
	if s == nil {
		return 0
	}
	for _, t := range s.Tokens {
		if t.State == "held" {
			n++
		}
	}
	return n
}

// A WalkReport is what a node of the method walk knows of the tokens of the run.
type WalkReport struct {
	Tokens     []TokenReport `json:"tokens"`       // ascending by number
	Held       int           `json:"held"`         // of these, here now
	Neighbours int           `json:"neighbours"`   // to which this node may hand tokens
	HandOver   time.Duration `json:"hand_over_ns"` // how long the newest one took; 0 before the first
	Shown      uint32        `json:"shown"`        // the token whose model is evaluated and saved here,
	ShownHops  uint64        `json:"shown_hops"`   // as it was after so many hops; 0: the node has seen none yet
	Resumed    int           `json:"resumed"`      // tokens that the process before this one had when it ended
}

// A TokenReport is what a node knows of one token.
type TokenReport struct {
	Token      uint32    `json:"token"`
	Hops       uint64    `json:"hops"`
	Moves      uint64    `json:"moves"`      // of the hops, those from one node to another
	Generation uint32    `json:"generation"` // 1, and one more each time that the token was lost and revived
	Holder     string    `json:"holder"`     // who has it as far as this node knows; empty: not known
	Here       string    `json:"here"`       // what this node has of it: held, coming, kept in case it gets lost, void, or nothing
	Steps      uint64    `json:"steps"`      // local steps in what this node has
	Heard      time.Time `json:"heard,omitzero"`
}

// reportWalk says what the node knows of the tokens.
func (d *Daemon) reportWalk(s *node.WalkStatus) *WalkReport {
	if s == nil {
		return nil
	}
	r := &WalkReport{Held: held(s), Neighbours: s.Neighbours, HandOver: time.Duration(s.HandOver), Shown: s.Shown, ShownHops: s.ShownHops, Resumed: d.held}
	for _, t := range s.Tokens {
		tr := TokenReport{Token: t.Token, Hops: t.Hop, Moves: t.Moves, Generation: t.Generation, Here: t.State, Steps: t.Age}
		if t.Holder != (gossip.PeerID{}) {
			tr.Holder = t.Holder.String()
		}
		if t.Heard > 0 {
			tr.Heard = d.loop.began.Add(time.Duration(t.Heard))
		}
		r.Tokens = append(r.Tokens, tr)
	}
	return r
}

// countsOfWalk is [Report.Counts] with the method walk: a visit counts when the next holder has taken the token over.
func (r Report) countsOfWalk() string {
	switch {
	case r.Round == 0 && len(r.Peers) == 0:
		return "no: nobody is connected from whom a token could come"
	case r.Round == 0 && len(r.Walk.Tokens) == 0:
		return "nothing yet: no token of the run has been heard of"
	case r.Round == 0:
		return fmt.Sprintf("nothing yet: no token has come by; %s of the run known, neighbours that may hand one over: %d",
			plural(uint64(len(r.Walk.Tokens)), "token"), r.Walk.Neighbours)
	case r.Published == 0 && len(r.Peers) == 0:
		return fmt.Sprintf("not yet: %s, and nobody is connected to take the token over", plural(r.Round, "visit"))
	case r.Published == 0:
		return fmt.Sprintf("not yet: %s, and no token handed over since the start", plural(r.Round, "visit"))
	case r.Counted == 0:
		return fmt.Sprintf("not yet: a token was handed over %s, and none of those who got one has said that it has it", times(r.Published))
	}
	return fmt.Sprintf("yes: %s, and of %s to others %d arrived", plural(r.Round, "visit"), plural(r.Published, "hand-over"), r.Counted)
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// Where says in words where a token is.
func (t TokenReport) Where(self string) string {
	where := "not known where"
	switch {
	case t.Holder == self:
		where = "here"
	case t.Holder != "":
		where = "at " + t.Holder
	}
	switch t.Here {
	case "coming":
		where += ", on its way to this node"
	case "kept":
		where += "; a copy is kept here in case it gets lost"
	case "void":
		where += "; what this node had of it is void, and is merged into it"
	}
	if t.Generation > 1 {
		where += fmt.Sprintf("; revived %s", times(uint64(t.Generation-1)))
	}
	return where
}
