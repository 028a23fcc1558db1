package experiment

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"starling/mixing/scalar"
	"starling/mixing/spelling"
	"starling/mixing/topology"
	"starling/node/manifest"
	"starling/node/manifest/strictyaml"
)

// Hooks are the packages that say which specifications name a thing of theirs, for a run of so many nodes. The error says
// what is wrong and what there is instead. What is nil is accepted as it is.
type Hooks struct {
	Latency   Check // of [Network.Latency]
	Jitter    Check // of [Network.Jitter]
	Bandwidth Check // of [Network.Bandwidth]
	Loss      Check // of [Network.Loss]
	NAT       Check // of [Network.NAT]
	Sessions  Check // of [Churn.Sessions]
	Speeds    Check // of [Churn.Speeds]
	// Groups is about [Partition.Groups], which may speak of the regions of the latency.
	Groups func(groups, latency string, nodes int, seed uint64) error
	// Adversaries is about [Experiment.Adversaries]: each alone, so that its place is known, and then all together. records is whether nodes
	// send records and no vectors.
	Adversaries func(specs []string, nodes int, seed uint64, records bool) error
}

// A Check judges a specification.
type Check func(spec string, nodes int, seed uint64) error

// The largest values that are accepted, beside those of a manifest.
const (
	maxNodes       = 1_000_000
	maxRounds      = 1_000_000
	maxSpec        = 10_000 // bytes of a specification that a manifest does not have
	maxAbout       = 16 << 10
	maxPartitions  = 1000
	maxAdversaries = 64
	maxThresholds  = 100
	maxRows        = 1 << 26
	longest        = 10_000 * time.Hour
)

// Validate returns all problems of the experiment as [strictyaml.Problems], or nil.
func (e Experiment) Validate(by Hooks) error {
	var d strictyaml.Decoded
	newChecker(by).all(&e, &d)
	return d.Problems.Err()
}

// A checker judges experiments and remembers the answers of slow questions, which the points of a sweep share.
type checker struct {
	by    Hooks
	known map[question]error

	e *Experiment // the one under judgement
	d *strictyaml.Decoded
}

type question struct {
	key, spec string
	nodes     int
	seed      uint64
}

func newChecker(by Hooks) *checker { return &checker{by: by, known: map[question]error{}} }

// all reports all problems of an experiment.
func (c *checker) all(e *Experiment, d *strictyaml.Decoded) {
	c.e, c.d = e, d
	if e.Version != Version {
		c.add("version", "is %d; this build reads version %d", e.Version, Version)
	}
	if len(e.About) > maxAbout {
		c.add("about", "has %d bytes; at most %d are allowed", len(e.About), maxAbout)
	}
	if !utf8.ValidString(e.About) || strings.ContainsFunc(e.About, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		c.add("about", "holds characters that cannot be printed")
	}
	c.baseline()
	c.count("nodes", e.Nodes, 1, maxNodes)
	c.shared()
	c.ground()
	c.base()
	c.network()
	c.training()
	c.measuring()
	c.stop()
}

func (c *checker) add(path, format string, args ...any) {
	c.d.Report(path, fmt.Sprintf(format, args...))
}

func (c *checker) count(path string, have, low, high int) bool {
	if have < low || have > high {
		c.add(path, "is %d; want %d to %d", have, low, high)
		return false
	}
	return true
}

func (c *checker) duration(path string, have, low time.Duration) bool {
	if have < low || have > longest {
		c.add(path, "is %s; want %s to %s", manifest.DurationText(have), manifest.DurationText(low), manifest.DurationText(longest))
		return false
	}
	return true
}

func (c *checker) share(path string, have float64) {
	// The negative zero equals zero, and has another text and so another hash.
	if !(have >= 0 && have <= 1) || math.Signbit(have) {
		c.add(path, "is %v; want 0 to 1", have)
	}
}

