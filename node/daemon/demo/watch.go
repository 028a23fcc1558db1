package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"starling/node/daemon"
)

// ErrNotReached is what [Demo.Run] returns when time was up before every node was at the target.
var ErrNotReached = errors.New("target not reached")

// Demo is a whole demonstration: start, watch, stop.
type Demo struct {
	Config
	Kills    int           // nodes to kill -9 and restart, at random, before the target counts
	Timeout  time.Duration // give up after this
	Out      io.Writer     // for the live table
	Terminal bool          // Out is a terminal: the table is redrawn in place
}

// Result is how a demo ended. Its field names are those of the JSON file.
type Result struct {
	Nodes    int     `json:"nodes"`
	Method   string  `json:"method"`
	Mix      string  `json:"mix"`
	Init     string  `json:"init"`
	Split    string  `json:"split"`
	Reached  bool    `json:"reached"`
	Seconds  float64 `json:"seconds"`
	Accuracy struct {
		Mean  float64 `json:"mean"`
		Worst float64 `json:"worst"`
	} `json:"accuracy"`
	BytesSentPerNode     int64   `json:"bytes_sent_per_node"`
	BytesReceivedPerNode int64   `json:"bytes_received_per_node"`
	Rounds               float64 `json:"rounds"` // of a node, in the mean
	RoundsMin            uint64  `json:"rounds_min"`
	RoundsMax            uint64  `json:"rounds_max"`

	// What a simulation can foretell begins when nodes train, not when their processes are started.
	TrainingSeconds float64     `json:"training_seconds"` // of Seconds, those since the first node began to train
	PollSeconds     float64     `json:"poll_seconds"`     // between two looks at the nodes, in the mean
	BeganAfter      []float64   `json:"began_after"`      // by node: when it began to train, in seconds after the first one
	Steps           float64     `json:"steps"`            // local steps of a node, in the mean
	JobSeconds      jobDuration `json:"job_seconds"`      // mean durations by kind of job; train is one of so many steps as --steps says

	ModelHashes []string `json:"model_hashes,omitempty"` // by node, in the end; only with the method scalar

	Tokens []TokenResult `json:"tokens,omitempty"` // by number; only with the method walk

	Kills     int    `json:"kills"`
	Holders   int    `json:"holders_killed"`   // kills of nodes that held a token of the method walk
	MostLost  uint64 `json:"most_rounds_lost"` // by a kill
	Corrupted int    `json:"corrupted"`        // checkpoints that did not verify at the end
}

// A TokenResult is how far a token of the method walk got, as far as any node knows.
type TokenResult struct {
	Token      uint32 `json:"token"`
	Hops       uint64 `json:"hops"`
	Generation uint32 `json:"generation"` // 1, and one more each time that it was lost and revived
}

// jobDuration is the mean duration in seconds by kind of job.
type jobDuration map[string]float64

// The nodes are asked often, so that the time to the target is known well, and the table is drawn so that it can be read.
const (
	pollEvery = 100 * time.Millisecond
	drawEvery = 500 * time.Millisecond
)

