package mesh

// Stats counts what a topic has done so far. Every copy sent, as a message or an answer, is delivered, a duplicate, a
// stray, lost by the owner, or still under way.
type Stats struct {
	Published  uint64
	Delivered  uint64 // first copies received
	Duplicates uint64 // further copies received
	Repaired   uint64 // first copies that came as answers to an IWANT
	// Stray counts copies that meant nothing: they came over a connection that is gone, to a node that is not in the
	// topic, or are of a message older than every memory. StrayControl counts what else came over a connection that is
	// gone.
	Stray, StrayControl uint64

	Sent  [Kinds]Traffic // by kind
	Beats uint64         // heartbeats carried out
}

// Traffic is a number of RPCs and their bytes.
type Traffic struct {
	RPCs, Bytes uint64
}

// Copies returns the copies received for each delivery, the first one included; 0 without deliveries.
func (s *Stats) Copies() float64 {
	if s.Delivered == 0 {
		return 0
	}
	return float64(s.Delivered+s.Duplicates) / float64(s.Delivered)
}

// Control returns what was sent besides messages.
func (s *Stats) Control() Traffic {
	var sum Traffic
	for k := IHave; k < kinds; k++ {
		sum.RPCs += s.Sent[k].RPCs
		sum.Bytes += s.Sent[k].Bytes
	}
	return sum
}

// Stats returns the counts so far.
func (t *Topic) Stats() Stats { return t.stats }
