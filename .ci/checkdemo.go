// Command checkdemo checks the file that `starling demo --json` wrote: that every node reached the target, and that the
// figures in it are possible. It starts nothing.
//
//	go run .ci/checkdemo.go 0.95 demo.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: checkdemo TARGET FILE")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "checkdemo:", err)
		os.Exit(1)
	}
}

func check(target, file string) error {
	want, err := strconv.ParseFloat(target, 64)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r struct {
		Nodes    int
		Reached  bool
		Seconds  float64
		Accuracy struct{ Mean, Worst float64 }
		Sent     int64 `json:"bytes_sent_per_node"`
		Received int64 `json:"bytes_received_per_node"`
		Rounds   float64
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var bad []error
	wrong := func(is bool, what string) {
		if is {
			bad = append(bad, errors.New(what))
		}
	}
	wrong(r.Nodes < 2, "fewer than two nodes took part")
	wrong(!r.Reached, "the target was not reached")
	wrong(r.Accuracy.Worst < want, fmt.Sprintf("the worst node has %.4f, below %v", r.Accuracy.Worst, want))
	wrong(r.Accuracy.Mean < r.Accuracy.Worst || r.Accuracy.Mean > 1, "the mean accuracy is not between the worst and 1")
	wrong(r.Sent <= 0 || r.Received <= 0, "no bytes were exchanged")
	wrong(r.Rounds < 1, "no round was done")
	wrong(r.Seconds <= 0, "it took no time")
	if bad != nil {
		return fmt.Errorf("%s: %w\n%s", file, errors.Join(bad...), b)
	}
	fmt.Printf("demo: %d nodes, worst %.4f, mean %.4f, %.1f s, %d bytes sent a node\n", r.Nodes, r.Accuracy.Worst, r.Accuracy.Mean, r.Seconds, r.Sent)
	return nil
}
