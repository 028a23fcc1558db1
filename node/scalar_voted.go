package node

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"starling/gossip"
	"starling/mixing/scalar"
	"starling/node/agree"
)

// What is durable of closing epochs, beside checkpoints: the node's votes about the open epoch, before anybody sees them, and certificates,
// for the case that all nodes die at once.
const (
	votedKey  = ScalarKey + "voted"
	closedKey = ScalarKey + "won/"
)

// voted is what a node remembers of its votes about an epoch.
type voted struct {
	epoch    uint32
	state    agree.State
	votes    []agree.Vote
	numbers  []uint64 // of the messages
	closings []*gossip.Closing
}

// maxVoted is how many of its votes about an epoch a node knows after a crash: those of all rounds that others remember. Of older ones that
// come back to it after all, it takes it that its home is an old copy.
const maxVoted = 32

// keepVotes makes durable what the node has voted.
func (s *scalarMethod) keepVotes(c *Core) {
	k := s.closer
	var own []ballotKey
	for key := range k.ballots { // order-free: sorted below
		if key.voter == s.tag {
			own = append(own, key)
		}
	}
	slices.SortFunc(own, func(a, b ballotKey) int { return cmp.Compare(k.ballots[a].Seq, k.ballots[b].Seq) })
	own = own[max(0, len(own)-maxVoted):]
	st := k.machine.State
	need := map[agree.Value]bool{st.Locked: true, st.Valid: true}
	v := binary.AppendUvarint(nil, uint64(s.replica.Closed()))
	v = appendNumbers(v, uint64(st.Round), uint64(st.Step), uint64(st.LockedIn), uint64(st.ValidIn))
	v = append(append(v, st.Locked[:]...), st.Valid[:]...)
	v = binary.AppendUvarint(v, uint64(len(own)))
	for _, key := range own {
		b := k.ballots[key].Body.(*gossip.Ballot)
		v = appendNumbers(v, k.ballots[key].Seq, uint64(b.Step), uint64(b.Round), uint64(b.Lock))
		v = append(v, b.Value[:]...)
		need[key.value] = true
	}
	var forms [][]byte
	for value, closing := range k.closings { // order-free: sorted below
		if need[value] {
			forms = append(forms, closing.Form())
		}
	}
	slices.SortFunc(forms, func(a, b []byte) int { return strings.Compare(string(a), string(b)) })
	v = binary.AppendUvarint(v, uint64(len(forms)))
	for _, f := range forms {
		v = append(binary.AppendUvarint(v, uint64(len(f))), f...)
	}
	c.out.Persist = append(c.out.Persist, Record{Key: votedKey, Value: v})
}

func (d *decoder) voted() *voted {
	v := &voted{epoch: uint32(d.number())}
	v.state.Round, v.state.Step = uint32(d.number()), agree.Step(d.number())
	v.state.LockedIn, v.state.ValidIn = uint32(d.number()), uint32(d.number())
	copy(v.state.Locked[:], d.bytes(32))
	copy(v.state.Valid[:], d.bytes(32))
	for n := d.number(); n > 0 && !d.bad; n-- {
		v.numbers = append(v.numbers, d.number())
		o := agree.Vote{Step: agree.Step(d.number()), Round: uint32(d.number()), Lock: uint32(d.number())}
		copy(o.Value[:], d.bytes(32))
		v.votes = append(v.votes, o)
	}
	for n := d.number(); n > 0 && !d.bad; n-- {
		v.closings = append(v.closings, d.closing())
	}
	return v
}

func (d *decoder) closing() *gossip.Closing {
	c, ok := gossip.ParseClosing(slices.Clone(d.bytes(d.number())))
	d.bad = d.bad || !ok
	return c
}

// resume goes on with the votes of an earlier life.
func (k *closer) resume(s *scalarMethod, now Instant) {
	v := k.voted
	for _, c := range v.closings {
		value := agree.Value(c.Digest())
		k.closings[value] = c
		k.machine.Know(value)
	}
	for i, o := range v.votes {
		o.Voter = s.tag
		v.votes[i] = o
		b := &gossip.Ballot{Step: gossip.BallotStep(o.Step), Epoch: v.epoch, Round: o.Round, Own: k.own(s.tag), Value: o.Value, Lock: o.Lock}
		if o.Step == agree.Propose {
			b.Closing = k.closings[o.Value]
		}
		k.ballots[keyOf(o)] = &gossip.Message{Run: s.run.Run, Author: s.run.Self, Seq: v.numbers[i], Body: b}
	}
	k.machine.Resume(v.state, v.votes, int64(now))
	k.askAt = now + s.cfg.BatchEvery
}

