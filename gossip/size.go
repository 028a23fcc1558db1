package gossip

// SealedSize returns the length in bytes that Seal would give a message, without encoding or signing anything: a simulation
// accounts for millions of messages. With inline, the payload of an update counts as if it travelled inside it, wherever it is.
// A Repair has the size that its messages, and forward besides, give it.
func SealedSize(m *Message, inline bool, forward ...int) int {
	body, signature := 0, 1
	switch b := m.Body.(type) {
	case *Update:
		body, signature = updateSize(b, inline), 2+64
	case *Delta:
		body, signature = deltaSize(b), 2+64
	case *Request:
		body = 1 + number(uint64(b.Part)) + number(uint64(b.Fragment)) + number(b.Since)
	case *Leave:
		body, signature = 1, 2+64
	case *Records:
		body, signature = recordsSize(b), 2+64
	case *Proof:
		body, signature = proofSize(b), 2+64
	case *Ballot:
		body, signature = ballotSize(b), 2+64
	case *Certificate:
		body = certificateSize(b)
	case *Standing:
		body = standingSize(b)
	case *Known:
		body = knownSize(b)
	case *Fetch:
		body = fetchSize(b)
	case *Snapshot:
		body = snapshotSize(b)
	case *Challenge:
		body = challengeSize(b)
	case *Basis:
		body = basisSize(b)
	case *Digest:
		body = 1 + head(len(b.Known)) + marksSize(b.Known) + 1
	case *Repair:
		body = 1 + head(len(b.Messages)+len(forward))
		for _, raw := range b.Messages {
			body += head(len(raw)) + len(raw)
		}
		for _, n := range forward {
			body += head(n) + n
		}
	}
	return 1 + number(WireVersion) + 2*bytes32 + number(m.Seq) + 1 + head(body) + body + signature
}

// bytes32 is the encoded length of 32 bytes, such as a peer ID.
const bytes32 = 2 + 32

func updateSize(u *Update, inline bool) int {
	n := 1 + number(u.Round) + number(u.Age) + number(u.Samples) + number(uint64(u.Degree)) + 5 + 9 + number(u.LinkEpoch)
	n += peersSize(u.To) + head(len(u.Mixed)) + marksSize(u.Mixed) + refusalsSize(u.Refused)
	n += head(8*len(u.Stats)) + 8*len(u.Stats)
	n += head(len(u.Codec)) + len(u.Codec) + number(uint64(u.Len)) + number(u.Size)
	switch {
	case inline:
		return n + head(int(u.Size)) + int(u.Size) + 1
	case u.Inline != nil:
		return n + head(len(u.Inline)) + len(u.Inline) + 1
	}
	return n + 1 + bytes32
}

func peersSize(peers []PeerID) int { return head(len(peers)) + len(peers)*bytes32 }

func refusalsSize(refusals []Refusal) int {
	n := head(len(refusals))
	for _, r := range refusals {
		n += 1 + bytes32 + number(r.Seq) + number(uint64(r.Why))
	}
	return n
}

func marksSize(marks []Mark) int {
	n := len(marks) * (1 + bytes32)
	for _, m := range marks {
		n += number(m.Seq)
	}
	return n
}

// head is the length of the head of a string or array of n bytes or elements.
func head(n int) int { return number(uint64(n)) }

// number is the length of an unsigned integer.
func number(x uint64) int {
	switch {
	case x < 24:
		return 1
	case x < 1<<8:
		return 2
	case x < 1<<16:
		return 3
	case x < 1<<32:
		return 5
	}
	return 9
}
