package node

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"starling/gossip"
	"starling/mixing/scalar"
)

// scalarScript is what a transcript about the method scalar has beside the node: what its driver keeps, and what others have.
type scalarScript struct {
	cfg     Config
	store   map[string][]byte
	saving  State
	saved   State
	replica *scalar.Replica                // of all others
	chain   map[string]map[uint64][32]byte // of each author, by where batches end
	bases   map[string]gossip.Basis        // of records, such as B:3
}

func (k *scalarScript) keep(s *script, b *Batch) {
	if k.replica == nil {
		return
	}
	for _, r := range b.Persist {
		if k.store[r.Key] = slices.Clone(r.Value); len(r.Value) == 0 {
			delete(k.store, r.Key)
		}
	}
	for _, j := range b.Probe {
		s.jobs["probe"] = j.Job
	}
	for _, j := range b.Check {
		s.jobs["check"] = j.Job
	}
	for _, j := range b.Save {
		k.saving = j.State
	}
}

func (s *script) scalarNode(args map[string]string, num func(string, float64) float64) string {
	cfg := testConfig(peer("A"))
	config, err := scalar.Parse(args["scalar"])
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	cfg.Method = "scalar"
	cfg.Scalar = ScalarConfig{
		Config: config, RunSeed: 3, Batch: int(num("batch", 4)), SaveEvery: uint64(num("save", 2)), EvaluateEvery: uint64(num("evaluate", 0)),
		CheckShare: num("check", 0),
	}
	k := scalarScript{cfg: cfg, store: make(map[string][]byte), saved: State{Params: 1, Opt: 2}, chain: make(map[string]map[uint64][32]byte)}
	core, err := New(cfg, k.saved)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	k.replica = scalar.NewReplica(config, cfg.Scalar.RunSeed)
	s.core, s.now, s.jobs, s.scalar = core, 0, make(map[string]JobID), k
	return ""
}

func (s *script) scalarCommand(cmd, word string, names []string, args map[string]string, num func(string, float64) float64) string {
	k := &s.scalar
	direct := func(from string, body gossip.Body) string {
		msg := &gossip.Message{Run: gossip.RunID{1}, Author: peer(from), Body: body}
		if v := s.core.Check(msg); v.Decision != gossip.Accept {
			return fmt.Sprintln(v)
		}
		return s.step(Received{From: peer(from), Msg: msg})
	}
	switch word {
	case "probed":
		return s.step(Probed{Job: s.jobs["probe"], Slope: num("slope", 1), Loss: num("loss", 0.5), Samples: 32})
	case "durable":
		if k.saving.Params != 0 {
			k.saved = k.saving
		}
		return s.step(Saved{Job: s.jobs["save"]})
	case "restart":
		cfg := k.cfg
		cfg.Rand = rand.New(rand.NewPCG(2, 2))
		for _, key := range slices.Sorted(maps.Keys(k.store)) {
			if strings.HasPrefix(key, ScalarKey) {
				cfg.Scalar.Log = append(cfg.Scalar.Log, Record{Key: key, Value: k.store[key]})
			}
		}
		if v := k.store[SeqKey]; v != nil {
			cfg.Seq = binary.BigEndian.Uint64(v)
		}
		core, err := New(cfg, k.saved)
		if err != nil {
			return fmt.Sprintf("error: %v\n", err)
		}
		s.core, s.jobs = core, make(map[string]JobID)
		return s.step(Tick{})
	case "forget": // all that was durable
		clear(k.store)
		k.saved = State{Params: 1, Opt: 2}
		return ""
	case "proof": // of others, who have banned the author
		p := &gossip.Proof{}
		for i, at := range []**gossip.Message{&p.A, &p.B} {
			b := &gossip.Records{First: uint64(num("first", 0)), Previous: [32]byte{1}, Bytes: []byte{byte(1 + i)}}
			*at = &gossip.Message{Run: gossip.RunID{1}, Author: peer(args["against"]), Seq: 1, Body: b}
		}
		if err := k.replica.Ban(gossip.Tag(gossip.RunID{1}, peer(args["against"])), uint64(num("first", 0))); err != nil {
			return fmt.Sprintf("error: %v\n", err)
		}
		return s.receive(names[0], uint64(num("seq", 1)), p)
	case "records": // heard by the node, and by others
		return s.receive(names[0], uint64(num("seq", 1)), k.batch(names[0], args, num))
	case "others": // heard by others
		k.batch(names[0], args, num)
		return ""
	case "checked":
		return s.step(Checked{Job: s.jobs["check"], Slope: num("slope", 1)})
	case "challenge":
		e := entries(names[1:])[0]
		return direct(names[0], &gossip.Challenge{Tag: e.Tag, Seq: e.Seq})
	case "basis": // of a record of somebody, as he says, or as somebody else says who accuses him
		b := k.bases[names[1]]
		if b.Accuses = !strings.HasPrefix(names[1], names[0]); len(args["but"]) > 0 {
			b.Places = entries(strings.Split(args["but"], ","))
		}
		if num("gone", 0) != 0 {
			e := entries(names[1:])[0]
			b = gossip.Basis{Tag: e.Tag, Seq: e.Seq}
		}
		return direct(names[0], &b)
	case "known":
		return direct(names[0], k.known(names[1:]))
	case "wants":
		f := &gossip.Fetch{Want: map[string]gossip.FetchWant{"records": gossip.WantRecords, "snapshot": gossip.WantSnapshot, "digest": gossip.WantDigest}[names[1]]}
		for _, r := range names[2:] {
			e := entries([]string{r})[0]
			f.Ranges = append(f.Ranges, gossip.Range{Tag: e.Tag, First: e.Seq, End: e.Seq + uint64(num("count", 1))})
		}
		return direct(names[0], f)
	case "snapshot", "confirm", "deny":
		w := scalarMethod{cfg: s.core.cfg.Scalar, replica: k.replica}
		digest := k.replica.Sums().Digest()
		if word == "deny" {
			digest[0]++
		}
		if word != "snapshot" {
			return direct(names[0], w.digest(k.replica.Set().Vector(), digest))
		}
		snap, err := k.replica.Snapshot()
		if err != nil {
			s.t.Fatal(err)
		}
		return direct(names[0], w.toWire(snap))
	case "scalar-status":
		st := s.core.Status()
		if k.cfg.Scalar.CheckShare > 0 {
			var logs strings.Builder
			for _, l := range s.core.Logs() {
				fmt.Fprintf(&logs, "  %s known=%d missing=%d right=%d wrong=%d unanswered=%d\n", name(l.Peer), l.Known, l.Missing, l.Right, l.Wrong, l.Unanswered)
			}
			return fmt.Sprintf("checks %+v\n%s", st.Scalar.Checks, logs.String())
		}
		return fmt.Sprintf("phase=%s round=%d step=%d records=%d missing=%d next=%d logs=%d banned=%d kept=%d digest=%.4x\n", st.Phase, st.Round, st.Step,
			st.Scalar.Records, st.Scalar.Missing, st.Scalar.Next, st.Scalar.Logs, st.Scalar.Banned, st.Scalar.Kept, st.Scalar.Digest)
	}
	s.t.Fatalf("unknown command %q", cmd)
	return ""
}

