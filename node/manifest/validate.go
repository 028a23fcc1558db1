package manifest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"starling/gossip"
	"starling/gossip/codec"
	"starling/mixing"
	"starling/mixing/outer"
	"starling/mixing/scalar"
	"starling/mixing/spelling"
	"starling/mixing/srrw"
	"starling/node/manifest/strictyaml"
	"starling/node/optim"
)

// Validate returns all problems of the manifest as [Problems], or nil. A manifest without creator and date is valid;
// [Sign] wants both.
func (m Manifest) Validate() error {
	return m.problems(checkers()).err()
}

func (m Manifest) problems(by owners) Problems {
	var ps Problems
	if m.Version != Version {
		ps.add("version", "%s", versionProblem(int64(m.Version)))
	}
	checkName(&ps, m.Name)
	checkInit(&ps, m.Model, m.Init)
	checkWord(&ps, "method.name", m.Method.Name, []string{"average", "outer", "scalar", "walk"}, nil)
	checkWord(&ps, "admission", m.Admission, []string{"open"}, []string{"invite"})

	checkText(&ps, "model", m.Model, func(s string) error {
		inputs, classes := shape(m.Data.Source, m.Model)
		return by.model(s, inputs, classes)
	})
	checkKept(&ps, m.Model, m.Method.Name)
	checkText(&ps, "data.source", m.Data.Source, checkSource)
	checkText(&ps, "data.split", m.Data.Split, checkSplit)
	checkText(&ps, "method.mix", m.Method.Mix, func(s string) error {
		if s == PushSum {
			return nil
		}
		err := by.mix(s)
		if rules := append(mixing.RuleNames(), PushSum); err != nil && !slices.Contains(rules, firstWord(s)) {
			return fmt.Errorf("%s is not known; there are %s%s", quote(s), strings.Join(rules, ", "), spelling.Hint(firstWord(s), rules))
		}
		return err
	})
	checkText(&ps, "optimizer", m.Optimizer, by.optimizer)
	checkText(&ps, "codec", m.Codec, by.codec)

	checkRange(&ps, "data.shards", m.Data.Shards, 1, maxShards)
	checkSteps(&ps, m.Method.Steps)
	checkRange(&ps, "method.batch", m.Method.Batch, 1, maxBatch)
	checkRange(&ps, "limits.peers", m.Limits.Peers, 1, maxPeers)
	if checkRange(&ps, "method.degree", m.Method.Degree, 1, maxDegree) && m.Method.Degree > m.Limits.Peers {
		ps.add("method.degree", "is %d, more than limits.peers, which is %d", m.Method.Degree, m.Limits.Peers)
	}
	checkRange(&ps, "checkpoint.every", m.Checkpoint.Every, 1, maxRounds)
	checkRange(&ps, "checkpoint.keep", m.Checkpoint.Keep, 1, maxKeep)
	checkRange(&ps, "evaluate.every", m.Evaluate.Every, 0, maxRounds)
	checkTarget(&ps, m.Evaluate)
	checkSize(&ps, "limits.inline", m.Limits.Inline, 0, maxInline)
	if checkSize(&ps, "limits.blob", m.Limits.Blob, minBlob, maxBlob) && m.Limits.Blob < m.Limits.Inline {
		ps.add("limits.blob", "is %s, less than limits.inline, which is %s", m.Limits.Blob, m.Limits.Inline)
	}
	checkExchange(&ps, m.Method)
	checkPublic(&ps, m)
	checkOuter(&ps, m)
	checkScalar(&ps, m)
	checkWalk(&ps, m)
	checkCells(&ps, m)
	checkCreated(&ps, m.Created)
	if c, err := codec.Parse(m.Codec); err == nil {
		switch {
		case c.Lossy() && m.Method.Mix == PushSum:
			ps.add("codec", "is %s, which loses some of a vector: with push-sum that would be mass; write codec: fp32", m.Codec)
		case c.Coarse() && m.Method.Name == "average" && m.Method.Exchange != Copies:
			ps.add("codec", "is %s, which keeps too little for the whole models that method %s sends; write codec: bf16, int8 or int4, or exchange: copies", m.Codec, m.Method.Name)
		}
	}
	return ps
}

// versionProblem says why version v is refused; v is not [Version].
func versionProblem(v int64) string {
	have := strconv.FormatInt(v, 10)
	if v > Version {
		return "this manifest has version " + have + ", and this build reads versions up to " + strconv.Itoa(Version) +
			"; install a newer starling"
	}
	return have + " is not a version of the format; write version: " + strconv.Itoa(Version)
}

func checkName(ps *Problems, name string) {
	if name == "" {
		ps.add("name", "is empty; give the run a name")
		return
	}
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
	if bad || len(name) > maxName {
		ps.add("name", "%s may hold a to z, 0 to 9 and '-', at most %d of them", quote(name), maxName)
	}
}

