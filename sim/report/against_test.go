package report_test

import (
	"bytes"
	"strings"
	"testing"

	"starling/sim/report"
)

// TestRunsAreComparedWithTheirBaseline has numbers that can be done by hand.
func TestRunsAreComparedWithTheirBaseline(t *testing.T) {
	var runs []report.Run
	for i, codec := range []string{"fp32", "topk:0.01,int4", "fp32", "topk:0.01,int4"} {
		r := exactRun(uint64(i/2), "0", "outer", 0.1)
		r.Result.Settings = []report.Setting{{Key: "codec", Value: `"` + codec + `"`}}
		r.Result.Tokens, r.Result.VirtualSeconds = 1_024_000, report.Real(100/(1+i%2))
		r.Result.Perplexity = []report.Real{4, 4.1, 5, 4.5}[i]
		r.Result.BytesSentPerNode = []report.Real{1 << 20, 1 << 10, 2 << 20, 1 << 10}[i]
		r.Result.Work = &report.Work{UsefulSamplesPerSecond: 10, Nodes: []report.NodeWork{
			{Node: 0, Slowness: 1, OnlineSeconds: 100, UsefulSamples: []uint64{1000, 950, 1000, 500}[i]},
			{Node: 1, Slowness: report.Real(1 + 9*(i%2)), OnlineSeconds: 100, UsefulSamples: 1000 / uint64(1+9*(i%2))},
		}}
		runs = append(runs, r)
	}
	var b bytes.Buffer
	if err := report.WriteTable(&b, runs, "codec=fp32"); err != nil {
		t.Fatal(err)
	}
	_, against, ok := strings.Cut(b.String(), "\ncompared with codec=fp32\n")
	if !ok {
		t.Fatalf("there is no comparison:\n%s", b.String())
	}
	for i, want := range [][]string{
		{"4", "baseline", "1.024 million", "1 MiB"},
		{"4.1", "+2.50 %", "1.024 million", "1 KiB", "1,024 × fewer", "50 s", "2 × faster", "95.0 %"},
		{"5", "baseline", "2 MiB"},
		{"4.5", "-10.00 %", "1 KiB", "2,048 × fewer", "50.0 %"}, // with the baseline of its own seed
	} {
		line := strings.Split(against, "\n")[1+i]
		for _, w := range want {
			if !strings.Contains(line+"  ", w+"  ") {
				t.Errorf("line %d has no %q: %s", i, w, line)
			}
		}
	}
	var page bytes.Buffer
	if err := report.Compare(&page, runs, "codec=fp64"); err != nil || !strings.Contains(page.String(), "No run has codec=fp64") {
		t.Errorf("a baseline that there is not: %v", err)
	}
}
