package llama

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/mixing/philox"
	"starling/mixing/spelling"
)

// A Training says what of a model is trained; everything else stays as it was published.
type Training struct {
	// Rank is that of LoRA adapters (spec 10, 12.2): the weights W of a projection become W + s·B·A, with A of Rank rows and B of
	// Rank columns. 0 is no adapters.
	Rank int
	// Alpha sets the factor s = Alpha/Rank, or Alpha/√Rank if RankStabilized is set.
	Alpha          float64
	RankStabilized bool
	// Targets are the projections that get adapters, by what their names end with, such as q_proj or layers.3.mlp.up_proj. None
	// are all of them.
	Targets []string
	// ShareA keeps the B of every adapter with its node: only A is mixed (spec 08, 12).
	ShareA bool
	// Full are tensors that are trained whole: what their names end with, such as lm_head.weight or q_proj, which is its weights and
	// its bias if it has one, or norms for the gains and biases of all norms.
	Full []string
}

const maxRank = 1024

// ParseTraining reads a specification:
//
//	lora:r=8,alpha=16,targets=q_proj+v_proj,share=a
//	rslora:r=8
//	full:norms+lm_head.weight
//	lora:r=8;full:norms
//
// What is left out is r=8, alpha twice r, all projections, and both factors shared.
func ParseTraining(spec string) (Training, error) {
	var t Training
	for _, part := range strings.Split(spec, ";") {
		kind, rest, _ := strings.Cut(part, ":")
		var err error
		switch kind {
		case "lora", "rslora":
			if t.Rank != 0 {
				return t, fmt.Errorf("training %s has adapters twice", spelling.Quote(spec))
			}
			t.RankStabilized = kind == "rslora"
			err = t.parseLoRA(rest)
		case "full":
			if rest == "" {
				err = fmt.Errorf("full wants tensors, such as full:norms")
			}
			t.Full = append(t.Full, strings.Split(rest, "+")...)
		default:
			err = fmt.Errorf("%s is not known; use lora, rslora or full%s", spelling.Quote(kind), spelling.Hint(kind, []string{"lora", "rslora", "full"}))
		}
		if err != nil {
			return t, fmt.Errorf("training %s: %w", spelling.Quote(spec), err)
		}
	}
	return t, nil
}

func (t *Training) parseLoRA(settings string) error {
	t.Rank = 8
	for _, setting := range strings.Split(settings, ",") {
		name, value, _ := strings.Cut(setting, "=")
		switch name {
		case "":
			if settings != "" {
				return fmt.Errorf("a setting is empty")
			}
		case "r":
			r, err := strconv.ParseUint(value, 10, 16)
			if err != nil || r < 1 || r > maxRank {
				return fmt.Errorf("r is %s, want 1 to %d", spelling.Quote(value), maxRank)
			}
			t.Rank = int(r)
		case "alpha":
			a, err := strconv.ParseFloat(value, 64)
			if err != nil || !(a > 0 && a <= 1e6) {
				return fmt.Errorf("alpha is %s, want a positive number", spelling.Quote(value))
			}
			t.Alpha = a
		case "targets":
			t.Targets = strings.Split(value, "+")
		case "share":
			if value != "a" {
				return fmt.Errorf("share is %s, want a, or leave it out to share both factors", spelling.Quote(value))
			}
			t.ShareA = true
		default:
			return fmt.Errorf("%s is not known%s", spelling.Quote(name), spelling.Hint(name, []string{"r", "alpha", "targets", "share"}))
		}
	}
	if t.Alpha == 0 {
		t.Alpha = float64(2 * t.Rank)
	}
	return nil
}

// String returns the specification that [ParseTraining] reads.
func (t Training) String() string {
	var parts []string
	if t.Rank > 0 {
		kind := "lora"
		if t.RankStabilized {
			kind = "rslora"
		}
		s := fmt.Sprintf("%s:r=%d,alpha=%s", kind, t.Rank, strconv.FormatFloat(t.Alpha, 'g', -1, 64))
		if len(t.Targets) > 0 {
			s += ",targets=" + strings.Join(t.Targets, "+")
		}
		if t.ShareA {
			s += ",share=a"
		}
		parts = append(parts, s)
	}
	if len(t.Full) > 0 {
		parts = append(parts, "full:"+strings.Join(t.Full, "+"))
	}
	return strings.Join(parts, ";")
}

