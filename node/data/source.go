package data

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

//go:embed mnist/*.gz
var embedded embed.FS

// Bounds of what is read: a row of this many features and this many rows are more than the models here can use.
const (
	maxInputs = 1 << 16
	maxRows   = 1 << 26
)

// A Source is a data set that rows can be taken from. It holds the labels of the training rows, and reads
// features when asked. A Source is safe for concurrent use.
type Source struct {
	name            string
	inputs, classes int
	labels          []int32
	load            func(test bool, rows []int32) (*Set, error) // rows are ascending; nil means all
	// of text, which has no rows yet; else nil
	windows func(length int) (*Source, error)
	tokens  func(by Tokenizer, length int) (train, test sequences, err error)
}

// Open finds a data set by its specification:
//
//	mnist      the handwritten digits that are compiled in
//	pegasos    a made set for linear classifiers, see [Pegasos]; pegasos:seed=N draws it from another seed than 1
//	idx:DIR    files in MNIST's format and with MNIST's names in a directory, compressed (.gz) or not
//	csv:FILE   a row a line: the label, a whole number from 0 to 255, then the features; the first line may be a header.
//	           Every tenth row is held out for evaluation.
//	text:FILE  any file as text whose tokens are its bytes. The last tenth is held out for evaluation, or another share:
//	           text:held=0.05:FILE. A row is a window of the file whose length a model chooses, see [Source.Windows].
//	jsonl:FILE documents of text, one JSON object a line: {"text": …}, {"prompt": …, "completion": …}, of which the completion is
//	           learnt, or {"messages": [{"role": …, "content": …}, …]}, of which what the assistant says is. Every tenth document
//	           is held out for evaluation, or another share: jsonl:held=0.05:FILE. See [Source.Tokens] for rows.
//	babble     a made text, see [Babble]; babble:seed=N,bytes=N draws another one
//
// It reads labels and checks formats; features are read by [Source.Train] and [Source.Test]. Errors name the file, and the
// line where there are lines.
func Open(spec string) (*Source, error) {
	kind, arg, _ := strings.Cut(spec, ":")
	switch {
	case spec == "mnist":
		return openIDX(embedded, "mnist", "mnist")
	case kind == "pegasos":
		seed, err := PegasosSeed(spec)
		if err != nil {
			return nil, err
		}
		return Pegasos(seed), nil
	case kind == "babble":
		seed, size, err := BabbleSettings(spec)
		if err != nil {
			return nil, err
		}
		return Babble(seed, size), nil
	case kind == "idx" && arg != "":
		return openIDX(os.DirFS(arg), ".", arg)
	case kind == "csv" && arg != "":
		return openCSV(arg)
	case kind == "text" && arg != "":
		return openText(arg)
	case kind == "jsonl" && arg != "":
		return openJSONL(arg)
	}
	if len(spec) > 60 {
		spec = spec[:60] + "…"
	}
	return nil, fmt.Errorf("data %s is not known; use mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE or jsonl:FILE", strconv.Quote(spec))
}

// Inputs returns the number of features of a row. It is 0 for text, which has rows only once a model has chosen their length.
func (s *Source) Inputs() int { return s.inputs }

// Windows returns the source of text with rows of so many tokens, and as many labels, each the token after one. Windows
// follow each other without a gap, so that every token is the label of one; a rest at the end is left out. For [Partition],
// which knows labels of rows, they are all of one class: dirichlet:A gives nodes unequal amounts of text, shards:K gives each
// K pieces of the file. Documents become rows of the tokens of [Bytes], see [Source.Tokens]. Sources that have rows are returned as they are, if these have that length.
func (s *Source) Windows(length int) (*Source, error) {
	switch {
	case s.windows != nil:
		return s.windows(length)
	case length != s.inputs:
		return nil, fmt.Errorf("data %s: rows have %d features, not %d", s.name, s.inputs, length)
	}
	return s, nil
}

// Classes returns the number of classes; labels are below it.
func (s *Source) Classes() int { return s.classes }

// Labels returns the labels of all training rows, for [Partition]: zeros for text. They must not be changed.
func (s *Source) Labels() []int32 { return s.labels }

// Train reads training rows, given in ascending order, and keeps only those in memory: row i of the set is rows[i] of the
// source. nil means all rows. Reading goes through the whole source once; who needs many parts reads all rows and takes each
// part with [Set.Subset].
func (s *Source) Train(rows []int32) (*Set, error) {
	for i, row := range rows {
		if row < 0 || int(row) >= len(s.labels) || i > 0 && row <= rows[i-1] {
			return nil, fmt.Errorf("data %s: row %d is not there, or rows are not in ascending order", s.name, row)
		}
	}
	return s.load(false, rows)
}

// Test reads the rows held out for evaluation.
func (s *Source) Test() (*Set, error) { return s.load(true, nil) }

// subsets is the load of a source whose rows are in memory.
func subsets(train, test *Set) func(bool, []int32) (*Set, error) {
	return func(wantTest bool, rows []int32) (*Set, error) {
		switch {
		case wantTest:
			return test, nil
		case rows == nil:
			return train, nil
		}
		return train.Subset(rows), nil
	}
}

// picker goes through ascending rows while a file is read.
type picker struct {
	rows []int32
	all  bool
}

func pick(rows []int32) picker { return picker{rows: rows, all: rows == nil} }

// next reports whether row, which goes up by one from call to call, is wanted.
func (p *picker) next(row int) bool {
	if p.all {
		return true
	}
	if len(p.rows) == 0 || int(p.rows[0]) != row {
		return false
	}
	p.rows = p.rows[1:]
	return true
}

func (p *picker) count(of int) int {
	if p.all {
		return of
	}
	return len(p.rows)
}

var errChanged = errors.New("the file was changed while it was in use; open it again")

// Path returns the file or directory that a specification names, or "" if it names none.
func Path(spec string) string {
	switch kind, arg, _ := strings.Cut(spec, ":"); kind {
	case "idx", "csv":
		return arg
	case "text", "jsonl":
		if _, file, err := HeldFile(kind, arg); err == nil {
			return file
		}
	}
	return ""
}
