package daemon

import (
	"math"
	"strings"
	"testing"
	"time"

	"starling/gossip"
	"starling/node/manifest"
)

func TestEpochsAreCountedFromTheTimeTheRunWasMade(t *testing.T) {
	made := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	c := cells{count: 2, created: made, length: 10 * time.Minute}
	for _, test := range []struct {
		after time.Duration
		epoch uint64
		wait  time.Duration
	}{
		{0, 0, time.Minute},
		{10*time.Minute - 1, 0, 1},
		{10 * time.Minute, 1, time.Minute},
		{19*time.Minute + 30*time.Second, 1, 30 * time.Second},
		{24 * time.Hour, 144, time.Minute},
		{-time.Second, 0, time.Second},
		{-100 * time.Hour, 0, time.Minute},
		{math.MinInt64, 0, time.Minute},
		{math.MaxInt64, math.MaxInt64 / uint64(10*time.Minute), c.length - math.MaxInt64%c.length},
	} {
		now := made.Add(test.after)
		if epoch, wait := c.epoch(now), c.wait(now); epoch != test.epoch || wait != min(test.wait, time.Minute) {
			t.Errorf("after %s: epoch %d and wait %s, want %d and %s", test.after, epoch, wait, test.epoch, test.wait)
		}
	}
	if have := c.epoch(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)); have > math.MaxUint32 {
		t.Errorf("the year 9999 is epoch %d, which the core cannot count", have)
	}
	c.length = time.Second
	if have := c.epoch(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)); have != math.MaxUint32 {
		t.Errorf("with epochs of a second the year 9999 is epoch %d", have)
	}
	c.count = 1
	if have := c.epoch(made.Add(time.Hour)); have != 0 || c.together(7) != nil {
		t.Errorf("a run of one cell is in epoch %d", have)
	}
}

func TestAClockThatGoesBackIsSaid(t *testing.T) {
	d := &Daemon{cells: cells{count: 2, created: time.Now().Add(-time.Hour), length: time.Minute}}
	s := &stepper{d: d, era: 100}
	s.turn()
	if have := d.trouble.list(); len(have) != 1 || !strings.Contains(have[0], "start it again") {
		t.Errorf("trouble: %q", have)
	}
	for s.era = 61; s.era >= 60; s.era-- { // a little ahead, and right
		if s.turn(); len(d.trouble.list()) != 0 {
			t.Errorf("trouble: %q", d.trouble.list())
		}
	}
}

// TestWhatIsLearnedComesAroundThroughChangingCells runs six nodes of which only those of one cell hear each other, until each has
// mixed in models of every other.
func TestWhatIsLearnedComesAroundThroughChangingCells(t *testing.T) {
	for _, exchange := range []string{manifest.Announce, manifest.Push} {
		t.Run(exchange, func(t *testing.T) {
			const nodes = 6
			m := tiny()
			if exchange == manifest.Push {
				m = pushing(false)
			}
			m.Data.Shards = nodes
			m.Cells = manifest.Cells{Count: 2, Epoch: time.Second}
			daemons := serveMany(t, m, nodes)
			for _, d := range daemons {
				r := reports(t, d, "models of all others", func(r Report) bool {
					mixed := 0
					for _, m := range r.Members {
						if m.Mixed > 0 {
							mixed++
						}
					}
					return mixed == nodes-1 && r.Counted > 0
				})
				if r.Cells != 2 || r.Cell > 1 || time.Until(r.CellUntil) > m.Cells.Epoch || len(r.Trouble) > 0 || !strings.HasPrefix(r.Counts(), "yes") {
					t.Errorf("%+v", r)
				}
				for reason, n := range r.Rejected {
					// Around a change, messages of members that are in another epoch are ignored, and nobody is blamed.
					if reason != gossip.ReasonCell.String() {
						t.Errorf("%d messages were not taken: %s", n, reason)
					}
				}
			}
		})
	}
}

// serveMany runs daemons, each with its part of the data, that find each other through the first.
func serveMany(t *testing.T, m manifest.Manifest, nodes int) []*Daemon {
	t.Helper()
	home := t.TempDir()
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	var daemons []*Daemon
	for i := range nodes {
		cfg := local(home)
		if i > 0 {
			cfg = local(t.TempDir())
			link.Bootstrap = daemons[0].Addrs()
		}
		cfg.Shard = i
		d, _ := serve(t, link.String(), cfg)
		daemons = append(daemons, d)
	}
	return daemons
}