// Scale returns the factor of B·A.
func (t Training) Scale() float64 {
	switch {
	case t.Rank == 0:
		return 0
	case t.RankStabilized:
		return t.Alpha / math.Sqrt(float64(t.Rank))
	}
	return t.Alpha / float64(t.Rank)
}

// A plan is where the trainable tensors of a model are in its layout, by their numbers; -1 is not there.
type plan struct {
	layout    *mixing.Layout
	embedding int
	positions int
	head      int
	norm      [2]int // gain and bias
	layers    []layerPlan
}

type layerPlan struct {
	norms [2][2]int
	maps  [maps]mapPlan
}

// A mapPlan is that of a linear map. The A of its adapters lie behind each other in the vector, so that one product does for
// all; adapted are the numbers of the projections that have one.
type mapPlan struct {
	a       int // the first of as many A
	b       []int
	adapted []int
	weights []int // full ones, of every projection
	biases  []int
}

// planner builds a plan and the layout.
type planner struct {
	base    *Base
	t       Training
	tensors []mixing.Tensor
	used    map[string]bool // what was asked for and found
}

// plan lays out the trainable vector.
func (b *Base) plan(t Training) (*plan, error) {
	if t.Rank < 0 || t.Rank > maxRank || t.Rank > 0 && !(t.Alpha > 0) {
		return nil, fmt.Errorf("adapters have rank %d and alpha %g; the rank is from 1 to %d, and alpha is positive", t.Rank, t.Alpha, maxRank)
	}
	p := &planner{base: b, t: t, used: map[string]bool{}}
	out := &plan{positions: -1, head: -1}
	out.embedding = p.full(b.names.embedding, "weight", mixing.Weight, b.config.Vocab, b.config.Hidden)
	if b.gpt2() {
		out.positions = p.full(b.names.positions, "weight", mixing.Weight, b.config.Context, b.config.Hidden)
	}
	for i := range b.layers {
		l := &b.layers[i]
		var lp layerPlan
		for j := range l.maps {
			if j%2 == 0 {
				lp.norms[j/2] = p.norm(&l.norms[j/2])
			}
			lp.maps[j] = p.linear(&l.maps[j])
		}
		out.layers = append(out.layers, lp)
	}
	out.norm = p.norm(&b.norm)
	if !b.config.Tied {
		out.head = p.full(b.names.head, "weight", mixing.Weight, b.config.Vocab, b.config.Hidden)
	}
	for _, name := range slices.Concat(t.Full, t.Targets) {
		if !p.used[name] {
			return nil, fmt.Errorf("nothing in this model is called %s%s", spelling.Quote(name), spelling.Hint(name, b.choices()))
		}
	}
	if len(p.tensors) == 0 {
		return nil, fmt.Errorf("nothing is trained: choose adapters, such as lora:r=8, or tensors, such as full:norms")
	}
	var err error
	if out.layout, err = mixing.NewLayout(p.tensors...); err != nil {
		return nil, fmt.Errorf("what is to be trained is not possible: %w", err)
	}
	return out, nil
}

// choices are the short names that a Training may have.
func (b *Base) choices() []string {
	list := []string{"norms"}
	for _, m := range b.layers[0].maps {
		for _, p := range m.projections {
			list = append(list, last(p.name))
		}
	}
	return list
}

// ends reports whether a name ends with the parts of another, as PEFT chooses modules.
func ends(name, with string) bool { return name == with || strings.HasSuffix(name, "."+with) }

// wanted reports whether a tensor is trained whole.
func (p *planner) wanted(module, kind string) bool {
	found := false
	for _, name := range p.t.Full {
		if ends(module+"."+kind, name) || ends(module, name) {
			p.used[name], found = true, true
		}
	}
	return found
}

func (p *planner) add(name string, kind mixing.TensorKind, private bool, shape ...int) int {
	p.tensors = append(p.tensors, mixing.Tensor{Name: name, Shape: shape, Kind: kind, Private: private})
	return len(p.tensors) - 1
}

func (p *planner) full(module, kind string, role mixing.TensorKind, shape ...int) int {
	if !p.wanted(module, kind) {
		return -1
	}
	return p.add(module+"."+kind, role, false, shape...)
}

