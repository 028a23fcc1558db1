package llama

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"starling/mixing/kernel"
)

// cache holds the keys and values of all tokens so far, of every layer, a row of both for each token.
type cache struct {
	width  int
	layers [][]float32
}

// put keeps those of the tokens of a sequence, which are the last of rows of queries, keys and values.
func (c *cache) put(l int, qkv []float32, s sequence) {
	stride := len(qkv) / s.length
	for i := range s.length {
		row := qkv[i*stride:][:stride]
		copy(c.layers[l][(s.past+i)*c.width:][:c.width], row[stride-c.width:])
	}
}

// A Sampling says how tokens are drawn.
type Sampling struct {
	// Temperature divides logits; 0 takes the most probable token always.
	Temperature float64
	// TopP draws from the fewest tokens whose probabilities sum up to it; 0 and 1 are all tokens.
	TopP float64
}

// A Generator continues one text token by token. It must not be used concurrently, and its model must not be used for anything else
// meanwhile.
type Generator struct {
	model  *Model
	params []float32
	cache  cache
	past   int
	most   int
	logits []float32
	order  []int32
	powers []float64
}

// Generator returns one for texts of up to so many tokens, the prompt included, at most the context of the model; it holds their
// keys and values. The parameters must stay as they are.
func (m *Model) Generator(params []float32, tokens int) (*Generator, error) {
	m.check(params)
	if c := m.base.config.Context; tokens < 1 || tokens > c {
		return nil, fmt.Errorf("a text of %d tokens is not possible: the context of this model is %d", tokens, c)
	}
	_, keys := m.base.widths()
	g := &Generator{model: m, params: params, most: tokens, cache: cache{width: 2 * keys}, logits: make([]float32, m.base.config.Vocab)}
	for range m.base.layers {
		g.cache.layers = append(g.cache.layers, make([]float32, tokens*2*keys))
	}
	return g, nil
}

// Feed takes in the next tokens of the text, one at least, and computes the logits of the token after them. It returns an error
// if the text becomes too long or has what is no token.
func (g *Generator) Feed(tokens ...int32) error {
	if len(tokens) == 0 || g.past+len(tokens) > g.most {
		return fmt.Errorf("a text of %d tokens gets %d more; there is room for %d, and 1 at least is needed", g.past, len(tokens), g.most)
	}
	m, w := g.model, g.model.base.config.Hidden
	for _, token := range tokens {
		if token < 0 || int(token) >= m.base.config.Vocab {
			return fmt.Errorf("there is no token %d in a vocabulary of %d", token, m.base.config.Vocab)
		}
	}
	for len(tokens) > 0 {
		n := min(len(tokens), chunkTokens)
		c := chunk{tokens: tokens[:n], sequences: []sequence{{length: n, past: g.past}}, cache: &g.cache}
		m.reserve(c, false)
		m.forward(g.params, c, false)
		g.past += n
		if tokens = tokens[n:]; len(tokens) == 0 {
			m.logits(g.logits, g.params, m.stream[(n-1)*w:n*w])
		}
	}
	return nil
}

// Logits returns those of the next token. They are valid until the next call of Feed and may be changed before a call of Next.
func (g *Generator) Logits() []float32 { return g.logits }

// Tokens returns how many tokens the text has.
func (g *Generator) Tokens() int { return g.past }

// Next draws the token after the text, which Feed has been given at least a token of. It does not add it to the text. Without a
// temperature rng is not used and may be nil. Logits that are not numbers are never drawn.
func (g *Generator) Next(s Sampling, rng *rand.Rand) int32 {
	best, most := largest(g.logits)
	if best < 0 {
		best = 0
	}
	if s.Temperature <= 0 {
		return int32(best)
	}
	if g.order == nil {
		g.order, g.powers = make([]int32, len(g.logits)), make([]float64, len(g.logits))
	}
	var sum float64
	for i, z := range g.logits {
		g.order[i], g.powers[i] = int32(i), 0
		if z > float32(math.Inf(-1)) {
			g.powers[i] = kernel.Exp((float64(z) - float64(most)) / s.Temperature)
		}
		sum += g.powers[i]
	}
	slices.SortFunc(g.order, func(a, b int32) int {
		switch x, y := g.powers[a], g.powers[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return int(a - b)
	})
	kept, last := sum, len(g.order)
	if s.TopP > 0 && s.TopP < 1 {
		kept = 0
		for i, token := range g.order {
			if kept += g.powers[token]; kept >= float64(s.TopP*sum) {
				last = i + 1
				break
			}
		}
	}
	for u, i := float64(rng.Float64()*kept), 0; i < last; i++ {
		if u -= g.powers[g.order[i]]; u < 0 {
			return g.order[i]
		}
	}
	return g.order[0]
}

// largest returns the first of the largest elements that are numbers; without any it is minus infinity.
func largest(v []float32) (index int, most float32) {
	index, most = -1, float32(math.Inf(-1))
	for i, x := range v {
		if x > most {
			index, most = i, x
		}
	}
	return index, most
}
