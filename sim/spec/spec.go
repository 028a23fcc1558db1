// Package spec reads what people write in experiment files: specifications such as "lognormal:median=40ms,sigma=0.5", and
// tables of comma-separated values.
//
// Start with [Parse], which splits a specification into a name and settings that are then taken out one by one, and with
// [ReadTable]. Both report what is wrong in words, with the nearest known name, or with file, line and column. The package
// does not know what the specifications mean.
//
// Packages of the simulator may import it. It imports node for the type of time, and mixing/spelling.
package spec

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"starling/mixing/spelling"
	"starling/node"
)

// maxText bounds a specification, in bytes: the longest sensible ones list node ranges or a class each.
const maxText = 10_000

// Required stands for the default of a duration that must be given. For a number that is NaN.
const Required node.Instant = -1

// A Spec is a specification that is being read. Every setting is taken by one call, in the order in which values without a
// key are written; the first problem stays, and [Spec.Done] returns it.
type Spec struct {
	Name string // before the colon, in lower case; empty if there are only settings

	what   string // what is specified, for errors
	text   string
	fields []field
	known  []string
	err    error
}

type field struct {
	key, value string // the key is empty for a value by position
	used       bool
}

// Parse splits text into a name and, behind a colon, settings separated by commas: key=value, or values alone in the order
// in which they are taken. Text that begins with key=value has no name. What is the thing specified, such as "latency".
func Parse(what, text string) *Spec {
	s := &Spec{what: what, text: strings.TrimSpace(text)}
	if len(s.text) > maxText {
		s.err = fmt.Errorf("is longer than %d characters", maxText)
		return s
	}
	name, rest, colon := strings.Cut(s.text, ":")
	if before, _, _ := strings.Cut(name, ","); strings.Contains(before, "=") {
		name, rest, colon = "", s.text, true
	}
	s.Name = strings.ToLower(strings.TrimSpace(name))
	if !colon {
		return s
	}
	for _, text := range strings.Split(rest, ",") {
		f := field{value: strings.TrimSpace(text)}
		if key, value, ok := strings.Cut(text, "="); ok {
			f = field{key: strings.TrimSpace(key), value: strings.TrimSpace(value)}
		}
		switch {
		case f.value == "":
			s.Fail("setting %s is empty", Brief(text))
		case f.key != "" && slices.ContainsFunc(s.fields, func(o field) bool { return o.key == f.key }):
			s.Fail("%s is given twice", f.key)
		}
		s.fields = append(s.fields, f)
	}
	return s
}

