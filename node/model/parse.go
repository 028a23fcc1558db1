package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// Bounds of what a specification, which may come from a peer's manifest, can ask for.
const (
	maxParams  = 1 << 28
	maxWidth   = 1 << 16
	maxLayers  = 16
	maxDepth   = 64 // layers of a gpt
	maxContext = 1 << 13
	maxScratch = 1 << 28 // floats that a gpt may need for one row, beside its parameters
)

// Parse makes a model for rows of so many inputs and so many classes, from 2 to 256:
//
//	softmax       softmax regression
//	mlp:128,64    a fully connected network with rectifiers and hidden layers of these widths
//	svm           a linear support vector machine without a bias, for two classes
//	gpt:layers=4,width=128,heads=4,context=64
//	              a decoder for text that predicts the next of as many tokens as there are classes; heads divides width, and
//	              context is the length of a row. What is left out is as written here.
//
// For text, whose rows have the length that the model chooses, inputs is 0: gpt wants that, and the others want inputs.
func Parse(spec string, inputs, classes int) (Model, error) {
	if inputs < 0 || classes < 2 || classes > 256 {
		return nil, fmt.Errorf("model %s: %d inputs and %d classes; there must be from 2 to 256 classes", spelling.Quote(spec), inputs, classes)
	}
	name, rest, more := strings.Cut(spec, ":")
	switch {
	case spec == "softmax", spec == "svm", name == "mlp":
		if inputs == 0 {
			return nil, fmt.Errorf("model %s wants rows of features, and this data is text: use gpt", spelling.Quote(spec))
		}
	case name == "gpt":
		if inputs > 0 {
			return nil, fmt.Errorf("model gpt reads text, and this data is rows of features: use data from text:FILE, or another model")
		}
	default:
		return nil, fmt.Errorf("model %s is not known; use softmax, mlp:WIDTHS, svm or gpt%s", spelling.Quote(spec),
			spelling.Hint(name, []string{"softmax", "mlp", "svm", "gpt"}))
	}
	var m Model
	var err error
	switch name {
	case "softmax":
		m, err = newNetwork([]int{inputs, classes})
	case "mlp":
		m, err = parseMLP(rest, inputs, classes)
	case "svm":
		m, err = newSVM(inputs, classes)
	default:
		m, err = parseGPT(rest, more, classes)
	}
	if err != nil {
		return nil, fmt.Errorf("model %s %w", name, err)
	}
	return m, nil
}

func parseMLP(widths string, inputs, classes int) (Model, error) {
	sizes := []int{inputs}
	fields := strings.Split(widths, ",")
	if len(fields) > maxLayers {
		return nil, fmt.Errorf("has %d hidden layers; at most %d are possible", len(fields), maxLayers)
	}
	for _, field := range fields {
		w, err := strconv.ParseUint(strings.TrimSpace(field), 10, 32)
		if err != nil || w < 1 || w > maxWidth {
			return nil, fmt.Errorf("wants the widths of its hidden layers, from 1 to %d, such as mlp:64 or mlp:128,64, not %s", maxWidth, spelling.Quote(field))
		}
		sizes = append(sizes, int(w))
	}
	return newNetwork(append(sizes, classes))
}

// parseGPT reads the settings of a gpt; more says whether there was a colon before them.
func parseGPT(settings string, more bool, tokens int) (Model, error) {
	s := gptShape{layers: 4, width: 128, heads: 4, context: 64, tokens: tokens}
	keys := []string{"layers", "width", "heads", "context"}
	values := []*int{&s.layers, &s.width, &s.heads, &s.context}
	limits := []int{maxDepth, maxWidth, maxWidth, maxContext}
	seen := make([]bool, len(keys))
	for more {
		var field string
		field, settings, more = strings.Cut(settings, ",")
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		i := slices.Index(keys, key)
		switch {
		case i < 0:
			return nil, fmt.Errorf("has no setting %s; it has %s, such as gpt:layers=4,width=128,heads=4,context=64%s", spelling.Quote(key),
				strings.Join(keys, ", "), spelling.Hint(key, keys))
		case seen[i]:
			return nil, fmt.Errorf("has %s twice", key)
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n < 1 || n > uint64(limits[i]) {
			return nil, fmt.Errorf("wants %s from 1 to %d, not %s", key, limits[i], spelling.Quote(value))
		}
		*values[i], seen[i] = int(n), true
	}
	if s.width%s.heads != 0 {
		return nil, fmt.Errorf("divides its width among its heads, and a width of %d cannot be divided among %d", s.width, s.heads)
	}
	return newGPT(s)
}
