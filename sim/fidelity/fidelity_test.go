package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// told is what starling demo --json writes, shortened.
const told = `{"nodes": 2, "rounds": 10, "training_seconds": 4, "poll_seconds": 0.1, "bytes_sent_per_node": 2000000,
	"bytes_received_per_node": 1000000, "began_after": [0, 0.25],
	"job_seconds": {"train": 0.02, "encode": 0.001, "persist": 0.004, "mix": 0.001, "fetch": 0.06, "evaluate": 0.07}}`

func tell(t *testing.T) demo {
	t.Helper()
	var d demo
	if err := json.Unmarshal([]byte(told), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDurationsAreThoseOfTheDemo(t *testing.T) {
	d := tell(t)
	slow := d
	slow.JobSeconds = map[string]float64{"train": 0.04, "encode": 0.001, "persist": 0.004, "mix": 0.001, "fetch": 0.06, "evaluate": 0.07}
	got := calibrate([]demo{d, slow}, setting{steps: 50})
	want := durations{
		step: 600 * time.Microsecond, other: 3 * time.Millisecond, message: 30 * time.Millisecond,
		evaluate: 70 * time.Millisecond, poll: 100 * time.Millisecond,
	}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFewerNodesComputeQuickerAndAreAskedAsOften(t *testing.T) {
	c := durations{step: 800, other: 80_000, message: 8000_000, evaluate: 16_000_000, poll: 100_000_000}
	c.step *= 1000
	half := c.at(baseNodes / 2)
	if half.step != c.step/2 || half.message != c.message/2 || half.evaluate != c.evaluate/2 || half.poll != c.poll {
		t.Errorf("half of the nodes: %v, all of them: %v", half, c)
	}
}

func TestNodesBeginWhenTheyDid(t *testing.T) {
	d := tell(t)
	if got, want := string(d.sessions()), "0,0.000000,1000000\n1,0.250000,1000000\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRowsSayWhetherTheGoalIsMet(t *testing.T) {
	var out bytes.Buffer
	tableRows(&out, "half", []demo{tell(t)}, []outcome{
		{sent: 2.1e6, received: 1.2e6, rounds: 10, seconds: 4}, {sent: 2.1e6, received: 1.2e6, rounds: 12, seconds: 5},
	})
	for _, want := range []string{
		"| half | MB sent by a node | 2.00 (2.00 to 2.00) | 2.10 (2.10 to 2.10) | +5.0 % | 10 %: met |",
		"|  | MB received by a node | 1.00 (1.00 to 1.00) | 1.20 (1.20 to 1.20) | +20.0 % | 10 %: missed |",
		"|  | seconds to the target | 4.00 (4.00 to 4.00) | 4.50 (4.00 to 5.00) | +12.5 % | 25 %: met |",
		"|  | rounds of a node | 10.0 (10.0 to 10.0) | 11.0 (10.0 to 12.0) | +10.0 % |  |",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestWrongUseIsAnError(t *testing.T) {
	for _, args := range [][]string{{"-runs", "0"}, {"-seeds", "0"}, {"more"}, {"-x"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
