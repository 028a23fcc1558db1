package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"starling/gossip"
	"starling/node"
	"starling/node/manifest"
	"starling/storage"
)

// What may be in trouble.
const (
	troubleCheckpoint = "checkpoint" // the newest one was damaged
	troubleClock      = "clock"      // it went back
	troubleEncode     = "encode"     // an announcement could not be prepared
	troubleSave       = "save"       // the newest state could not be saved
	troubleStore      = "store"      // a record could not be written
)

// troubles are what the owner should know, by what is troubled.
type troubles struct {
	mu  sync.Mutex
	why map[string]error // guarded by mu
}

func (t *troubles) set(what string, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		t.why = make(map[string]error)
	}
	t.why[what] = why
}

func (t *troubles) of(what string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why[what]
}

func (t *troubles) clear(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.why, what)
}

// list puts them into words. That the disk is full is said once, whatever it keeps from being done.
func (t *troubles) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]string, 0, len(t.why))
	full := false
	for _, k := range slices.Sorted(maps.Keys(t.why)) {
		if errors.Is(t.why[k], storage.ErrDiskFull) {
			if full {
				continue
			}
			full = true
		}
		out = append(out, t.why[k].Error())
	}
	return out
}

// phaseManifest is what a node does before it can train.
const phaseManifest = "looking for the manifest"

// report answers /status.
func (d *Daemon) report(ctx context.Context) (Report, error) {
	r := Report{
		Run: d.link.Run.String(), Peer: d.self.String(), Version: Version(), PID: os.Getpid(), Home: d.cfg.Home,
		Addrs: d.swarm.Addrs(), Started: d.started, Phase: phaseManifest,
		Rejected: d.metrics.refusals(), Trouble: d.trouble.list(), Memory: residentMemory(), Disk: d.store.Usage(),
		Goroutines: runtime.NumGoroutine(), Work: d.metrics.works(), Blobs: d.metrics.blobCounts(),
	}
	r.Received, r.Sent = d.swarm.Traffic()
	for _, p := range d.swarm.Peers() {
		pr := PeerReport{
			Peer: p.ID.String(), Transport: p.Transport, Inbound: !p.Outbound, Relayed: p.Relayed, InMesh: p.InMesh,
			Latency: p.Latency, Score: finite(p.Score), Since: p.Since, Sent: p.BytesOut, Received: p.BytesIn,
		}
		if len(p.Addrs) > 0 {
			pr.Addr = p.Addrs[0]
		}
		r.Peers = append(r.Peers, pr)
	}
	for _, s := range d.swarm.Dials() {
		r.Dials = append(r.Dials, DialReport{Addr: s.Addr, State: s.State, Error: s.LastError, Next: s.Next})
	}
	if len(r.Peers) == 0 {
		for _, s := range d.swarm.Bootstraps() {
			if s.LastError != "" {
				r.Trouble = append(r.Trouble, fmt.Sprintf("cannot reach %s: %s", s.Addr, s.LastError))
			}
		}
	}
	var s node.Status
	var logs []node.LogStatus
	switch err := d.loop.ask(ctx, func() { s, logs = d.core.Load().Status(), d.core.Load().Logs() }); {
	case err == errNotReady:
		return r, nil
	case err != nil:
		return r, err
	}
	m := d.manifest
	r.Name, r.Method, r.Exchange, r.Target = m.Name, methodText(m.Method), m.Method.Exchange, m.Evaluate.Target
	r.Phase, r.Round, r.Age, r.Steps, r.Loss = s.Phase, s.Round, s.Age, s.Step, finite(s.Loss)
	r.Began = d.loop.began
	r.OfText = d.program.Tokens() > 0
	r.Accuracy, r.EvalLoss, r.EvalAt = finite(s.Accuracy), finite(s.EvalLoss), s.EvaluatedAt
	r.Reached = r.Target > 0 && r.EvalAt > 0 && r.Accuracy >= r.Target
	r.Resumed, r.Announced = d.resumed, s.Announced
	r.Published, r.Counted, r.NewestSeq, r.NewestBy, r.Refused = s.Published, s.Counted, s.NewestSeq, s.NewestBy, s.Refused
	r.Records, r.Walk = d.reportRecords(s, logs), d.reportWalk(s.Walk)
	d.reportCell(&r)
	for _, m := range s.Members {
		r.Members = append(r.Members, MemberReport{
			Peer: m.Peer.String(), Connected: m.Connected, Gone: m.Gone, Round: m.Round, Age: m.Age, Loss: finite(m.Loss),
			Updates: m.Updates, Mixed: m.Mixed, Refused: m.Refused, Score: m.Score,
		})
	}
	return r, nil
}

// reportCell says which cell the node is in, and with how many of its peers.
func (d *Daemon) reportCell(r *Report) {
	now := time.Now()
	epoch := d.cells.epoch(now)
	r.Cells, r.Cell, r.CellPeers = int(d.cells.count), int(gossip.Cell(d.self, epoch, d.cells.count)), len(r.Peers)
	together := d.cells.together(epoch)
	if together == nil {
		return
	}
	r.CellUntil = d.cells.created.Add(time.Duration(epoch+1) * d.cells.length)
	r.CellPeers = 0
	for _, p := range d.swarm.Peers() {
		if together(d.self, p.ID) {
			r.CellPeers++
		}
	}
}

// order carries out what the owner asks.
func (d *Daemon) order(ctx context.Context, name string) error {
	op, ok := map[string]node.Op{"leave": node.Leave, "pause": node.Pause, "resume": node.Resume}[name]
	if !ok {
		return fmt.Errorf("unknown order %q", name)
	}
	select {
	case <-d.loop.ready:
	default:
		if op == node.Leave { // there is nothing to save and nobody to say goodbye to
			d.stop()
			return nil
		}
		return errNotReady
	}
	select {
	case d.loop.orders <- op:
	case <-d.loop.over:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	if op != node.Leave {
		return nil
	}
	select {
	case <-d.loop.left:
		return d.unsaved()
	case <-d.loop.over:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unsaved says why a node that has left could not save its newest state; nil if it could.
func (d *Daemon) unsaved() error {
	if err := d.trouble.of(troubleSave); err != nil {
		return fmt.Errorf("left, but the newest state is lost: %w", errors.Unwrap(err))
	}
	return nil
}

// residentMemory returns the bytes of this process in memory, as the system counts them, or the Go runtime's figure
// where the system does not say.
func residentMemory() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			if pages, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// methodText names a method for people, with the part of it that makes a difference: how models are mixed, and how they travel unless
// that is the usual way; or the outer optimizer, the family
// of directions or the walk, without settings.
func methodText(m manifest.Method) string {
	if m.Name == "outer" {
		variant, _, _ := strings.Cut(m.Outer, ":")
		return m.Name + ", " + variant
	}
	if m.Name == "scalar" {
		family, _, _ := strings.Cut(m.Scalar, ":")
		return m.Name + ", " + family
	}
	if m.Name == "walk" {
		rule, _, _ := strings.Cut(m.Walk, ":")
		return m.Name + ", " + rule
	}
	text := m.Name + ", " + m.Mix
	if m.Exchange != manifest.Announce {
		text += ", " + m.Exchange
	}
	return text
}
