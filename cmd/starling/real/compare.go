package real

import (
	"fmt"
	"io"
	"math"
	"slices"

	"starling/gossip/swarm/blob"
	"starling/node/daemon/thin"
	"starling/sim"
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

// Met reports whether the goal is met; a figure without a goal meets it, and so does one that neither of the two has.
func (f Figure) Met() bool {
	return f.Within == 0 || math.IsNaN(f.Real) && math.IsNaN(f.Sim) || math.Abs(f.Difference()) <= f.Within
}

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

// perRound is what happens in a round, after the first ones: the slopes of the least-squares lines through all points, in which
// it matters little what is under way at the end.
func perRound(series []point) point {
	series = slices.DeleteFunc(slices.Clone(series), func(p point) bool { return p.rounds < skipped })
	slope := func(of func(point) float64) float64 {
		var n, x, y, xx, xy float64
		for _, p := range series {
			n, x, y, xx, xy = n+1, x+p.rounds, y+of(p), xx+p.rounds*p.rounds, xy+p.rounds*of(p)
		}
		return (n*xy - x*y) / (n*xx - x*x)
	}
	return point{
		rounds:  1,
		seconds: slope(func(p point) float64 { return p.seconds }),
		sent:    slope(func(p point) float64 { return p.sent }), received: slope(func(p point) float64 { return p.received }),
		wireSent: slope(func(p point) float64 { return p.wireSent }), wireReceived: slope(func(p point) float64 { return p.wireReceived }),
	}
}

func (r *Report) compare() {
	var real, simulated []point
	for _, s := range r.Real.Series {
		real = append(real, point{s.Rounds, s.Seconds, s.Sent, s.Received, s.InterfaceSent, s.InterfaceReceived})
	}
	for _, t := range r.Simulated.Series {
		sent, received := float64(t.SentPerNode), float64(t.ReceivedPerNode)
		simulated = append(simulated, point{float64(t.Rounds), float64(t.Seconds), sent, received, OnWire(sent, received), OnWire(received, sent)})
	}
	a, b := perRound(real), perRound(simulated)
	var loss, sent, served float64
	for _, n := range r.Real.ByNode {
		loss += n.Loss / float64(len(r.Real.ByNode))
		sent += float64(n.Training.Sent)
		served += float64(n.Blobs[string(blob.ServedBytes)])
	}
	r.Figures = []Figure{
		{"kB sent by a node in a round", a.sent / 1e3, b.sent / 1e3, bytesWithin},
		{"kB received by a node in a round", a.received / 1e3, b.received / 1e3, bytesWithin},
		{"kB on its uplink in a round, with all headers", a.wireSent / 1e3, b.wireSent / 1e3, bytesWithin},
		{"kB on its downlink in a round, with all headers", a.wireReceived / 1e3, b.wireReceived / 1e3, bytesWithin},
		{overheadFigure, sent / served, overhead(r.Simulated.Result), bytesWithin},
		{"seconds of a round", a.seconds, b.seconds, 0},
		{"loss on held-out data at the end", loss, float64(r.Simulated.Result.Loss.Mean), 0},
	}
}

// overheadFigure is the one figure that does not depend on which vectors come in time.
const overheadFigure = "bytes sent for each byte of a blob"

// overhead is what a simulation has sent for each byte of its blobs; not a number if there were none.
func overhead(r report.Result) float64 {
	for _, t := range r.Traffic {
		if t.Kind == sim.BlobTraffic.String() {
			return float64(r.Bytes.Sent) / float64(t.Bytes.Sent)
		}
	}
	return math.NaN()
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
			kilo(t.Interface.SentBytes), kilo(t.Interface.ReceivedBytes), t.Interface.Dropped, kilo(n.Blobs[string(blob.FetchedWaste)]), n.FirstLoss, n.Loss)
	}
}

func kilo(bytes int64) float64 { return float64(bytes) / 1e3 }