// checkWord wants one of known; the words in later are understood, and refused with the reason.
func checkWord(ps *Problems, field, have string, known, later []string) {
	if slices.Contains(later, have) {
		ps.add(field, "%q is not in this build yet; use %s", have, strings.Join(known, " or "))
	} else if err := strictyaml.CheckWord(have, known); err != nil {
		ps.add(field, "%s", err)
	}
}

// checkText wants a short printable line of which check approves.
func checkText(ps *Problems, field, have string, check func(string) error) {
	if err := strictyaml.CheckSpec(have, maxSpec, check); err != nil {
		ps.add(field, "%s", err)
	}
}

func checkRange(ps *Problems, field string, have, low, high int) bool {
	if have < low || have > high {
		ps.add(field, "is %d; want %d to %d", have, low, high)
		return false
	}
	return true
}

func checkSize(ps *Problems, field string, have, low, high Size) bool {
	if have < low || have > high {
		ps.add(field, "is %s; want %s to %s", have, low, high)
		return false
	}
	return true
}

func checkSteps(ps *Problems, s Steps) {
	switch {
	case !s.Epoch:
		checkRange(ps, "method.steps", s.Count, 1, maxSteps)
	case s.Count != 0:
		ps.add("method.steps", "is both %d and one pass over the data", s.Count)
	}
}

// checkExchange looks at the exchange and at what is said of it alone.
func checkExchange(ps *Problems, m Method) {
	checkWord(ps, "method.exchange", m.Exchange, []string{Announce, Push, Copies}, nil)
	unused, because := Default().Method.Wake, noEffect(m, Push)
	switch w := m.Wake; {
	case m.Exchange != Push && w.Period != unused.Period:
		ps.add("method.wake.period", "is %s, and has no effect with %s", DurationText(w.Period), because)
	case m.Exchange != Push && w.Deviation != unused.Deviation:
		ps.add("method.wake.deviation", "is %s, and has no effect with %s", DurationText(w.Deviation), because)
	case m.Exchange != Push:
	case w.Period < minPeriod || w.Period > maxPeriod:
		ps.add("method.wake.period", "is %s; want %s to %s", DurationText(w.Period), DurationText(minPeriod), DurationText(maxPeriod))
	case w.Deviation < 0 || w.Deviation > w.Period:
		ps.add("method.wake.deviation", "is %s; want 0s to method.wake.period, which is %s", DurationText(w.Deviation), DurationText(w.Period))
	}
	if m.Exchange == Push && m.Mix == PushSum {
		ps.add("method.exchange", "is push, but push-sum sends to fixed neighbours; write exchange: announce")
	}
}

// noEffect says because of what the settings of another exchange have no effect, and what to do.
func noEffect(m Method, choose string) string {
	if m.Name != "average" {
		return "method.name: " + m.Name + "; leave it out"
	}
	return "method.exchange: " + m.Exchange + "; leave it out, or choose " + choose
}

// checkPublic looks at what is said of the exchange copies, and at what it asks of the rest.
func checkPublic(ps *Problems, m Manifest) {
	p, unused := m.Method.Public, Default().Method.Public
	if m.Method.Exchange != Copies || m.Method.Name == "outer" || m.Method.Name == "scalar" || m.Method.Name == "walk" {
		because := noEffect(m.Method, Copies)
		no := func(is bool, key string, value any) {
			if is {
				ps.add("method.public."+key, "is %v, and has no effect with %s", value, because)
			}
		}
		no(p.Correct != unused.Correct, "correct", p.Correct)
		no(p.Gamma != 0, "gamma", p.Gamma)
		no(p.Beta != 0, "beta", p.Beta)
		return
	}
	checkWord(ps, "method.public.correct", p.Correct, []string{NoCorrection, Scafcom, Scallion}, nil)
	checkShare(ps, "method.public.gamma", p.Gamma)
	checkShare(ps, "method.public.beta", p.Beta)
	if m.Method.Mix != "metropolis" {
		ps.add("method.mix", "is %s, but public copies are mixed by Metropolis-Hastings weights; write mix: metropolis", quote(m.Method.Mix))
	}
	if m.Cells.Count > 1 {
		ps.add("cells.count", "is %d, but public copies are for neighbours that stay, which cells part; write count: 1", m.Cells.Count)
	}
	switch {
	case p.Correct == NoCorrection && p.Beta != 0:
		ps.add("method.public.beta", "is %v, and has no effect without a correction; leave it out, or write correct: scafcom", p.Beta)
		return
	case p.Correct != Scafcom && p.Correct != Scallion: // none, or not known, which is said
		return
	}
	if o, err := optim.Parse(m.Optimizer); err == nil && (o.Name() != "sgd" || o.StateLen(1) != 0) {
		ps.add("optimizer", "is %s, but %s measures gradients by how far plain steps go; write sgd without momentum, such as sgd:lr=0.1",
			quote(m.Optimizer), p.Correct)
	}
	if c, err := codec.Parse(m.Codec); err == nil && p.Correct == Scallion && c.Lossy() && !c.Unbiased() {
		ps.add("codec", "is %s, which is biased, and scallion counts on errors that cancel out; add unbiased, or write correct: scafcom", quote(m.Codec))
	}
}