func (p *planner) norm(n *norm) [2]int {
	at, all := [2]int{-1, -1}, slices.Contains(p.t.Full, "norms")
	if all {
		p.used["norms"] = true
	}
	if p.wanted(n.name, "weight") || all {
		at[0] = p.add(n.name+".weight", mixing.Gain, false, len(n.gain))
	}
	if n.bias != nil && (p.wanted(n.name, "bias") || all) {
		at[1] = p.add(n.name+".bias", mixing.Bias, false, len(n.bias))
	}
	return at
}

func (p *planner) linear(m *linear) mapPlan {
	mp := mapPlan{a: -1}
	for i, v := range m.projections {
		w := p.full(v.name, "weight", mixing.Weight, v.out, m.in)
		bias := -1
		if v.bias != nil {
			bias = p.full(v.name, "bias", mixing.Bias, v.out)
		}
		mp.weights, mp.biases = append(mp.weights, w), append(mp.biases, bias)
		chosen := len(p.t.Targets) == 0
		for _, name := range p.t.Targets {
			if ends(v.name, name) {
				p.used[name], chosen = true, true
			}
		}
		if p.t.Rank > 0 && chosen {
			mp.adapted = append(mp.adapted, i)
		}
	}
	for i, number := range mp.adapted {
		at := p.add(m.projections[number].name+".lora_A.weight", mixing.LowRank, false, p.t.Rank, m.in)
		if i == 0 {
			mp.a = at
		}
	}
	for _, number := range mp.adapted {
		v := &m.projections[number]
		mp.b = append(mp.b, p.add(v.name+".lora_B.weight", mixing.LowRank, p.t.ShareA, v.out, p.t.Rank))
	}
	return mp
}

// Init fills params with where training starts: full tensors as they were published, A uniform within ±1/√inputs, a function
// of the seed, and B zero, so that the model begins as it was.
func (m *Model) Init(params []float32, seed uint64) {
	m.check(params)
	for i, t := range m.plan.layout.Tensors {
		v := t.Of(params)
		switch {
		case t.Kind != mixing.LowRank:
			m.base.published(v, t.Name)
		case strings.HasSuffix(t.Name, ".lora_B.weight"):
			clear(v)
		default:
			bound := 1 / math.Sqrt(float64(t.Shape[1]))
			var words [4]uint32
			for j := range v {
				if j%4 == 0 {
					words = philox.Block(seed, [4]uint32{uint32(j / 4), 0, uint32(i), philox.Init})
				}
				v[j] = float32((float64(float64(words[j%4])/(1<<31)) - 1) * bound)
			}
		}
	}
}

// published sets v to a tensor of the base, in rows of outputs.
func (b *Base) published(v []float32, name string) {
	b.tensors(func(t tensor) {
		if t.name != name {
			return
		}
		if t.matrix == nil {
			copy(v, t.vector)
			return
		}
		n, k := t.matrix.Dims()
		for j := range n {
			t.matrix.Column(v[j*k:][:k], j)
		}
	})
}

// A tensor is one of a base, by its name in files.
type tensor struct {
	name   string
	shape  []int          // rows of outputs, whatever files have
	vector []float32      // nil for a matrix
	matrix *kernel.Packed // columns are rows of the tensor
	lies   bool           // files have it as inputs×outputs
}

// tensors calls f with all tensors, in the order of their use.
func (b *Base) tensors(f func(tensor)) {
	c := b.config
	packed := func(name string, p *kernel.Packed, lies bool) {
		n, k := p.Dims()
		f(tensor{name: name, shape: []int{n, k}, matrix: p, lies: lies})
	}
	vector := func(name string, v []float32) {
		if v != nil {
			f(tensor{name: name, shape: []int{len(v)}, vector: v})
		}
	}
	packed(b.names.embedding+".weight", b.embedding, false)
	if b.positions != nil {
		f(tensor{name: b.names.positions + ".weight", shape: []int{c.Context, c.Hidden}, vector: b.positions})
	}
	for i := range b.layers {
		l := &b.layers[i]
		for j, m := range l.maps {
			if j%2 == 0 {
				vector(l.norms[j/2].name+".weight", l.norms[j/2].gain)
				vector(l.norms[j/2].name+".bias", l.norms[j/2].bias)
			}
			for _, p := range m.projections {
				packed(p.name+".weight", p.weights, b.gpt2())
				vector(p.name+".bias", p.bias)
			}
		}
	}
	vector(b.norm.name+".weight", b.norm.gain)
	vector(b.norm.name+".bias", b.norm.bias)
	if !c.Tied {
		packed(b.names.head+".weight", b.head, false)
	}
}
