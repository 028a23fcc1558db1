package daemon

import (
	"context"
	"time"
)

const (
	// aloneFor is how long a node is without peers before its owner is told for the first time, and then again, each time after twice as long,
	// up to aloneMost.
	aloneFor  = 15 * time.Second
	aloneMost = 15 * time.Minute
	fewDials  = 3 // so many addresses are told of
)

// lookout tells the owner what else only a status would: that the node has found peers, and, when it is without any for a while, which
// addresses it tries and why they do not answer.
func (d *Daemon) lookout(ctx context.Context, first time.Duration) error {
	ticks := time.NewTicker(first / 15)
	defer ticks.Stop()
	alone, patience, found := time.Now(), first, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		peers := len(d.swarm.Peers())
		switch {
		case peers > 0:
			if !found {
				d.log.Info("found peers of the run", "connected", peers, "after", time.Since(alone).Round(time.Millisecond))
			}
			alone, patience, found = time.Now(), first, true
		case time.Since(alone) >= patience:
			found = false
			patience = min(2*patience, time.Since(alone)+aloneMost)
			d.tellAlone(time.Since(alone))
		}
	}
}

// tellAlone says that nobody is connected, and why.
func (d *Daemon) tellAlone(since time.Duration) {
	tried := 0
	for _, s := range d.swarm.Dials() {
		if s.LastError == "" {
			continue
		}
		if tried++; tried <= fewDials {
			d.log.Warn("cannot reach "+s.Addr, "why", s.LastError)
		}
	}
	what := "trying again for as long as it takes; is somebody of the run up, and is the link the newest one?"
	if tried > fewDials {
		what += " All addresses: starling peers"
	}
	d.log.Warn("nobody of the run is connected", "since", since.Round(time.Second), "what", what)
}