func (c *checker) word(path, have string, known ...string) {
	if err := strictyaml.CheckWord(have, known); err != nil {
		c.add(path, "%s", err)
	}
}

// spec asks whether a specification is one, once for all points that have it with so many nodes and that seed. The key
// tells the questions apart.
func (c *checker) spec(path, key, have string, seed uint64, check Check) {
	err := strictyaml.CheckSpec(have, maxSpec, func(spec string) error {
		if check == nil || c.e.Nodes < 1 || c.e.Nodes > maxNodes {
			return nil
		}
		q := question{key, spec, c.e.Nodes, seed}
		err, ok := c.known[q]
		if !ok {
			err = check(spec, q.nodes, q.seed)
			c.known[q] = err
		}
		return err
	})
	if err != nil {
		c.add(path, "%s", err)
	}
}

// shared reports the problems of what a manifest has too, in a manifest's words.
func (c *checker) shared() {
	m := c.e.Shared()
	var problems manifest.Problems
	if !errors.As(m.Validate(), &problems) {
		return
	}
	for _, p := range problems {
		c.add(p.Field, "%s", p.Text)
	}
}

// Shared returns the settings that a manifest has too, with something that is valid in the place of what it cannot say.
func (e Experiment) Shared() manifest.Manifest {
	m := manifest.Default()
	m.Name, m.Seed, m.Model, m.Init, m.Optimizer, m.Codec = e.Name, e.Seed, e.Model, e.Init, e.Optimizer, e.Codec
	m.Data, m.Limits, m.Checkpoint.Every = e.Data, e.Limits, e.Checkpoint.Every
	m.Data, _ = m.Data.WithPath(e.DataPath) // a path that does not fit is a problem of its own
	if m.Data.Shards == 0 {
		m.Data.Shards = 1
	}
	// The pauses of pushes have other bounds here, and may be given where they have no effect.
	standard := m.Method
	m.Method = manifest.Method{
		Name: e.Method.Name, Mix: e.Method.Mix, Exchange: e.Method.Exchange, Steps: e.Method.Steps, Batch: e.Method.Batch,
		Degree: e.Method.Degree, Wake: standard.Wake, Public: e.effective().Method.Public, Outer: e.Method.Outer, Scalar: e.Method.Scalar, Check: e.Method.Check,
	}
	// A sweep over methods has settings that are without effect at some of its points.
	if e.Reference.Name != None && e.Method.Name == "scalar" {
		m.Method.Name = standard.Name // a reference trains by gradients
	}
	if m.Method.Name == "outer" || m.Method.Name == "scalar" {
		m.Method.Mix, m.Method.Exchange = standard.Mix, standard.Exchange
	}
	if m.Method.Name != "outer" {
		m.Method.Outer = standard.Outer
	}
	if m.Method.Name != "scalar" {
		m.Method.Scalar, m.Method.Check = standard.Scalar, standard.Check
	} else {
		m.Method.Steps, m.Method.Degree = standard.Steps, standard.Degree
		m.Optimizer, m.Codec = manifest.Default().Optimizer, manifest.Default().Codec
	}
	return m
}

// baseline checks that what names the points to compare with are keys and values.
func (c *checker) baseline() {
	keys := Keys()
	for i, b := range c.e.Baseline {
		key, _, ok := strings.Cut(b, "=")
		switch {
		case !ok:
			c.add(fmt.Sprintf("baseline[%d]", i), "is %s; want key=value, such as reference.name=allreduce", strictyaml.Quote(b))
		case !slices.Contains(keys, key):
			c.add(fmt.Sprintf("baseline[%d]", i), "%s is not a key%s", strictyaml.Quote(key), spelling.Hint(key, keys))
		}
	}
}

