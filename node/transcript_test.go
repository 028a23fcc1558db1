package node

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	compare "github.com/google/go-cmp/cmp"

	"starling/gossip"
	"starling/mixing"
	"starling/mixing/scalar"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts replays testdata/*.txt: lines that begin with "> " are commands, the lines after each are what the
// core asked for. Run with -update to write what it asks for now, and review the difference.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := newScript(t).run(string(want))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := compare.Diff(string(want), got); d != "" {
				t.Errorf("%s (-want +got):\n%s", f, d)
			}
		})
	}
}

type script struct {
	t    *testing.T
	core *Core
	now  Instant
	jobs map[string]JobID // the newest job of each kind; fetches by author

	mixes, fetches []JobID            // under way, in their order, for transcripts of several at a time
	outer          bool               // the method is outer: mixing and encoding end at once, as often as it takes
	pulls          map[string][]JobID // under way, by author, oldest first
	blobs          int                // made

	scalar scalarScript
}

func newScript(t *testing.T) *script { return &script{t: t, jobs: make(map[string]JobID)} }

func (s *script) run(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		cmd, ok := strings.CutPrefix(strings.TrimSpace(line), "> ")
		switch {
		case ok:
			fmt.Fprintf(&out, "> %s\n%s", cmd, s.command(cmd))
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
			out.WriteString(line)
		}
	}
	return out.String()
}

func peer(name string) (id PeerID) {
	copy(id[:], strings.Repeat(name, 32))
	return id
}

func name(id PeerID) string { return string(id[:1]) }

func (s *script) command(cmd string) string {
	words := strings.Fields(cmd)
	args := make(map[string]string)
	var names []string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			args[k] = v
		} else {
			names = append(names, w)
		}
	}
	num := func(key string, def float64) float64 {
		v, ok := args[key]
		if !ok {
			return def
		}
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			s.t.Fatalf("%s: %v", cmd, err)
		}
		return f
	}
	switch words[0] {
	case "node":
		if args["outer"] != "" {
			return s.outerNode(args, num)
		}
		if args["scalar"] != "" {
			return s.scalarNode(args, num)
		}
		cfg := testConfig(peer(cmp.Or(args["self"], "A")))
		cfg.Average.Mix = "mean"
		if m := args["mix"]; m != "" {
			cfg.Average.Mix = m
		}
		cfg.Average.Degree = int(num("degree", 2))
		cfg.Average.EvaluateEvery = uint64(num("evaluate", 0))
		cfg.Seq = uint64(num("seq", 0))
		cfg.Cells = uint32(num("cells", 0))
		if every := num("push", 0); every > 0 {
			cfg.Average.Exchange, cfg.Average.Steps = Push, 0
			cfg.Average.Push = PushConfig{Every: Instant(every * 1e9), Deviation: Instant(every * 1e8)}
		}
		if gamma := num("gamma", 0); gamma > 0 {
			cfg.Average.Mix, cfg.Average.Exchange = "metropolis", Copies
			cfg.Average.Copies = CopiesConfig{Gamma: gamma, Damp: 1, Beta: num("beta", 0), Common: num("common", 1) != 0}
		}
		cfg.Paused = num("paused", 0) != 0
		core, err := New(cfg, State{
			Round: uint64(num("round", 0)), Age: uint64(num("age", 0)), Step: uint64(num("step", 0)), Params: 1, Opt: 2,
		})
		if err != nil {
			return fmt.Sprintf("error: %v\n", err)
		}
		s.core, s.now, s.jobs = core, 0, make(map[string]JobID)
		return ""
	case "at":
		f, err := strconv.ParseFloat(names[0], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", cmd, err)
		}
		s.now = Instant(f * 1e9)
		return ""
	case "tick":
		return s.step(Tick{})
	case "epoch":
		return s.step(Epoch{Number: uint64(num("number", 0))})
	case "wake":
		if at, ok := s.core.Wake(); ok {
			return fmt.Sprintf("wake at %.3f s\n", at.Seconds())
		}
		return "no wake\n"
	case "up":
		return s.step(PeerUp{peer(names[0])})
	case "down":
		return s.step(PeerDown{peer(names[0])})
	case "update":
		u := testUpdate()
		u.Round, u.Age = uint64(num("round", 1)), uint64(num("age", 10))
		u.Weight, u.LinkEpoch = num("weight", 0), uint64(num("epoch", 0))
		if to := args["to"]; to != "" {
			for _, n := range strings.Split(to, ",") {
				u.To = append(u.To, peer(n))
			}
		}
		if m := args["mixed"]; m != "" {
			seq, _ := strconv.ParseUint(m, 10, 64)
			u.Mixed = []gossip.Mark{{Author: peer("A"), Seq: seq}}
		}
		return s.receive(names[0], uint64(num("seq", 1)), u)
	case "goodbye":
		return s.receive(names[0], uint64(num("seq", 1)), &gossip.Leave{})
	case "digest":
		d := &gossip.Digest{}
		for _, n := range names[1:] {
			if n == "reply" {
				d.Reply = true
				continue
			}
			id, seq, _ := strings.Cut(n, ":")
			v, _ := strconv.ParseUint(seq, 10, 64)
			d.Known = append(d.Known, gossip.Mark{Author: peer(id), Seq: v})
		}
		return s.step(Received{From: peer(names[0]), Msg: &gossip.Message{Author: peer(names[0]), Body: d}})
	case "gradient", "mean", "anchor", "state":
		return s.receive(names[0], uint64(num("seq", 1)), s.delta(words[0], args, num))
	case "ask":
		part := map[string]gossip.Part{"state": gossip.PartState, "anchor": gossip.PartAnchor}[args["part"]]
		return s.step(Received{From: peer(names[0]), Msg: &gossip.Message{Author: peer(names[0]), Body: &gossip.Request{Part: part}}})
	case "fetched":
		if s.outer {
			return s.outerFetched(names[0], args, num)
		}
		errs := map[string]FetchError{"": FetchOK, "unavailable": FetchUnavailable, "corrupt": FetchCorrupt}
		ev := Fetched{Job: s.jobs["fetch "+names[0]], Err: errs[args["err"]]}
		if bad := args["bad"]; bad != "" {
			ev.Bad = []PeerID{peer(bad)}
		}
		return s.step(ev)
	case "trained":
		return s.step(Trained{Job: s.jobs["train"], Work: num("work", 0.5), Steps: uint64(num("steps", 0)), Samples: 320, Loss: num("loss", 0.5)})
	case "encoded":
		return s.step(Encoded{Job: s.jobs["encode"], Payload: gossip.Piece{Inline: []byte("xx"), Size: 2}})
	case "mixed":
		r := mixing.Report{Rejected: strings.ReplaceAll(args["rejected"], "_", " ")}
		if d := args["dropped"]; d != "" {
			r.Dropped = []mixing.Dropped{{Peer: strings.Repeat(d, 32), Why: "test"}}
		}
		return s.step(Mixed{Job: s.jobs["mix"], Report: r})
	case "saved":
		return s.step(Saved{Job: s.jobs["save"], Err: strings.ReplaceAll(args["err"], "_", " ")})
	case "evaluated":
		return s.step(Evaluated{Job: s.jobs["evaluate"], Accuracy: num("accuracy", 0.9)})
	case "command":
		return s.step(Command{map[string]Op{"pause": Pause, "resume": Resume, "leave": Leave}[names[0]]})
	case "check":
		u := testUpdate()
		u.Codec = map[bool]string{true: "fp32", false: args["codec"]}[args["codec"] == ""]
		u.Len = uint32(num("len", float64(u.Len)))
		return fmt.Sprintln(s.core.Check(&gossip.Message{Run: testConfig(peer("A")).Run, Author: peer(names[0]), Seq: uint64(num("seq", 1)), Body: u}))
	case "status":
		st := s.core.Status()
		var b strings.Builder
		fmt.Fprintf(&b, "phase=%s round=%d age=%d published=%d counted=%d newest=%d by %d refused=%v save error=%q\n", st.Phase, st.Round, st.Age,
			st.Published, st.Counted, st.NewestSeq, st.NewestBy, st.Refused, st.SaveError)
		for _, m := range st.Members {
			fmt.Fprintf(&b, "  %s connected=%v gone=%v round=%d updates=%d mixed=%d refused=%v score=%g\n", name(m.Peer), m.Connected, m.Gone,
				m.Round, m.Updates, m.Mixed, m.Refused, m.Score)
		}
		return b.String()
	}
	if s.scalar.replica != nil {
		return s.scalarCommand(cmd, words[0], names, args, num)
	}
	return s.copiesCommand(cmd, words[0], names, num)
}

func testConfig(self PeerID) Config {
	return Config{
		Run: gossip.RunID{1}, Method: "average", Codec: "fp32", Len: 4, Tensors: 1, MaxPayload: 64, Self: self,
		Rand:    rand.New(rand.NewPCG(1, uint64(self[0]))),
		Average: AverageConfig{Mix: "mean", Steps: 10, Degree: 2, SaveEvery: 1},
	}
}

func testUpdate() *gossip.Update {
	return &gossip.Update{Round: 1, Age: 10, Samples: 320, Degree: 1, Loss: 0.5, Codec: "fp32", Len: 4, Inline: []byte("xx"), Size: 2}
}

func (s *script) receive(from string, seq uint64, body gossip.Body) string {
	msg := &gossip.Message{Run: gossip.RunID{1}, Author: peer(from), Seq: seq, Body: body}
	if v := s.core.Check(msg); v.Decision != gossip.Accept {
		return fmt.Sprintln(v)
	}
	return s.step(Received{From: peer(from), Msg: msg})
}

func (s *script) step(ev Event) string {
	b := s.core.Step(s.now, ev)
	for _, j := range b.Fetch {
		s.jobs["fetch "+name(j.Author)] = j.Job
		s.fetches = append(s.fetches, j.Job)
		if s.outer {
			s.pulls[name(j.Author)] = append(s.pulls[name(j.Author)], j.Job)
		}
	}
	for _, j := range b.Train {
		s.jobs["train"] = j.Job
	}
	for _, j := range b.Mix {
		s.jobs["mix"] = j.Job
		s.mixes = append(s.mixes, j.Job)
	}
	for _, j := range b.Encode {
		s.jobs["encode"] = j.Job
	}
	for _, j := range b.Evaluate {
		s.jobs["evaluate"] = j.Job
	}
	for _, j := range b.Save {
		s.jobs["save"] = j.Job
	}
	s.scalar.keep(s, b)
	if s.outer {
		return s.goOn(b)
	}
	return describe(b)
}

// describe prints a batch, a line for each thing it asks for.
func describe(b *Batch) string {
	var o strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&o, "  "+format+"\n", args...) }
	if b.Cell != nil {
		line("join cell %d", *b.Cell)
	}
	for _, r := range b.Persist {
		if strings.HasPrefix(r.Key, ScalarKey) {
			line("persist %s", loggedText(r))
			continue
		}
		line("persist %s=%x", r.Key, r.Value)
	}
	for _, m := range b.Publish {
		switch u := m.Body.(type) {
		case *gossip.Update:
			line("publish #%d update round=%d age=%d degree=%d loss=%g mixed=%s refused=%s%s", m.Seq, u.Round, u.Age, u.Degree, u.Loss,
				marks(u.Mixed), refusalText(u.Refused), links(u))
		case *gossip.Delta:
			line("publish #%d %s", m.Seq, outerText(u))
		case *gossip.Leave:
			line("publish #%d leave", m.Seq)
		case *gossip.Records, *gossip.Proof:
			line("publish #%d %s", m.Seq, scalarText(m.Body))
		}
	}
	for _, e := range b.Send {
		switch d := e.Msg.Body.(type) {
		case *gossip.Known, *gossip.Fetch, *gossip.Snapshot, *gossip.Challenge, *gossip.Basis:
			line("send %s %s", name(e.To), scalarText(d))
		case *gossip.Digest:
			line("send %s digest %s reply=%v", name(e.To), marks(d.Known), d.Reply)
		case *gossip.Request:
			line("ask %s for %s since #%d", name(e.To), parts[d.Part], d.Since)
		case *gossip.Repair:
			if delta, ok := e.Forward[0].Body.(*gossip.Delta); ok {
				line("send %s %s", name(e.To), deltaText(e.Forward, delta))
				continue
			}
			var f []string
			for _, m := range e.Forward {
				f = append(f, fmt.Sprintf("%s#%d", name(m.Author), m.Seq))
			}
			if e.To == (PeerID{}) {
				u := e.Forward[0].Body.(*gossip.Update)
				line("send anybody %v round=%d age=%d degree=%d loss=%g mixed=%s refused=%s", f, u.Round, u.Age, u.Degree, u.Loss,
					marks(u.Mixed), refusalText(u.Refused))
				continue
			}
			if len(f) > 0 {
				line("send %s repair %v", name(e.To), f)
			}
		}
	}
	for _, j := range b.Fetch {
		line("fetch %s into v%d", name(j.Author), j.Out)
	}
	for _, j := range b.Train {
		if j.Steps == 0 {
			line("train v%d v%d an epoch from step %d into v%d v%d", j.Params, j.Opt, j.Step, j.Out, j.OutOpt)
			continue
		}
		shift := ""
		if j.Shift != 0 {
			shift = fmt.Sprintf(" along v%d", j.Shift)
		}
		line("train v%d v%d%s steps %d..%d into v%d v%d", j.Params, j.Opt, shift, j.Step, j.Step+j.Steps-1, j.Out, j.OutOpt)
	}
	for _, j := range b.Mix {
		var in []string
		if j.Rule != "" {
			in = append(in, fmt.Sprintf("own v%d age %d", j.Own.Vec, j.Own.Age))
		}
		for _, i := range j.In {
			in = append(in, fmt.Sprintf("%s v%d age %d", name(i.Peer), i.Vec, i.Age))
		}
		for _, t := range j.Terms {
			in = append(in, fmt.Sprintf("%+.4g v%d", t.Coef, t.Vec))
		}
		for _, s := range j.Spans {
			in = append(in, spanText(s))
		}
		line("mix %s [%s] into v%d", j.Rule, strings.Join(in, ", "), j.Out)
	}
	for _, j := range b.Encode {
		line("encode v%d%s", j.Vec, piecesText(j))
	}
	for _, a := range b.Apply {
		line("apply %+d to direction %d of pool %d", a.By, a.K, a.Generation)
	}
	for _, j := range b.Probe {
		line("probe record %d of epoch %d: direction %d of pool %d, minibatch %d", j.Place.Seq, j.Place.Epoch, j.Place.K, j.Place.Generation, j.Step)
	}
	for _, j := range b.Check {
		line("check record %d of %s: direction %d of pool %d, on sums %.4x", j.Probe.Place.Seq, tagName(j.Probe.Tag), j.Probe.Place.K,
			j.Probe.Place.Generation, scalar.DigestSums(j.Sums))
	}
	for _, j := range b.Evaluate {
		line("evaluate v%d", j.Params)
	}
	for _, j := range b.Save {
		line("save round=%d age=%d step=%d v%d v%d%s", j.State.Round, j.State.Age, j.State.Step, j.State.Params, j.State.Opt, kept(j.State))
		if len(j.State.Numbers) > 0 {
			line("  with numbers %s", numbersText(j.State.Numbers))
		}
	}
	if len(b.Release) > 0 {
		line("release %v", slices.Sorted(slices.Values(b.Release)))
	}
	for _, m := range b.Score {
		line("score %s %g: %s", name(m.Peer), m.Score, m.Why)
	}
	for _, st := range b.Observe {
		who := ""
		if st.Peer != (PeerID{}) {
			who = " " + name(st.Peer)
		}
		v := strconv.FormatFloat(st.Value, 'g', 6, 64)
		if math.IsNaN(st.Value) {
			v = "NaN"
		}
		line("note %s%s round=%d %s %s", st.Kind, who, st.Round, v, st.Text)
	}
	if b.Done {
		line("done")
	}
	return strings.ReplaceAll(o.String(), " \n", "\n")
}

func marks(ms []gossip.Mark) string {
	var s []string
	for _, m := range ms {
		s = append(s, fmt.Sprintf("%s#%d", name(m.Author), m.Seq))
	}
	return "[" + strings.Join(s, " ") + "]"
}

func refusalText(rs []gossip.Refusal) string {
	var s []string
	for _, r := range rs {
		s = append(s, fmt.Sprintf("%s#%d:%s", name(r.Author), r.Seq, r.Why))
	}
	return "[" + strings.Join(s, " ") + "]"
}

func links(u *gossip.Update) string {
	if u.LinkEpoch == 0 {
		return ""
	}
	var to []string
	for _, id := range u.To {
		to = append(to, name(id))
	}
	return fmt.Sprintf(" weight=%.4g epoch=%d to=%v", u.Weight, u.LinkEpoch, to)
}
