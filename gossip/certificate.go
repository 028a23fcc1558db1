package gossip

import "bytes"

// A Certificate proves that an epoch is closed: more than two thirds of those who have a vote have voted to close it so. Who receives one
// compares the voters with those that it knows to have a vote.
type Certificate struct {
	Closing *Closing
	Ballots []*Message // sealed, ascending by author: precommits of one round for the closing
}

func (*Certificate) kind() Kind { return KindCertificate }

// Proves reports whether the ballots are what they are to be: by different authors, of one round, for this closing. Signatures are not
// looked at: whoever opened the message did.
func (c *Certificate) Proves() bool {
	if c.Closing == nil || len(c.Ballots) == 0 {
		return false
	}
	value, round := c.Closing.Digest(), uint32(0)
	for i, m := range c.Ballots {
		b, ok := m.Body.(*Ballot)
		switch {
		case !ok, b.Step != StepPrecommit, b.Epoch != c.Closing.Epoch, b.Value != value, m.Run != c.Ballots[0].Run:
			return false
		case i == 0:
			round = b.Round
		case b.Round != round, bytes.Compare(c.Ballots[i-1].Author[:], m.Author[:]) >= 0:
			return false
		}
	}
	return true
}

type wireCertificate struct {
	_       struct{} `cbor:",toarray"`
	Closing []byte
	Ballots [][]byte
}

func certificateToWire(c *Certificate) *wireCertificate {
	w := &wireCertificate{Closing: c.Closing.Form(), Ballots: [][]byte{}}
	for _, m := range c.Ballots {
		w.Ballots = append(w.Ballots, m.Raw)
	}
	return w
}

// certificateFromWire verifies the signatures of the ballots, also inside a direct message: they are not of who sends it.
func certificateFromWire(raw []byte, run RunID, lim Limits, v Verifier) (*Certificate, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireCertificate
	if !decodeBody(raw, &w) || len(w.Ballots) > MaxMembers {
		return nil, malformed
	}
	c := new(Certificate)
	var ok bool
	if c.Closing, ok = closingFromWire(w.Closing); !ok {
		return nil, malformed
	}
	for _, b := range w.Ballots {
		m, verdict := openShown(b, run, lim, v, KindBallot)
		if verdict.Decision != Accept {
			return nil, verdict
		}
		c.Ballots = append(c.Ballots, m)
	}
	if !c.Proves() {
		return nil, Verdict{Reject, ReasonProof}
	}
	return c, Verdict{}
}

func certificateSize(c *Certificate) int {
	form := closingSize(c.Closing)
	n := 1 + head(form) + form + head(len(c.Ballots))
	for _, m := range c.Ballots {
		n += shownSize(m)
	}
	return n
}

// sealed returns the certificate with those ballots sealed that are the signer's own and are not yet.
func (c *Certificate) sealed(s Signer) (*Certificate, error) {
	out := &Certificate{Closing: c.Closing}
	for _, m := range c.Ballots {
		if len(m.Raw) == 0 {
			var err error
			if m, err = Seal(m, s); err != nil {
				return nil, err
			}
		}
		out.Ballots = append(out.Ballots, m)
	}
	return out, nil
}
