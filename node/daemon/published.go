package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"starling/mixing"
	"starling/node/compute"
	"starling/node/manifest"
	"starling/node/model/hf"
	"starling/node/model/llama"
	"starling/node/model/safetensors"
	"starling/node/model/weights"
)

// A FineTuning is a run that trains a published model at several sites, each of which has data of its own.
type FineTuning struct {
	Model   string // directory or GGUF file
	Name    string // of the run; empty is that of the model
	Train   string // what is trained, see [llama.ParseTraining]; empty is lora:r=8
	Method  string // outer, scalar or average; empty is outer
	Context int    // tokens of a row; 0 is 512, or what the model was made for if that is less
	Int8    bool   // the model's own weights are held in 8 bits
}

// Manifest returns the manifest of the run, with settings that suit it.
func (f FineTuning) Manifest() (manifest.Manifest, error) {
	m := manifest.Default()
	c, err := hf.Open(f.Model)
	if err != nil {
		return m, err
	}
	defer c.Close()
	if f.Train == "" {
		f.Train = "lora:r=8"
	}
	if f.Context == 0 {
		f.Context = min(512, c.Config.Context)
	}
	spec := llama.Spec{Context: f.Context, Int8: f.Int8}
	if spec.Training, err = llama.ParseTraining(f.Train); err != nil {
		return m, err
	}
	if spec, err = llama.ParseSpec(spec.String()); err != nil {
		return m, err
	}
	if _, _, err := compute.MemoryOf(*c.Config, spec, 1, false); err != nil {
		return m, fmt.Errorf("model %s: %w", f.Model, err) // such as projections that it does not have
	}
	words, err := c.Tokenizer()
	if err != nil {
		return m, err
	}
	spec.Tokenizer = llama.TokenizerOf(words.Digest())
	digest, err := c.Digest()
	if err != nil {
		return m, err
	}
	m.Model, m.Init = spec.String(), manifest.WeightsInit(digest)
	if m.Name = f.Name; m.Name == "" {
		m.Name = nameOf(f.Model)
	}
	m.Data = manifest.Data{Source: "own", Split: "iid", Shards: 1}
	m.Evaluate.Target = 0
	m.Method.Batch = 4
	switch f.Method {
	case "", "outer":
		m.Method.Name, m.Method.Outer, m.Method.Steps.Count = "outer", "diloco:lr=1,momentum=0.5", 10
		m.Optimizer, m.Codec = "adamw:lr=5e-4,wd=0,clip=1,warmup=10", "int4,auto"
	case "average":
		m.Method.Steps.Count = 10
		m.Optimizer, m.Codec = "adamw:lr=5e-4,wd=0,clip=1,warmup=10", "bf16"
	case "scalar":
		m.Method.Name, m.Method.Scalar = "scalar", "structured:pool=4096,lr=1e-4,eps=1e-3"
		m.Evaluate.Every, m.Checkpoint.Every = 4, 1
	default:
		return m, fmt.Errorf("method %q is not known; use outer, scalar or average", f.Method)
	}
	return m, m.Validate()
}

// nameOf makes the name of a run of that of a file: of letters, digits and hyphens.
func nameOf(path string) string {
	base := filepath.Base(strings.TrimRight(path, "/"))
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.TrimSuffix(base, filepath.Ext(base)))
	if name = strings.Trim(name, "-"); name == "" {
		return "fine-tuning"
	}
	return name[:min(len(name), 40)]
}

// A Need is what training a published model takes on this machine, about.
type Need struct {
	Trained int   // numbers that are trained
	Memory  int64 // bytes
	Free    int64 // bytes of memory that are free here; 0 if not known
	Frugal  bool  // Memory is for steps of which parts are computed twice, since there is not enough for others
}

// NeedOf estimates what a run of a published model takes here.
func NeedOf(m manifest.Manifest, model string, threads int) (Need, error) {
	spec, err := llama.ParseSpec(m.Model)
	if err != nil {
		return Need{}, err
	}
	c, err := hf.Open(model)
	if err != nil {
		return Need{}, err
	}
	defer c.Close()
	n := Need{Free: freeMemory()}
	n.Memory, n.Trained, err = compute.MemoryOf(*c.Config, spec, threads, false)
	if n.Frugal = !n.enough(); n.Frugal && err == nil {
		n.Memory, _, err = compute.MemoryOf(*c.Config, spec, threads, true)
	}
	return n, err
}

func (n Need) enough() bool { return n.Free == 0 || n.Memory <= n.Free }

// Fits returns an error with advice if there is not enough memory.
func (n Need) Fits() error {
	if !n.enough() {
		return fmt.Errorf("training takes about %d MiB of memory, and %d MiB are free: end other programs, or make the run with --int8, a shorter --context or fewer --adapter targets",
			n.Memory>>20, n.Free>>20)
	}
	return nil
}

