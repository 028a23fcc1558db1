// Package experiments holds the experiments that come with the program: the workloads that its speed is measured on, and
// the questions that a newcomer asks first. Each file says in its comments what is asked and what to expect.
//
// Start with [Names] and [Read]. The package does not parse the files; package experiment does.
//
// The command line and tests import it; it imports only spelling of the project. It is safe for concurrent use.
package experiments

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"starling/mixing/spelling"
)

//go:embed *.yaml
var files embed.FS

const extension = ".yaml"

// Names returns the names of the experiments, ascending, without extension: "churn".
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("experiments: internal error: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), extension))
	}
	slices.Sort(names)
	return names
}

// Read returns the file of an experiment, and what to call it in messages. The error of an unknown name says the nearest
// one and all that there are.
func Read(name string) (text []byte, filename string, err error) {
	filename = strings.TrimSuffix(name, extension) + extension
	if text, err = files.ReadFile(filename); err != nil {
		return nil, "", fmt.Errorf("there is no experiment %.60q: there are %s%s", name, strings.Join(Names(), ", "), spelling.Hint(name, Names()))
	}
	return text, filename, nil
}
