package thin

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotPermitted is what [Open] returns, with the reason, where it may not or cannot make network namespaces. Another system,
// or a user who may do more, is what helps.
var ErrNotPermitted = errors.New("this system does not let thin links be made")

// A Link is what connects one node with all others.
type Link struct {
	Up, Down int64 // bits a second, with all headers; 0 is no limit
}

// Config says what the network is like.
type Config struct {
	Links []Link // of the nodes
	// Delay is how long a packet takes from one node to another, beside the time on their links; it is asked once for each
	// pair. Nil is no delay.
	Delay func(from, to int) time.Duration
}

// MaxNodes is the largest network: the nodes are numbered in one byte of their addresses.
const MaxNodes = 200

// The least rate leaves room for a packet in a token bucket; the greatest is far above what is thin.
const (
	minRate  = 8_000
	maxRate  = 10_000_000_000
	maxDelay = time.Minute
)

func (c *Config) validate() error {
	if len(c.Links) < 1 || len(c.Links) > MaxNodes {
		return fmt.Errorf("%d links: want one for each of 1 to %d nodes", len(c.Links), MaxNodes)
	}
	for i, l := range c.Links {
		for _, rate := range []int64{l.Up, l.Down} {
			if rate != 0 && (rate < minRate || rate > maxRate) {
				return fmt.Errorf("link %d carries %d bits a second: want %d to %d, or 0 for no limit", i, rate, minRate, int64(maxRate))
			}
		}
	}
	return nil
}

// delays asks for the delay of each pair.
func (c *Config) delays() ([][]time.Duration, error) {
	all := make([][]time.Duration, len(c.Links))
	for i := range all {
		all[i] = make([]time.Duration, len(c.Links))
		for j := range all[i] {
			if c.Delay == nil || i == j {
				continue
			}
			d := c.Delay(i, j)
			if d < 0 || d > maxDelay {
				return nil, fmt.Errorf("the delay from node %d to node %d is %s: want 0s to %s", i, j, d, maxDelay)
			}
			all[i][j] = d
		}
	}
	return all, nil
}

// Traffic is what has passed the device of a node, as its kernel counts it: whole frames, with headers and repetitions.
type Traffic struct {
	SentBytes, ReceivedBytes     int64
	SentPackets, ReceivedPackets int64
	Dropped                      int64 // packets that found a queue of the node's link full, in either direction
}
