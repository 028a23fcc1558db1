package manifest

import (
	"fmt"

	"starling/node/manifest/strictyaml"
)

// A Problem is one thing wrong with a manifest.
type Problem = strictyaml.Problem

// Problems are all the problems of one manifest: the error that [ParseYAML] and [Manifest.Validate] return.
type Problems []Problem

// Error returns the problems, one on a line.
func (ps Problems) Error() string { return strictyaml.Problems(ps).Error() }

func (ps *Problems) add(field, format string, args ...any) {
	*ps = append(*ps, Problem{Field: field, Text: fmt.Sprintf(format, args...)})
}

// err returns the problems as an error, or nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
