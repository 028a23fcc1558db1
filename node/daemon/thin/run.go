package thin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"starling/node/daemon"
	"starling/node/daemon/demo"
	"starling/node/manifest"
)

// A Trial is a run of real daemons behind thin links. They are started paused, and train when all of them are connected, so that
// what it takes to get there is not mixed up with what training takes.
type Trial struct {
	Config
	Manifest manifest.Manifest
	Rounds   uint64        // it is over when every node has done so many,
	Records  uint64        // or, with the method scalar, when every node has so many records; 0: Rounds says
	Timeout  time.Duration // give up after this
	Home     string        // directory; node i lives in Home/node-i
	Program  string        // the starling binary
	// Own are further arguments of single nodes, such as which data each has; nil: none.
	Own func(node int) []string
	Out io.Writer // told a line now and then
}

// ErrNotDone is what [Trial.Run] returns when time was up before every node had done its rounds.
var ErrNotDone = errors.New("rounds not done")

// A Result is what became of a trial. Its field names are those of the JSON file.
type Result struct {
	Seconds float64      `json:"seconds"` // of training
	Joining float64      `json:"joining"` // seconds from the start of the daemons until all were connected
	ByNode  []NodeResult `json:"by_node"` // in order
	Series  []Sample     `json:"series"`  // about four a second
}

// A NodeResult is what one node did.
type NodeResult struct {
	Rounds    uint64  `json:"rounds"`
	Joining   Bytes   `json:"joining"`  // before it began to train
	Training  Bytes   `json:"training"` // from then on
	FirstLoss float64 `json:"first_loss"`
	Loss      float64 `json:"loss"`    // of the last evaluation, on held-out data
	Counted   uint64  `json:"counted"` // own rounds that a peer has mixed in
	Steps     uint64  `json:"steps"`   // local ones that are done

	Pace       []Pace                 `json:"pace"`       // how long its steps took
	Work       map[string]daemon.Work `json:"work"`       // jobs by kind
	Blobs      map[string]int64       `json:"blobs"`      // the daemon's counts of what was served and fetched
	Transports []string               `json:"transports"` // of its connections

	jobs    uint64  // of training that are in Pace, as Steps are
	seconds float64 // that they took
	at      float64 // when the last of them was over
}

// A Pace is how long local steps took in some training job of a node, or several of them between two looks at it.
type Pace struct {
	From float64 `json:"from"` // seconds since the nodes began to train, when it began
	Step float64 `json:"step"` // seconds
}

// paced takes note of what a node has trained by some time.
func (n *NodeResult) paced(seconds float64, rep daemon.Report) {
	w := rep.Work["train"]
	if w.Done > n.jobs && rep.Steps > n.Steps {
		n.Pace = append(n.Pace, Pace{n.at, (w.Seconds - n.seconds) / float64(rep.Steps-n.Steps)})
		n.jobs, n.seconds, n.Steps, n.at = w.Done, w.Seconds, rep.Steps, seconds
	}
}

// Bytes is traffic, as both count it.
type Bytes struct {
	Sent, Received int64   // as the daemon counts: what goes over streams
	Interface      Traffic // as the kernel counts: whole frames
}

func (b Bytes) minus(o Bytes) Bytes {
	i, j := b.Interface, o.Interface
	return Bytes{b.Sent - o.Sent, b.Received - o.Received, Traffic{
		i.SentBytes - j.SentBytes, i.ReceivedBytes - j.ReceivedBytes, i.SentPackets - j.SentPackets,
		i.ReceivedPackets - j.ReceivedPackets, i.Dropped - j.Dropped,
	}}
}

// A Sample is the mean over the nodes at one time.
type Sample struct {
	Seconds  float64 `json:"seconds"` // since they began to train
	Rounds   float64 `json:"rounds"`
	Sent     float64 `json:"bytes_sent"` // since then, as the daemons count
	Received float64 `json:"bytes_received"`
	// As the kernel counts.
	InterfaceSent     float64 `json:"interface_sent"`
	InterfaceReceived float64 `json:"interface_received"`

	Loss float64 `json:"loss"` // on held-out data; 0 before every node has evaluated
}

// How often the nodes are asked, and a line is written. Being asked takes a node's time, and they are in no hurry.
const (
	pollEvery = 250 * time.Millisecond
	tellEvery = 10 * time.Second
)

// trial is a trial under way.
type trial struct {
	*Trial
	net      *Net
	swarm    *demo.Swarm
	deadline time.Time
	began    time.Time // when the nodes were told to train
	result   Result
}

// Run makes the network, runs a daemon at each place until all have done their rounds, time is up or ctx ends, and takes down
// what it made. The result is filled in as far as things got.
func (t *Trial) Run(ctx context.Context) (_ Result, err error) {
	r := &trial{Trial: t, deadline: time.Now().Add(t.Timeout)}
	if r.net, err = Open(t.Config); err != nil {
		return r.result, err
	}
	defer func() { err = errors.Join(err, r.net.Close()) }()
	args := []string{"--paused"}
	if t.Manifest.Data.NamesFiles() {
		args = append(args, "--data", t.Manifest.Data.Source) // an owner says which files a run may read
	}
	began := time.Now()
	r.swarm, err = demo.Start(demo.Config{
		Nodes: len(t.Links), Manifest: t.Manifest, Home: t.Home, Program: t.Program, Args: args, Own: t.Own, Sites: r.net.Sites(),
	})
	if err != nil {
		return r.result, err
	}
	defer func() { err = errors.Join(err, r.swarm.Stop()) }()
	r.result.ByNode = make([]NodeResult, len(t.Links))
	if err := r.poll(ctx, r.connected); err != nil {
		return r.result, err
	}
	r.result.Joining = time.Since(began).Seconds()
	fmt.Fprintf(t.Out, "%d daemons are connected after %.1f s\n", len(t.Links), r.result.Joining)
	if err := r.begin(ctx); err != nil {
		return r.result, err
	}
	err = r.poll(ctx, r.done)
	return r.result, errors.Join(err, r.end())
}

