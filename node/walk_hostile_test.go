package node

import (
	"testing"

	"starling/gossip"
	"starling/mixing/srrw"
)

func walkTestNode(t *testing.T) (*Core, *walk) {
	cfg := testConfig(peer("A"))
	cfg.Method, cfg.OptLen = "walk", 2
	cfg.Walk = WalkConfig{Config: srrw.Default(), Tokens: 3, Steps: 1, SaveEvery: 1}
	c, err := New(cfg, State{Params: 1, Opt: 2})
	if err != nil {
		t.Fatal(err)
	}
	return c, c.method.(*walk)
}

// TestMessagesOfTokensAreCheckedBeforeAnythingIsAllocated changes one thing at a time of messages that are accepted.
func TestMessagesOfTokensAreCheckedBeforeAnythingIsAllocated(t *testing.T) {
	c, _ := walkTestNode(t)
	piece := gossip.Piece{Blob: gossip.BlobID{1}, Size: 16}
	for _, test := range []struct {
		name string
		edit func(m *gossip.Message, t *gossip.Token, o *gossip.Offer, h *gossip.Hand)
		want [3]gossip.Verdict
	}{
		{"nothing", func(*gossip.Message, *gossip.Token, *gossip.Offer, *gossip.Hand) {}, [3]gossip.Verdict{}},
		{"another run", func(m *gossip.Message, _ *gossip.Token, _ *gossip.Offer, _ *gossip.Hand) { m.Run[0]++ },
			[3]gossip.Verdict{reject(gossip.ReasonWrongRun), reject(gossip.ReasonWrongRun), reject(gossip.ReasonWrongRun)}},
		{"a token that the run does not have", func(_ *gossip.Message, t *gossip.Token, o *gossip.Offer, h *gossip.Hand) {
			t.Token, o.Token, h.Token = 3, 3, 3
		}, [3]gossip.Verdict{reject(gossip.ReasonMalformed), reject(gossip.ReasonMalformed), reject(gossip.ReasonMalformed)}},
		{"another codec", func(_ *gossip.Message, t *gossip.Token, o *gossip.Offer, _ *gossip.Hand) {
			t.Codec, o.Codec = "int8", "int8"
		},
			[3]gossip.Verdict{reject(gossip.ReasonCodec), reject(gossip.ReasonCodec)}},
		{"another length", func(_ *gossip.Message, t *gossip.Token, o *gossip.Offer, _ *gossip.Hand) { t.Len, o.Len = 5, 5 },
			[3]gossip.Verdict{reject(gossip.ReasonLength), reject(gossip.ReasonLength)}},
		{"a large model", func(_ *gossip.Message, t *gossip.Token, o *gossip.Offer, _ *gossip.Hand) {
			t.Model.Size, o.Model.Size = 65, 65
		},
			[3]gossip.Verdict{reject(gossip.ReasonLength), reject(gossip.ReasonLength)}},
		{"a state, in a run where tokens carry none", func(_ *gossip.Message, _ *gossip.Token, o *gossip.Offer, _ *gossip.Hand) {
			o.StateLen, o.State = 2, piece
		}, [3]gossip.Verdict{1: reject(gossip.ReasonLength)}},
		{"an offer to its author", func(_ *gossip.Message, _ *gossip.Token, o *gossip.Offer, _ *gossip.Hand) { o.To = peer("B") },
			[3]gossip.Verdict{1: reject(gossip.ReasonMalformed)}},
	} {
		token := &gossip.Token{Fence: gossip.Fence{Generation: 1}, Codec: "fp32", Len: 4, Model: piece}
		offer := &gossip.Offer{To: peer("A"), Fence: token.Fence, Codec: "fp32", Len: 4, Model: piece}
		hand := &gossip.Hand{Step: gossip.StepGiven, Offer: 1}
		for i, body := range []gossip.Body{token, offer, hand} {
			m := &gossip.Message{Run: gossip.RunID{1}, Author: peer("B"), Body: body}
			if i < 2 {
				m.Seq = 1
			}
			test.edit(m, token, offer, hand)
			if got := c.Check(m); got != test.want[i] {
				t.Errorf("%s: %T: %v, want %v", test.name, body, got, test.want[i])
			}
		}
	}
	average := testConfig(peer("A"))
	other, err := New(average, State{Params: 1, Opt: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []gossip.Body{&gossip.Token{}, &gossip.Offer{}, &gossip.Hand{}, &gossip.Beat{}} {
		if v := other.Check(&gossip.Message{Run: gossip.RunID{1}, Author: peer("B"), Seq: 1, Body: body}); v != reject(gossip.ReasonUnknownKind) {
			t.Errorf("average: %T: %v", body, v)
		}
	}
}

// TestStrangersCannotFillTheMemoryOfANode sends what nobody has asked for.
func TestStrangersCannotFillTheMemoryOfANode(t *testing.T) {
	c, w := walkTestNode(t)
	c.Step(0, Tick{})
	for i := range 1000 {
		id := PeerID{1, byte(i), byte(i >> 8)}
		c.Step(Instant(i), PeerUp{id})
		from := func(body gossip.Body) {
			m := &gossip.Message{Run: gossip.RunID{1}, Author: id, Seq: 1, Body: body}
			if c.Check(m).Decision == gossip.Accept {
				c.Step(Instant(i), Received{From: id, Msg: m})
			}
		}
		from(&gossip.Beat{Degree: 1 << 31, Weight: 1e30})
		m := &gossip.Message{Run: gossip.RunID{1}, Author: PeerID{2}, Seq: 1, Body: &gossip.Offer{To: id, Codec: "fp32", Len: 4}}
		c.Step(Instant(i), Received{From: id, Msg: m})
		for token := range uint32(6) {
			from(&gossip.Hand{Step: gossip.StepReady, Offer: uint64(i), Token: token})
			from(&gossip.Offer{
				To: peer("A"), Token: token, Fence: gossip.Fence{Generation: uint32(1 + i), Maker: gossip.Tag(gossip.RunID{1}, id)},
				Codec: "fp32", Len: 4, Model: gossip.Piece{Size: 16},
			})
		}
	}
	if n := len(w.near.all); n > maxDegree {
		t.Errorf("%d neighbours", n)
	}
	for id, shown := range w.proofs {
		if len(shown) > maxProofs {
			t.Errorf("%s has shown %d offers", id.Short(), len(shown))
		}
	}
	if len(w.views) > 3 || len(w.proofs) > len(c.roster.sorted())+1 || len(w.given) > 0 {
		t.Errorf("%d tokens, %d offers to others, %d given away", len(w.views), len(w.proofs), len(w.given))
	}
	coming := 0
	for _, v := range w.views {
		if v.coming != nil {
			coming++
		}
	}
	if coming > mostLive || len(w.calls) > 1000*mostLive {
		t.Errorf("%d hand-overs and %d jobs under way", coming, len(w.calls))
	}
}

// TestWhatIsToldOfAHistoryIsReadOrRefused cuts what is told, and changes it byte by byte.
func TestWhatIsToldOfAHistoryIsReadOrRefused(t *testing.T) {
	_, w := walkTestNode(t)
	cp := &tokenCopy{memory: w.newMemory(0, []uint64{1, 2, 3})}
	cp.told = cp.memory.begin()
	other := w.newMemory(1, nil)
	w.visit(other, 2)
	for range 3 {
		w.visit(cp.memory, 7)
		cp.stay++
	}
	w.learn(cp, other.shared)
	w.visit(cp.memory, 7)
	cp.stay++
	told := cp.telling()
	r, err := w.retell(0, told, 7)
	if err != nil || r.digest() != cp.memory.digest() || r.visits != 4 || r.learns != 1 {
		t.Fatalf("told is %v of %d visits and %d tokens: %v", r.digest() == cp.memory.digest(), r.visits, r.learns, err)
	}
	begins := len(told) - 2 - len(other.shared.Append(nil)) // of the other token's counts, whose own name says nothing
	for i := range told {
		if r, err := w.retell(0, told[:i], 7); err == nil && r.digest() == cp.memory.digest() {
			t.Errorf("the first %d bytes are enough", i)
		}
		for _, by := range []byte{1, 0x80} {
			changed := append([]byte(nil), told...)
			changed[i] += by
			if r, err := w.retell(0, changed, 7); err == nil && r.digest() == cp.memory.digest() && r.came == w.mustRetell(t, told).came && r.visits == 4 &&
				(i < begins || i >= begins+8) {
				t.Errorf("a change of byte %d changes nothing", i)
			}
		}
	}
	if _, err := w.retell(1, told, 7); err == nil {
		t.Error("the counts of another token are taken for its own")
	}
}

func (w *walk) mustRetell(t *testing.T, told []byte) retold {
	r, err := w.retell(0, told, 7)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzRetell(f *testing.F) {
	cfg := WalkConfig{Config: srrw.Default(), Tokens: 2}
	w := &walk{cfg: cfg, run: &Config{Run: gossip.RunID{1}}}
	m := w.newMemory(0, []uint64{1, 2})
	w.visit(m, 2)
	f.Add(append(m.begin(), changeVisits, 3))
	f.Add(append(m.begin(), changeLearn, 2, 0, 0))
	f.Fuzz(func(t *testing.T, told []byte) {
		r, err := w.retell(0, told, 7)
		if err == nil && r.visits > maxStay {
			t.Errorf("%d visits in a row", r.visits)
		}
	})
}

func TestSettingsOfWalksThatMakeNoSenseAreRefused(t *testing.T) {
	for name, edit := range map[string]func(c *Config){
		"alpha":   func(c *Config) { c.Walk.Alpha = 21 },
		"tokens":  func(c *Config) { c.Walk.Tokens = maxTokens + 1 },
		"weight":  func(c *Config) { c.Walk.Weight = -1 },
		"limit":   func(c *Config) { c.Walk.Limit = maxHistory + 1 },
		"budget":  func(c *Config) { c.Walk.Budget = -1 },
		"degree":  func(c *Config) { c.Walk.Degree = maxDegree },
		"beats":   func(c *Config) { c.Walk.BeatEvery = -1 },
		"saving":  func(c *Config) { c.Walk.SaveEvery = 0 },
		"cells":   func(c *Config) { c.Cells = 2 },
		"records": func(c *Config) { c.Walk.Log = []Record{{Key: WalkKey + "00000009", Value: []byte{1}}} },
		"cut off": func(c *Config) { c.Walk.Log = []Record{{Key: WalkKey + "00000001", Value: []byte{1}}} },
	} {
		cfg := testConfig(peer("A"))
		cfg.Method = "walk"
		cfg.Walk = WalkConfig{Config: srrw.Default(), Tokens: 3, SaveEvery: 1}
		if _, err := New(cfg, State{Params: 1, Opt: 2}); err != nil {
			t.Fatal(err)
		}
		edit(&cfg)
		if _, err := New(cfg, State{Params: 1, Opt: 2}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	cfg := testConfig(peer("A"))
	cfg.Method = "walk"
	cfg.Walk = WalkConfig{Config: srrw.Default(), Tokens: 3, SaveEvery: 1}
	for _, opaque := range []string{"\x02", "\x01", "\x01\x00\x00\x00\x00\x00\x00\x07"} {
		if _, err := New(cfg, State{Params: 1, Opt: 2, Opaque: []byte(opaque)}); err == nil {
			t.Errorf("a checkpoint of %q is taken", opaque)
		}
	}
}
