package report

import (
	"fmt"
	"html/template"
	"io"
	"strings"
)

// runPage is what run.html shows.
type runPage struct {
	frame
	Lead                   string
	Warnings               []string
	Cards                  []card
	Targets                *table
	Plots                  []section
	Topology               template.HTML
	Messages, Bytes, Facts table
	Command, File          string
	Version, TraceHash     string
	Settings, Work         *table
}

// Page writes report.html: one run in words, plots, a drawing and tables.
func Page(w io.Writer, run Run) error {
	figures, err := figures(run)
	if err != nil {
		return err
	}
	r := &run.Result
	f, err := newFrame(orElse(r.Name, "Simulation"), false)
	if err != nil {
		return err
	}
	p := runPage{
		frame: f, Lead: lead(r), Warnings: warnings(run), Cards: cards(run), Targets: targets(r),
		Messages: accounts(r, "messages", func(t Traffic) Tally { return t.Messages }, r.Messages, plain),
		Bytes:    accounts(r, "bytes", func(t Traffic) Tally { return t.Bytes }, r.Bytes, volume),
		Facts:    facts(r), Command: command(r), File: orElse(r.File, "# the experiment was not kept"),
		Work: workTable(r.Work), Version: orElse(r.Version, "unknown"), TraceHash: orElse(r.TraceHash, "unknown"), Settings: settingsTable(r.Settings),
	}
	if len(run.Series) > 0 {
		p.Plots = sections(figures)
	}
	for _, f := range figures {
		if f.name == topologyFigure {
			p.Topology = f.html()
		}
	}
	return render(w, "run.html", p)
}

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}

// lead is the run in two sentences.
func lead(r *Result) string {
	s := plural(uint64(max(r.Nodes, 0)), "node", "nodes")
	if r.Method != "" {
		s += " trained with the method " + r.Method
	}
	if r.Rounds.Finite() {
		unit := " rounds"
		if r.Rounds == 1 {
			unit = " round"
		}
		s += " for " + digits(float64(r.Rounds)) + unit + " each"
	}
	s += ", which would have taken " + duration(float64(r.VirtualSeconds)) + " and was simulated in " + duration(float64(r.WallSeconds)) + "."
	if r.Stopped != "" {
		s += " The run ended because " + strings.TrimSuffix(r.Stopped, ".") + "."
	}
	return s
}

// warnings are what a reader must know before trusting the figures.
func warnings(run Run) []string {
	var out []string
	r := &run.Result
	if !r.Messages.Balanced() || !r.Bytes.Balanced() {
		out = append(out, "The message accounting does not add up: this is an error of the simulator. Please report it with the file and the seed.")
	}
	bad := 0
	for _, t := range run.Series {
		if !t.Loss.Mean.Finite() {
			bad++
		}
	}
	if bad > 0 {
		out = append(out, fmt.Sprintf("The mean loss was not a finite number at %d of %s: there the models of some nodes had diverged.",
			bad, plural(uint64(len(run.Series)), "evaluation", "evaluations")))
	}
	if len(run.Series) == 0 {
		out = append(out, "No evaluation took place, so there is nothing to plot. Evaluate more often, or run longer.")
	}
	return out
}

