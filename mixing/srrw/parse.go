package srrw

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

var (
	bases = [...]string{Metropolis: "metropolis", Averaging: "averaging", Simple: "simple", NonBacktracking: "nonbacktracking"}
	forms = [...]string{Auto: "auto", Rows: "srrw", Proposals: "hdt"}
	keys  = [...]string{"alpha", "a", "b", "floor", "base", "lazy", "kernel", "limit"}
)

// String is the name of the chain in settings.
func (b Base) String() string { return name(bases[:], int(b)) }

// String is the name of the kernel in settings.
func (f Form) String() string { return name(forms[:], int(f)) }

func name(names []string, i int) string {
	if i >= len(names) {
		return strconv.Itoa(i)
	}
	return names[i]
}

// Parse makes a walk from its text: srrw, and after a colon what differs from the defaults, which are
//
//	srrw:alpha=5,a=0.8,b=0.9,floor=false,base=metropolis,lazy=false,kernel=auto,limit=4096
//
// base is metropolis, averaging, simple or nonbacktracking; kernel is auto, srrw or hdt. [Config] says what they mean.
func Parse(text string) (Config, error) {
	rule, settings, has := strings.Cut(text, ":")
	if rule != "srrw" {
		return Config{}, fmt.Errorf("unknown walk %s: want srrw, or srrw:alpha=5,a=0.8 and so on%s", spelling.Quote(rule), spelling.Hint(rule, []string{"srrw"}))
	}
	c, seen := Default(), map[string]bool{}
	for _, part := range strings.Split(settings, ",") {
		if !has {
			break
		}
		key, value, _ := strings.Cut(part, "=")
		switch {
		case !slices.Contains(keys[:], key):
			return Config{}, fmt.Errorf("srrw: setting %s is not known: there are %s%s", spelling.Quote(key), strings.Join(keys[:], ", "), spelling.Hint(key, keys[:]))
		case seen[key]:
			return Config{}, fmt.Errorf("srrw: %s is set twice", key)
		}
		seen[key] = true
		if err := c.set(key, value); err != nil {
			return Config{}, fmt.Errorf("srrw: %s=%s: %w", key, spelling.Brief(value), err)
		}
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("srrw: %w", err)
	}
	return c, nil
}

func (c *Config) set(key, value string) (err error) {
	var n int
	switch key {
	case "alpha":
		c.Alpha, err = number(value)
	case "a":
		c.A, err = number(value)
	case "b":
		c.B, err = number(value)
	case "floor":
		c.Floor, err = truth(value)
	case "lazy":
		c.Lazy, err = truth(value)
	case "base":
		n, err = among(value, bases[:])
		c.Base = Base(n)
	case "kernel":
		n, err = among(value, forms[:])
		c.Form = Form(n)
	case "limit":
		if c.Limit, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("want a whole number from 1 to %d", MaxLimit)
		}
	}
	return err
}

func number(value string) (float64, error) {
	x, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, fmt.Errorf("want a number")
	}
	return x, nil
}

func truth(value string) (bool, error) {
	if value != "true" && value != "false" {
		return false, fmt.Errorf("want true or false%s", spelling.Hint(value, []string{"true", "false"}))
	}
	return value == "true", nil
}

func among(value string, names []string) (int, error) {
	i := slices.Index(names, value)
	if i < 0 {
		return 0, fmt.Errorf("want one of %s%s", strings.Join(names, ", "), spelling.Hint(value, names))
	}
	return i, nil
}

// String is the canonical text, with all settings in one order, so that peers that mean the same write the same. [Parse] reads
// it back without loss.
func (c Config) String() string {
	exact := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	return fmt.Sprintf("srrw:alpha=%s,a=%s,b=%s,floor=%t,base=%s,lazy=%t,kernel=%s,limit=%d",
		exact(c.Alpha), exact(c.A), exact(c.B), c.Floor, c.Base, c.Lazy, c.Form, c.Limit)
}
