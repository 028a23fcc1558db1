package experiment

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"starling/node/manifest"
	"starling/node/manifest/strictyaml"
)

// A setting binds one key of a file to its place in an Experiment.
type setting struct {
	path string
	to   any    // one of the types of [target] and render
	help string // comment in the file that [Experiment.YAML] writes
}

// settings lists all keys in the order in which they are written.
func settings(e *Experiment) []setting {
	return []setting{
		{"version", &e.Version, "format of this file"},
		{"name", &e.Name, "for people: a to z, 0 to 9 and '-'"},
		{"about", (*lines)(&e.About), "what is asked, and what to expect"},
		{"baseline", &e.Baseline, "settings of the points of a sweep that the others are compared with"},
		{"nodes", &e.Nodes, "number of nodes"},
		{"seed", &e.Seed, "root of all randomness but that of the data"},
		{"data_seed", &e.DataSeed, "root of the randomness of the data"},
		{"overlay", &e.Overlay, "who is connected to whom: a graph such as regular:8, or mesh"},
		{"cells.size", &e.Cells.Size, "nodes of a gossip group; 0: one group of all"},
		{"cells.epoch", &e.Cells.Epoch, "time after which groups are drawn anew"},
		{"network.latency", &e.Network.Latency, "one-way delay of links"},
		{"network.jitter", &e.Network.Jitter, "what is added for each message"},
		{"network.bandwidth", &e.Network.Bandwidth, "of each node's link"},
		{"network.loss", (*word)(&e.Network.Loss), "share of messages that get lost, or bursts"},
		{"network.nat", &e.Network.NAT, "who cannot be dialled; none: all can"},
		{"network.partitions", &e.Network.Partitions, "times in which groups cannot reach each other"},
		{"churn.sessions", &e.Churn.Sessions, "when nodes come and go; none: all are always there"},
		{"churn.speeds", &e.Churn.Speeds, "how much longer a node's jobs last"},
		{"compute.step", &e.Compute.Step, "duration of a local step"},
		{"compute.epoch", &e.Compute.Epoch, "duration of a pass over a node's data, instead of step; 0s: step counts"},
		{"compute.other", &e.Compute.Other, "duration of any other job"},
		{"compute.evaluate", &e.Compute.Evaluate, "how long after a goal is reached the run ends, because evaluating takes time"},
		{"data.source", &e.Data.Source, "mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE or jsonl:FILE"},
		{"data.path", &e.DataPath, "the file or directory, if source is text, jsonl, csv or idx and names none"},
		{"data.split", &e.Data.Split, "iid, dirichlet:A, shards:K or contiguous"},
		{"data.shards", &e.Data.Shards, "parts that the data is split into; 0: one for each node"},
		{"model", &e.Model, "softmax, mlp:WIDTHS, svm or gpt:SETTINGS"},
		{"init", &e.Init, "common: every node starts from the same parameters; independent: each from its own; weights:SHA256: from those of a base model"},
		{"weights", &e.Weights, "the safetensors file of the base model that init names"},
		{"pretrain.source", &e.Pretrain.Source, "what a base model is trained on before the run, as data.source; none: there is none"},
		{"pretrain.path", &e.Pretrain.Path, "the file or directory, if source is text, csv or idx and names none"},
		{"pretrain.steps", &e.Pretrain.Steps, "of its training"},
		{"pretrain.batch", &e.Pretrain.Batch, "examples a step"},
		{"pretrain.optimizer", &e.Pretrain.Optimizer, "of its training"},
		{"method.name", &e.Method.Name, "how the nodes train together"},
		{"method.outer", &e.Method.Outer, "diloco, delayed-nesterov, naive-nesterov or noloco, and settings"},
		{"method.scalar", &e.Method.Scalar, "structured, rademacher, binom8 or binom32, and settings"},
		{"method.check", &e.Method.Check, "with scalar: part of others' records that a node measures again, 0 to 1"},
		{"method.mix", &e.Method.Mix, "a mixing rule such as mean or variance-corrected, or push-sum"},
		{"method.exchange", &e.Method.Exchange, "announce: publish, and pull from others; push: send to one neighbour; copies: send neighbours what has changed"},
		{"method.steps", &e.Method.Steps, "local steps a round, or epoch: one pass over the node's data"},
		{"method.batch", &e.Method.Batch, "examples a step"},
		{"method.degree", &e.Method.Degree, "peers that a node mixes with in a round; with push, models that may wait while it trains"},
		{"method.wake.period", &e.Method.Wake.Period, "mean time between two pushes of a node"},
		{"method.wake.deviation", &e.Method.Wake.Deviation, "its standard deviation"},
		{"method.public.correct", &e.Method.Public.Correct, "with copies: none, scafcom or scallion"},
		{"method.public.gamma", &e.Method.Public.Gamma, "with copies: how far a node goes towards the copies; 0: as suits the codec"},
		{"method.public.beta", &e.Method.Public.Beta, "with a correction: how quickly it learns; 0: as suits the correction"},
		{"method.announce_every", &e.Method.AnnounceEvery, "shortest time between two announcements"},
		{"method.repair_every", &e.Method.RepairEvery, "mean time between two repairs of what gossip lost"},
		{"optimizer", &e.Optimizer, "of the local steps"},
		{"codec", &e.Codec, "how vectors are compressed on the wire"},
		{"checkpoint.every", &e.Checkpoint.Every, "rounds"},
		{"limits.inline", &e.Limits.Inline, "largest vector inside an announcement"},
		{"limits.blob", &e.Limits.Blob, "largest vector that is pulled"},
		{"limits.peers", &e.Limits.Peers, "peers that a node keeps state for"},
		{"reference.name", &e.Reference.Name, "none; fedavg: a server instead of the method; allreduce: every step is made by all together"},
		{"reference.clients", &e.Reference.Clients, "nodes that take part in a round of the server"},
		{"adversaries", &e.Adversaries, "nodes that do not play by the rules"},
		{"evaluate.every", &e.Evaluate.Every, "rounds, a duration, or tokens:N; 0: never"},
		{"evaluate.nodes", &e.Evaluate.Nodes, "nodes that are evaluated: a number, a share such as 10%, or all"},
		{"evaluate.rows", &e.Evaluate.Rows, "held-out rows that are used; 0: all"},
		{"work.from", &e.Work.From, "when counting the work of nodes begins"},
		{"work.until", &e.Work.Until, "when it ends; 0s: when training does"},
		{"stop.rounds", &e.Stop.Rounds, "0: no limit"},
		{"stop.time", &e.Stop.Time, "virtual; 0s: no limit"},
		{"stop.events", &e.Stop.Events, "0: no limit"},
		{"stop.accuracy", &e.Stop.Accuracy, "mean accuracy to reach, 0 to 1; 0: none"},
		{"stop.worst", &e.Stop.Worst, "accuracy that the worst node has to reach, 0 to 1; 0: none"},
		{"stop.loss", &e.Stop.Loss, "mean loss to get down to; 0: none"},
		{"stop.perplexity", &e.Stop.Perplexity, "of text, to get down to; 0: none"},
		{"stop.tokens", &e.Stop.Tokens, "of text, that all nodes together train on; 0: no limit"},
		{"stop.received", &e.Stop.Received, "bytes that a node receives on average; 0B: no limit"},
		{"thresholds", &e.Thresholds, "accuracies whose time is reported, ascending"},
	}
}