// Brief quotes what was written, for an error message, and not more than fits on a line.
func Brief(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

// Fail notes a problem, unless there is one already. The format may wrap an error.
func (s *Spec) Fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// Rest returns all that follows the colon as it was written, such as a file name, and takes all settings.
func (s *Spec) Rest() string {
	for i := range s.fields {
		s.fields[i].used = true
	}
	_, rest, _ := strings.Cut(s.text, ":")
	return strings.TrimSpace(rest)
}

// Settings returns the number of settings that are written.
func (s *Spec) Settings() int { return len(s.fields) }

// Keyed reports whether the first setting has a key, as those of a mix have: key=value.
func (s *Spec) Keyed() bool { return len(s.fields) > 0 && s.fields[0].key != "" }

func (s *Spec) take(key string) (value string, ok bool) {
	place := len(s.known)
	s.known = append(s.known, key)
	for i := range s.fields {
		f := &s.fields[i]
		if f.used || !(f.key == key || f.key == "" && i == place) {
			continue
		}
		if ok {
			s.Fail("%s is given twice", key)
		}
		value, ok, f.used = f.value, true, true
	}
	return value, ok
}

func (s *Spec) wants(key, value, want string) { s.Fail("%s wants %s, not %s", key, want, Brief(value)) }

// Text takes a setting as it is written; an empty default means that it must be given.
func (s *Spec) Text(key, otherwise string) string {
	if v, ok := s.take(key); ok {
		return v
	}
	if otherwise == "" {
		s.Fail("%s must be given", key)
	}
	return otherwise
}

// Number takes a number from low to high. A default of NaN means that it must be given.
func (s *Spec) Number(key string, otherwise, low, high float64) float64 {
	text, ok := s.take(key)
	if !ok {
		if otherwise != otherwise {
			s.Fail("%s must be given", key)
		}
		return otherwise
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= low && v <= high) {
		s.wants(key, text, fmt.Sprintf("a number from %g to %g", low, high))
		return low
	}
	return v
}

// Duration takes a duration from low to high, such as 20ms or 1h30m. A default of [Required] means that it must be given.
func (s *Spec) Duration(key string, otherwise, low, high node.Instant) node.Instant {
	text, ok := s.take(key)
	if !ok {
		if otherwise == Required {
			s.Fail("%s must be given, such as 20ms or 1h", key)
		}
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if v := node.Instant(d); err == nil && v >= low && v <= high {
		return v
	}
	s.wants(key, text, fmt.Sprintf("a duration from %v to %v, such as 20ms or 1h", time.Duration(low), time.Duration(high)))
	return low
}

// Range takes two durations, of which the first is not larger: by keys, by position, or as one value "0ms-10ms".
func (s *Spec) Range(low, high string, most node.Instant) (from, to node.Instant) {
	if place := len(s.known); place < len(s.fields) && s.fields[place].key == "" {
		if a, b, ok := strings.Cut(s.fields[place].value, "-"); ok {
			s.fields = slices.Insert(s.fields, place+1, field{value: b})
			s.fields[place].value = a
		}
	}
	from = s.Duration(low, 0, 0, most)
	to = s.Duration(high, Required, 0, most)
	if from > to && s.err == nil {
		s.Fail("%s is above %s", low, high)
	}
	return from, to
}

// Word takes one of the words; the first is the default.
func (s *Spec) Word(key string, words ...string) string {
	text, ok := s.take(key)
	if !ok {
		return words[0]
	}
	if !slices.Contains(words, text) {
		s.wants(key, text, "one of "+strings.Join(words, ", ")+spelling.Hint(text, words))
		return words[0]
	}
	return text
}

// Flag takes true or false; false is the default.
func (s *Spec) Flag(key string) bool { return s.Word(key, "false", "true") == "true" }

// Mix takes a share for each of the names, written name=share or name:share; those not written have none. Shares must add
// up to 1.
func (s *Spec) Mix(names []string) []float64 {
	shares := make([]float64, len(names))
	s.known = append(s.known, names...)
	var sum float64
	for i := range s.fields {
		f := &s.fields[i]
		name, value := f.key, f.value
		if f.key == "" {
			name, value, _ = strings.Cut(f.value, ":")
		}
		at := slices.Index(names, strings.TrimSpace(name))
		if at < 0 || f.used {
			continue
		}
		f.used = true
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(v >= 0 && v <= 1) {
			s.wants(name, value, "a share from 0 to 1")
			return shares
		}
		if shares[at] != 0 {
			s.Fail("%s is given twice", name)
		}
		shares[at] = v
		sum += v
	}
	if !(math.Abs(sum-1) <= 1e-6) && s.unused() == nil {
		s.Fail("shares add up to %.6g, not 1", sum)
	}
	return shares
}

// Unknown returns the error of a name that is none of those there are, each with its settings behind a colon if it has some.
func (s *Spec) Unknown(there ...string) error {
	if s.err != nil {
		return s.Done()
	}
	names := make([]string, len(there))
	for i, n := range there {
		names[i], _, _ = strings.Cut(n, ":")
	}
	return fmt.Errorf("%s %s is not known; use %s%s", s.what, Brief(s.text), strings.Join(there, ", "), spelling.Hint(s.Name, names))
}

// Done returns the first problem, or that a setting is not known.
func (s *Spec) Done() error {
	err := s.err
	if err == nil {
		err = s.unused()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", s.what, Brief(s.text), err)
	}
	return nil
}

func (s *Spec) unused() error {
	for _, f := range s.fields {
		if f.used {
			continue
		}
		name := f.key
		if name == "" {
			name, _, _ = strings.Cut(f.value, ":")
		}
		if len(s.known) == 0 {
			return fmt.Errorf("there are no settings, and %s is given", Brief(name))
		}
		return fmt.Errorf("there is no setting %s; there are %s%s", Brief(name), strings.Join(s.known, ", "), spelling.Hint(name, s.known))
	}
	return nil
}
