package scalar

import (
	"fmt"
	"slices"
	"sort"
)

// A Message of range reconciliation is what one side says about parts of its set (spec 04, 4.10). Parts are in order and do not overlap.
type Message []Part

// A Part is about the records from a key to another, the other excluded.
type Part struct {
	From, To Key
	Kind     PartKind
	Count    uint64 // of a fingerprint, Print or Deep: records in the part
	Sum      Sum    // and the sum of their hashes
	Ends     Vector // otherwise: where logs end in the part, see [Ends] and [Ask]
}

// A PartKind says what is told of a part.
type PartKind uint8

// The kinds of parts.
const (
	Print PartKind = iota // a fingerprint: answer if yours is different
	Ends                  // the ends of all logs that have records in the part: give what is missing, and ask for what you miss
	Ask                   // the ends of some logs: give what comes after them in the part
	Deep                  // a fingerprint where all ends are equal: look for the record that differs
)

// lastKey is beyond all records.
var lastKey = Key{1<<64 - 1, 1<<64 - 1}

const (
	fanout   = 16 // parts into which a part is split
	leafLogs = 16 // logs in a part that is not split
	leafSize = 32 // records of a deep part that is not split
	maxParts = 1024
)

// Reply is the answer to a message: what to send, and which records the other side misses, to be sent as the signed batches that have
// them.
type Reply struct {
	Message Message // empty if nothing is left to say
	Give    []Range
	// Differing are ranges in which most likely both sides have the same records by number, and not by content: somebody equivocates. Show the
	// other side the signed batches.
	Differing []Range
}

// Begin is the first message of a reconciliation: one fingerprint of everything.
func (s *Set) Begin() Message {
	n, sum := s.Fingerprint()
	return Message{{To: lastKey, Count: n, Sum: sum}}
}

// MaxMessages is more than two honest replicas exchange until one has no more to say: one for each time that logs, and then records,
// are split in 16, and a few. Whoever goes on after that plays for time.
const MaxMessages = 64

// Reconcile answers a message of another replica. The two take turns until an answer has no message; records that were given may
// be inserted at any time. Ranges to give may begin with records that the set knows by their sum alone: then it cannot give them, and
// somebody else must. It refuses messages that no replica sends.
//
// Logs have no gaps, so sets differ in the ends of logs: a part is split by logs, and where it has at most 16 of them their ends are
// told. Only if those are equal, and the fingerprint is not, is it split by records. A message has at most 1024 parts: what would
// need more is left for the next time.
func (s *Set) Reconcile(m Message) (Reply, error) {
	var out Reply
	if err := m.valid(); err != nil {
		return out, err
	}
	for _, p := range m {
		switch {
		case p.Kind == Ask:
			out.Give = append(out.Give, s.asked(p)...)
		case len(out.Message)+fanout > maxParts:
		case p.Kind == Ends:
			s.answerEnds(p, &out)
		default:
			s.answerPrint(p, &out)
		}
	}
	return out, nil
}

func (k Key) less(o Key) bool { return k.Peer < o.Peer || k.Peer == o.Peer && k.Seq < o.Seq }

// valid refuses messages that no replica sends.
func (m Message) valid() error {
	if len(m) > maxParts {
		return fmt.Errorf("reconcile: %d parts: want at most %d", len(m), maxParts)
	}
	last := Key{}
	for i, p := range m {
		if p.From.less(last) || !p.From.less(p.To) || p.Kind > Deep {
			return fmt.Errorf("reconcile: part %d is out of order", i)
		}
		if !p.Ends.ordered() || len(p.Ends) > leafLogs {
			return fmt.Errorf("reconcile: the ends of part %d are out of order, or more than %d", i, leafLogs)
		}
		for _, e := range p.Ends {
			if first, end := p.slice(e.Peer); e.Next < first || e.Next > end || p.Kind == Ends && e.Next == first {
				return fmt.Errorf("reconcile: part %d cannot end at record %d of peer %016x", i, e.Next, e.Peer)
			}
		}
		last = p.To
	}
	return nil
}

// slice is the part's sequence numbers of a peer: none if both are equal.
func (p Part) slice(peer uint64) (first, end uint64) {
	if peer < p.From.Peer || peer > p.To.Peer {
		return 0, 0
	}
	if end = 1<<64 - 1; peer == p.To.Peer {
		end = p.To.Seq
	}
	if peer == p.From.Peer {
		first = p.From.Seq
	}
	return first, max(first, end)
}