// checkShare wants 0 to 1.
func checkShare(ps *Problems, field string, have float64) {
	// The negative zero equals zero, and has another encoding and so another run ID.
	if !(have >= 0 && have <= 1) || math.Signbit(have) {
		ps.add(field, "is %v; want 0 to 1", have)
	}
}

// checkOuter looks at the outer optimizer, and at what has no effect because of the method.
func checkOuter(ps *Problems, m Manifest) {
	d := Default().Method
	if m.Method.Name != "outer" {
		if m.Method.Outer != d.Outer {
			ps.add("method.outer", "is %s, and has no effect with method.name: %s; leave it out, or choose outer", quote(m.Method.Outer), m.Method.Name)
		}
		return
	}
	for _, x := range []struct{ field, have, standard string }{
		{"method.mix", m.Method.Mix, d.Mix}, {"method.exchange", m.Method.Exchange, d.Exchange},
	} {
		if x.have != x.standard {
			ps.add(x.field, "is %s, and has no effect with method.name: outer; leave it out", quote(x.have))
		}
	}
	checkText(ps, "method.outer", m.Method.Outer, func(text string) error {
		s, err := outer.Parse(text)
		if err == nil && !m.Method.Steps.Epoch && m.Method.Steps.Count > 0 { // else the number is what is wrong
			err = s.Fits(m.Method.Steps.Count)
		}
		if err == nil && s.Variant == outer.DiLoCo && m.Cells.Count > 1 {
			err = errors.New("diloco sums up what all nodes of the run have changed, and cells keep them apart; write cells.count: 1, or choose another one")
		}
		return err
	})
	if m.Method.Steps.Epoch {
		ps.add("method.steps", "is epoch, and with method.name: outer rounds are of a number of local steps that all share; write a number")
	}
	if m.Init == "independent" {
		ps.add("init", "is %s, and with method.name: outer nodes add up what they have changed of one and the same model; write common", m.Init)
	}
}

// checkScalar looks at the settings of the method scalar, and at what has no effect with it: all that is about vectors, of which it sends
// none.
func checkScalar(ps *Problems, m Manifest) {
	d := Default()
	checkChecks(ps, m)
	if m.Method.Name != "scalar" {
		if m.Method.Scalar != d.Method.Scalar {
			ps.add("method.scalar", "is %s, and has no effect with method.name: %s; leave it out, or choose scalar", quote(m.Method.Scalar), m.Method.Name)
		}
		return
	}
	for _, x := range []struct{ field, have, standard string }{
		{"method.mix", m.Method.Mix, d.Method.Mix}, {"method.exchange", m.Method.Exchange, d.Method.Exchange},
		{"method.steps", m.Method.Steps.String(), d.Method.Steps.String()}, {"method.degree", strconv.Itoa(m.Method.Degree), strconv.Itoa(d.Method.Degree)},
		{"optimizer", m.Optimizer, d.Optimizer}, {"codec", m.Codec, d.Codec},
	} {
		if x.have != x.standard {
			ps.add(x.field, "is %s, and has no effect with method.name: scalar; leave it out", quote(x.have))
		}
	}
	checkText(ps, "method.scalar", m.Method.Scalar, func(text string) error {
		s, err := scalar.Parse(text)
		if err != nil {
			return err
		}
		return s.Runs()
	})
	if m.Init == "independent" {
		ps.add("init", "is %s, and with method.name: scalar records say how one and the same model changes; write common", m.Init)
	}
	if m.Cells.Count > 1 {
		ps.add("cells.count", "is %d, but records have to come to all nodes, which cells keep apart; write count: 1", m.Cells.Count)
	}
}

// checkChecks looks at the part of records that is measured again, for which all nodes must have the same data.
func checkChecks(ps *Problems, m Manifest) {
	checkShare(ps, "method.check", m.Method.Check)
	switch s, err := scalar.Parse(m.Method.Scalar); {
	case m.Method.Check == 0:
	case m.Method.Name != "scalar":
		ps.add("method.check", "is %v, and has no effect with method.name: %s; leave it out, or choose scalar", m.Method.Check, m.Method.Name)
	case m.Data.Source == "own" || m.Data.NamesFiles():
		ps.add("method.check", "is %v, and with data.source: %s the data of a node is its own: nobody else can measure its records again; leave it out", m.Method.Check, m.Data.Source)
	case m.Data.Split != "iid":
		ps.add("data.split", "is %s, but with method.check all nodes draw from all of the data; write iid", quote(m.Data.Split))
	case err == nil && s.Closed:
		ps.add("method.check", "is %v, and with mode=closed records are not added up one by one; leave it out, or write mode=open", m.Method.Check)
	}
}