// Run starts the swarm, shows it, and stops it when every node has reached the target, when time is up or when ctx
// ends. It returns only when no process is left. The result is filled in as far as things got.
func (d *Demo) Run(ctx context.Context) (Result, error) {
	r := Result{Nodes: d.Nodes, Method: d.Manifest.Method.Name, Mix: d.Manifest.Method.Mix, Init: d.Manifest.Init, Split: d.Manifest.Data.Split}
	began := time.Now()
	s, err := Start(d.Config)
	if err != nil {
		return r, err
	}
	target := fmt.Sprintf("%.4g %%", 100*d.Manifest.Evaluate.Target)
	fmt.Fprintf(d.Out, "%s; %s on %s split %s, target %s\n", count(uint64(d.Nodes), "daemon"), d.Manifest.Model, d.Manifest.Data.Source,
		d.Manifest.Data.Split, target)
	err = d.watch(ctx, s, began, &r)
	r.measure(s)
	if err == nil && r.Method == "scalar" {
		err = d.level(ctx, s, &r)
	}
	err = errors.Join(err, s.Stop())
	for _, n := range s.Nodes() {
		bad, verr := daemon.VerifyCheckpoints(context.WithoutCancel(ctx), daemon.RunDir(n.Home, s.run))
		r.Corrupted += len(bad)
		if !errors.Is(verr, daemon.ErrNotJoined) { // it was stopped before it began
			err = errors.Join(err, verr)
		}
	}
	if r.Corrupted > 0 {
		err = errors.Join(err, fmt.Errorf("%d checkpoints are damaged", r.Corrupted))
	}
	if r.Reached {
		fmt.Fprintf(d.Out, "all %d nodes reached %s after %.1f s: mean %.2f %%, worst %.2f %%; %.1f MB sent and %.1f MB received per node\n",
			r.Nodes, target, r.Seconds, 100*r.Accuracy.Mean, 100*r.Accuracy.Worst,
			float64(r.BytesSentPerNode)/1e6, float64(r.BytesReceivedPerNode)/1e6)
		if r.Kills > 0 {
			fmt.Fprintln(d.Out, r.killed())
		}
		for _, t := range r.Tokens {
			fmt.Fprintf(d.Out, "token %d went %s and is of generation %d\n", t.Token, count(t.Hops, "hop"), t.Generation)
		}
	}
	return r, err
}

// killed says what came of the kills.
func (r *Result) killed() string {
	if r.Method == "walk" {
		return fmt.Sprintf("%d kills, %d of nodes that held a token: no damaged checkpoint", r.Kills, r.Holders)
	}
	return fmt.Sprintf("%d kills: at most %s lost each time, no damaged checkpoint", r.Kills, count(r.MostLost, "round"))
}