func cards(run Run) []card {
	r := &run.Result
	var out []card
	if r.Accuracy.Best.Finite() {
		out = append(out, spreadCard("Accuracy at the end", fraction, r.Accuracy))
	}
	if r.ofText() {
		p := Distribution{Spread: r.Loss}.perplexities().Spread
		out = append([]card{{"Perplexity at the end", digitsOr(r.Perplexity), []string{"worst node " + digitsOr(p.Worst), "best node " + digitsOr(p.Best),
			amount.format(float64(r.Tokens)) + " tokens trained on"}}}, out...)
	}
	out = append(out, spreadCard("Loss at the end", plain, r.Loss))
	if s := r.Start; s != nil {
		out = append(out, startCard(s))
	}
	if n := len(r.Targets); n > 0 {
		out = append(out, targetCard(r.Targets))
	}
	received := card{Name: "Received by a node", Value: missing}
	if n := len(run.Series); n > 0 {
		received.Value = volume.format(float64(run.Series[n-1].ReceivedPerNode))
	} else if r.Nodes > 0 {
		received.Value = volume.format(float64(r.Bytes.Delivered) / float64(r.Nodes))
	}
	if r.BytesSentPerNode.Finite() {
		received.Notes = append(received.Notes, volume.format(float64(r.BytesSentPerNode))+" sent")
	}
	if r.BytesReceivedPerNodeRound.Finite() {
		received.Notes = append(received.Notes, volume.format(float64(r.BytesReceivedPerNodeRound))+" in each round")
	}
	if r.DuplicateFactor.Finite() {
		received.Notes = append(received.Notes, digits(float64(r.DuplicateFactor))+" copies of each message")
	}
	out = append(out, received)
	if r.ConsensusDistance.Finite() {
		out = append(out, card{"Distance from consensus", digits(float64(r.ConsensusDistance)), []string{"how far apart the models are"}})
	}
	if p := r.Replicas; p != nil {
		c := card{"Replicas", "equal", []string{count(p.Most) + " records known to each of " + count(uint64(p.Nodes)) + " nodes", "model " + brief(p.Model)}}
		if !p.Equal {
			c.Value, c.Notes = "different", []string{count(uint64(p.Different)) + " different sums at " + count(uint64(p.Nodes)) + " nodes", count(p.Least) + " to " + count(p.Most) + " records known"}
		}
		out = append(out, c)
	}
	if k := r.Work; k != nil && k.UsefulSamplesPerSecond.Finite() {
		out = append(out, card{"Useful samples a second", digitsOr(k.UsefulSamplesPerSecond), []string{"of a node while it was online",
			"from " + duration(float64(k.From)) + " to " + duration(float64(k.Until)), count(r.Samples) + " samples trained on in all"}})
	}
	out = append(out, card{"Processor time", duration(float64(r.CPUSeconds)), []string{
		"training " + duration(float64(r.TrainCPUSeconds)), "evaluation " + duration(float64(r.EvalCPUSeconds)),
		"memory at most " + volume.format(float64(r.PeakRSSBytes)),
	}})
	if r.Churn.Joins+r.Churn.Leaves+r.Churn.Crashes > 0 {
		out = append(out, card{"Comings and goings", count(r.Churn.Joins) + " / " + count(r.Churn.Leaves+r.Churn.Crashes), []string{
			count(r.Churn.Crashes) + " of them crashes", digits(float64(r.Churn.MeanOnline)) + " nodes online on average",
		}})
	}
	if c := adversaryCard(r.Adversaries); len(c.Notes) > 0 {
		out = append(out, c)
	}
	return out
}

func spreadCard(name string, q quantity, s Spread) card {
	write := func(r Real) string {
		if !r.Finite() {
			return "not finite"
		}
		return q.format(float64(r))
	}
	return card{name, write(s.Mean), []string{"worst node " + write(s.Worst), "best node " + write(s.Best), "standard deviation " + digitsOr(s.Std)}}
}

// startCard is what the base model was worth before the run.
func startCard(s *Start) card {
	if s.Perplexity.Finite() {
		return card{"Perplexity at the start", digitsOr(s.Perplexity), []string{"loss " + digitsOr(s.Loss), "base model " + brief(s.Model)}}
	}
	return card{"Loss at the start", digitsOr(s.Loss), []string{"accuracy " + fraction.format(float64(s.Accuracy)), "base model " + brief(s.Model)}}
}

// brief is the beginning of a hash.
func brief(hash string) string { return hash[:min(len(hash), 16)] }

func digitsOr(r Real) string { return plain.format(float64(r)) }

// targetCard shows the highest target that was reached, or the lowest.
func targetCard(all []Target) card {
	best := all[0]
	for _, t := range all {
		if t.Reached && (!best.Reached || t.Accuracy > best.Accuracy) || !t.Reached && !best.Reached && t.Accuracy < best.Accuracy {
			best = t
		}
	}
	c := card{Name: "Accuracy " + digitsOr(best.Accuracy) + " after"}
	if !best.Reached {
		c.Value = "not reached"
		return c
	}
	c.Value = duration(float64(best.Seconds))
	c.Notes = []string{digitsOr(best.Rounds) + " rounds", volume.format(float64(best.BytesPerNode)) + " received by a node"}
	return c
}

func adversaryCard(groups []Group) card {
	c, sum := card{Name: "Adversaries"}, 0
	for _, g := range groups {
		if g.Nodes > 0 {
			sum += g.Nodes
			c.Notes = append(c.Notes, count(uint64(g.Nodes))+" "+g.Kind)
		}
	}
	c.Value = count(uint64(sum))
	return c
}

