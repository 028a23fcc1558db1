package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"starling/gossip"
	"starling/node/manifest/strictyaml"
)

// A setting binds one key of the YAML form to its place in a Manifest.
type setting struct {
	path string // "method.steps"; at most two levels
	to   any    // *string, *int, *uint64, *float64, *Size, *gossip.PeerID or *time.Time
	help string // comment in the file that [Manifest.YAML] writes
}

// settings lists all keys in the order in which they are written.
func settings(m *Manifest) []setting {
	return []setting{
		{"version", &m.Version, "format of this file"},
		{"name", &m.Name, "for people: a to z, 0 to 9 and '-'"},
		{"seed", &m.Seed, "root of the randomness that all nodes share"},
		{"model", &m.Model, "softmax, svm, mlp: and the widths of the hidden layers, mlp:128,64, or gpt:layers=4,width=128,heads=4,context=64"},
		{"init", &m.Init, "common: every node starts from the same parameters; independent: each from its own"},
		{"data.source", &m.Data.Source, "mnist, pegasos, idx:DIR, csv:FILE, text:FILE, or own: each site brings its own"},
		{"data.split", &m.Data.Split, "iid, dirichlet:A, shards:K or contiguous"},
		{"data.shards", &m.Data.Shards, "parts that the data is split into"},
		{"method.name", &m.Method.Name, "how the nodes train together"},
		{"method.mix", &m.Method.Mix, "a mixing rule such as mean or variance-corrected, or push-sum"},
		{"method.steps", &m.Method.Steps, "local steps a round"},
		{"method.batch", &m.Method.Batch, "examples a step"},
		{"method.degree", &m.Method.Degree, "peers that a node mixes with in a round"},
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
	var b strings.Builder
	b.WriteString("# A run of starling. Sizes carry a unit: B, KiB, MiB or GiB.\n")
	section := ""
	for _, s := range settings(&m) {
		value := render(s.to)
		if value == "" {
			continue
		}
		indent, key := "", s.path
		if parent, name, ok := strings.Cut(s.path, "."); ok {
			if parent != section {
				b.WriteString(parent + ":\n")
			}
			indent, key, section = "  ", name, parent
		}
		line := indent + key + ": " + value
		if s.help != "" {
			line = fmt.Sprintf("%-32s # %s", line, s.help)
		}
		b.WriteString(line + "\n")
	}
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
