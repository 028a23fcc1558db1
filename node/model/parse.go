package model

import (
	"fmt"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// Bounds of what a specification, which may come from a peer's manifest, can ask for.
const (
	maxParams = 1 << 28
	maxWidth  = 1 << 16
	maxLayers = 16
)

// Parse makes a model for rows of so many inputs and so many classes, from 2 to 256:
//
//	softmax       softmax regression
//	mlp:128,64    a fully connected network with rectifiers and hidden layers of these widths
//	svm           a linear support vector machine without a bias, for two classes
func Parse(spec string, inputs, classes int) (Model, error) {
	if inputs < 1 || classes < 2 || classes > 256 {
		return nil, fmt.Errorf("model %s: %d inputs and %d classes; there must be inputs, and from 2 to 256 classes", brief(spec), inputs, classes)
	}
	sizes := []int{inputs}
	name, widths, _ := strings.Cut(spec, ":")
	switch {
	case spec == "softmax":
	case spec == "svm":
		m, err := newSVM(inputs, classes)
		if err != nil {
			return nil, fmt.Errorf("model svm %w", err)
		}
		return m, nil
	case name == "mlp":
		fields := strings.Split(widths, ",")
		if len(fields) > maxLayers {
			return nil, fmt.Errorf("model mlp: %d hidden layers; at most %d are possible", len(fields), maxLayers)
		}
		for _, field := range fields {
			w, err := strconv.ParseUint(strings.TrimSpace(field), 10, 32)
			if err != nil || w < 1 || w > maxWidth {
				return nil, fmt.Errorf("model mlp wants the widths of its hidden layers, from 1 to %d, such as mlp:64 or mlp:128,64, not %s", maxWidth, brief(field))
			}
			sizes = append(sizes, int(w))
		}
	default:
		return nil, fmt.Errorf("model %s is not known; use softmax, mlp:WIDTHS or svm%s", brief(spec), spelling.Hint(name, []string{"softmax", "mlp", "svm"}))
	}
	n, err := newNetwork(append(sizes, classes))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", brief(spec), err)
	}
	return n, nil
}

// brief quotes what was written, for an error message, and not more than fits on a line.
func brief(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.Quote(s)
}