func (s *Set) print(kind PartKind, from, to Key) Part {
	a, b := s.under(from), s.under(to)
	return Part{From: from, To: to, Kind: kind, Count: b.count - a.count, Sum: b.sum.Sub(a.sum)}
}

func (s *Set) answerPrint(p Part, out *Reply) {
	if s.cuts(p.From) || s.cuts(p.To) {
		s.differ(p, out) // all that can be said
		return
	}
	own := s.print(p.Kind, p.From, p.To)
	if own.Count == p.Count && own.Sum == p.Sum {
		return
	}
	if p.Kind == Deep {
		s.deepen(own, out)
		return
	}
	ends := s.ends(p)
	if len(ends) <= leafLogs {
		out.Message = append(out.Message, Part{From: p.From, To: p.To, Kind: Ends, Ends: ends})
		return
	}
	s.split(p, out, func(i int) Key { return Key{Peer: ends[len(ends)*i/fanout].Peer} })
}

// split answers with the fingerprints of 16 parts; border says where part i begins, from 1 on.
func (s *Set) split(p Part, out *Reply, border func(i int) Key) {
	from := p.From
	for i := range fanout {
		to := p.To
		if i < fanout-1 {
			to = border(i + 1)
		}
		out.Message = append(out.Message, s.print(p.Kind, from, to))
		from = to
	}
}

// deepen narrows a part down in which records differ by content alone.
func (s *Set) deepen(own Part, out *Reply) {
	partly := slices.ContainsFunc(s.within(own), func(l *log) bool { return l.from > 0 })
	if own.Count > leafSize && !partly {
		first := s.under(own.From).count
		s.split(own, out, func(i int) Key { return s.place(first + own.Count*uint64(i)/fanout) })
		return
	}
	s.differ(own, out)
}

// differ tells of a part that nobody need look into further.
func (s *Set) differ(p Part, out *Reply) {
	for _, e := range s.ends(p) {
		first, _ := p.slice(e.Peer)
		out.Differing = append(out.Differing, Range{e.Peer, first, e.Next})
	}
}

// within is the logs that may have records in the part.
func (s *Set) within(p Part) []*log {
	first := sort.Search(len(s.logs), func(i int) bool { return s.logs[i].peer >= p.From.Peer })
	end := sort.Search(len(s.logs), func(i int) bool { return s.logs[i].peer > p.To.Peer })
	return s.logs[first:end]
}

// ends lists where the logs of the part end.
func (s *Set) ends(p Part) Vector {
	var out Vector
	for _, l := range s.within(p) {
		first, end := p.slice(l.peer)
		if next := min(end, l.next()); next > first {
			out = append(out, Entry{l.peer, next})
		}
	}
	return out
}

func (s *Set) answerEnds(p Part, out *Reply) {
	own := s.ends(p)
	give, miss := p.missing(p.Ends, own), p.missing(own, p.Ends)
	out.Give = append(out.Give, give...)
	if len(miss) > 0 {
		ask := Part{From: p.From, To: p.To, Kind: Ask}
		for _, r := range miss {
			ask.Ends = append(ask.Ends, Entry{r.Peer, r.First})
		}
		out.Message = append(out.Message, ask)
	}
	switch {
	case len(give)+len(miss) > 0 || len(own) == 0:
	case s.cuts(p.From) || s.cuts(p.To):
		s.differ(p, out)
	default:
		out.Message = append(out.Message, s.print(Deep, p.From, p.To))
	}
}

// asked lists what comes after the ends that an Ask lists.
func (s *Set) asked(p Part) []Range {
	var out []Range
	for _, e := range p.Ends {
		if _, end := p.slice(e.Peer); min(end, s.Next(e.Peer)) > e.Next {
			out = append(out, Range{e.Peer, e.Next, min(end, s.Next(e.Peer))})
		}
	}
	return out
}

// missing lists what one side lacks of the other's records in the part, given its ends there.
func (p Part) missing(have, want Vector) []Range {
	out := have.Missing(want)
	for i := range out {
		first, _ := p.slice(out[i].Peer)
		out[i].First = max(out[i].First, first)
	}
	return out
}
