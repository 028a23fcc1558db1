package scalar

import (
	"fmt"
	"sort"
)

// A Message of range reconciliation is what one side says about parts of its set (spec 04, 4.10). Parts are in order and do not overlap.
type Message []Part

// A Part is about the records from a key to another, the other excluded.
type Part struct {
	From, To Key
	Kind     PartKind
	Count    uint64 // of a fingerprint: records in the part
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
)

// lastKey is beyond all records.
var lastKey = Key{1<<64 - 1, 1<<64 - 1}

const (
	fanout   = 16 // parts into which a part is split
	leafSize = 32 // records of a part that is not split
	maxParts = 1024
)

// Reply is the answer to a message: what to send, and which records the other side misses, to be sent as the signed batches that have
// them.
type Reply struct {
	Message Message // empty if nothing is left to say
	Give    []Range
	// Differing are ranges in which both sides have the same records by number, and not by content: somebody equivocates. Each should
	// show the other its signed batches.
	Differing []Range
}

// Begin is the first message of a reconciliation: one fingerprint of everything. The set must be [Set.Whole].
func (s *Set) Begin() Message {
	n, sum := s.Fingerprint()
	return Message{{To: lastKey, Count: n, Sum: sum}}
}

// Reconcile answers a message of another replica. The two take turns until an answer has no message; records that were given may
// be inserted at any time. It refuses messages out of order, and sets that are not [Set.Whole], for which vectors must do.
//
// A message has at most 1024 parts: what would need more is left for the next time. Where at most 32 records of a part are known
// the answer is the ends of their logs, and otherwise 16 parts.
func (s *Set) Reconcile(m Message) (Reply, error) {
	var out Reply
	if !s.Whole() {
		return out, fmt.Errorf("reconcile: %w", ErrForgotten)
	}
	if err := m.valid(); err != nil {
		return out, err
	}
	for _, p := range m {
		switch {
		case p.Kind == Ask:
			out.Give = append(out.Give, p.missing(p.Ends, s.ends(p))...)
		case len(out.Message)+fanout > maxParts:
		case p.Kind == Print:
			s.answerPrint(p, &out)
		default:
			s.answerEnds(p, &out)
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
		if p.From.less(last) || !p.From.less(p.To) || p.Kind > Ask {
			return fmt.Errorf("reconcile: part %d is out of order", i)
		}
		if !p.Ends.ordered() || len(p.Ends) > leafSize {
			return fmt.Errorf("reconcile: the ends of part %d are out of order, or more than %d", i, leafSize)
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

func (s *Set) print(from, to Key) Part {
	a, b := s.under(from), s.under(to)
	return Part{From: from, To: to, Count: b.count - a.count, Sum: b.sum.Sub(a.sum)}
}

func (s *Set) answerPrint(p Part, out *Reply) {
	own := s.print(p.From, p.To)
	switch {
	case own.Count == p.Count && own.Sum == p.Sum:
	case own.Count <= leafSize:
		out.Message = append(out.Message, Part{From: p.From, To: p.To, Kind: Ends, Ends: s.ends(p)})
	default:
		first, from := s.under(p.From).count, p.From
		for i := range uint64(fanout) {
			to := p.To
			if i < fanout-1 {
				to = s.place(first + own.Count*(i+1)/fanout)
			}
			out.Message = append(out.Message, s.print(from, to))
			from = to
		}
	}
}

// ends lists where the logs of the part end.
func (s *Set) ends(p Part) Vector {
	var out Vector
	i := sort.Search(len(s.logs), func(i int) bool { return s.logs[i].peer >= p.From.Peer })
	for ; i < len(s.logs) && s.logs[i].peer <= p.To.Peer; i++ {
		first, end := p.slice(s.logs[i].peer)
		if next := min(end, s.logs[i].next()); next > first {
			out = append(out, Entry{s.logs[i].peer, next})
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
	if len(give)+len(miss) == 0 {
		for _, e := range own {
			first, _ := p.slice(e.Peer)
			out.Differing = append(out.Differing, Range{e.Peer, first, e.Next})
		}
	}
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