// ground checks overlay, cells and data.
func (c *checker) ground() {
	e := c.e
	c.spec("overlay", "overlay", e.Overlay, 0, checkOverlay)
	if c.cellSize() && e.Cells.Size > 0 {
		c.duration("cells.epoch", e.Cells.Epoch, time.Millisecond)
		if e.Overlay != Mesh && e.Overlay != "complete" {
			c.add("cells.size", "is %d, but overlay is %s; cells are of no fixed size and want overlay: mesh or complete", e.Cells.Size, e.Overlay)
		}
	}
	if e.Cells.Size > 0 && e.Method.Name == "scalar" && e.Reference.Name == None {
		c.add("cells.size", "is %d, but records have to come to all nodes, which cells keep apart; write size: 0", e.Cells.Size)
	}
	if _, err := e.Data.WithPath(e.DataPath); err != nil {
		c.add("data.path", "%s", err)
	}
	if e.Data.Source == "own" {
		c.add("data.source", "own is data that sites of a real run bring; a simulation wants mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE or jsonl:FILE")
	}
}

// checkOverlay draws the graph, but for those that would take long: of them only name and parameters are checked.
func checkOverlay(spec string, nodes int, seed uint64) error {
	const most, instead = 1 << 14, 1 << 12
	switch {
	case spec == Mesh, spec == "complete" && nodes > 1:
		return nil
	case nodes > most:
		nodes = instead
	}
	_, err := topology.Parse(spec, nodes, seed)
	return err
}

func (c *checker) cellSize() bool {
	if c.e.Cells.Size == 1 {
		c.add("cells.size", "is 1; want 0 for one cell of all, or 2 to %d", maxNodes)
		return false
	}
	return c.count("cells.size", c.e.Cells.Size, 0, maxNodes)
}

// network checks how messages travel and when nodes are there.
func (c *checker) network() {
	n, seed := c.e.Network, c.e.Seed
	c.spec("network.latency", "latency", n.Latency, seed, c.by.Latency)
	c.spec("network.jitter", "jitter", n.Jitter, seed, c.by.Jitter)
	c.spec("network.bandwidth", "bandwidth", n.Bandwidth, seed, c.by.Bandwidth)
	c.spec("network.loss", "loss", n.Loss, seed, c.by.Loss)
	c.spec("network.nat", "nat", n.NAT, seed, c.by.NAT)
	c.partitions()
	c.spec("churn.sessions", "sessions", c.e.Churn.Sessions, seed, c.by.Sessions)
	c.spec("churn.speeds", "speeds", c.e.Churn.Speeds, seed, c.by.Speeds)
	c.duration("compute.step", c.e.Compute.Step, 0)
	c.duration("compute.epoch", c.e.Compute.Epoch, 0)
	c.duration("compute.other", c.e.Compute.Other, 0)
	c.duration("compute.evaluate", c.e.Compute.Evaluate, 0)
	if c.e.Compute.Step > 0 && c.e.Compute.Epoch > 0 {
		c.add("compute.epoch", "is %s, but compute.step is %s; give one of them", manifest.DurationText(c.e.Compute.Epoch), manifest.DurationText(c.e.Compute.Step))
	}
}

func (c *checker) partitions() {
	n := c.e.Network
	if len(n.Partitions) > maxPartitions {
		c.add(partitionsPath, "has %d partitions; at most %d are allowed", len(n.Partitions), maxPartitions)
		return
	}
	var check Check
	if c.by.Groups != nil {
		check = func(spec string, nodes int, seed uint64) error { return c.by.Groups(spec, n.Latency, nodes, seed) }
	}
	for i, p := range n.Partitions {
		at := fmt.Sprintf("%s[%d]", partitionsPath, i)
		if c.duration(at+".from", p.From, 0) && c.duration(at+".until", p.Until, 0) && p.Until != 0 && p.Until <= p.From {
			c.add(at+".until", "is %s, which is not after from, %s", manifest.DurationText(p.Until), manifest.DurationText(p.From))
		}
		c.spec(at+".groups", "groups with latency "+n.Latency, p.Groups, c.e.Seed, check)
	}
}

