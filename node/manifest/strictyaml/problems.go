package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Place is where something stands. Line and Column count from 1; Line is 0 if there is no place in a file.
type Place struct {
	File         string
	Line, Column int
}

// A Problem is one thing wrong with a document.
type Problem struct {
	// File, Line and Column say where, counted from 1. Line is 0 if the problem has no place in a file.
	File         string
	Line, Column int
	// Field is the path of the setting, "method.steps"; empty if the problem is not about one known setting.
	Field string
	// Text says what is wrong and what to write instead.
	Text string
}

// String returns "run.yaml:7:3: method.steps: 0 is …", without the parts that are not known.
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.File != "":
		fmt.Fprintf(&b, "%s: ", p.File)
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all the problems of one document, an error.
type Problems []Problem

// Error returns the problems, one on a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, or nil if there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Add appends a problem.
func (ps *Problems) Add(at Place, field, format string, args ...any) {
	*ps = append(*ps, Problem{File: at.File, Line: at.Line, Column: at.Column, Field: field, Text: fmt.Sprintf(format, args...)})
}

// Sort orders by place in the file; what has no place comes last.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Quote renders what somebody wrote so that it is safe on a terminal and short in a log.
func Quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}
