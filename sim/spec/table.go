package spec

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// maxFile bounds what is read of a table, in bytes.
const maxFile = 1 << 30

// A Row is a line of a table.
type Row struct {
	file    string
	line    int // from 1
	fields  []string
	columns []int // from 1, in bytes
}

// ReadTable calls use for every line of a file of comma-separated values, without blank lines and those that begin with #.
// The row is valid during the call. An error of use ends the reading and is returned as it is: [Row.Errorf] makes one that
// names the place.
func ReadTable(file string, use func(r *Row) error) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s: is larger than %d MiB", file, maxFile>>20)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return scan(file, string(content), use)
}

func scan(file, content string, use func(r *Row) error) error {
	r := Row{file: file}
	content = strings.TrimPrefix(content, "\ufeff")
	for text := range strings.Lines(content) {
		r.line++
		if t := strings.TrimSpace(text); t == "" || t[0] == '#' {
			continue
		}
		r.fields, r.columns = r.fields[:0], r.columns[:0]
		column := 1
		for field := range strings.SplitSeq(text, ",") {
			lead := len(field) - len(strings.TrimLeft(field, " \t"))
			r.fields = append(r.fields, strings.TrimSpace(field))
			r.columns = append(r.columns, column+lead)
			column += len(field) + 1
		}
		if err := use(&r); err != nil {
			return err
		}
	}
	return nil
}

// Len returns the number of fields.
func (r *Row) Len() int { return len(r.fields) }

// Line returns the number of the line, from 1.
func (r *Row) Line() int { return r.line }

// Text returns a field without the spaces around it; beyond the last field it is empty.
func (r *Row) Text(i int) string {
	if i >= len(r.fields) {
		return ""
	}
	return r.fields[i]
}

// Errorf returns an error at a field: "file:line:column: …".
func (r *Row) Errorf(i int, format string, args ...any) error {
	column := 1
	if len(r.columns) > 0 {
		column = r.columns[min(i, len(r.columns)-1)]
	}
	return fmt.Errorf("%s:%d:%d: %w", r.file, r.line, column, fmt.Errorf(format, args...))
}

// Number returns a field that is a number from low to high; what is its meaning, for the error.
func (r *Row) Number(i int, what string, low, high float64) (float64, error) {
	v, err := strconv.ParseFloat(r.Text(i), 64)
	if err != nil || !(v >= low && v <= high) {
		return 0, r.Errorf(i, "%s is %s, not a number from %g to %g", what, Brief(r.Text(i)), low, high)
	}
	return v, nil
}

// Whole returns a field that is a whole number from 0 to high.
func (r *Row) Whole(i int, what string, high int) (int, error) {
	v, err := strconv.ParseUint(r.Text(i), 10, 63)
	if err != nil || v > uint64(high) {
		return 0, r.Errorf(i, "%s is %s, not a whole number from 0 to %d", what, Brief(r.Text(i)), high)
	}
	return int(v), nil
}

// Header reports whether the first field is this word, as in a first line that names the columns.
func (r *Row) Header(word string) bool { return r.line == 1 && strings.EqualFold(r.Text(0), word) }
