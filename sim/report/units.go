package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A quantity says what a number counts, and so how it is written.
type quantity int

const (
	plain    quantity = iota // loss, distance, rounds, nodes
	fraction                 // accuracy: never below 0 or above 1
	seconds                  // of virtual time
	volume                   // bytes
	whole                    // nodes: no part of one
	amount                   // tokens: many
)

// missing stands for a number that is not there.
const missing = "–"

// A unit is a name and how much of the base unit it is.
type unit struct {
	name string
	size float64
}

// unitFor picks the largest unit of which a value is at least a number of times.
func (q quantity) unitFor(top, times float64) unit {
	var units []unit
	switch q {
	case seconds:
		units = []unit{{"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}}
	case volume:
		units = []unit{{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}
	case amount:
		units = []unit{{"", 1}, {"thousand", 1e3}, {"million", 1e6}, {"billion", 1e9}}
	default:
		return unit{"", 1}
	}
	best := units[0]
	for _, u := range units[1:] {
		if top >= times*u.size || u.name == "s" && top >= u.size {
			best = u
		}
	}
	if q == seconds && top <= 0 {
		best = unit{"s", 1}
	}
	return best
}

// enough is how many of a unit a single value must have to be written in it: 90 seconds are not 1.5 minutes, but 1,500 KiB
// are 1.465 MiB.
func (q quantity) enough() float64 {
	if q == seconds {
		return 2
	}
	return 1
}

// format writes a value with about four digits and its unit.
func (q quantity) format(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return missing
	}
	switch q {
	case fraction:
		return strconv.FormatFloat(v, 'f', 4, 64)
	case plain, whole:
		return digits(v)
	}
	u := q.unitFor(math.Abs(v), q.enough())
	return strings.TrimSuffix(digits(v/u.size)+" "+u.name, " ")
}

// digits writes a number with four significant digits, and whole ones in full with separators.
func digits(v float64) string { return significant(v, 4) }

func significant(v float64, n int) string {
	a := math.Abs(v)
	switch {
	case v == 0:
		return "0"
	case a >= 1e9 || a < 1e-4:
		return exponent(strconv.FormatFloat(v, 'e', 3, 64))
	case a >= 1000:
		return separate(strconv.FormatFloat(v, 'f', 0, 64))
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	decimals := n - 1 - int(math.Floor(math.Log10(a)))
	return trimZeros(strconv.FormatFloat(v, 'f', min(max(decimals, 0), 7), 64))
}

// count writes a whole number with separators.
func count(n uint64) string { return separate(strconv.FormatUint(n, 10)) }

// separate puts a comma between groups of three digits.
func separate(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, rest, dot := strings.Cut(s, ".")
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if dot {
		b.WriteString("." + rest)
	}
	return sign + b.String()
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// exponent shortens 1.200e-05 to 1.2e-5.
func exponent(s string) string {
	m, e, _ := strings.Cut(s, "e")
	n, err := strconv.Atoi(e)
	if err != nil {
		return s
	}
	return fmt.Sprintf("%se%d", trimZeros(m), n)
}

// duration writes seconds in the two largest units, as people say it.
func duration(s float64) string {
	switch {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return missing
	case s < 120:
		return seconds.format(s)
	case s < 2*3600:
		return fmt.Sprintf("%d min %02d s", int(s)/60, int(s)%60)
	case s < 2*86400:
		return fmt.Sprintf("%d h %02d min", int(s)/3600, int(s)/60%60)
	}
	return fmt.Sprintf("%s d %02d h", separate(strconv.Itoa(int(s)/86400)), int(s)/3600%24)
}

// plural writes a number of things.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// clip shortens text to at most n letters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
