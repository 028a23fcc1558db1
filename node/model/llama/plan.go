package llama

import (
	"fmt"
	"slices"
	"strings"

	"starling/mixing"
	"starling/mixing/spelling"
)

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
			lp.maps[j] = p.linear(&l.maps[j], biased(b.config, j))
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
			if name := last(p.name); !slices.Contains(list, name) {
				list = append(list, name)
			}
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
		at[0] = p.add(n.name+".weight", mixing.Gain, false, p.base.config.Hidden)
	}
	if p.base.gpt2() && (p.wanted(n.name, "bias") || all) {
		at[1] = p.add(n.name+".bias", mixing.Bias, false, p.base.config.Hidden)
	}
	return at
}

func (p *planner) linear(m *linear, biased bool) mapPlan {
	mp := mapPlan{a: -1}
	for i, v := range m.projections {
		w := p.full(v.name, "weight", mixing.Weight, v.out, m.in)
		bias := -1
		if biased {
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
