package node

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"starling/gossip"
	"starling/mixing/outer"
)

// outerConfig is that of a node with an outer optimizer, whose vectors have 4 floats, and whose codec loses something.
func outerConfig(spec string, steps uint64) Config {
	cfg := testConfig(peer("A"))
	settings, err := outer.Parse(spec)
	if err != nil {
		panic(err)
	}
	cfg.Method, cfg.Codec, cfg.Feedback = "outer", "int8", true
	cfg.Outer = OuterConfig{Settings: settings, Steps: steps, Degree: 4, SaveEvery: 1}
	for i := range settings.Fragments {
		if n := settings.Fragments; n > 1 {
			cfg.Outer.Fragments = append(cfg.Outer.Fragments, outer.Range{From: 4 * i / n, To: 4 * (i + 1) / n})
		}
	}
	return cfg
}

func (s *script) outerNode(args map[string]string, num func(string, float64) float64) string {
	cfg := outerConfig(args["outer"], uint64(num("steps", 10)))
	from := State{Round: uint64(num("round", 0)), Age: uint64(num("age", 0)), Step: uint64(num("step", 0)), Params: 1, Opt: 2}
	cfg.Seq = uint64(num("seq", 0))
	if v := args["vectors"]; v != "" {
		for i, n := range strings.Split(v, ",") {
			from.Vectors = append(from.Vectors, NamedVector{Name: n, Vec: VecRef(3 + i), Len: 4})
		}
	}
	if v := args["numbers"]; v != "" {
		for _, n := range strings.Split(v, ",") {
			x, err := strconv.ParseUint(n, 10, 64)
			if err != nil {
				return fmt.Sprintf("error: %v\n", err)
			}
			from.Numbers = append(from.Numbers, x)
		}
	}
	core, err := New(cfg, from)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	s.core, s.now, s.jobs, s.outer, s.pulls = core, 0, make(map[string]JobID), true, make(map[string][]JobID)
	return ""
}

// standing is where the node of the script stands; zero if the variant has no turns.
func (s *script) standing() standing {
	if t, ok := s.core.method.(*outerMethod).variant.(*together); ok {
		return t.at
	}
	return standing{}
}

// delta makes what another member announces. It stands where the node does, unless the script says otherwise.
func (s *script) delta(kind string, args map[string]string, num func(string, float64) float64) *gossip.Delta {
	o := s.core.method.(*outerMethod)
	at := s.standing()
	d := &gossip.Delta{
		Round: uint64(num("turn", float64(max(1, at.turn)))), Base: at.lineage, Version: at.parent, Steps: uint64(num("steps", 10)),
		Age: uint64(num("age", 0)), Speed: 1, Codec: "int8", Len: 4, Fragment: uint32(num("shard", 0)),
	}
	for key, to := range map[string]*uint64{"base": &d.Base, "version": &d.Version} {
		if args[key] != "" {
			*to = uint64(num(key, 0))
		}
	}
	if m := args["mixed"]; m != "" {
		for _, x := range strings.Split(m, ",") {
			who, seq, _ := strings.Cut(x, "#")
			n, _ := strconv.ParseUint(seq, 10, 64)
			d.Mixed = append(d.Mixed, gossip.Mark{Author: peer(who), Seq: n})
		}
	}
	if to := args["to"]; to != "" {
		d.To = append(d.To, peer(to))
	}
	pieces := 1
	switch t, _ := o.variant.(*together); kind {
	case "gradient":
		d.Part = gossip.PartGradient
		if t != nil {
			d.Fragment = uint32(t.fragment(d.Round))
			f := o.cfg.Fragments[d.Fragment]
			d.Len, pieces = uint32(f.To-f.From), o.cfg.Shards
		}
	case "mean":
		d.Part = gossip.PartMean
		r := t.shard(int(d.Fragment)/o.cfg.Shards, int(d.Fragment)%o.cfg.Shards)
		d.Len = uint32(r.To - r.From)
	case "anchor":
		d.Part, d.Codec = gossip.PartAnchor, PlainCodec
	case "state":
		d.Part, d.Codec, d.Len = gossip.PartState, PlainCodec, uint32(o.stateLen())
	}
	for range pieces {
		d.Pieces = append(d.Pieces, s.piece())
	}
	return d
}

func (s *script) piece() gossip.Piece {
	s.blobs++
	p := gossip.Piece{Size: 2}
	binary.BigEndian.PutUint64(p.Blob[:], uint64(s.blobs))
	return p
}

// outerFetched ends the oldest pull from an author, or with "all" every one.
func (s *script) outerFetched(from string, args map[string]string, num func(string, float64) float64) string {
	who, all := strings.CutSuffix(from, "*")
	errs := map[string]FetchError{"": FetchOK, "unavailable": FetchUnavailable, "corrupt": FetchCorrupt}
	var out strings.Builder
	for range len(s.pulls[who]) {
		job := s.pulls[who][0]
		s.pulls[who] = s.pulls[who][1:]
		out.WriteString(s.step(Fetched{Job: job, Err: errs[args["err"]], Norm: num("norm", 1)}))
		if !all {
			break
		}
	}
	return out.String()
}

// goOn ends the mixing and encoding that a batch asks for, and that comes of it.
func (s *script) goOn(b *Batch) string {
	var ends []Event
	for _, j := range b.Mix {
		ends = append(ends, Mixed{Job: j.Job})
	}
	for _, j := range b.Encode {
		ev := Encoded{Job: j.Job, Norm: 1}
		for range j.Lens {
			ev.Pieces = append(ev.Pieces, s.piece())
		}
		ends = append(ends, ev)
	}
	text := describe(b)
	for _, ev := range ends {
		text += s.step(ev)
	}
	return text
}

func outerText(d *gossip.Delta) string {
	text := fmt.Sprintf("%s %d round=%d base=%04x steps=%d age=%d mixed=%s refused=%s %d pieces", parts[d.Part], d.Fragment, d.Round, d.Base&0xffff, d.Steps, d.Age,
		marks(d.Mixed), refusalText(d.Refused), len(d.Pieces))
	for _, id := range d.To {
		text += " to " + name(id)
	}
	return text
}

func lostText(j EncodeJob) string {
	if j.Lost == 0 {
		return ""
	}
	return fmt.Sprintf(" lost is v%d", j.Lost)
}

func numbersText(numbers []uint64) string {
	text := ""
	for _, n := range numbers {
		text += fmt.Sprintf("%04x ", n&0xffff)
	}
	return text
}
