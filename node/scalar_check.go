package node

import (
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// checks are how the nodes of a run on public data find out who makes records up. They are off unless [ScalarConfig.CheckShare] says so.
//
// With checks on, nobody has anything to choose about a record: its place in the log decides about the direction, the examples (drawn from
// all of the run's data, see [ProbeJob]) and the rounding ([scalar.Uniform]). What is left is the model that the slope was measured
// on, which is the sum of the records that the author knew. A batch commits to these sets, with 16 bytes for all its records
// ([gossip.Commit]).
//
// A node picks records of others at random, of its own stream, when they come. It asks the author, if that is connected, for the version
// vector of the record's set, looks whether that is what the batch commits to, takes the records beyond the vector out of its sums,
// and has its driver measure the slope again. The arithmetic of this project gives the same bits on all machines, so the bytes are equal;
// a byte that is one step of the code away passes, too, for builds that round otherwise somewhere. More than that is a wrong record:
// its author loses a third of its way to a ban, and others are told, who believe nothing but may measure it again.
// A node that tells of a record that is right loses trust itself. Records count whatever their author's score: all nodes must have
// the same set, so checks cut nobody's records off. They have honest nodes stop to hear of the liar.
//
// Who does not answer, after several repetitions, again and again, or says to have measured on records that come to nobody, loses trust
// slowly. Times come from how long answers take. Who cannot check, since it lacks records of the set itself or has them as a part of a sum
// alone, gives no verdict.
//
// Not found are: records that their author measures rightly on an old set, or that are one step off; a few lies among many records, about
// which the author keeps silent; and records of authors that nobody who is honest is connected to. A node that took a snapshot that is not true, which nobody could confirm, makes wrong
// records itself.
//
// A check costs what a record does, two passes forward, and one pass over the weights on each side; a node makes one at a time and at
// least one record of its own between two, and asks nobody more often than 128 times between exchanges: the share is what it checks at
// the most. At a share p among n nodes each record is measured p·(n-1) times again, so that 1/n doubles the
// arithmetic. On the wire a check takes some 250 bytes, 8 for each record of the batch and up to 19 for each node with records.
type checks struct {
	on     bool
	trail  trail         // of the own records
	basis  scalar.Vector // of the probe under way
	rested bool          // a record of the own was made since the last check began

	asked   []question
	waiting []suspect
	job     JobID   // under way if it is not 0
	suspect suspect // that it measures
	answer  Instant // how long an answer takes, smoothed; 0 before the first

	conducts map[uint64]*conduct // by tag
	counts   CheckStatus

	asking, answering quota
}

// CheckStatus counts what became of checks.
type CheckStatus struct {
	Asked      uint64 // records of others that were picked
	Right      uint64 // of these and of those that others told of, that this node has measured, too
	Wrong      uint64
	Unanswered uint64
	Unable     uint64 // this node lacks what it takes
}

// A conduct is what the checks of one author's records came to.
type conduct struct {
	right, wrong, unanswered uint64
	told                     int // wrong records that others were told of
}

// A question waits for the author's answer.
type question struct {
	author   PeerID
	tag, seq uint64
	sent     Instant
	due      Instant // when it is asked again
	tries    int
}

// A suspect is a record that waits to be measured again.
type suspect struct {
	author  PeerID
	accuser PeerID // zeros if this node has picked it
	basis   *gossip.Basis
	on      scalar.Vector
	epoch   uint32
	byte    byte
	until   Instant // it has to be possible by then
}

const (
	// checkTolerance is how many steps of the code a record may be off.
	checkTolerance = 1
	// Of an author's newest records so many are picked from: it keeps four times as many bases.
	checkWindow = maxTrailRecords / 4

	maxAsked   = 8 // questions and suspects at a time
	maxPerPeer = 2 // of these, questions to one author, and accusations by one peer

	askTries    = 4 // how often a question is asked
	silentLeast = 3 // of an author that were not answered: if there are more, and one for each four records that are right, each costs trust
	silentShare = 4
	maxWarnings = 2 // wrong records of one author that others are told of, and to how many
	toldTo      = 3

	scoreWrong  = -150 // the third wrong record bans from all but the set
	scoreSilent = -10
	scoreFalse  = -20 // an accusation that does not hold
)

// A quota bounds what a peer can ask for in an interval.
type quota struct {
	since Instant
	used  map[PeerID]int
}

// quotaOf is how many challenges a peer gets answers to in an interval between exchanges; it asks half as many at the most.
const quotaOf = 256

func (q *quota) take(now, interval Instant, id PeerID, most int) bool {
	if q.used == nil || now-q.since >= interval {
		q.since, q.used = now, make(map[PeerID]int)
	}
	q.used[id]++
	return q.used[id] <= most
}

func (k *checks) admit(now, interval Instant, from PeerID) bool {
	return k.answering.take(now, interval, from, quotaOf)
}

// of is the conduct of an author, made anew if it has to be.
func (k *checks) of(tag uint64) *conduct {
	if k.conducts == nil {
		k.conducts = make(map[uint64]*conduct)
	}
	if k.conducts[tag] == nil {
		k.conducts[tag] = &conduct{}
	}
	return k.conducts[tag]
}

// pick decides which of the records that are new the author is asked about.
func (s *scalarMethod) pick(c *Core, m *member, tag uint64, added []scalar.Run) {
	k := &s.checks
	if !k.on || !m.up || m.banned.Load() || c.mode != running {
		return
	}
	newest := s.replica.Set().Next(tag)
	var picked []uint64
	for _, run := range added {
		for seq := max(run.First, newest-min(newest, checkWindow)); seq < run.End(); seq++ {
			if c.cfg.Rand.Float64() < s.cfg.CheckShare {
				picked = append(picked, seq)
			}
		}
	}
	// If they are more than one can do, which ones are checked must not depend on where they stand.
	c.cfg.Rand.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	for _, seq := range picked {
		mine := 0
		for _, q := range k.asked {
			if q.author == m.id {
				mine++
			}
		}
		if len(k.asked)+len(k.waiting) >= maxAsked || mine >= maxPerPeer || !k.asking.take(c.now, s.cfg.ExchangeEvery, m.id, quotaOf/2) {
			return
		}
		k.counts.Asked++
		q := question{author: m.id, tag: tag, seq: seq, sent: c.now, tries: 1}
		q.due = c.now + s.answerTime(q)
		k.asked = append(k.asked, q)
		c.send(m.id, &gossip.Challenge{Tag: tag, Seq: seq}, nil)
	}
}

// answerTime is how long an answer is waited for.
func (s *scalarMethod) answerTime(q question) Instant {
	wait := s.cfg.ExchangeEvery
	if s.checks.answer > 0 {
		wait = max(4*s.checks.answer, s.cfg.ExchangeEvery/8)
	}
	return wait << (q.tries - 1)
}

// remind asks again what was not answered, and gives up what was not often enough.
func (s *scalarMethod) remind(c *Core) {
	k := &s.checks
	var given []question
	k.asked = slices.DeleteFunc(k.asked, func(q question) bool {
		m := c.roster.find(q.author)
		gone := m == nil || !m.up || m.banned.Load()
		late := c.now >= q.due && q.tries == askTries
		if late && !gone {
			given = append(given, q)
		}
		return gone || late
	})
	for i := range k.asked {
		if q := &k.asked[i]; c.now >= q.due {
			q.tries++
			q.due = c.now + s.answerTime(*q)
			c.send(q.author, &gossip.Challenge{Tag: q.tag, Seq: q.seq}, nil)
		}
	}
	for _, q := range given {
		s.unanswered(c, q)
	}
}

// unanswered takes note of a question that got no answer, or none that is one.
func (s *scalarMethod) unanswered(c *Core, q question) {
	k := s.checks.of(q.tag)
	s.checks.counts.Unanswered++
	k.unanswered++
	c.observe(Stat{Kind: StatUnanswered, Peer: q.author, Value: float64(q.seq)})
	if m := c.roster.find(q.author); m != nil && k.unanswered >= silentLeast && silentShare*k.unanswered > k.right {
		c.mark(m, scoreSilent, "does not say what its records were measured on")
	}
}

// due is when something has to be done about checks; 0 is never.
func (k *checks) due() (at Instant) {
	for _, q := range k.asked {
		if at == 0 || q.due < at {
			at = q.due
		}
	}
	for _, w := range k.waiting {
		if at == 0 || w.until < at {
			at = w.until
		}
	}
	return at
}