func targets(r *Result) *table {
	if len(r.Targets) == 0 {
		return nil
	}
	t := &table{Head: columns("mean accuracy", "virtual time", "rounds", "bytes received by a node")}
	for _, g := range r.Targets {
		if g.Reached {
			t.add("", digitsOr(g.Accuracy), duration(float64(g.Seconds)), digitsOr(g.Rounds), volume.format(float64(g.BytesPerNode)))
		} else {
			t.add("", digitsOr(g.Accuracy), "not reached", missing, missing)
		}
	}
	return t
}

// accounts is the table of where messages or bytes went.
func accounts(r *Result, what string, of func(Traffic) Tally, total Tally, q quantity) table {
	t := table{Head: columns(what, "sent", "delivered", "lost", "dropped", "in flight")}
	write := func(class, name string, y Tally) {
		fields := []string{name}
		for _, n := range []uint64{y.Sent, y.Delivered, y.Lost, y.Dropped, y.InFlight} {
			if q == volume {
				fields = append(fields, volume.format(float64(n)))
			} else {
				fields = append(fields, count(n))
			}
		}
		t.add(class, fields...)
	}
	var sum Tally
	for _, k := range r.Traffic {
		write("", k.Kind, of(k))
		sum = sum.Plus(of(k))
	}
	if len(r.Traffic) > 0 && sum != total {
		write("", "not told apart", Tally{total.Sent - sum.Sent, total.Delivered - sum.Delivered, total.Lost - sum.Lost,
			total.Dropped - sum.Dropped, total.InFlight - sum.InFlight})
	}
	write("sum", "all", total)
	there := total.Delivered + total.Lost + total.Dropped + total.InFlight
	if total.Balanced() {
		t.add("", "check", count(total.Sent)+" =", count(total.Delivered)+" +", count(total.Lost)+" +", count(total.Dropped)+" +", count(total.InFlight)+" ✓")
	} else {
		t.add("bad", "check", count(total.Sent)+" ≠", count(total.Delivered)+" +", count(total.Lost)+" +", count(total.Dropped)+" +",
			count(total.InFlight)+" = "+count(there))
	}
	return t
}

// command is what makes the run again, for a shell in the directory of the run.
func command(r *Result) string {
	s := fmt.Sprintf("starling sim run %s --seed %d", ExperimentFile, r.Seed)
	for _, set := range r.Settings {
		s += " --set " + quote(set.Key+"="+set.Value)
	}
	return s
}

// quote protects text from the shell if it needs that.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=.:/,+@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shownWork is how many nodes the page lists.
const shownWork = 32

// workTable is what each node got done; nil if that is not known.
func workTable(k *Work) *table {
	if k == nil || len(k.Nodes) == 0 {
		return nil
	}
	t := &table{Head: columns("node", "slowness", "online", "samples", "useful", "useful in a second")}
	for _, n := range k.Nodes[:min(shownWork, len(k.Nodes))] {
		t.add("", count(uint64(max(0, n.Node))), digitsOr(n.Slowness), duration(float64(n.OnlineSeconds)), count(n.Samples), count(n.UsefulSamples),
			digitsOr(n.UsefulSamplesPerSecond))
	}
	if more := len(k.Nodes) - shownWork; more > 0 {
		t.add("", count(uint64(more))+" more, in "+ResultFile)
	}
	return t
}

func settingsTable(all []Setting) *table {
	if len(all) == 0 {
		return nil
	}
	t := &table{Head: []column{{"setting", true, false}, {"value", true, true}}}
	for _, s := range all {
		t.add("", s.Key, s.Value)
	}
	return t
}

// facts are all figures that have no place above.
func facts(r *Result) table {
	t := table{Head: []column{{"figure", true, false}, {"value", true, true}}}
	add := func(name, value string) { t.add("", name, value) }
	add("seed", fmt.Sprint(r.Seed))
	add("data seed", fmt.Sprint(r.DataSeed))
	add("nodes", count(uint64(max(0, r.Nodes))))
	add("rounds of a node, mean", digitsOr(r.Rounds))
	add("virtual time", duration(float64(r.VirtualSeconds)))
	add("wall-clock time", duration(float64(r.WallSeconds)))
	add("processor time", duration(float64(r.CPUSeconds)))
	add("events", count(r.Events))
	if r.CPUSeconds > 0 && r.Events > 0 {
		add("events per processor second", digits(float64(r.Events)/float64(r.CPUSeconds)))
	}
	add("version", orElse(r.Version, "unknown"))
	add("trace hash", orElse(r.TraceHash, "unknown"))
	return t
}
