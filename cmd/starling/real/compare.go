package real

import (
	"fmt"
	"io"
	"math"

	"starling/node/daemon/thin"
	"starling/sim/report"
)

// A Report is a run and its simulation.
type Report struct {
	Real      thin.Result `json:"real"`
	Simulated report.Run  `json:"-"`
	Figures   []Figure    `json:"figures"`
}

// A Figure is something that both know.
type Figure struct {
	Name   string  `json:"name"`
	Real   float64 `json:"real"`
	Sim    float64 `json:"simulated"`
	Within float64 `json:"within"` // how near they should be, as a share of the real one; 0 is no goal
}

// Difference is that of the simulated figure from the real one, as a share of the real one.
func (f Figure) Difference() float64 { return f.Sim/f.Real - 1 }

// Met reports whether the goal is met; a figure without a goal meets it.
func (f Figure) Met() bool { return f.Within == 0 || math.Abs(f.Difference()) <= f.Within }

// Met reports whether all figures meet their goals.
func (r *Report) Met() bool {
	for _, f := range r.Figures {
		if !f.Met() {
			return false
		}
	}
	return len(r.Figures) > 0
}

// bytesWithin is how near a simulation has to come.
const bytesWithin = 0.10

// skipped rounds are not compared: nodes have not found their pace, and streams are opened.
const skipped = 1

// A point is where the nodes are at some time, in the mean.
type point struct{ rounds, seconds, sent, received, wireSent, wireReceived float64 }

// perRound is what happens in a round, after the first ones.
func perRound(series []point) point {
	var first, last point
	for _, p := range series {
		if first.rounds < skipped {
			first = p
		}
		last = p
	}
	n := last.rounds - first.rounds
	return point{
		n, (last.seconds - first.seconds) / n, (last.sent - first.sent) / n, (last.received - first.received) / n,
		(last.wireSent - first.wireSent) / n, (last.wireReceived - first.wireReceived) / n,
	}
}

func (r *Report) compare() {
	var real, sim []point
	for _, s := range r.Real.Series {
		real = append(real, point{s.Rounds, s.Seconds, s.Sent, s.Received, s.InterfaceSent, s.InterfaceReceived})
	}
	for _, t := range r.Simulated.Series {
		sent, received := float64(t.SentPerNode), float64(t.ReceivedPerNode)
		sim = append(sim, point{float64(t.Rounds), float64(t.Seconds), sent, received, OnWire(sent, received), OnWire(received, sent)})
	}
	a, b := perRound(real), perRound(sim)
	loss := 0.0
	for _, n := range r.Real.ByNode {
		loss += n.Loss / float64(len(r.Real.ByNode))
	}
	r.Figures = []Figure{
		{"kB sent by a node in a round", a.sent / 1e3, b.sent / 1e3, bytesWithin},
		{"kB received by a node in a round", a.received / 1e3, b.received / 1e3, bytesWithin},
		{"kB on its uplink in a round, with all headers", a.wireSent / 1e3, b.wireSent / 1e3, bytesWithin},
		{"kB on its downlink in a round, with all headers", a.wireReceived / 1e3, b.wireReceived / 1e3, bytesWithin},
		{"seconds of a round", a.seconds, b.seconds, 0},
		{"loss on held-out data at the end", loss, float64(r.Simulated.Result.Loss.Mean), 0},
	}
}

// Headers of one TCP segment over IPv4 and Ethernet, with the time stamps that Linux sends (RFC 7323), and the data that fits
// beside them. QUIC has nearly as much: 28 bytes of UDP and IP, and some 30 of its own with the tag of its encryption, in somewhat
// smaller packets.
const (
	segmentHeaders = 14 + 20 + 20 + 12
	segmentData    = 1500 - 20 - 20 - 12
)

// OnWire reckons how many bytes pass an interface in one direction with so many bytes of streams in it, and so many in the other
// one: each segment has its headers, and every second one that comes the other way is acknowledged by one without data.
func OnWire(bytes, other float64) float64 {
	return bytes + bytes*segmentHeaders/segmentData + other*segmentHeaders/(2*segmentData)
}

// Write prints the report as a table in Markdown.
func (r *Report) Write(w io.Writer) {
	fmt.Fprintln(w, "| figure | real | simulated | difference | goal |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- |")
	for _, f := range r.Figures {
		goal := ""
		if f.Within > 0 {
			goal = fmt.Sprintf("%.0f %%: met", 100*f.Within)
			if !f.Met() {
				goal = fmt.Sprintf("%.0f %%: missed", 100*f.Within)
			}
		}
		fmt.Fprintf(w, "| %s | %.4g | %.4g | %+.1f %% | %s |\n", f.Name, f.Real, f.Sim, 100*f.Difference(), goal)
	}
	fmt.Fprintln(w, "\n| node | rounds | kB sent | received | kB on the uplink | downlink | packets dropped | kB of blobs for nothing | loss |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for i, n := range r.Real.ByNode {
		t := n.Training
		fmt.Fprintf(w, "| %d | %d | %.1f | %.1f | %.1f | %.1f | %d | %.1f | %.3f to %.3f |\n", i, n.Rounds, kilo(t.Sent), kilo(t.Received),
			kilo(t.Interface.SentBytes), kilo(t.Interface.ReceivedBytes), t.Interface.Dropped, kilo(n.Blobs["fetched_waste"]), n.FirstLoss, n.Loss)
	}
}

func kilo(bytes int64) float64 { return float64(bytes) / 1e3 }