// batch makes the next batch of an author, which goes on from the one that ends where it begins.
func (k *scalarScript) batch(from string, args map[string]string, num func(string, float64) float64) *gossip.Records {
	b := &gossip.Records{First: uint64(num("first", 0)), Epoch: uint32(num("epoch", 0))}
	b.Bytes, _ = hex.DecodeString(args["bytes"])
	if args["bytes"] == "" {
		b.Bytes = []byte(strings.Repeat("\x20", int(num("count", 1))))
	}
	if k.chain[from] == nil {
		k.chain[from] = make(map[uint64][32]byte)
	}
	if b.First > 0 {
		b.Previous = k.chain[from][b.First]
		if b.Previous == [32]byte{} || num("astray", 0) != 0 {
			b.Previous[0] ^= 1
		}
	}
	if num("check", 0) != 0 {
		k.commit(from, b, args["on"])
	}
	if num("fork", 0)+num("astray", 0) == 0 {
		k.chain[from][b.End()] = b.Digest(peer(from))
		_, _ = k.replica.Insert(scalar.Run{Peer: gossip.Tag(gossip.RunID{1}, peer(from)), First: b.First, Epoch: b.Epoch, Bytes: b.Bytes})
	}
	return b
}

// commit has the records of a batch say what they were measured on: the own ones before them, and those of others that are listed.
func (k *scalarScript) commit(from string, b *gossip.Records, on string) {
	basis := gossip.Basis{Tag: gossip.Tag(gossip.RunID{1}, peer(from)), First: b.First}
	var all [][]gossip.Place
	for seq := b.First; seq < b.End(); seq++ {
		words := strings.Fields(strings.ReplaceAll(on, ",", " "))
		if seq > 0 {
			words = append(words, fmt.Sprintf("%s:%d", from, seq))
		}
		all = append(all, entries(words))
		set := setName(vectorOf(all[len(all)-1]))
		basis.Sets, b.Sets = append(basis.Sets, set), gossip.Commit(b.Sets, set)
	}
	if k.bases == nil {
		k.bases = make(map[string]gossip.Basis)
	}
	for i, places := range all {
		basis.Seq, basis.Places = b.First+uint64(i), places
		k.bases[fmt.Sprintf("%s:%d", from, basis.Seq)] = basis
	}
}

