package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

const (
	maxLine  = 4 << 20
	heldOut  = 10 // one row in this many
	fewRows  = "a CSV file wants at least 10 rows: every tenth is held out for evaluation"
	bomBytes = "\ufeff"
)

// openCSV reads a file once to check it and to learn its labels.
func openCSV(file string) (*Source, error) {
	s := &Source{name: file, classes: 2}
	held := 0
	read := func(use func(row int, label int32, features []float32) error) error {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		defer f.Close()
		return scanCSV(f, file, use)
	}
	err := read(func(row int, label int32, features []float32) error {
		s.inputs, s.classes = len(features), max(s.classes, int(label)+1)
		if isHeld(row) {
			held++
		} else {
			s.labels = append(s.labels, label)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if held == 0 {
		return nil, fmt.Errorf("data %s: %s", file, fewRows)
	}
	s.load = func(test bool, rows []int32) (*Set, error) {
		set := &Set{inputs: s.inputs, classes: s.classes, numbers: newPages[float32](s.inputs)}
		wanted := pick(rows)
		limit := wanted.count(len(s.labels))
		if test {
			limit = held
		}
		trainRow := 0
		err := read(func(row int, label int32, features []float32) error {
			if isHeld(row) != test {
				return nil
			}
			if !test {
				trainRow++
				if !wanted.next(trainRow - 1) {
					return nil
				}
			}
			if len(features) != s.inputs || int(label) >= s.classes || len(set.labels) == limit {
				return errChanged
			}
			copy(set.numbers.add(limit), features)
			set.labels = append(set.labels, label)
			return nil
		})
		if err == nil && len(set.labels) != limit {
			err = fmt.Errorf("data %s: %w", file, errChanged)
		}
		if err != nil {
			return nil, err
		}
		return set, nil
	}
	return s, nil
}

// isHeld reports whether a row of the file, counted from 0, is held out.
func isHeld(row int) bool { return row%heldOut == heldOut-1 }

// scanCSV calls use for every row. features are valid during the call. Errors name file and line.
func scanCSV(r io.Reader, file string, use func(row int, label int32, features []float32) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var features []float32
	line, row, width := 0, 0, -1
	fail := func(format string, args ...any) error {
		return fmt.Errorf("data %s:%d: %w", file, line, fmt.Errorf(format, args...))
	}
	for lines.Scan() {
		line++
		text := strings.TrimSpace(lines.Text())
		if line == 1 {
			text = strings.TrimPrefix(text, bomBytes)
		}
		if text == "" {
			continue
		}
		first, rest, more := strings.Cut(text, ",")
		label, err := strconv.ParseUint(strings.TrimSpace(first), 10, 8)
		if err != nil {
			if _, errNumber := strconv.ParseFloat(strings.TrimSpace(first), 64); line == 1 && errors.Is(errNumber, strconv.ErrSyntax) {
				continue // a header
			}
			return fail("the label is %s, not a whole number from 0 to 255", spelling.Quote(first))
		}
		if !more {
			return fail("there is a label but no feature")
		}
		features = features[:0]
		for more {
			var field string
			field, rest, more = strings.Cut(rest, ",")
			v, err := strconv.ParseFloat(strings.TrimSpace(field), 32)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return fail("feature %d is %s, not a finite number", len(features)+1, spelling.Quote(field))
			}
			if len(features) == maxInputs {
				return fail("more than %d features", maxInputs)
			}
			features = append(features, float32(v))
		}
		if width >= 0 && len(features) != width {
			return fail("%d features, but %d in the first row", len(features), width)
		}
		if row == maxRows {
			return fail("more than %d rows", maxRows)
		}
		width = len(features)
		if err := use(row, int32(label), features); err != nil {
			return fail("%w", err)
		}
		row++
	}
	if err := lines.Err(); err != nil {
		line++
		return fail("%w", err)
	}
	return nil
}