// checkWalk looks at the settings of the method walk, and at what has no effect with it.
func checkWalk(ps *Problems, m Manifest) {
	d := Default().Method
	if m.Method.Name != "walk" {
		for _, x := range []struct{ field, have, standard string }{
			{"method.walk", m.Method.Walk, d.Walk}, {"method.tokens", strconv.Itoa(m.Method.Tokens), strconv.Itoa(d.Tokens)},
		} {
			if x.have != x.standard {
				ps.add(x.field, "is %s, and has no effect with method.name: %s; leave it out, or choose walk", quote(x.have), m.Method.Name)
			}
		}
		return
	}
	for _, x := range []struct{ field, have, standard string }{
		{"method.mix", m.Method.Mix, d.Mix}, {"method.exchange", m.Method.Exchange, d.Exchange},
	} {
		if x.have != x.standard {
			ps.add(x.field, "is %s, and has no effect with method.name: walk; leave it out", quote(x.have))
		}
	}
	checkText(ps, "method.walk", m.Method.Walk, func(text string) error {
		w, err := srrw.Parse(text)
		if err == nil && w.Limit > maxWalkLimit {
			return fmt.Errorf("limit=%d: a token has to fit its history into a message; write limit=%d or less", w.Limit, maxWalkLimit)
		}
		return err
	})
	checkRange(ps, "method.tokens", m.Method.Tokens, 0, srrw.MaxTokens)
	if m.Init == "independent" {
		ps.add("init", "is %s, and with method.name: walk tokens that meet merge their models; write common", m.Init)
	}
	if m.Cells.Count > 1 {
		ps.add("cells.count", "is %d, but tokens have to come to all nodes, which cells keep apart; write count: 1", m.Cells.Count)
	}
}

// maxWalkLimit is how many peers the history of a token may name.
const maxWalkLimit = 4096

func checkCells(ps *Problems, m Manifest) {
	c := m.Cells
	switch {
	case !checkRange(ps, "cells.count", c.Count, 1, gossip.MaxCells):
		return
	case c.Count == 1 && c.Epoch != Default().Cells.Epoch:
		ps.add("cells.epoch", "is %s, and has no effect with cells.count: 1; leave it out, or choose more cells", DurationText(c.Epoch))
	case c.Epoch < minEpoch || c.Epoch > maxEpoch:
		ps.add("cells.epoch", "is %s; want %s to %s", DurationText(c.Epoch), DurationText(minEpoch), DurationText(maxEpoch))
	}
	if c.Count > 1 && m.Method.Mix == PushSum {
		ps.add("cells.count", "is %d, but push-sum sends to fixed neighbours, which cells part; write count: 1", c.Count)
	}
}

func checkTarget(ps *Problems, e Evaluate) {
	switch {
	case !(e.Target >= 0 && e.Target <= 1) || math.Signbit(e.Target):
		// The negative zero equals zero, and has another encoding and so another run ID.
		ps.add("evaluate.target", "is %v; want an accuracy from 0 to 1, 0 for none", e.Target)
	case e.Target > 0 && e.Every == 0:
		ps.add("evaluate.target", "is %v, but evaluate.every is 0, so that nothing is measured", e.Target)
	}
}

func checkCreated(ps *Problems, t time.Time) {
	switch {
	case t.IsZero():
	case t != t.UTC().Truncate(time.Second):
		ps.add("created", "%s is not a whole second in UTC", t.Format(time.RFC3339Nano))
	case t.Unix() <= 0 || t.Year() > 9999:
		ps.add("created", "%s is not between the years 1970 and 9999", t.Format(time.RFC3339))
	}
}

// firstWord is what comes before the settings of a rule.
func firstWord(spec string) string {
	if i := strings.IndexAny(spec, ":,"); i >= 0 {
		return spec[:i]
	}
	return spec
}

// cutSpec splits "kind:arguments" at the first colon.
func cutSpec(spec string) (kind, args string) {
	kind, args, _ = strings.Cut(spec, ":")
	return kind, args
}

// quote renders remote text so that it is safe on a terminal and short in a log.
func quote(s string) string { return strictyaml.Quote(s) }

// hasCreator reports whether a creator is filled in.
func hasCreator(p gossip.PeerID) bool { return p != gossip.PeerID{} }
