package daemon

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"starling/gossip"
	"starling/mixing"
	"starling/node"
	"starling/node/compute"
	"starling/node/model/safetensors"
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
}

// A tensor is an entry of the layout, kept so that a checkpoint can be exported without the run's data.
type tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// layout rebuilds the layout of a checkpoint's parameters.
func (m *stateMeta) layout() (*mixing.Layout, error) {
	var ts []mixing.Tensor
	for _, t := range m.Tensors {
		ts = append(ts, mixing.Tensor{Name: t.Name, Shape: t.Shape})
	}
	return mixing.NewLayout(ts...)
}

// The sections of a checkpoint: float32, little-endian.
const (
	sectionParams = "params"
	sectionOpt    = "optimizer"
)

// The names of the vectors that a core begins with.
const (
	firstParams node.VecRef = 1
	firstOpt    node.VecRef = 2
)

// saveState writes a checkpoint. Only one is written at a time.
func (d *Daemon) saveState(ctx context.Context, s node.State, params, opt []float32) error {
	m := stateMeta{
		Version: stateVersion, Run: d.link.Run.String(), Round: s.Round, Age: s.Age, Step: s.Step, Weight: s.Weight,
		Written: time.Now().UTC().Truncate(time.Second),
	}
	for _, t := range d.program.Layout().Tensors {
		m.Tensors = append(m.Tensors, tensor{Name: t.Name, Shape: t.Shape})
	}
	meta, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return d.store.SaveCheckpoint(ctx, storage.Checkpoint{
		Meta: meta,
		Sections: []storage.Section{
			{Name: sectionParams, Data: floatBytes(params)},
			{Name: sectionOpt, Data: floatBytes(opt)},
		},
	})
}

// loadState puts the newest whole checkpoint into the arena, or the initial model if there is none.
func (d *Daemon) loadState(ctx context.Context) (node.State, error) {
	c, damaged, err := d.store.Latest(ctx)
	for _, bad := range damaged {
		d.log.Error("checkpoint is damaged and was skipped", "checkpoint", bad)
		d.trouble.set("checkpoint", fmt.Sprintf("checkpoint %s is damaged and was skipped; an older one is used", bad))
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
	d.putFirst(params, opt)
	d.log.Info("resumed", "round", meta.Round, "steps", meta.Age)
	return node.State{Round: meta.Round, Age: meta.Age, Step: meta.Step, Weight: meta.Weight, Params: firstParams, Opt: firstOpt}, nil
}

// putFirst puts the vectors that the core begins with into the arena.
func (d *Daemon) putFirst(params, opt []float32) {
	d.loop.arena.Put(firstParams, d.loop.pool.Of(params))
	d.loop.arena.Put(firstOpt, d.loop.pool.Of(opt))
}

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

func section(c storage.Checkpoint, name string, want int) ([]float32, error) {
	for _, s := range c.Sections {
		if s.Name != name {
			continue
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

func floatBytes(v []float32) []byte {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return b
}

// A CheckpointInfo describes a checkpoint in a run's directory.
type CheckpointInfo struct {
	Number  uint64
	Round   uint64
	Age     uint64
	Size    int64
	Written time.Time
}

// openStore opens the store of a run whose daemon is not running.
func openStore(runDir string) (*storage.Store, error) {
	path := filepath.Join(runDir, "store")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("no checkpoints in %s: the run has not been joined from this home", runDir)
	}
	s, err := storage.Open(path, storage.Options{})
	if errors.Is(err, storage.ErrLocked) {
		return nil, fmt.Errorf("%w: stop it with `starling leave` first", err)
	}
	return s, err
}

// ListCheckpoints lists the checkpoints of a run, the newest first. The run's daemon must not be running.
func ListCheckpoints(runDir string) ([]CheckpointInfo, error) {
	s, err := openStore(runDir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []CheckpointInfo
	for _, c := range list {
		info := CheckpointInfo{Number: c.Seq, Size: c.Size}
		if meta, err := readMeta(storage.Checkpoint{Seq: c.Seq, Meta: c.Meta}); err == nil {
			info.Round, info.Age, info.Written = meta.Round, meta.Age, meta.Written
		}
		out = append(out, info)
	}
	return out, nil
}

// VerifyCheckpoints reads all checkpoints of a run and returns a line for each damage. The run's daemon must not be
// running.
func VerifyCheckpoints(runDir string) ([]string, error) {
	s, err := openStore(runDir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, c := range list {
		damage, err := s.Verify(c.Seq)
		if err != nil {
			return nil, err
		}
		for _, d := range damage {
			bad = append(bad, d.String())
		}
	}
	return bad, nil
}

// ExportCheckpoint writes the model of a checkpoint, or of the newest whole one if number is 0, as safetensors. The run's
// daemon must not be running. The file appears only when it is whole.
func ExportCheckpoint(runDir string, number uint64, path string) (CheckpointInfo, error) {
	m, err := LoadManifest(runDir)
	if err != nil {
		return CheckpointInfo{}, err
	}
	s, err := openStore(runDir)
	if err != nil {
		return CheckpointInfo{}, err
	}
	defer s.Close()
	var c storage.Checkpoint
	if number != 0 {
		c, err = s.Load(number)
	} else {
		c, _, err = s.Latest(context.Background())
	}
	if errors.Is(err, storage.ErrNotFound) {
		return CheckpointInfo{}, errors.New("there is no such checkpoint: see `starling checkpoint list`")
	}
	if err != nil {
		return CheckpointInfo{}, err
	}
	meta, err := readMeta(c)
	if err != nil {
		return CheckpointInfo{}, err
	}
	layout, err := meta.layout()
	if err != nil {
		return CheckpointInfo{}, fmt.Errorf("checkpoint %d: %w", c.Seq, err)
	}
	params, err := section(c, sectionParams, layout.Len())
	if err != nil {
		return CheckpointInfo{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return CheckpointInfo{}, err
	}
	defer os.Remove(f.Name())
	err = safetensors.Write(f, layout, params, map[string]string{
		"format": "pt", "run": meta.Run, "model": m.Model, "round": fmt.Sprint(meta.Round),
	})
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return CheckpointInfo{}, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return CheckpointInfo{}, err
	}
	return CheckpointInfo{Number: c.Seq, Round: meta.Round, Age: meta.Age, Written: meta.Written}, nil
}