// training checks what a manifest does not have of a method.
func (c *checker) training() {
	m := c.e.Method
	c.duration("method.wake.period", m.Wake.Period, time.Microsecond)
	if c.duration("method.wake.deviation", m.Wake.Deviation, 0) && m.Wake.Deviation > m.Wake.Period {
		c.add("method.wake.deviation", "is %s, more than method.wake.period, which is %s", manifest.DurationText(m.Wake.Deviation), manifest.DurationText(m.Wake.Period))
	}
	c.duration("method.announce_every", m.AnnounceEvery, 0)
	c.duration("method.repair_every", m.RepairEvery, time.Millisecond)
	if s, err := scalar.Parse(m.Scalar); err == nil && m.Name == "scalar" && c.e.Reference.Name == None && int(s.Peers) < c.e.Nodes {
		c.add("method.scalar", "is for %d peers, and there are %d nodes; write peers=%d or more", s.Peers, c.e.Nodes, c.e.Nodes)
	} else if err == nil && m.Name == "scalar" && c.e.Reference.Name == None && s.Closed && s.Founders() > c.e.Nodes {
		c.add("method.scalar", "is for %d peers, of whom %d close the first epoch, and there are %d nodes; write peers=%d", s.Peers, s.Founders(), c.e.Nodes, c.e.Nodes)
	}
	c.word("reference.name", c.e.Reference.Name, None, FedAvg, AllReduce)
	c.portion("reference.clients", c.e.Reference.Clients)
	c.adversaries()
}

func (c *checker) adversaries() {
	specs := c.e.Adversaries
	if len(specs) > maxAdversaries {
		c.add("adversaries", "has %d kinds; at most %d are allowed", len(specs), maxAdversaries)
		return
	}
	records := c.e.Method.Name == "scalar" && c.e.Reference.Name == None
	before := len(c.d.Problems)
	var check Check
	if c.by.Adversaries != nil {
		check = func(spec string, nodes int, seed uint64) error {
			return c.by.Adversaries([]string{spec}, nodes, seed, records)
		}
	}
	for i, spec := range specs {
		c.spec(fmt.Sprintf("adversaries[%d]", i), "adversary", spec, c.e.Seed, check)
	}
	if len(specs) > 1 && len(c.d.Problems) == before && check != nil && c.e.Nodes > 0 {
		if err := c.by.Adversaries(specs, c.e.Nodes, c.e.Seed, records); err != nil {
			c.add("adversaries", "%s", strings.Join(strings.Fields(err.Error()), " "))
		}
	}
}

func (c *checker) portion(path string, p Portion) {
	switch {
	case p.Count < 0 || p.Count == 0 && !(p.Share > 0 && p.Share <= 1):
		c.add(path, "is %s; want a whole number above 0, a share such as 10%%, or all", p)
	case p.Count > c.e.Nodes && c.e.Nodes > 0:
		c.add(path, "is %d, more than nodes, which is %d", p.Count, c.e.Nodes)
	}
}

// measuring checks evaluation and thresholds.
func (c *checker) measuring() {
	v := c.e.Evaluate
	switch {
	case v.Every.Tokens > 0:
		c.ofText("evaluate.every", v.Every.String())
	case v.Every.Time == 0:
		c.count("evaluate.every", v.Every.Rounds, 0, maxRounds)
	default:
		c.duration("evaluate.every", v.Every.Time, time.Nanosecond)
	}
	w := c.e.Work
	if c.duration("work.from", w.From, 0) && c.duration("work.until", w.Until, 0) && w.Until != 0 && w.Until <= w.From {
		c.add("work.until", "is %s, which is not after work.from, %s", manifest.DurationText(w.Until), manifest.DurationText(w.From))
	}
	c.portion("evaluate.nodes", v.Nodes)
	c.count("evaluate.rows", v.Rows, 0, maxRows)
	ts := c.e.Thresholds
	if len(ts) > maxThresholds {
		c.add("thresholds", "has %d accuracies; at most %d are allowed", len(ts), maxThresholds)
	}
	for i, t := range ts {
		at := fmt.Sprintf("thresholds[%d]", i)
		switch {
		case !(t > 0 && t <= 1):
			c.add(at, "is %v; want an accuracy above 0, to 1", t)
		case i > 0 && !(t > ts[i-1]):
			c.add(at, "is %v, which is not above the one before, %v", t, ts[i-1])
		}
	}
	if len(ts) > 0 && v.Every == (Cadence{}) {
		c.add("thresholds", "are given, but evaluate.every is 0, so that nothing is measured")
	}
}

