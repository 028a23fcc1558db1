package node

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"starling/gossip"
	"starling/mixing/srrw"
)

// walkScript is what a transcript about the method walk has beside the node: what its driver keeps, and what others have said.
type walkScript struct {
	cfg    Config
	store  map[string][]byte
	saving State
	saved  State
	own    uint64            // number of the node's newest offer
	seq    map[string]uint64 // of others, by name, as below: of their newest offers
	told   map[string][]byte // and what they tell of the history
}

func (k *walkScript) keep(s *script, b *Batch) {
	if k.store == nil {
		return
	}
	for _, r := range b.Persist {
		k.store[r.Key] = slices.Clone(r.Value)
	}
	for _, e := range b.Send {
		for _, m := range e.Forward {
			if o, ok := m.Body.(*gossip.Offer); ok && m.Author == peer("A") {
				k.own = m.Seq
				_ = o
			}
		}
	}
	for _, j := range b.Save {
		k.saving = j.State
	}
}

func (s *script) walkNode(args map[string]string, num func(string, float64) float64) string {
	cfg := testConfig(peer("A"))
	config, err := srrw.Parse(args["walk"])
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	cfg.Method, cfg.OptLen = "walk", 2
	cfg.Walk = WalkConfig{
		Config: config, Tokens: uint32(num("tokens", 1)), Steps: 10, SaveEvery: uint64(num("save", 100)), EvaluateEvery: uint64(num("evaluate", 0)),
		Carry: num("carry", 0) != 0, Apart: num("apart", 0) != 0, Budget: num("budget", 0), BeatEvery: 1000 * Second,
	}
	k := walkScript{
		cfg: cfg, store: make(map[string][]byte), saved: State{Params: 1, Opt: 2}, seq: make(map[string]uint64), told: make(map[string][]byte),
	}
	core, err := New(cfg, k.saved)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	s.core, s.now, s.jobs, s.walk = core, 0, make(map[string]JobID), k
	return ""
}

// handStep is the step of that name.
func handStep(name string) gossip.HandStep {
	for s := gossip.StepAccept; s <= gossip.StepPulling; s++ {
		if s.String() == name {
			return s
		}
	}
	return 0
}

func (s *script) walkCommand(cmd, word string, names []string, args map[string]string, num func(string, float64) float64) string {
	k := &s.walk
	from := peer("Z")
	if len(names) > 0 {
		from = peer(names[0])
	}
	direct := func(body gossip.Body) string {
		msg := &gossip.Message{Run: gossip.RunID{1}, Author: from, Body: body}
		if v := s.core.Check(msg); v.Decision != gossip.Accept {
			return fmt.Sprintln(v)
		}
		return s.step(Received{From: from, Msg: msg})
	}
	fence := gossip.Fence{Generation: uint32(num("generation", 1)), Maker: gossip.Tag(gossip.RunID{1}, from), Base: uint64(num("base", 0))}
	if m := args["maker"]; m != "" {
		fence.Maker = gossip.Tag(gossip.RunID{1}, peer(m))
	}
	switch word {
	case "beat":
		return direct(&gossip.Beat{Degree: uint32(num("degree", 1)), Weight: float32(num("weight", 1)), Reply: num("reply", 1) != 0})
	case "news":
		t := &gossip.Token{
			Fence: fence, Hop: uint64(num("hop", 0)), Moves: uint64(num("moves", num("hop", 0))), Age: uint64(num("age", 10)), Codec: "fp32", Len: 4,
		}
		if num("model", 0) != 0 {
			t.Model = gossip.Piece{Blob: gossip.BlobID{9}, Size: 16}
		}
		return s.receive(names[0], uint64(num("seq", 1)), t)
	case "offer":
		return s.walkOffer(names[0], fence, args, num)
	case "hand":
		h := &gossip.Hand{Step: handStep(names[1]), Offer: k.own}
		if h.Step.FromGiver() {
			h.Offer = k.seq[names[0]]
		}
		if h.Step == gossip.StepHistory {
			h.History = k.told[names[0]]
		}
		h.Offer = uint64(num("seq", float64(h.Offer)))
		return direct(h)
	case "durable":
		k.saved = k.saving
		return s.step(Saved{Job: s.jobs["save"]})
	case "packed":
		p := gossip.Piece{Blob: gossip.BlobID{byte(s.jobs["encode"])}, Size: 16}
		return s.step(Encoded{Job: s.jobs["encode"], Pieces: []gossip.Piece{p}})
	case "restart":
		return s.walkRestart()
	case "shown":
		st := s.core.Status().Walk
		return fmt.Sprintf("token %d as after hop %d\n", st.Shown, st.ShownHops)
	case "walk-status":
		st := s.core.Status()
		var b strings.Builder
		fmt.Fprintf(&b, "phase=%s visits=%d age=%d step=%d neighbours=%d\n", st.Phase, st.Round, st.Age, st.Step, st.Walk.Neighbours)
		for _, t := range st.Walk.Tokens {
			fmt.Fprintf(&b, "  token %d generation %d hop %d %s age %d\n", t.Token, t.Generation, t.Hop, t.State, t.Age)
		}
		return b.String()
	}
	s.t.Fatalf("unknown command %q", cmd)
	return ""
}