// appendCertificate appends what a certificate says.
func appendCertificate(to []byte, c *gossip.Certificate) []byte {
	form := c.Closing.Form()
	to = append(binary.AppendUvarint(to, uint64(len(form))), form...)
	to = appendNumbers(to, uint64(c.Ballots[0].Body.(*gossip.Ballot).Round), uint64(len(c.Ballots)))
	for _, m := range c.Ballots {
		to = append(to, m.Author[:]...)
		to = appendNumbers(to, m.Seq, m.Body.(*gossip.Ballot).Own, uint64(len(m.Raw)))
		to = append(to, m.Raw...)
	}
	return to
}

func (d *decoder) certificate(run gossip.RunID) *gossip.Certificate {
	c := &gossip.Certificate{Closing: d.closing()}
	round, n := uint32(d.number()), d.number()
	if d.bad || n == 0 {
		d.bad = true
		return c
	}
	value := c.Closing.Digest()
	for ; n > 0 && !d.bad; n-- {
		m := &gossip.Message{Run: run}
		copy(m.Author[:], d.bytes(uint64(len(m.Author))))
		m.Seq = d.number()
		m.Body = &gossip.Ballot{Step: gossip.StepPrecommit, Epoch: c.Closing.Epoch, Round: round, Own: d.number(), Value: value}
		if raw := d.bytes(d.number()); len(raw) > 0 {
			m.Raw = slices.Clone(raw)
		}
		c.Ballots = append(c.Ballots, m)
	}
	d.bad = d.bad || !c.Proves()
	return c
}

// keepCertificate makes a certificate durable.
func (s *scalarMethod) keepCertificate(c *Core, cert *gossip.Certificate) {
	c.out.Persist = append(c.out.Persist, Record{Key: closedRecord(cert.Closing.Epoch), Value: appendCertificate(nil, cert)})
	if e := cert.Closing.Epoch; !slices.Contains(s.closer.onDisk, e) {
		s.closer.onDisk = append(s.closer.onDisk, e)
	}
}

func closedRecord(epoch uint32) string { return fmt.Sprintf("%s%08x", closedKey, epoch) }

// forgetCertificates takes away persisted certificates that are in a checkpoint, which were those of epochs below.
func (s *scalarMethod) forgetCertificates(c *Core, epochs uint32) {
	k := s.closer
	if k == nil {
		return
	}
	k.onDisk = slices.DeleteFunc(k.onDisk, func(e uint32) bool {
		if e < epochs {
			c.out.Persist = append(c.out.Persist, Record{Key: closedRecord(e)})
		}
		return e < epochs
	})
}

// takeVotes takes what was persisted of closing epochs out of the log, and returns the rest.
func (s *scalarMethod) takeVotes(log []Record) (batches []Record, err error) {
	for _, r := range log {
		d := decoder{rest: r.Value, verifier: trusting{}}
		switch {
		case r.Key != votedKey && !strings.HasPrefix(r.Key, closedKey):
			batches = append(batches, r)
			continue
		case s.closer == nil:
			return nil, fmt.Errorf("record %s: epochs are not closed in this run", r.Key)
		case r.Key == votedKey:
			s.closer.voted = d.voted()
		default:
			cert := d.certificate(s.run.Run)
			s.closer.stored = append(s.closer.stored, cert)
			s.closer.onDisk = append(s.closer.onDisk, cert.Closing.Epoch)
		}
		if d.bad || len(d.rest) > 0 {
			return nil, fmt.Errorf("record %s: it is cut off or damaged", r.Key)
		}
	}
	return batches, nil
}

// encodeClosed appends how epochs were closed since the origin, and the last certificates.
func (s *scalarMethod) encodeClosed(to []byte) []byte {
	k := s.closer
	to = binary.AppendUvarint(to, uint64(len(k.history)))
	for _, h := range k.history {
		to = append(appendVector(to, h.ends), h.clip)
	}
	to = binary.AppendUvarint(to, uint64(len(k.certs)))
	for _, c := range k.certs {
		to = appendCertificate(to, c)
	}
	return to
}

func (s *scalarMethod) decodeClosed(d *decoder) error {
	k := s.closer
	for n := d.number(); n > 0 && !d.bad; n-- {
		k.history = append(k.history, closedEpoch{d.vector(), d.bytes(1)[0]})
	}
	for n := d.number(); n > 0 && !d.bad; n-- {
		k.remember(d.certificate(s.run.Run))
	}
	if d.bad {
		return errCutOff
	}
	if err := k.again(s.replica); err != nil {
		return err
	}
	if epochs := s.replica.Closed(); epochs > 0 && (k.last() == nil || k.last().Closing.Epoch != epochs-1) {
		return errCutOff
	}
	return nil
}

// again closes all epochs that were closed before, in a replica that was made anew from the origin.
func (k *closer) again(r *scalar.Replica) error {
	for _, h := range k.history {
		missing, err := r.Close(h.ends)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("epoch %d was closed with records that are not there: %w", r.Closed(), errCutOff)
		}
		r.SetClip(h.clip)
	}
	return nil
}
