// Package spelling is about what people have written, in error messages: it guesses which name was meant by a misspelt one, and shows
// texts that may be of any length.
//
// Start with [Nearest], or with [Hint], which phrases the question; and with [Quote]. The package knows no names itself.
//
// Any package may import it; it imports nothing of the project.
package spelling

import (
	"fmt"
	"strconv"
	"strings"
)

// Nearest returns the name that word was most likely meant to be: the one with the fewest slips, capitals aside, the first
// of several. It returns "" if none is near: a third of the letters may be wrong, and one more.
func Nearest(word string, names []string) string {
	best, bound := "", 1+len(word)/3
	for _, n := range names {
		if d := distance(strings.ToLower(word), n, bound); d <= bound {
			best, bound = n, d-1
		}
	}
	return best
}

// Hint returns `; did you mean "x"?` for the nearest name, or "" if none is near.
func Hint(word string, names []string) string {
	if n := Nearest(word, names); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}

// Brief returns as much of a text as fits on a line beside an explanation.
func Brief(text string) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Quote is [Brief] in quotes, and shows what cannot be seen otherwise.
func Quote(text string) string { return strconv.Quote(Brief(text)) }

// distance is the number of single-letter insertions, deletions, replacements and swaps of neighbours that turn a into b, or
// something above bound if that is exceeded.
func distance(a, b string, bound int) int {
	if len(a)-len(b) > bound || len(b)-len(a) > bound {
		return bound + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