// walkRestart ends the node, and begins it anew with what is durable.
func (s *script) walkRestart() string {
	k := &s.walk
	cfg := k.cfg
	cfg.Rand = rand.New(rand.NewPCG(2, 2))
	cfg.Walk.Log, cfg.Seq = walkKept(k.store)
	from := k.saved
	from.Params, from.Opt = 1, 2
	from.Vectors = slices.Clone(from.Vectors)
	for i := range from.Vectors {
		from.Vectors[i].Vec = VecRef(3 + i)
	}
	core, err := New(cfg, from)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	s.core, s.jobs = core, make(map[string]JobID)
	return s.step(Tick{})
}

// walkOffer has a peer offer a token that it began, or got from another one. It may lie about it.
func (s *script) walkOffer(from string, fence gossip.Fence, args map[string]string, num func(string, float64) float64) string {
	k, w := &s.walk, s.core.method.(*walk)
	hop, tag := uint64(num("hop", 0)), gossip.Tag(gossip.RunID{1}, peer(from))
	memory := w.newMemory(0, nil)
	visits, lie := hop-fence.Base, args["lie"]
	offer := func(to PeerID, hop, moves uint64) *gossip.Offer {
		return &gossip.Offer{
			To: to, Fence: fence, Hop: hop, Moves: moves, Age: 10 * hop, History: memory.digest(), Norm: num("norm", 0), Codec: "fp32", Len: 4,
			Model: gossip.Piece{Blob: gossip.BlobID{7}, Size: 16},
		}
	}
	moves := uint64(0)
	if got := args["got"]; got != "" { // at hop 1, after one visit of its maker
		w.visit(memory, fence.Maker)
		proof := offer(peer(from), 1, 0)
		proof.Norm = num("norm-before", 0)
		if lie == "fence" {
			proof.Fence.Generation++
		}
		if lie != "proof" {
			s.receive(from, 1, proof) // behind which the offer comes
			msg := &gossip.Message{Run: gossip.RunID{1}, Author: peer(got), Seq: 3, Body: proof}
			s.core.Step(s.now, Received{From: peer(from), Msg: msg})
		}
		visits, moves = hop-1, 1
	}
	told := memory.begin()
	if lie == "history" {
		w.visit(memory, tag)
		told = memory.begin()
	}
	for range visits {
		w.visit(memory, tag)
	}
	if visits > 0 {
		told = binary.AppendUvarint(append(told, changeVisits), visits)
	}
	o := offer(peer("A"), hop, moves)
	switch lie {
	case "hop":
		o.Hop += 5
	case "digest":
		o.History[0]++
	}
	if num("remnant", 0) != 0 {
		o.Remnant = true
	}
	k.seq[from]++
	k.seq[from] = uint64(num("seq", float64(k.seq[from])))
	k.told[from] = told
	return s.receive(from, k.seq[from], o)
}

func fenceText(f gossip.Fence) string {
	maker := "?"
	for _, n := range "ABCDE" {
		if gossip.Tag(gossip.RunID{1}, peer(string(n))) == f.Maker {
			maker = string(n)
		}
	}
	return fmt.Sprintf("life %d%s from %d", f.Generation, maker, f.Base)
}

// walkText tells of a message about tokens.
func walkText(body gossip.Body) string {
	switch b := body.(type) {
	case *gossip.Token:
		there := ""
		if b.Model.Size > 0 {
			there = ", model to be had"
		}
		return fmt.Sprintf("token %d, %s: hop %d, moves %d, age %d%s", b.Token, fenceText(b.Fence), b.Hop, b.Moves, b.Age, there)
	case *gossip.Offer:
		what := "offer"
		if b.Remnant {
			what = "what is left"
		}
		return fmt.Sprintf("%s of token %d, %s, to %s: hop %d, moves %d, age %d", what, b.Token, fenceText(b.Fence), name(b.To), b.Hop, b.Moves, b.Age)
	case *gossip.Hand:
		text := fmt.Sprintf("%s #%d", b.Step, b.Offer)
		if len(b.History) > 0 {
			text += fmt.Sprintf(", %d bytes", len(b.History))
		}
		return text
	case *gossip.Beat:
		return fmt.Sprintf("beat degree=%d weight=%g reply=%v", b.Degree, b.Weight, b.Reply)
	}
	return fmt.Sprintf("%T", body)
}

// walkRecordText tells of what was persisted of a token.
func walkRecordText(r Record) string {
	d := decoder{rest: r.Value}
	made, gave, gaveBy, took := d.number(), d.spot(), d.offerName(), d.offerName()
	text := fmt.Sprintf("%s begun %d", r.Key, made)
	if gaveBy.seq > 0 {
		text += fmt.Sprintf(", gave %s hop %d by #%d to %s", fenceText(gave.fence), gave.hop, gaveBy.seq, name(gaveBy.from))
	}
	if took.seq > 0 {
		text += fmt.Sprintf(", took #%d of %s", took.seq, name(took.from))
	}
	return text
}
