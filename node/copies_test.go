package node

import (
	"fmt"
	"strings"

	"starling/gossip"
)

// copiesCommand are the commands of transcripts about the exchange copies.
func (s *script) copiesCommand(cmd, word string, names []string, num func(string, float64) float64) string {
	seq := uint64(num("seq", 1))
	d := &gossip.Delta{
		Round: uint64(num("round", 1)), Age: 10, Base: uint64(num("base", 0)), Degree: uint32(num("degree", 1)), Rate: float32(num("rate", 0.5)),
		To: []PeerID{s.core.cfg.Self}, Codec: "fp32", Len: 4, Pieces: []gossip.Piece{{Inline: []byte("xx"), Size: 2}},
	}
	if mark := uint64(num("mark", 0)); mark > 0 {
		d.Mixed = []gossip.Mark{{Author: s.core.cfg.Self, Seq: mark}}
	}
	for range int(num("pieces", 1)) - 1 {
		d.Pieces, d.Len = append(d.Pieces, d.Pieces[0]), d.Len+4
	}
	switch word {
	case "difference":
		d.Part = gossip.PartDifference
		return s.receive(names[0], seq, d)
	case "whole":
		d.Part = gossip.PartCopy
		return s.receive(names[0], seq, d)
	case "asks":
		r := &gossip.Request{Part: gossip.PartDifference, Since: uint64(num("since", 0))}
		if names[1] == "whole" {
			r.Part = gossip.PartCopy
		}
		return s.step(Received{From: peer(names[0]), Msg: &gossip.Message{Author: peer(names[0]), Body: r}})
	case "pieces":
		ev := Encoded{Job: s.jobs["encode"], Norm: num("norm", 1)}
		for range int(num("count", 1)) {
			ev.Pieces = append(ev.Pieces, gossip.Piece{Inline: []byte("xx"), Size: 2})
		}
		return s.step(ev)
	case "all":
		// Everything that is under way and quick ends, and what follows from it.
		var out strings.Builder
		for len(s.mixes)+len(s.fetches) > 0 {
			if len(s.fetches) > 0 {
				j := s.fetches[0]
				s.fetches = s.fetches[1:]
				out.WriteString(s.step(Fetched{Job: j}))
				continue
			}
			j := s.mixes[0]
			s.mixes = s.mixes[1:]
			out.WriteString(s.step(Mixed{Job: j}))
		}
		return out.String()
	}
	s.t.Fatalf("unknown command %q", cmd)
	return ""
}

var parts = map[gossip.Part]string{
	gossip.PartDifference: "difference", gossip.PartCopy: "whole copies", gossip.PartGradient: "gradient", gossip.PartMean: "mean",
	gossip.PartAnchor: "anchor", gossip.PartState: "state",
}

func deltaText(messages []*gossip.Message, d *gossip.Delta) string {
	if d.Part != gossip.PartDifference && d.Part != gossip.PartCopy {
		return fmt.Sprintf("#%d %s", messages[0].Seq, outerText(d))
	}
	var more strings.Builder
	for _, m := range messages[1:] {
		fmt.Fprintf(&more, " and #%d", m.Seq)
	}
	var to []string
	for _, id := range d.To {
		to = append(to, name(id))
	}
	return fmt.Sprintf("#%d %s round=%d base=#%d degree=%d rate=%g to=%v mixed=%s %d pieces of %s%s", messages[0].Seq, parts[d.Part], d.Round, d.Base,
		d.Degree, d.Rate, to, marks(d.Mixed), len(d.Pieces), d.Codec, more.String())
}

func spanText(s Span) string {
	var in []string
	for _, t := range s.Terms {
		from := ""
		if t.At > 0 {
			from = fmt.Sprintf("[%d:]", t.At)
		}
		in = append(in, fmt.Sprintf("%+.4g v%d%s", t.Coef, t.Vec, from))
	}
	if len(in) == 0 {
		in = []string{"zeros"}
	}
	return fmt.Sprintf("%d: %s", s.Len, strings.Join(in, " "))
}

func piecesText(j EncodeJob) string {
	if j.Lens == nil {
		return ""
	}
	plain := ""
	if j.Plain {
		plain = " plain"
	}
	return fmt.Sprintf(" in %v%s, sent is v%d%s", j.Lens, plain, j.Sent, lostText(j))
}

func kept(s State) string {
	var out []string
	for _, v := range s.Vectors {
		out = append(out, fmt.Sprintf(" %s=v%d", v.Name, v.Vec))
	}
	return strings.Join(out, "")
}