func (d *Demo) watch(ctx context.Context, s *Swarm, began time.Time, r *Result) error {
	deadline := time.Now().Add(d.Timeout)
	lines, polls, printed := 0, 0, time.Time{}
	killer := newKiller(d.Kills, s)
	for {
		if err := s.Poll(ctx); err != nil {
			return err
		}
		r.Seconds = time.Since(began).Seconds()
		polls++
		r.PollSeconds = r.Seconds / float64(polls)
		done := killer.left() == 0 && reached(s)
		switch {
		case d.Terminal && (done || time.Since(printed) >= drawEvery):
			printed = time.Now()
			if lines > 0 {
				fmt.Fprintf(d.Out, "\x1b[%dA\x1b[J", lines)
			}
			lines = table(d.Out, s, r.Seconds)
		case !d.Terminal && (done || time.Since(printed) > 5*time.Second):
			printed = time.Now()
			summary(d.Out, s, r.Seconds)
		}
		r.Kills, r.MostLost, r.Holders = killer.done, killer.mostLost, killer.holders
		if done {
			if !d.Terminal {
				table(d.Out, s, r.Seconds)
			}
			r.Reached = true
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: after %s %s", ErrNotReached, d.Timeout, shortfall(s))
		}
		if err := killer.step(); err != nil {
			return err
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// levelTimeout is how long nodes that add no more records may take to tell each other all that there are.
const levelTimeout = 2 * time.Minute

// level has the nodes of the method scalar add no more records, and waits until all have the same.
func (d *Demo) level(ctx context.Context, s *Swarm, r *Result) error {
	for i := range s.nodes {
		if err := s.Order(ctx, i, "pause"); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(levelTimeout); ; {
		if err := s.Poll(ctx); err != nil {
			return err
		}
		if hashes, ok := equalModels(s); ok || time.Now().After(deadline) {
			r.ModelHashes = hashes
			if !ok {
				return fmt.Errorf("after %s without new records the nodes still have different models: %s", levelTimeout, strings.Join(hashes, ", "))
			}
			fmt.Fprintf(d.Out, "all have the same %d records and the same model, %.16s\n", s.nodes[0].Report.Records.Known, hashes[0])
			return nil
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// equalModels lists the hash of each node's model, and reports whether all rest and have the same.
func equalModels(s *Swarm) (hashes []string, ok bool) {
	ok = true
	for _, n := range s.nodes {
		hash := ""
		if n.Report.Records != nil {
			hash = n.Report.Records.Model
		}
		hashes = append(hashes, hash)
		ok = ok && n.Seen && !n.Silent && n.Report.Phase == "paused" && hash != "" && hash == hashes[0]
	}
	return hashes, ok
}

func reached(s *Swarm) bool {
	for _, n := range s.Nodes() {
		if !n.Seen || n.Silent || !n.Report.Reached {
			return false
		}
	}
	return true
}

// shortfall names what is missing for the target.
func shortfall(s *Swarm) string {
	var short []string
	for _, n := range s.Nodes() {
		switch {
		case !n.Seen || n.Silent:
			short = append(short, fmt.Sprintf("node %d does not answer", n.Index))
		case !n.Report.Reached:
			short = append(short, fmt.Sprintf("node %d is at %.2f %%", n.Index, 100*n.Report.Accuracy))
		}
	}
	return strings.Join(short, ", ")
}

// The table fits a small terminal: what would wrap or scroll could not be drawn over.
const (
	tableRows  = 20
	tableWidth = 79
)

// table draws one line for each node, or for the first ones, and returns how many lines it drew.
func table(w io.Writer, s *Swarm, seconds float64) int {
	lines := []string{fmt.Sprintf("%4.0f s  node  round  accuracy    loss  peers       sent  received", seconds)}
	for i, n := range s.Nodes() {
		if i == tableRows && len(s.Nodes()) > tableRows+1 {
			var r Result
			r.measure(s)
			lines = append(lines, fmt.Sprintf("        and %d more; of all, the worst is at %s", len(s.Nodes())-i, percent(r.Accuracy.Worst)))
			break
		}
		lines = append(lines, "        "+n.row())
	}
	for _, l := range lines {
		if runes := []rune(l); len(runes) > tableWidth {
			l = string(runes[:tableWidth-1]) + "…"
		}
		fmt.Fprintln(w, l)
	}
	return len(lines)
}

// row is the node's line in the table.
func (n *Node) row() string {
	r := n.Report
	if !n.Seen && r.Peer == "" {
		return fmt.Sprintf("%-5d starting", n.Index)
	}
	acc := "–"
	if r.EvalAt > 0 {
		acc = percent(r.Accuracy)
	}
	note := ""
	switch {
	case !n.Seen:
		note = "  restarting"
	case n.Silent:
		note = "  no answer"
	case r.Reached:
		note = "  reached"
	}
	for _, t := range r.Trouble {
		note += "  " + t
	}
	return fmt.Sprintf("%-5d %5d  %8s  %6.3f  %5d  %6.1f MB %6.1f MB%s", n.Index, r.Round, acc, r.Loss, len(r.Peers),
		float64(r.Sent)/1e6, float64(r.Received)/1e6, note)
}

func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

func count(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// summary is the table in one line, for logs.
func summary(w io.Writer, s *Swarm, seconds float64) {
	var r Result
	r.measure(s)
	accuracy := fmt.Sprintf("accuracy mean %s worst %s", percent(r.Accuracy.Mean), percent(r.Accuracy.Worst))
	silent := ""
	for _, n := range s.Nodes() {
		if n.Report.EvalAt == 0 {
			accuracy = "accuracy not measured on every node yet"
		}
		if n.Silent {
			silent += fmt.Sprintf(", node %d does not answer", n.Index)
		}
	}
	fmt.Fprintf(w, "%4.0f s  rounds %d to %d, %s, sent %.1f MB per node%s\n", seconds, r.RoundsMin, r.RoundsMax, accuracy,
		float64(r.BytesSentPerNode)/1e6, silent)
}

func (r *Result) measure(s *Swarm) {
	n := float64(len(s.Nodes()))
	r.Accuracy.Mean, r.Accuracy.Worst = 0, 1
	r.RoundsMin, r.RoundsMax = ^uint64(0), 0
	var rounds uint64
	var sent, received int64
	for _, node := range s.Nodes() {
		rep := node.Report
		r.Accuracy.Mean += rep.Accuracy / n
		r.Accuracy.Worst = min(r.Accuracy.Worst, rep.Accuracy)
		r.RoundsMin = min(r.RoundsMin, rep.Round)
		r.RoundsMax = max(r.RoundsMax, rep.Round)
		rounds += rep.Round
		sent += rep.Sent
		received += rep.Received
	}
	r.measureTraining(s)
	r.Tokens = tokens(s)
	r.Rounds = float64(rounds) / n
	r.BytesSentPerNode, r.BytesReceivedPerNode = sent/int64(len(s.Nodes())), received/int64(len(s.Nodes()))
}

// tokens lists how far the tokens got, from what each node knows of them: the newest life, and in that the most hops.
func tokens(s *Swarm) (out []TokenResult) {
	for _, node := range s.Nodes() {
		if node.Report.Walk == nil {
			continue
		}
		for _, t := range node.Report.Walk.Tokens {
			seen := TokenResult{t.Token, t.Hops, t.Generation}
			i, ok := slices.BinarySearchFunc(out, t.Token, func(r TokenResult, token uint32) int { return cmp.Compare(r.Token, token) })
			switch {
			case !ok:
				out = slices.Insert(out, i, seen)
			case cmp.Or(cmp.Compare(seen.Generation, out[i].Generation), cmp.Compare(seen.Hops, out[i].Hops)) > 0:
				out[i] = seen
			}
		}
	}
	return out
}

// measureTraining takes what nodes say about their training. A node that was killed tells of its present process only.
func (r *Result) measureTraining(s *Swarm) {
	var first time.Time
	for _, node := range s.Nodes() {
		if b := node.Report.Began; !b.IsZero() && (first.IsZero() || b.Before(first)) {
			first = b
		}
	}
	r.TrainingSeconds, r.Steps, r.BeganAfter, r.JobSeconds = 0, 0, nil, jobDuration{}
	if first.IsZero() {
		return
	}
	r.TrainingSeconds = s.polled.Sub(first).Seconds()
	total := make(map[string]daemon.Work)
	for _, node := range s.Nodes() {
		r.Steps += float64(node.Report.Steps) / float64(len(s.Nodes()))
		r.BeganAfter = append(r.BeganAfter, max(0, node.Report.Began.Sub(first).Seconds()))
		for kind, w := range node.Report.Work {
			t := total[kind]
			total[kind] = daemon.Work{Done: t.Done + w.Done, Seconds: t.Seconds + w.Seconds}
		}
	}
	for kind, w := range total {
		r.JobSeconds[kind] = w.Seconds / float64(w.Done)
	}
}

// A killer kills random nodes one after the other: each is restarted at once, and the next one falls when it is back and
// has announced a round of its own. With the method walk it kills those that hold a token, as far as it can tell: tokens move on within
// the time that it takes to kill.
type killer struct {
	s        *Swarm
	total    int
	done     int
	victim   int    // -1: none
	round    uint64 // that the victim had announced
	mostLost uint64
	holders  int // nodes that held a token when they were killed, as their checkpoints say
	rand     *rand.Rand
}

func newKiller(total int, s *Swarm) *killer {
	return &killer{s: s, total: total, victim: -1, rand: rand.New(rand.NewPCG(uint64(total), 9))}
}

func (k *killer) left() int {
	if k.victim >= 0 {
		return k.total - k.done + 1
	}
	return k.total - k.done
}

func (k *killer) step() error {
	if k.victim >= 0 {
		n := k.s.nodes[k.victim]
		if !n.Seen || n.Report.Published == 0 {
			return nil
		}
		if n.Report.Resumed < k.round {
			k.mostLost = max(k.mostLost, k.round-n.Report.Resumed)
		}
		if w := n.Report.Walk; w != nil && w.Resumed > 0 {
			k.holders++
		}
		k.victim = -1
	}
	if k.done == k.total {
		return nil
	}
	i := k.rand.IntN(len(k.s.nodes))
	n := k.s.nodes[i]
	if !n.Seen || n.Report.Published == 0 {
		return nil // let it get somewhere first
	}
	if w := n.Report.Walk; w != nil && w.Held == 0 {
		return nil // another time
	}
	k.victim, k.round = i, n.Report.Announced
	k.done++
	if err := k.s.Kill(i); err != nil {
		return err
	}
	return k.s.Launch(i)
}