// Keys returns the paths of all keys that a file may have, such as "method.wake.period", in the order in which they are
// written, and those of a partition with "[]" behind the list: "network.partitions[].from".
func Keys() []string {
	var e Experiment
	var keys []string
	for _, s := range settings(&e) {
		keys = append(keys, s.path)
		if s.path == partitionsPath {
			for _, p := range partitionSettings(partitionsPath+"[]", new(Partition)) {
				keys = append(keys, p.path)
			}
		}
	}
	return keys
}

const partitionsPath = "network.partitions"

func partitionSettings(prefix string, p *Partition) []setting {
	return []setting{
		{prefix + ".from", &p.From, ""},
		{prefix + ".until", &p.Until, ""},
		{prefix + ".groups", &p.Groups, ""},
	}
}

// YAML returns the experiment as a commented file that [Load] reads back as the same experiment, if it is valid.
func (e Experiment) YAML() []byte {
	var b strings.Builder
	b.WriteString("# An experiment for starling sim run.\n")
	e.write(&b, true, func(string) bool { return true })
	return []byte(b.String())
}

// onlySaid reports whether a setting only says something about the run: it is the same one without.
func onlySaid(path string) bool { return path == "name" || path == "about" || path == "baseline" }

// Canonical returns the settings as YAML in a normal form: two experiments that simulate the same have the same bytes, and
// others have not. Name, about and baseline are not in it, and settings without effect have their defaults.
func (e Experiment) Canonical() []byte {
	var b strings.Builder
	e.effective().write(&b, false, func(path string) bool { return !onlySaid(path) })
	return []byte(b.String())
}

// Hash returns the SHA-256 of the canonical form in lower-case hexadecimal digits: what a result is the result of.
func (e Experiment) Hash() string {
	sum := sha256.Sum256(e.Canonical())
	return hex.EncodeToString(sum[:])
}