// freeMemory returns the bytes of memory that a program can still have, or 0 where the operating system does not say.
func freeMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// heldTokens is about how many held-out tokens a published model is evaluated on: all of a large file would take longer than the round
// before.
const heldTokens = 4 << 10

// options are those of the program that the manifest names. It refuses a published model for which there is no memory.
func (d *Daemon) options() (compute.Options, error) {
	m := d.manifest
	o := compute.Options{Source: d.cfg.Data, Parts: []int{d.shard()}, Model: d.cfg.Model, Threads: d.threads()}
	if d.cfg.Model != "" {
		o.Weights = func(l *mixing.Layout) ([]float32, error) { return safetensors.ReadFile(d.cfg.Model, l) }
	}
	if _, named := m.Weights(); !named && d.cfg.Model != "" {
		return o, fmt.Errorf("this run starts from no model that was trained before: leave --model out")
	}
	if !llama.Published(m.Model) || d.cfg.Model == "" {
		return o, nil
	}
	spec, err := llama.ParseSpec(m.Model)
	if err != nil {
		return o, err
	}
	o.Rows = max(1, heldTokens/spec.Context)
	need, err := NeedOf(m, d.cfg.Model, d.threads())
	if err != nil {
		return o, err
	}
	o.Frugal = need.Frugal
	d.log.Info("model", "path", d.cfg.Model, "trained", need.Trained, "memory", fmt.Sprintf("%d MiB", need.Memory>>20), "frugal", need.Frugal)
	return o, need.Fits()
}

// estimate measures how long a step of a published model takes, and tells.
func (d *Daemon) estimate() {
	if !llama.Published(d.manifest.Model) {
		return
	}
	step := d.program.Worker().Pace(d.node)
	d.log.Info("pace", "step", step.Round(10*time.Millisecond), "round", (time.Duration(d.manifest.Method.Steps.Count) * step).Round(time.Second))
}

// The forms in which the model of a checkpoint is exported.
const (
	FormatSafetensors = "safetensors" // one file with the tensors that were trained
	FormatPEFT        = "peft"        // a directory with a LoRA adapter, for PEFT and for `starling model`
	FormatMerged      = "merged"      // a directory with the published model as it has become
)

// ExportPublished writes what a run has made of a published model into a new or empty directory: an adapter, or all of the model's weights
// with what was learned and all that goes beside them. model is the directory or GGUF file of the model that the run started from; what is
// written is as Hugging Face has it either way.
func ExportPublished(ctx context.Context, runDir string, number uint64, format, model, dir string) (info CheckpointInfo, err error) {
	m, err := LoadManifest(runDir)
	if err != nil {
		return info, err
	}
	want, _ := m.Weights()
	switch {
	case !llama.Published(m.Model):
		return info, fmt.Errorf("this run trains model %s, which has no form %s; leave --format out", m.Model, format)
	case model == "":
		return info, fmt.Errorf("say with --model where the model is that the run started from")
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return info, fmt.Errorf("%s is not empty: name a new directory", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return info, fmt.Errorf("write %s: %w", dir, err)
	}
	spec, err := llama.ParseSpec(m.Model)
	if err != nil {
		return info, err
	}
	language, err := compute.OpenLanguage(model, want, llama.Options{})
	if err != nil {
		return info, err
	}
	trained, err := language.Model(spec.Training, runtime.GOMAXPROCS(0))
	if err != nil {
		return info, err
	}
	if _, err := os.Stat(filepath.Dir(filepath.Clean(dir))); err != nil {
		return info, fmt.Errorf("there is no directory %s: make it first", filepath.Dir(filepath.Clean(dir)))
	}
	// All of it is written beside its place: what is there is whole.
	part, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".starling-*")
	if err != nil {
		return info, err
	}
	defer os.RemoveAll(part)
	file := filepath.Join(part, "trained.safetensors")
	if info, err = ExportCheckpoint(ctx, runDir, number, file); err != nil {
		return info, err
	}
	params, err := safetensors.ReadFile(file, trained.Layout())
	if err != nil {
		return info, err
	}
	if err := os.Remove(file); err != nil {
		return info, err
	}
	if format == FormatPEFT {
		err = trained.SavePEFT(part, params, model, want)
	} else {
		err = saveMerged(trained.Merged(params), model, part)
	}
	if err != nil {
		return info, err
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return info, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return info, err
	}
	return info, os.Rename(part, dir)
}

// mergedFile is the largest file of a merged model in bytes, as Hugging Face has them.
const mergedFile = 5_000_000_000

// saveMerged writes merged weights and what goes beside them. That is first: it can be refused.
func saveMerged(merged *llama.Merged, model, dir string) error {
	c, err := hf.Open(model)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Describe(dir, weights.BF16); err != nil {
		return err
	}
	return merged.Save(dir, weights.BF16, mergedFile)
}
