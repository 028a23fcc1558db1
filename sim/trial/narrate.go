package trial

import (
	"fmt"
	"strings"

	"starling/gossip"
	"starling/node"
	"starling/sim"
)

// Narrate says in a line what came to a node and what it asked for.
func Narrate(w *sim.World, n int, now node.Instant, ev node.Event, b *node.Batch) string {
	t := teller{w}
	line := fmt.Sprintf("%12.6f s  node %-5d %s", now.Seconds(), n, t.event(ev))
	if does := t.batch(b); len(does) > 0 {
		line += " → " + strings.Join(does, ", ")
	}
	return line
}

// teller knows nodes by their numbers.
type teller struct{ w *sim.World }

func (t teller) name(id node.PeerID) string {
	if n, ok := t.w.Number(id); ok {
		return fmt.Sprint(n)
	}
	return id.Short()
}

func (t teller) event(ev node.Event) string {
	switch ev := ev.(type) {
	case node.Tick:
		return "wakes"
	case node.Received:
		from := ""
		if ev.From != ev.Msg.Author {
			from = " through " + t.name(ev.From)
		}
		return "hears " + t.message(ev.Msg) + from
	case node.PeerUp:
		return "meets " + t.name(ev.Peer)
	case node.PeerDown:
		return "loses " + t.name(ev.Peer)
	case node.Fetched:
		return "has fetched" + [...]string{"", ": unavailable", ": corrupt", ": cancelled"}[ev.Err]
	case node.Trained:
		return fmt.Sprintf("has trained: loss %.4g on %d examples", ev.Loss, ev.Samples)
	case node.Encoded:
		n := ev.Payload.Size
		for _, p := range ev.Pieces {
			n += p.Size
		}
		return fmt.Sprintf("has encoded %d bytes", n)
	case node.Mixed:
		if ev.Report.Rejected != "" {
			return "has not mixed: " + ev.Report.Rejected
		}
		return "has mixed"
	case node.Probed:
		return fmt.Sprintf("has measured a slope of %.4g: loss %.4g on %d examples", ev.Slope, ev.Loss, ev.Samples)
	case node.Checked:
		return fmt.Sprintf("has measured somebody's record again: a slope of %.4g", ev.Slope)
	case node.Evaluated:
		return fmt.Sprintf("has evaluated: accuracy %.4f", ev.Accuracy)
	case node.Saved:
		return "has saved"
	case node.Epoch:
		return fmt.Sprintf("enters epoch %d", ev.Number)
	case node.Command:
		return "is told to " + [...]string{"", "pause", "resume", "leave"}[ev.Op]
	}
	return fmt.Sprintf("%T", ev)
}

var partNames = map[gossip.Part]string{
	gossip.PartGradient: "pseudo-gradient", gossip.PartMean: "mean", gossip.PartAnchor: "anchor", gossip.PartState: "state",
	gossip.PartDifference: "difference", gossip.PartCopy: "copy",
}

func (t teller) message(m *gossip.Message) string {
	who := t.name(m.Author)
	switch b := m.Body.(type) {
	case *gossip.Update:
		return fmt.Sprintf("update %d of %s (round %d, age %d, loss %.4g)", m.Seq, who, b.Round, b.Age, b.Loss)
	case *gossip.Delta:
		return fmt.Sprintf("%s %d of %s (round %d, fragment %d, %d steps)", partNames[b.Part], m.Seq, who, b.Round, b.Fragment, b.Steps)
	case *gossip.Request:
		return fmt.Sprintf("request of %s for its %s", who, partNames[b.Part])
	case *gossip.Leave:
		return fmt.Sprintf("goodbye of %s", who)
	case *gossip.Digest:
		return fmt.Sprintf("digest of %s (%d known)", who, len(b.Known))
	case *gossip.Records:
		return fmt.Sprintf("records %d to %d of %s (epoch %d)", b.First, b.End()-1, who, b.Epoch)
	case *gossip.Proof:
		author, first, _ := b.Against()
		return fmt.Sprintf("proof of %s that %s equivocates from record %d on", who, t.name(author), first)
	case *gossip.Known:
		return fmt.Sprintf("%s that %s has", known(b), who)
	case *gossip.Fetch:
		return fmt.Sprintf("request of %s for %s", who, wanted(b))
	case *gossip.Snapshot:
		return fmt.Sprintf("%s of %s", snapshot(b), who)
	case *gossip.Challenge:
		return fmt.Sprintf("question of %s about record %d", who, b.Seq)
	case *gossip.Basis:
		return fmt.Sprintf("what %s says record %d was measured on", who, b.Seq)
	}
	return fmt.Sprintf("repair of %s", who)
}

