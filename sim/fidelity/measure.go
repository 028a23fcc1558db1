package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"time"
)

// A demo is what starling demo --json says, as far as it is needed.
type demo struct {
	Nodes           int                `json:"nodes"`
	Sent            float64            `json:"bytes_sent_per_node"`
	Received        float64            `json:"bytes_received_per_node"`
	Rounds          float64            `json:"rounds"`
	TrainingSeconds float64            `json:"training_seconds"`
	PollSeconds     float64            `json:"poll_seconds"`
	BeganAfter      []float64          `json:"began_after"`
	Steps           float64            `json:"steps"`
	JobSeconds      map[string]float64 `json:"job_seconds"`
}

// sessions is a trace of when the nodes were there: from when they began, to a time that no run gets to.
func (d *demo) sessions() []byte {
	var b bytes.Buffer
	for n, began := range d.BeganAfter {
		fmt.Fprintf(&b, "%d,%.6f,1000000\n", n, began)
	}
	return b.Bytes()
}

// A result is what starling sim run says, as far as it is needed.
type result struct {
	Nodes   float64 `json:"nodes"`
	Rounds  float64 `json:"rounds"`
	Seconds float64 `json:"virtual_seconds"`
	Stopped string  `json:"stopped"`
	Bytes   struct {
		Sent      float64 `json:"sent"`
		Delivered float64 `json:"delivered"`
	} `json:"bytes"`
}

// An outcome is what is compared.
type outcome struct{ sent, received, rounds, seconds float64 }

func (d *demo) outcome() outcome { return outcome{d.Sent, d.Received, d.Rounds, d.TrainingSeconds} }

func (r *result) outcome() outcome {
	return outcome{r.Bytes.Sent / r.Nodes, r.Bytes.Delivered / r.Nodes, r.Rounds, r.Seconds}
}

// durations are how long jobs take on a machine whose cores the nodes share.
type durations struct {
	step     time.Duration // a local step
	other    time.Duration // mixing or encoding; what goes to disk between the two is shared out among them
	message  time.Duration // from one node to another: half of a pull, which is a question and an answer
	evaluate time.Duration // until what it finds is known
	poll     time.Duration // between two looks at whether all nodes are at the target
}

// calibrate takes means over demos of the first setting.
func calibrate(demos []demo, s setting) durations {
	mean := func(kind string) float64 {
		sum := 0.0
		for _, d := range demos {
			sum += d.JobSeconds[kind]
		}
		return sum / float64(len(demos))
	}
	poll := 0.0
	for _, d := range demos {
		poll += d.PollSeconds
	}
	return durations{
		step: length(mean("train") / float64(s.steps)), other: length((mean("encode") + mean("persist") + mean("mix")) / 2),
		message: length(mean("fetch") / 2), evaluate: length(mean("evaluate")),
		poll: length(poll / float64(len(demos))),
	}
}

func length(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond)
}

// at returns the durations for another number of nodes. All of them want to compute all the time, so each gets a share of the
// cores that is the smaller the more they are.
func (c durations) at(nodes int) durations {
	scale := func(d time.Duration) time.Duration { return length(d.Seconds() * float64(nodes) / baseNodes) }
	return durations{scale(c.step), scale(c.other), scale(c.message), scale(c.evaluate), c.poll}
}

// sets returns the settings of the experiment for a number of nodes.
func (c durations) sets(nodes int) []string {
	c = c.at(nodes)
	return []string{
		"compute.step=" + micro(c.step), "compute.other=" + micro(c.other), "compute.evaluate=" + micro(c.evaluate),
		"network.latency=constant:0s", "network.jitter=exponential:mean=" + micro(c.message), "evaluate.every=" + micro(c.poll),
	}
}

func micro(d time.Duration) string { return fmt.Sprintf("%dus", d.Microseconds()) }

// String is for people.
func (c durations) String() string {
	return fmt.Sprintf("a local step %v, mixing or encoding %v, a message %v, an evaluation %v; a look at the nodes every %v",
		c.step, c.other, c.message, c.evaluate, c.poll)
}

// How near the simulation has to come.
const (
	bytesWithin = 0.10
	timeWithin  = 0.25
)

func tableHead(w io.Writer) {
	fmt.Fprintln(w, "| setting | figure | demo | simulated | difference | goal |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- |")
}

// tableRows prints a line for each figure of a setting: means, and in brackets the least and the largest.
func tableRows(w io.Writer, name string, demos []demo, simulated []outcome) {
	var real []outcome
	for _, d := range demos {
		real = append(real, d.outcome())
	}
	row := func(figure string, of func(outcome) float64, unit float64, digits int, within float64) {
		a, b := spreadOf(real, of), spreadOf(simulated, of)
		difference := b.mean/a.mean - 1
		goal := ""
		if within > 0 {
			goal = fmt.Sprintf("%.0f %%: met", 100*within)
			if !(math.Abs(difference) <= within) {
				goal = fmt.Sprintf("%.0f %%: missed", 100*within)
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %+.1f %% | %s |\n", name, figure, a.text(unit, digits), b.text(unit, digits), 100*difference, goal)
		name = ""
	}
	row("MB sent by a node", func(o outcome) float64 { return o.sent }, 1e6, 2, bytesWithin)
	row("MB received by a node", func(o outcome) float64 { return o.received }, 1e6, 2, bytesWithin)
	row("seconds to the target", func(o outcome) float64 { return o.seconds }, 1, 2, timeWithin)
	row("rounds of a node", func(o outcome) float64 { return o.rounds }, 1, 1, 0)
	row("MB received by a node and round", func(o outcome) float64 { return o.received / o.rounds }, 1e6, 3, 0)
}

type spread struct{ mean, least, largest float64 }

func spreadOf(all []outcome, of func(outcome) float64) spread {
	s := spread{least: math.Inf(1), largest: math.Inf(-1)}
	for _, o := range all {
		x := of(o)
		s.mean += x / float64(len(all))
		s.least, s.largest = min(s.least, x), max(s.largest, x)
	}
	return s
}

func (s spread) text(unit float64, digits int) string {
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.mean/unit, digits, s.least/unit, digits, s.largest/unit)
}
