package strictyaml

import (
	"fmt"
	"strings"
)

// A Line is one setting of a document that is written.
type Line struct {
	Path  string // the key with those of the mappings that it is in: "method.wake.period"
	Value string // as it stands in the document: see [Scalar]
	Help  string // comment behind it; empty for none
}

// Write writes settings as a document in block style, with the comments from the given column on. Settings of one mapping
// stand together in lines.
func Write(b *strings.Builder, lines []Line, column int) {
	var open []string
	for _, l := range lines {
		parts := strings.Split(l.Path, ".")
		sections := parts[:len(parts)-1]
		for i, name := range sections {
			if i >= len(open) || open[i] != name {
				open = append(open[:min(i, len(open))], name)
				fmt.Fprintf(b, "%s%s:\n", strings.Repeat("  ", i), name)
			}
		}
		open = open[:len(sections)]
		text := strings.Repeat("  ", len(sections)) + parts[len(sections)] + ": " + l.Value
		if l.Help != "" {
			text = fmt.Sprintf("%-*s # %s", column, text, l.Help)
		}
		b.WriteString(text + "\n")
	}
}