// known says what a peer tells of what it has.
func known(k *gossip.Known) string {
	switch k.Form {
	case gossip.FormDigest:
		return fmt.Sprintf("digest of %d records", k.Count)
	case gossip.FormVector:
		return fmt.Sprintf("list of %d logs", len(k.Places))
	case gossip.FormBans:
		return fmt.Sprintf("list of %d bans", len(k.Places))
	}
	return "fingerprints of ranges"
}

func wanted(f *gossip.Fetch) string {
	switch f.Want {
	case gossip.WantSnapshot:
		return "sums"
	case gossip.WantDigest:
		return "a digest of sums"
	}
	return fmt.Sprintf("%d ranges of records", len(f.Ranges))
}

func snapshot(s *gossip.Snapshot) string {
	if s.Whole {
		return fmt.Sprintf("sums of %d logs", len(s.Tails))
	}
	return "digest of sums"
}

func (t teller) batch(b *node.Batch) (does []string) {
	add := func(format string, args ...any) { does = append(does, fmt.Sprintf(format, args...)) }
	if b.Cell != nil {
		add("joins cell %d", *b.Cell)
	}
	for _, m := range b.Publish {
		add("publishes %s", t.message(m))
	}
	for _, e := range b.Send {
		to := "somebody"
		if e.To != (node.PeerID{}) {
			to = t.name(e.To)
		}
		switch b := e.Msg.Body.(type) {
		case *gossip.Request:
			add("asks %s for its %s", to, partNames[b.Part])
		case *gossip.Known:
			add("sends the %s that it has to %s", known(b), to)
		case *gossip.Fetch:
			add("asks %s for %s", to, wanted(b))
		case *gossip.Snapshot:
			add("sends the %s to %s", snapshot(b), to)
		case *gossip.Challenge:
			add("asks %s about its record %d", to, b.Seq)
		case *gossip.Basis:
			add("tells %s what record %d was measured on%s", to, b.Seq, map[bool]string{true: ", and that it is wrong"}[b.Accuses])
		case *gossip.Repair:
			if len(e.Forward) == 1 {
				add("sends %s to %s", t.message(e.Forward[0]), to)
			} else {
				add("sends %d messages to %s", len(e.Forward), to)
			}
		default:
			add("sends a digest to %s", to)
		}
	}
	for _, j := range b.Fetch {
		add("fetches from %s", t.name(j.Author))
	}
	for _, j := range b.Train {
		if j.Steps == 0 {
			add("trains a pass")
		} else {
			add("trains %d steps", j.Steps)
		}
	}
	if len(b.Probe) > 0 {
		add("probes direction %d for record %d", b.Probe[0].Place.K, b.Probe[0].Place.Seq)
	}
	if len(b.Check) > 0 {
		add("measures record %d of somebody again", b.Check[0].Probe.Place.Seq)
	}
	for _, j := range b.Mix {
		add("mixes %d", max(len(j.In), len(j.Terms)))
	}
	if len(b.Encode) > 0 {
		add("encodes")
	}
	if len(b.Evaluate) > 0 {
		add("evaluates")
	}
	if len(b.Save) > 0 {
		add("saves")
	}
	for _, s := range b.Observe {
		switch {
		case s.Kind == node.StatBanned:
			add("cuts off %s from record %.0f on", t.name(s.Peer), s.Value)
		case s.Kind == node.StatCaughtUp:
			add("takes the sums of %s, %.0f records", t.name(s.Peer), s.Value)
		case s.Text != "":
			add("%s %s: %s", s.Kind, t.name(s.Peer), s.Text)
		}
	}
	if b.Done {
		add("is gone")
	}
	return does
}
