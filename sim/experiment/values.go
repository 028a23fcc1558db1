package experiment

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"starling/node/manifest"
	"starling/node/manifest/strictyaml"
)

// lines is text on any number of lines; word is a specification that may look like a number.
type (
	lines string
	word  string
)

// target returns what the strict decoder reads a setting with.
func target(to any) any {
	type node = strictyaml.Node
	switch to := to.(type) {
	case *lines:
		return func(n *node) error {
			text, err := n.Lines()
			if err == nil {
				*to = lines(strings.TrimSpace(text))
			}
			return err
		}
	case *word:
		return func(n *node) error {
			if n.Kind == strictyaml.Integer || n.Kind == strictyaml.Float {
				*to = word(n.Literal)
				return nil
			}
			text, err := n.Line()
			if err == nil {
				*to = word(text)
			}
			return err
		}
	case *time.Duration:
		return func(n *node) error { return manifest.ReadDuration(to, n) }
	case *manifest.Size:
		return func(n *node) error { return manifest.ReadSize(to, n) }
	case *Steps:
		return func(n *node) error { return manifest.ReadSteps(to, n) }
	case *Portion:
		return func(n *node) error { return readInto(to, n, readPortion) }
	case *Cadence:
		return func(n *node) error { return readInto(to, n, readCadence) }
	case *[]Partition:
		return strictyaml.Each(func(n int) [][]strictyaml.Setting {
			*to = make([]Partition, n)
			all := make([][]strictyaml.Setting, n)
			for i := range *to {
				(*to)[i].Groups = "halves"
				all[i] = decoderSettings(partitionSettings(fmt.Sprintf("%s[%d]", partitionsPath, i), &(*to)[i]))
			}
			return all
		})
	}
	return to
}

func readInto[T any](to *T, n *strictyaml.Node, read func(*strictyaml.Node) (T, error)) error {
	v, err := read(n)
	if err == nil {
		*to = v
	}
	return err
}

func readPortion(n *strictyaml.Node) (Portion, error) {
	want := func() error { return fmt.Errorf("want a whole number, a share such as 10%%, or all, have %s", n) }
	switch n.Kind {
	case strictyaml.Integer:
		count, err := n.Int()
		if err == nil && count < 1 {
			err = fmt.Errorf("is %s; want at least 1", n.Literal)
		}
		return Portion{Count: count}, err
	case strictyaml.Float:
		return Portion{}, fmt.Errorf("want a whole number, a share such as 10%%, or all, have %s; write a share in percent", n)
	case strictyaml.Text:
		if n.Literal == "all" {
			return All(), nil
		}
		digits, ok := strings.CutSuffix(n.Literal, "%")
		if !ok {
			return Portion{}, want()
		}
		percent, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return Portion{}, fmt.Errorf("%s is not a share; want above 0%% to 100%%", strictyaml.Quote(n.Literal))
		}
		if share := percent / 100; share > 0 {
			return Portion{Share: share}, nil
		}
		return Portion{}, errors.New("is too small a share to write down")
	}
	return Portion{}, want()
}

// String returns what a file says: "10", "10%" or "all".
func (p Portion) String() string {
	switch {
	case p.Count != 0:
		return strconv.Itoa(p.Count)
	case p.Share == 1:
		return "all"
	}
	return percentText(p.Share) + "%"
}

// percentText finds the shortest percentage that is read as this share.
func percentText(share float64) string {
	for digits := 1; digits < 18; digits++ {
		text := strconv.FormatFloat(share*100, 'g', digits, 64)
		if v, err := strconv.ParseFloat(text, 64); err == nil && v/100 == share {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return strconv.FormatFloat(share*100, 'f', -1, 64)
}

func readCadence(n *strictyaml.Node) (Cadence, error) {
	switch n.Kind {
	case strictyaml.Integer:
		rounds, err := n.Int()
		return Cadence{Rounds: rounds}, err
	case strictyaml.Text:
		if text, err := n.Line(); err == nil {
			if number, ok := strings.CutPrefix(text, "tokens:"); ok {
				tokens, err := strconv.ParseUint(number, 10, 63)
				if err != nil || tokens == 0 {
					err = fmt.Errorf("%s wants a whole number above 0, such as tokens:65536", strictyaml.Quote(text))
				}
				return Cadence{Tokens: tokens}, err
			}
			d, err := manifest.ParseDuration(text)
			if err == nil && d <= 0 {
				err = fmt.Errorf("is %s; want a duration above 0s, or 0 for never", text)
			}
			return Cadence{Time: d}, err
		}
	}
	return Cadence{}, fmt.Errorf("want a number of rounds, a duration such as 10s or tokens:N, have %s", n)
}

// String returns what a file says: "1" for every round, "10s", "tokens:65536", or "0" for never.
func (c Cadence) String() string {
	if c.Tokens != 0 {
		return "tokens:" + strconv.FormatUint(c.Tokens, 10)
	}
	if c.Time != 0 {
		return manifest.DurationText(c.Time)
	}
	return strconv.Itoa(c.Rounds)
}

// render returns a value as YAML, or "" for a list or text that is empty.
func render(v any) string {
	switch v := v.(type) {
	case *string:
		return strictyaml.Scalar(*v)
	case *word:
		return strictyaml.Scalar(string(*v))
	case *lines:
		if *v == "" {
			return ""
		}
		return strconv.Quote(string(*v))
	case *int:
		return strconv.Itoa(*v)
	case *uint64:
		return strconv.FormatUint(*v, 10)
	case *float64:
		return floatText(*v)
	case *time.Duration:
		return manifest.DurationText(*v)
	case *manifest.Size:
		return v.String()
	case *[]string:
		return renderList(*v, strconv.Quote)
	case *[]float64:
		return renderList(*v, floatText)
	case *[]Partition:
		return renderList(*v, func(p Partition) string {
			return fmt.Sprintf("{from: %s, until: %s, groups: %q}", manifest.DurationText(p.From), manifest.DurationText(p.Until), p.Groups)
		})
	case fmt.Stringer:
		return v.String()
	}
	panic(fmt.Sprintf("experiment: internal error: no text for %T", v))
}

func floatText(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

func renderList[T any](list []T, text func(T) string) string {
	if len(list) == 0 {
		return ""
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