// timeless reports whether a node can go through rounds without end while no time passes.
func (c *checker) timeless() bool {
	m, d := c.e.Method, c.e.Compute
	if m.Name == "scalar" {
		return c.e.Reference.Name == None && d.Step == 0
	}
	return c.e.Reference.Name == None && m.Exchange != Push && m.AnnounceEvery == 0 && d.Other == 0 && d.Step == 0 && (d.Epoch == 0 || !m.Steps.Epoch)
}

// stop checks that the run ends.
func (c *checker) stop() {
	s := c.e.Stop
	c.count("stop.rounds", s.Rounds, 0, maxRounds)
	c.duration("stop.time", s.Time, 0)
	c.share("stop.accuracy", s.Accuracy)
	c.share("stop.worst", s.Worst)
	c.goal("stop.loss", s.Loss, 0)
	c.goal("stop.perplexity", s.Perplexity, 1)
	measured := c.e.Evaluate.Every != Cadence{}
	for _, goal := range []struct {
		path string
		have float64
	}{{"stop.accuracy", s.Accuracy}, {"stop.worst", s.Worst}, {"stop.loss", s.Loss}, {"stop.perplexity", s.Perplexity}} {
		if goal.have > 0 && !measured {
			c.add(goal.path, "is %v, but evaluate.every is 0, so that nothing is measured", goal.have)
		}
	}
	if s.Perplexity > 0 {
		c.ofText("stop.perplexity", fmt.Sprint(s.Perplexity))
	}
	if s.Tokens > 0 {
		c.ofText("stop.tokens", fmt.Sprint(s.Tokens))
	}
	if s.Received > 1<<50 {
		c.add("stop.received", "is %s; want at most %s", s.Received, manifest.Size(1<<50))
	}
	bounded := s.Rounds != 0 || s.Time != 0 || s.Events != 0 || s.Tokens != 0 || s.Received != 0
	if c.timeless() && s.Time != 0 && s.Rounds == 0 && s.Events == 0 && s.Tokens == 0 && s.Received == 0 {
		c.add("stop.time", "is %s, which never comes: compute.step, compute.other and method.announce_every are 0, so that rounds take no time", manifest.DurationText(s.Time))
	}
	if !bounded && !c.d.Failed("stop.rounds") && !c.d.Failed("stop.time") && !c.d.Failed("stop.events") && !c.d.Failed("stop.tokens") &&
		!c.d.Failed("stop.received") {
		c.add("stop", "wants rounds, time, events, received or, of text, tokens: goals may never be reached")
	}
}

// goal checks what the loss or the perplexity is to get down to. least is what it cannot get below.
func (c *checker) goal(path string, have, least float64) {
	if have == 0 && !math.Signbit(have) {
		return
	}
	if !(have > least) || math.IsInf(have, 0) {
		c.add(path, "is %v; want 0 for none, or a number above %g", have, least)
	}
}

// ofText reports a setting that counts tokens, or is about them, where there is no text.
func (c *checker) ofText(path, have string) {
	if name, _, _ := strings.Cut(c.e.Model, ":"); name != "gpt" {
		c.add(path, "is %s, but only text has tokens, and model %s reads none; choose gpt", have, c.e.Model)
	}
}
