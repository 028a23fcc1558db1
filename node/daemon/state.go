package daemon

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"starling/gossip"
	"starling/mixing"
	"starling/mixing/scalar"
	"starling/node"
	"starling/node/compute"
	"starling/node/model/weights"
	"starling/storage"
)

// stateVersion is the version of the checkpoints' Meta that this build writes and reads.
const stateVersion = 1

// stateMeta is the small part of a checkpoint, in JSON so that a person can read it.
type stateMeta struct {
	Version int       `json:"version"`
	Run     string    `json:"run"`
	Round   uint64    `json:"round"`
	Age     uint64    `json:"age"`
	Step    uint64    `json:"step"`
	Weight  float64   `json:"weight"`
	Written time.Time `json:"written"`
	Tensors []tensor  `json:"tensors"`
	Kept    []tensor  `json:"kept,omitempty"` // of the model, but at the end of the optimizer's state: they stay with the node

	// With the method scalar, SHA-256 of what the records are added to and of their sums, so that both can be compared with what the
	// run's manifest and the records say.
	Base string `json:"base,omitempty"`
	Sums string `json:"sums,omitempty"`

	// What the method keeps.
	Numbers []uint64      `json:"numbers,omitempty"`
	Vectors []namedVector `json:"vectors,omitempty"`
}

// A namedVector is a section of its own, of so many floats.
type namedVector struct {
	Name string `json:"name"`
	Len  int    `json:"len"`
}

// A tensor is an entry of the layout, kept so that a checkpoint can be exported without the run's data.
type tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

func tensorsOf(list []mixing.Tensor) (out []tensor) {
	for _, t := range list {
		out = append(out, tensor{Name: t.Name, Shape: t.Shape})
	}
	return out
}

// layoutOf rebuilds a layout of tensors of a checkpoint.
func layoutOf(list []tensor) (*mixing.Layout, error) {
	var ts []mixing.Tensor
	for _, t := range list {
		ts = append(ts, mixing.Tensor{Name: t.Name, Shape: t.Shape})
	}
	return mixing.NewLayout(ts...)
}

// model returns the parameters in a checkpoint, with those that the node keeps, and their layout.
func (m *stateMeta) model(c storage.Checkpoint) (*mixing.Layout, []float32, error) {
	shared, err := layoutOf(m.Tensors)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint %d: %w", c.Seq, err)
	}
	params, err := section(c, sectionParams, shared.Len())
	if err != nil || len(m.Kept) == 0 {
		return shared, params, err
	}
	all, err := layoutOf(slices.Concat(m.Tensors, m.Kept))
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint %d: %w", c.Seq, err)
	}
	own := all.Len() - shared.Len()
	opt, err := section(c, sectionOpt, -1)
	if err == nil && len(opt) < own {
		err = fmt.Errorf("checkpoint %d: section %s has %d numbers, and the node keeps %d", c.Seq, sectionOpt, len(opt), own)
	}
	if err != nil {
		return nil, nil, err
	}
	return all, append(params, opt[len(opt)-own:]...), nil
}

// The sections of a checkpoint: float32, little-endian.
const (
	sectionParams = "params"
	sectionOpt    = "optimizer"
	sectionMethod = "method-" // and the name of one of the method's vectors
	sectionOpaque = "opaque"  // not floats, but what the method keeps in its own words
)

// The names of the vectors that a core begins with.
const (
	firstParams node.VecRef = 1
	firstOpt    node.VecRef = 2
)

// saveState writes a checkpoint. Only one is written at a time.
func (d *Daemon) saveState(ctx context.Context, s node.State, params, opt []float32, vectors [][]float32) error {
	m := stateMeta{
		Version: stateVersion, Run: d.link.Run.String(), Round: s.Round, Age: s.Age, Step: s.Step, Weight: s.Weight,
		Written: time.Now().UTC().Truncate(time.Second), Numbers: s.Numbers,
	}
	m.Tensors, m.Kept = tensorsOf(d.program.Layout().Tensors), tensorsOf(d.program.Kept())
	if d.replica != nil {
		m.Base, m.Sums = hash(d.base), hash(scalar.DigestSums(s.Sums))
	}
	sections := []storage.Section{{Name: sectionParams, Data: weights.LittleEndian(params)}, {Name: sectionOpt, Data: weights.LittleEndian(opt)}}
	for i, v := range s.Vectors {
		m.Vectors = append(m.Vectors, namedVector{Name: v.Name, Len: v.Len})
		sections = append(sections, storage.Section{Name: sectionMethod + v.Name, Data: weights.LittleEndian(vectors[i])})
	}
	if len(s.Opaque) > 0 {
		sections = append(sections, storage.Section{Name: sectionOpaque, Data: s.Opaque})
	}
	meta, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return d.store.SaveCheckpoint(ctx, storage.Checkpoint{Meta: meta, Sections: sections})
}