// known makes what a peer says it has: what all others have, or the entries that are listed.
func (k *scalarScript) known(words []string) *gossip.Known {
	v := k.replica.Set().Vector()
	switch words[0] {
	case "digest":
		return &gossip.Known{Form: gossip.FormDigest, VectorDigest: v.Digest(), BansDigest: k.replica.Set().Bans().Digest(), Count: v.Count()}
	case "ranges":
		form, _ := k.replica.Set().Begin().AppendBinary(nil)
		return &gossip.Known{Form: gossip.FormRanges, Ranges: form}
	case "bans":
		return &gossip.Known{Form: gossip.FormBans, Places: entries(words[1:])}
	}
	return &gossip.Known{Form: gossip.FormVector, Places: entries(words[1:])}
}

// entries reads places such as B:8.
func entries(words []string) []gossip.Place {
	var out []gossip.Place
	for _, w := range words {
		who, seq, _ := strings.Cut(w, ":")
		n, _ := strconv.ParseUint(seq, 10, 64)
		out = append(out, gossip.Place{Tag: gossip.Tag(gossip.RunID{1}, peer(who)), Seq: n})
	}
	slices.SortFunc(out, func(a, b gossip.Place) int { return map[bool]int{true: -1, false: 1}[a.Tag < b.Tag] })
	return out
}

// tagName is who has a log.
func tagName(tag uint64) string {
	for c := 'A'; c <= 'Z'; c++ {
		if gossip.Tag(gossip.RunID{1}, peer(string(c))) == tag {
			return string(c)
		}
	}
	return fmt.Sprintf("%016x", tag)
}

func placesText(places []gossip.Place) string {
	var out []string
	for _, p := range places {
		out = append(out, fmt.Sprintf("%s:%d", tagName(p.Tag), p.Seq))
	}
	slices.Sort(out)
	return "[" + strings.Join(out, " ") + "]"
}

func scalarText(body gossip.Body) string {
	switch b := body.(type) {
	case *gossip.Records:
		return fmt.Sprintf("records %d to %d of epoch %d on %d: %x after %.2x", b.First, b.End()-1, b.Epoch, b.Base, b.Bytes, b.Previous)
	case *gossip.Proof:
		author, first, _ := b.Against()
		return fmt.Sprintf("proof against %s from record %d on", name(author), first)
	case *gossip.Known:
		reply := map[bool]string{true: ", a reply"}[b.Reply]
		switch b.Form {
		case gossip.FormDigest:
			return fmt.Sprintf("digest %.2x of %d records, bans %.2x", b.VectorDigest, b.Count, b.BansDigest)
		case gossip.FormRanges:
			return fmt.Sprintf("ranges in %d bytes%s", len(b.Ranges), reply)
		case gossip.FormBans:
			return "bans " + placesText(b.Places) + reply
		}
		return "vector " + placesText(b.Places) + reply
	case *gossip.Fetch:
		var out []string
		for _, r := range b.Ranges {
			out = append(out, fmt.Sprintf(" %s:%d-%d", tagName(r.Tag), r.First, r.End-1))
		}
		return "a wish for " + map[gossip.FetchWant]string{1: "records", 2: "a snapshot", 3: "a digest"}[b.Want] + strings.Join(out, "")
	case *gossip.Snapshot:
		if !b.Whole {
			return fmt.Sprintf("sums %.2x of vector %.2x, bans %.2x", b.Digest, b.VectorDigest, b.BansDigest)
		}
		var tails []gossip.Place
		for _, t := range b.Tails {
			tails = append(tails, gossip.Place{Tag: t.Tag, Seq: t.Next})
		}
		return fmt.Sprintf("snapshot %.2x of %s, bans %s", b.Digest, placesText(tails), placesText(b.Bans))
	}
	switch b := body.(type) {
	case *gossip.Challenge:
		return fmt.Sprintf("a question about record %d of %s", b.Seq, tagName(b.Tag))
	case *gossip.Basis:
		accuses := map[bool]string{true: ", an accusation"}[b.Accuses]
		return fmt.Sprintf("record %d of %s was measured on %s, its batch from %d on commits to %d sets%s", b.Seq, tagName(b.Tag), placesText(b.Places), b.First, len(b.Sets), accuses)
	}
	return fmt.Sprintf("%T", body)
}

// loggedText tells of a persisted batch.
func loggedText(r Record) string {
	if len(r.Value) == 0 {
		return r.Key + " no more"
	}
	state := "open"
	if seq := binary.BigEndian.Uint64(r.Value); seq > 0 {
		state = fmt.Sprintf("closed as #%d", seq)
	}
	return fmt.Sprintf("%s %s: %x", r.Key, state, r.Value[loggedHead:])
}
