package manifest

import (
	"strconv"
	"strings"
	"time"

	"starling/gossip"
	"starling/node/manifest/strictyaml"
)

// A setting binds one key of the YAML form to its place in a Manifest.
type setting struct {
	path string // "method.steps"
	to   any    // *string, *int, *uint64, *float64, *Size, *Steps, *time.Duration, *gossip.PeerID or *time.Time
	help string // comment in the file that [Manifest.YAML] writes
}

// settings lists all keys in the order in which they are written.
func settings(m *Manifest) []setting {
	return []setting{
		{"version", &m.Version, "format of this file"},
		{"name", &m.Name, "for people: a to z, 0 to 9 and '-'"},
		{"seed", &m.Seed, "root of the randomness that all nodes share"},
		{"model", &m.Model, "softmax, svm, mlp: and the widths of the hidden layers, mlp:128,64, gpt:layers=4,width=128,heads=4,context=64, or hf:context=512;lora:r=8 for a published one"},
		{"init", &m.Init, "common: every node starts from the same parameters; independent: each from its own; weights:SHA256: from those of a base model"},
		{"data.source", &m.Data.Source, "mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE, jsonl:FILE, or own: each site brings its own"},
		{"data.split", &m.Data.Split, "iid, dirichlet:A, shards:K or contiguous"},
		{"data.shards", &m.Data.Shards, "parts that the data is split into"},
		{"method.name", &m.Method.Name, "how the nodes train together"},
		{"method.outer", &m.Method.Outer, "only with outer: diloco, delayed-nesterov or noloco, and settings"},
		{"method.scalar", &m.Method.Scalar, "only with scalar: structured, rademacher, binom8 or binom32, and settings"},
		{"method.check", &m.Method.Check, "only with scalar: part of others' records that is measured again, 0 to 1; wants data that everybody has"},
		{"method.mix", &m.Method.Mix, "a mixing rule such as mean or variance-corrected, or push-sum"},
		{"method.exchange", &m.Method.Exchange, "announce: tell all, who pull what they want; push: send to one peer at a time; copies: send neighbours what has changed"},
		{"method.steps", &m.Method.Steps, "local steps a round, or epoch: one pass over the node's data"},
		{"method.batch", &m.Method.Batch, "examples a step"},
		{"method.degree", &m.Method.Degree, "peers that a node mixes with in a round"},
		{"method.wake.period", &m.Method.Wake.Period, "only with push: mean time between two pushes of a node"},
		{"method.wake.deviation", &m.Method.Wake.Deviation, "only with push: its standard deviation"},
		{"method.public.correct", &m.Method.Public.Correct, "only with copies: none, or scafcom or scallion, for nodes whose data differ"},
		{"method.public.gamma", &m.Method.Public.Gamma, "only with copies: how far a node goes towards the copies, 0 to 1; 0: as suits the codec"},
		{"method.public.beta", &m.Method.Public.Beta, "only with a correction: how quickly it learns, 0 to 1; 0: as suits the correction"},
		{"cells.count", &m.Cells.Count, "groups that nodes are divided into; 1: one of all"},
		{"cells.epoch", &m.Cells.Epoch, "only with several cells: time after which they are drawn anew"},
		{"optimizer", &m.Optimizer, "of the local steps"},
		{"codec", &m.Codec, "how vectors are compressed on the wire"},
		{"checkpoint.every", &m.Checkpoint.Every, "rounds"},
		{"checkpoint.keep", &m.Checkpoint.Keep, "newest checkpoints kept"},
		{"evaluate.every", &m.Evaluate.Every, "rounds; 0: never"},
		{"evaluate.target", &m.Evaluate.Target, "accuracy to reach, 0 to 1; 0: none"},
		{"limits.inline", &m.Limits.Inline, "largest vector inside an announcement"},
		{"limits.blob", &m.Limits.Blob, "largest vector that is pulled"},
		{"limits.peers", &m.Limits.Peers, "peers that a node keeps state for"},
		{"admission", &m.Admission, "open: whoever has the link may join"},
		{"creator", &m.Creator, "signs this manifest"},
		{"created", &m.Created, ""},
	}
}

// YAML returns the manifest as a commented file that [ParseYAML] reads back as the same manifest, if it is valid.
func (m Manifest) YAML() []byte {
	var lines []strictyaml.Line
	for _, s := range settings(&m) {
		if value := render(s.to); value != "" {
			lines = append(lines, strictyaml.Line{Path: s.path, Value: value, Help: s.help})
		}
	}
	var b strings.Builder
	b.WriteString("# A run of starling. Sizes carry a unit, B, KiB, MiB or GiB, and so do durations: ms, s, m or h.\n")
	strictyaml.Write(&b, lines, 32)
	return []byte(b.String())
}

// render returns a value as YAML, or "" for a creator or date that is not filled in.
func render(v any) string {
	switch v := v.(type) {
	case *string:
		return strictyaml.Scalar(*v)
	case *int:
		return strconv.Itoa(*v)
	case *uint64:
		return strconv.FormatUint(*v, 10)
	case *float64:
		return strconv.FormatFloat(*v, 'f', -1, 64)
	case *Size:
		return v.String()
	case *Steps:
		return v.String()
	case *time.Duration:
		return DurationText(*v)
	case *gossip.PeerID:
		if hasCreator(*v) {
			return v.String()
		}
	case *time.Time:
		if !v.IsZero() {
			return v.UTC().Format(time.RFC3339)
		}
	}
	return ""
}