// loadState puts the newest whole checkpoint into the arena, or the initial model if there is none.
func (d *Daemon) loadState(ctx context.Context) (node.State, error) {
	c, damaged, err := d.store.Latest(ctx)
	for _, bad := range damaged {
		d.log.Error("checkpoint is damaged and was skipped", "checkpoint", bad)
		d.trouble.set(troubleCheckpoint, fmt.Errorf("a checkpoint was skipped, and an older one is used: %s", bad))
	}
	if errors.Is(err, storage.ErrNotFound) && len(damaged) > 0 {
		// To begin anew would soon remove what may be mended, or be wanted of the old ones.
		return node.State{}, fmt.Errorf("no checkpoint is whole, and %s: restore %s from a backup, or move it away to begin anew from what peers have",
			damageText(damaged), filepath.Join(d.dir, storeDir))
	}
	if errors.Is(err, storage.ErrNotFound) {
		params, opt := make([]float32, d.program.Len()), make([]float32, d.program.OptLen())
		d.program.Init(d.node, params, opt)
		d.putFirst(params, opt)
		return node.State{Weight: 1, Params: firstParams, Opt: firstOpt}, nil
	}
	if err != nil {
		return node.State{}, fmt.Errorf("load checkpoint: %w", err)
	}
	meta, params, err := readState(c, d.link.Run, d.program)
	if err != nil {
		return node.State{}, err
	}
	opt, err := section(c, sectionOpt, d.program.OptLen())
	if err != nil {
		return node.State{}, err
	}
	if d.manifest.Method.Name == "scalar" {
		// The weights are there for whoever wants the model. The node makes them anew, of those that the run starts from.
		d.program.Init(d.node, params, make([]float32, d.program.OptLen()))
	}
	d.putFirst(params, opt)
	d.log.Info("resumed", "round", meta.Round, "steps", meta.Age)
	state := node.State{
		Round: meta.Round, Age: meta.Age, Step: meta.Step, Weight: meta.Weight, Params: firstParams, Opt: firstOpt, Numbers: meta.Numbers,
	}
	if i := slices.IndexFunc(c.Sections, func(s storage.Section) bool { return s.Name == sectionOpaque }); i >= 0 {
		state.Opaque = c.Sections[i].Data
	}
	for i, v := range meta.Vectors {
		data, err := section(c, sectionMethod+v.Name, v.Len)
		if err != nil {
			return node.State{}, err
		}
		ref := firstOpt + 1 + node.VecRef(i)
		d.loop.arena.Put(ref, d.loop.pool.Of(data))
		state.Vectors = append(state.Vectors, node.NamedVector{Name: v.Name, Vec: ref, Len: v.Len})
	}
	return state, nil
}

// putFirst puts the vectors that the core begins with into the arena.
func (d *Daemon) putFirst(params, opt []float32) {
	d.loop.arena.Put(firstParams, d.loop.pool.Of(params))
	d.loop.arena.Put(firstOpt, d.loop.pool.Of(opt))
	d.program.Recall(d.node, opt)
}

func hash(h [32]byte) string { return hex.EncodeToString(h[:]) }

func readState(c storage.Checkpoint, run gossip.RunID, p *compute.Program) (stateMeta, []float32, error) {
	meta, err := readMeta(c)
	if err != nil {
		return meta, nil, err
	}
	if meta.Run != run.String() {
		return meta, nil, fmt.Errorf("checkpoint %d belongs to run %s: the home directory has been mixed up", c.Seq, meta.Run)
	}
	params, err := section(c, sectionParams, p.Len())
	return meta, params, err
}

func readMeta(c storage.Checkpoint) (stateMeta, error) {
	var meta stateMeta
	if err := json.Unmarshal(c.Meta, &meta); err != nil {
		return meta, fmt.Errorf("checkpoint %d: %w", c.Seq, err)
	}
	if meta.Version != stateVersion {
		return meta, fmt.Errorf("checkpoint %d has version %d, and this build reads %d: use the version of starling that wrote it", c.Seq, meta.Version, stateVersion)
	}
	return meta, nil
}

// section returns the floats of a section, of which there are to be so many; -1 is any number.
func section(c storage.Checkpoint, name string, want int) ([]float32, error) {
	for _, s := range c.Sections {
		if s.Name != name {
			continue
		}
		if want < 0 {
			want = len(s.Data) / 4
		}
		if len(s.Data) != 4*want {
			return nil, fmt.Errorf("checkpoint %d: section %s has %d bytes, the run's model needs %d", c.Seq, name, len(s.Data), 4*want)
		}
		v := make([]float32, want)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(s.Data[4*i:]))
		}
		return v, nil
	}
	return nil, fmt.Errorf("checkpoint %d: section %s is missing", c.Seq, name)
}
