package manifest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"starling/gossip"
	"starling/gossip/codec"
	"starling/mixing"
	"starling/node/data"
	"starling/node/model"
	"starling/node/model/llama"
	"starling/node/optim"
)

// shape returns what the model is checked with: inputs and classes of the source if its name says them, else numbers
// with which any model can be built; own data may be text, for a model that reads it. The data itself is opened, and checked
// against the model, by whoever trains.
func shape(source, model string) (inputs, classes int) {
	reader, _ := cutSpec(model)
	switch kind, _ := cutSpec(source); {
	case kind == "text", kind == "jsonl", kind == "babble", source == "own" && (reader == "gpt" || llama.Published(model)):
		return 0, 256
	case source == "mnist":
		return 784, 10
	case kind == "pegasos":
		return 57, 2
	}
	return 2, 2
}

// owners are the packages that say which strings name a thing of theirs.
type owners struct {
	model     func(spec string, inputs, classes int) error
	mix       func(spec string) error
	optimizer func(spec string) error
	codec     func(spec string) error
}

func checkers() owners {
	return owners{
		model: func(spec string, inputs, classes int) error {
			if llama.Published(spec) {
				return checkPublished(spec, inputs)
			}
			_, err := model.Parse(spec, inputs, classes)
			return err
		},
		mix: func(spec string) error {
			_, err := mixing.ParseRule(spec)
			return err
		},
		optimizer: func(spec string) error {
			_, err := optim.Parse(spec)
			return err
		},
		codec: func(spec string) error {
			_, err := codec.Parse(spec)
			return err
		},
	}
}

func checkPublished(spec string, inputs int) error {
	if inputs > 0 {
		return errors.New("hf models read text, and this data is rows of features: use data from text:FILE or jsonl:FILE, or another model")
	}
	_, err := llama.ParseSpec(spec)
	return err
}

// checkKept refuses a part of the model that stays with each node where all nodes have to have the same, or it would have to walk.
func checkKept(ps *Problems, model, method string) {
	if !llama.Published(model) || method != "scalar" && method != "walk" {
		return
	}
	if s, err := llama.ParseSpec(model); err == nil && s.Training.ShareA {
		ps.add("model", "share=a keeps a part of each adapter with its node, which the methods outer and average can do and %s cannot: leave it out", method)
	}
}

func checkSource(spec string) error {
	kind, arg := cutSpec(spec)
	switch {
	case spec == "mnist", spec == "own":
		return nil
	case kind == "pegasos":
		_, err := data.PegasosSeed(spec)
		return err
	case kind == "babble":
		_, _, err := data.BabbleSettings(spec)
		return err
	case (kind == "idx" || kind == "csv") && strings.TrimSpace(arg) != "":
		return nil
	case kind == "text", kind == "jsonl":
		_, _, err := data.HeldFile(kind, arg)
		return err
	case kind == "idx":
		return errors.New("idx: wants the directory of the files, idx:DIR, or in data.path")
	case kind == "csv":
		return errors.New("csv: wants a file, csv:FILE, or in data.path")
	}
	return fmt.Errorf("%s is not known; use mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE, jsonl:FILE or own", quote(spec))
}

// WithPath returns the data whose file or directory is written apart from the source: "text" and FILE are "text:FILE", and
// "text:held=0.05" and FILE are "text:held=0.05:FILE". An empty path changes nothing. The error, of a source that wants no path,
// is one about data.path.
func (d Data) WithPath(path string) (Data, error) {
	kind, arg := cutSpec(d.Source)
	held := strings.HasPrefix(arg, "held=") && !strings.Contains(arg, ":")
	switch {
	case path == "":
		return d, nil
	case (kind == "text" || kind == "jsonl") && (arg == "" || held), (kind == "csv" || kind == "idx") && arg == "":
		d.Source = strings.TrimSuffix(d.Source, ":") + ":" + path
		return d, nil
	case kind == "text" || kind == "jsonl" || kind == "csv" || kind == "idx":
		return d, fmt.Errorf("is %s, but the source names a path already, %s; give one of them", quote(path), quote(arg))
	}
	return d, fmt.Errorf("is %s, but source %s wants no path; write text, jsonl, csv or idx as the source", quote(path), quote(d.Source))
}

func checkSplit(spec string) error {
	kind, arg := cutSpec(spec)
	switch {
	case spec == "iid", spec == "contiguous":
		return nil
	case kind == "dirichlet":
		if a, err := strconv.ParseFloat(arg, 64); err != nil || !(a > 0) || math.IsInf(a, 0) {
			return fmt.Errorf("dirichlet: wants a concentration above 0, such as dirichlet:0.3, not %s", quote(arg))
		}
		return nil
	case kind == "shards":
		if k, err := strconv.ParseUint(arg, 10, 16); err != nil || k == 0 {
			return fmt.Errorf("shards: wants the number of classes a shard holds, such as shards:2, not %s", quote(arg))
		}
		return nil
	}
	return fmt.Errorf("%s is not known; use iid, dirichlet:A, shards:K or contiguous", quote(spec))
}

// parsePeerID puts the problem into words of its own, because those of the decoder may repeat what was read.
func parsePeerID(text string) (gossip.PeerID, error) {
	id, err := gossip.ParsePeerID(text)
	if err != nil {
		return gossip.PeerID{}, fmt.Errorf("%s is not the peer ID of an Ed25519 key, which begins with 12D3KooW", quote(text))
	}
	return id, nil
}
