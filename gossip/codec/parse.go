package codec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

var (
	sparsifiers = []string{"topk", "randk", "dct"}
	quantizers  = []string{"fp32", "bf16", "int8", "int4", "e3m0", "ternary", "sign"}
	finishers   = []string{"rice", "huff0", "fse", "zstd", "auto"}
)

// Names lists the quantizers, each of which is a codec by itself.
func Names() []string { return slices.Clone(quantizers) }

// Parse makes a codec from its name: its stages with commas between them.
//
//   - What is kept: topk:0.01 the largest hundredth, randk:0.05 a random twentieth, dct:k=8 the eight largest of the 4,096
//     coefficients of a cosine transform. Without it, or with none, all is kept.
//   - How it is written: fp32, bf16, int8, int4, e3m0, ternary or sign.
//   - Optionally unbiased: numbers are rounded at random, and those that randk keeps stand for the others, so that the mean over
//     all seeds is the vector itself.
//   - Optionally an entropy coder: huff0, fse, zstd, or auto for what is best for every block. The places that topk and dct keep
//     are always coded; the stage rice says that nothing else is, and is what they have without another.
func Parse(spec string) (Codec, error) {
	c, err := parse(strings.Split(spec, ","))
	if err != nil {
		return nil, fmt.Errorf("codec %q: %w", spec, err)
	}
	return c, nil
}

func parse(stages []string) (*line, error) {
	c := &line{}
	head, _, _ := strings.Cut(stages[0], ":")
	switch {
	case stages[0] == "none" && len(stages) > 1:
		stages = stages[1:]
	case slices.Contains(sparsifiers, head):
		var err error
		if c.keep, err = parseSparsifier(stages[0]); err != nil {
			return nil, err
		}
		if stages = stages[1:]; len(stages) == 0 {
			return nil, fmt.Errorf("it says what is kept and not how it is written: add a quantizer, such as %s,int4", c.keep.name())
		}
	}
	name := stages[0]
	if err := knownQuantizer(name, c.keep != nil); err != nil {
		return nil, err
	}
	stages = stages[1:]
	random := len(stages) > 0 && stages[0] == "unbiased"
	if random {
		if err := c.unbias(name); err != nil {
			return nil, err
		}
		stages = stages[1:]
	}
	finish := ""
	if len(stages) > 0 {
		finish, stages = stages[0], stages[1:]
		if err := c.finish(name, finish, random); err != nil {
			return nil, err
		}
	}
	if len(stages) > 0 {
		return nil, fmt.Errorf("%q comes after %q, which is the last stage there can be", stages[0], finish)
	}
	c.write = newQuantizer(name, random, c.code != nil, c.keep != nil)
	c.text = c.canonical(name, random)
	return c, nil
}

// knownQuantizer says what is wrong with a name where a quantizer is expected.
func knownQuantizer(name string, sparse bool) error {
	if slices.Contains(quantizers, name) {
		return nil
	}
	head, _, _ := strings.Cut(name, ":")
	switch {
	case sparse && slices.Contains(sparsifiers, head):
		return fmt.Errorf("%q is a second choice of what is kept: leave one out", name)
	case slices.Contains(finishers, name) || name == "unbiased":
		return fmt.Errorf("%q needs a quantizer before it: %s", name, strings.Join(quantizers, ", "))
	}
	names := quantizers
	if !sparse {
		names = append(slices.Clone(quantizers), sparsifiers...)
	}
	return fmt.Errorf("unknown stage %q: there are %s%s", name, strings.Join(names, ", "), spelling.Hint(head, names))
}

func parseSparsifier(stage string) (sparsifier, error) {
	kind, arg, _ := strings.Cut(stage, ":")
	if kind == "dct" {
		text, ok := strings.CutPrefix(arg, "k=")
		k, err := strconv.ParseUint(text, 10, 16)
		if !ok || err != nil || k < 1 || k > dctChunk {
			return nil, fmt.Errorf("dct wants the number of coefficients kept of %d, such as dct:k=8, not %q", dctChunk, stage)
		}
		return newCosine(int(k)), nil
	}
	ratio, err := strconv.ParseFloat(arg, 64)
	switch {
	case err == nil && ratio == 1:
		return nil, fmt.Errorf("%s keeps everything: leave it out", stage)
	case err != nil || !(ratio >= 1e-9 && ratio < 1):
		return nil, fmt.Errorf("%s wants the part that is kept, between 0 and 1, such as %s:0.01, not %q", kind, kind, stage)
	case kind == "topk":
		return topK{ratio}, nil
	}
	return randomK{ratio: ratio}, nil
}

// unbias makes the sparsifier unbiased, if there is one and it can be, and says whether the quantizer can.
func (c *line) unbias(name string) error {
	switch s := c.keep.(type) {
	case topK, cosine:
		return fmt.Errorf("%s is biased however the kept numbers are rounded: leave unbiased out, or keep random ones, such as randk:0.01", s.name())
	case randomK:
		c.keep = randomK{ratio: s.ratio, scaled: true}
	case nil:
		if name == "fp32" {
			return fmt.Errorf("fp32 loses nothing, so there is nothing to round at random: leave unbiased out")
		}
	}
	if name == "e3m0" {
		return fmt.Errorf("e3m0 rounds to the nearest power of two whatever the seed: write int4,unbiased, or leave unbiased out")
	}
	if name == "sign" {
		return fmt.Errorf("a sign is biased whatever the seed: write ternary,unbiased, or leave unbiased out")
	}
	return nil
}

// finish sets the entropy coder.
func (c *line) finish(name, finish string, random bool) error {
	_, top := c.keep.(topK)
	_, dct := c.keep.(cosine)
	switch {
	case finish == "rice":
		if !top && !dct {
			return fmt.Errorf("rice codes the places of what topk or dct keeps, and here no places are sent: leave it out")
		}
		return nil
	case finish == "unbiased":
		return fmt.Errorf("unbiased stands behind the quantizer")
	case name == "sign" && slices.Contains(finishers, finish):
		return fmt.Errorf("signs are already one bit each, which %s makes no fewer: leave it out", finish)
	}
	for _, k := range coders() {
		if k.name == finish {
			c.code = &k
			// These were there before the other stages, and stay as they were.
			if finish == "huff0" && c.keep == nil && !random && slices.Contains([]string{"fp32", "bf16", "int8"}, name) {
				c.code.old, c.code.try = true, tryHuff1
			}
			return nil
		}
	}
	return fmt.Errorf("unknown stage %q behind the quantizer: there are %s%s", finish, strings.Join(finishers, ", "),
		spelling.Hint(finish, append(slices.Clone(finishers), "unbiased")))
}

func newQuantizer(name string, random, open, sparse bool) quantizer {
	switch name {
	case "fp32":
		return fp32{}
	case "bf16":
		return bf16{random}
	case "int8":
		return eight{random}
	case "int4":
		return four{random, open}
	case "e3m0":
		return powers{open}
	case "ternary":
		return ternary{random, open}
	}
	if sparse {
		return signs{sparseSigns}
	}
	return signs{denseSigns}
}

func (c *line) canonical(name string, random bool) string {
	text := name
	if c.keep != nil {
		text = c.keep.name() + "," + text
	}
	if random {
		text += ",unbiased"
	}
	if c.code != nil {
		return text + "," + c.code.name
	}
	switch c.keep.(type) {
	case topK, cosine:
		text += ",rice"
	}
	return text
}