func (e Experiment) write(b *strings.Builder, help bool, want func(path string) bool) {
	var out []strictyaml.Line
	for _, s := range settings(&e) {
		if value := render(s.to); value != "" && want(s.path) {
			l := strictyaml.Line{Path: s.path, Value: value}
			if help {
				l.Help = s.help
			}
			out = append(out, l)
		}
	}
	strictyaml.Write(b, out, 40)
}

// ineffective reports whether a setting has no effect because of others.
func (e *Experiment) ineffective(path string) bool {
	in := func(sections ...string) bool {
		for _, s := range sections {
			if path == s || strings.HasPrefix(path, s+".") {
				return true
			}
		}
		return false
	}
	if e.Pretrain.Source == None && in("pretrain") {
		return true
	}
	if e.Reference.Name != None {
		return in("overlay", "cells", "method.mix", "method.outer", "method.scalar", "method.check", "method.exchange", "method.degree", "method.wake", "method.public", "method.announce_every",
			"method.repair_every", "limits", "checkpoint", "network.jitter", "network.loss", "network.nat", "network.partitions",
			"churn.sessions", "adversaries", "work") ||
			in("init") && e.Init == "independent" || e.Reference.Name == FedAvg && in("network.bandwidth") || e.Reference.Name == AllReduce && (in("reference.clients") || in("method.steps") && !e.counted())
	}
	switch {
	case in("reference.clients"):
		return true
	case in("cells.epoch"):
		return e.Cells.Size == 0
	case in("method.outer"):
		return e.Method.Name != "outer"
	case in("method.scalar", "method.check"):
		return e.Method.Name != "scalar"
	case e.Method.Name == "scalar" && in("compute.epoch", "method.mix", "method.exchange", "method.steps", "method.degree", "method.wake", "method.public",
		"method.announce_every", "optimizer", "codec", "limits.inline", "limits.blob"):
		return true
	case in("method.mix", "method.exchange"):
		return e.Method.Name == "outer"
	case in("method.wake"):
		return e.Method.Exchange != Push || e.Method.Name == "outer"
	case in("method.public"):
		return e.Method.Exchange != Copies || e.Method.Name == "outer" || path == "method.public.beta" && e.Method.Public.Correct == manifest.NoCorrection
	case in("method.announce_every"):
		return e.Method.Exchange == Push
	case in("method.repair_every"):
		return e.Method.Exchange != Announce
	}
	return false
}

// counted reports whether anything goes by rounds, which a reference counts by the steps of a round.
func (e *Experiment) counted() bool { return e.Stop.Rounds > 0 || e.Evaluate.Every.Rounds > 0 }

// effective returns the experiment with the defaults for all settings that have no effect.
func (e Experiment) effective() Experiment {
	is, standard := e, Default()
	to, from := settings(&is), settings(&standard)
	for i, s := range to {
		if e.ineffective(s.path) {
			assign(s.to, from[i].to)
		}
	}
	is.Weights = "" // where the file is makes no difference: init says what is in it
	// One text is the same data however it is named.
	if whole, err := is.Data.WithPath(is.DataPath); err == nil {
		is.Data, is.DataPath = whole, ""
	}
	if whole, err := (manifest.Data{Source: is.Pretrain.Source}).WithPath(is.Pretrain.Path); err == nil {
		is.Pretrain.Source, is.Pretrain.Path = whole.Source, ""
	}
	return is
}

// assign copies a setting of a type that a setting without effect can have.
func assign(to, from any) {
	switch to := to.(type) {
	case *string:
		*to = *from.(*string)
	case *word:
		*to = *from.(*word)
	case *int:
		*to = *from.(*int)
	case *float64:
		*to = *from.(*float64)
	case *time.Duration:
		*to = *from.(*time.Duration)
	case *Steps:
		*to = *from.(*Steps)
	case *Portion:
		*to = *from.(*Portion)
	case *[]Partition:
		*to = *from.(*[]Partition)
	case *[]string:
		*to = *from.(*[]string)
	case *manifest.Size:
		*to = *from.(*manifest.Size)
	default:
		panic(fmt.Sprintf("experiment: internal error: a setting of type %T cannot be without effect", to))
	}
}

// decoderSettings are the settings for the strict decoder.
func decoderSettings(all []setting) []strictyaml.Setting {
	out := make([]strictyaml.Setting, len(all))
	for i, s := range all {
		out[i] = strictyaml.Setting{Path: s.path, To: target(s.to)}
	}
	return out
}

// A Value is one setting of an experiment in text.
type Value struct {
	Key, Value string
}

// Resolved returns all settings, but for name, about and baseline, in the order in which they are written.
func (e Experiment) Resolved() []Value {
	var all []Value
	for _, s := range settings(&e) {
		if value := render(s.to); value != "" && !onlySaid(s.path) {
			all = append(all, Value{s.path, value})
		}
	}
	return all
}