// poll asks the nodes until what they say is enough.
func (r *trial) poll(ctx context.Context, enough func() (bool, error)) error {
	for {
		if err := r.swarm.Poll(ctx); err != nil {
			return err
		}
		if ok, err := enough(); ok || err != nil {
			return err
		}
		if time.Now().After(r.deadline) {
			return fmt.Errorf("%w after %s: %s", ErrNotDone, r.Timeout, r.progress())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// progress says how far the nodes are.
func (r *trial) progress() string {
	text := ""
	for _, n := range r.swarm.Nodes() {
		text += fmt.Sprintf("node %d in round %d with %d peers, ", n.Index, n.Report.Round, len(n.Report.Peers))
	}
	if r.Records > 0 {
		return text + fmt.Sprintf("want %d records", r.Records)
	}
	return text + fmt.Sprintf("want round %d", r.Rounds)
}

// over reports whether a node has done what it is to do.
func (r *trial) over(n *demo.Node) bool {
	switch rep := n.Report; {
	case !n.Seen:
		return false
	case r.Records > 0:
		return rep.Records != nil && rep.Records.Known >= r.Records
	default:
		return rep.Round >= r.Rounds
	}
}

// connected reports whether every node knows every other one.
func (r *trial) connected() (bool, error) {
	for _, n := range r.swarm.Nodes() {
		if !n.Seen || n.Report.Phase != "paused" || len(n.Report.Peers) < len(r.Links)-1 {
			return false, nil
		}
	}
	return true, nil
}

// begin notes what has been sent and received until now, and has the nodes train.
func (r *trial) begin(ctx context.Context) error {
	for i, n := range r.swarm.Nodes() {
		b, err := r.bytes(n)
		if err != nil {
			return err
		}
		r.result.ByNode[i].Joining = b
	}
	r.began = time.Now()
	for i := range r.Links {
		if err := r.swarm.Order(ctx, i, "resume"); err != nil {
			return err
		}
	}
	return nil
}

// bytes returns what a node has sent and received since it was started.
func (r *trial) bytes(n *demo.Node) (Bytes, error) {
	t, err := r.net.Traffic(n.Index)
	return Bytes{n.Report.Sent, n.Report.Received, t}, err
}

// done takes what the nodes answered into the series, and reports whether all have done their rounds.
func (r *trial) done() (bool, error) {
	s := Sample{Seconds: time.Since(r.began).Seconds()}
	done, evaluated := true, true
	share := 1 / float64(len(r.Links))
	for i, n := range r.swarm.Nodes() {
		rep, to := n.Report, &r.result.ByNode[i]
		done = done && r.over(n)
		to.paced(s.Seconds, rep)
		s.Rounds += share * float64(rep.Round)
		s.Sent += share * float64(rep.Sent-to.Joining.Sent)
		s.Received += share * float64(rep.Received-to.Joining.Received)
		wire, err := r.net.passed(i)
		if err != nil {
			return false, err
		}
		s.InterfaceSent += share * float64(wire.SentBytes-to.Joining.Interface.SentBytes)
		s.InterfaceReceived += share * float64(wire.ReceivedBytes-to.Joining.Interface.ReceivedBytes)
		s.Loss += share * rep.EvalLoss
		if to.FirstLoss == 0 {
			to.FirstLoss = rep.EvalLoss
		}
		evaluated = evaluated && rep.EvalAt > 0
	}
	if !evaluated {
		s.Loss = 0
	}
	last := len(r.result.Series) - 1
	if done || last < 0 || int(s.Seconds/tellEvery.Seconds()) != int(r.result.Series[last].Seconds/tellEvery.Seconds()) {
		loss := "loss not measured on every node yet"
		if evaluated {
			loss = fmt.Sprintf("loss %.3f", s.Loss)
		}
		fmt.Fprintf(r.Out, "%4.0f s  round %.1f, %s, %.3f MB sent and %.3f MB received per node\n", s.Seconds, s.Rounds, loss, s.Sent/1e6, s.Received/1e6)
	}
	r.result.Series = append(r.result.Series, s)
	return done, nil
}

// end takes what the nodes and the kernel have counted.
func (r *trial) end() error {
	r.result.Seconds = time.Since(r.began).Seconds()
	var errs []error
	for i, n := range r.swarm.Nodes() {
		rep, to := n.Report, &r.result.ByNode[i]
		all, err := r.bytes(n)
		errs = append(errs, err)
		to.Rounds, to.Training, to.Loss, to.Counted = rep.Round, all.minus(to.Joining), rep.EvalLoss, rep.Counted
		to.Work, to.Blobs = rep.Work, rep.Blobs
		for _, p := range rep.Peers {
			to.Transports = append(to.Transports, p.Transport)
		}
	}
	return errors.Join(errs...)
}
