package llama

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestATextTokenByTokenHasTheLogitsOfTheWhole(t *testing.T) {
	for _, family := range families {
		for _, o := range []Options{{}, {Int8: true}} {
			m, params, _ := build(t, small(family), "lora:r=3", 2, o)
			tokens := text(rand.New(rand.NewPCG(26, 27)), 1600, 620).Tokens
			all := make([]float32, 620*1600)
			m.Logits(all, params, tokens)
			g, err := m.Generator(params, 620)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < 620; {
				n := min(620-at, []int{1, 70, 1, 2, 1, 541, 1}[min(at, 6)])
				if err := g.Feed(tokens[at : at+n]...); err != nil {
					t.Fatal(err)
				}
				at += n
				if !slices.Equal(g.Logits(), all[(at-1)*1600:at*1600]) {
					t.Fatalf("%s %+v: other logits after %d tokens", family, o, at)
				}
			}
			if g.Tokens() != 620 || g.Feed(1) == nil {
				t.Errorf("%s: a text of %d tokens goes on past its end", family, g.Tokens())
			}
		}
	}
}

func TestTokensAreDrawnAsTheirProbabilitiesSay(t *testing.T) {
	g := &Generator{logits: []float32{1, 3, float32(math.NaN()), 2, float32(math.Inf(-1)), -4}}
	if token := g.Next(Sampling{}, nil); token != 1 {
		t.Errorf("the most probable is %d", token)
	}
	rng := rand.New(rand.NewPCG(28, 29))
	draw := func(s Sampling) (count [6]float64) {
		for range 20000 {
			count[g.Next(s, rng)] += 1.0 / 20000
		}
		return count
	}
	for _, test := range []struct {
		s    Sampling
		want [6]float64
	}{
		{Sampling{Temperature: 1}, [6]float64{0.0900, 0.6648, 0, 0.2446, 0, 0.0006}},
		{Sampling{Temperature: 1, TopP: 1}, [6]float64{0.0900, 0.6648, 0, 0.2446, 0, 0.0006}},
		{Sampling{Temperature: 0.5}, [6]float64{0.0159, 0.8668, 0, 0.1173}},
		{Sampling{Temperature: 1, TopP: 0.9}, [6]float64{0, 0.7311, 0, 0.2689}},
		{Sampling{Temperature: 1, TopP: 0.6}, [6]float64{0, 1}},
		{Sampling{Temperature: 1, TopP: 1e-9}, [6]float64{0, 1}},
	} {
		for i, p := range draw(test.s) {
			if math.Abs(p-test.want[i]) > 0.012 {
				t.Errorf("%+v: token %d is drawn %v times, want %v", test.s, i, p, test.want[i])
			}
		}
	}
	for i := range g.logits {
		g.logits[i] = float32(math.NaN())
	}
	if token := g.Next(Sampling{Temperature: 1}, rng); token < 0 || token > 5 {
		t.Errorf("token %d is drawn from nothing", token)
	}
}

func TestTextsThatAreNotPossibleAreRefused(t *testing.T) {
	m, params, _ := build(t, small(families[0]), "lora:r=3", 1, Options{})
	for _, n := range []int{0, 701} {
		if _, err := m.Generator(params, n); err == nil {
			t.Errorf("a text of %d tokens is possible", n)
		}
	}
	g, err := m.Generator(params, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, tokens := range [][]int32{nil, {1600}, {-1}, {1, 2, 3, 4}} {
		if err := g.Feed(tokens...); err == nil {
			t.Errorf("%v is taken", tokens)
		}
	}
}
