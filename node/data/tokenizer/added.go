package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// An Added token is found in texts as a whole, before they are cut into words.
type Added struct {
	ID      int
	Text    string
	Special bool // a mark such as the end of a turn, rather than text
	Left    bool // takes white space before it along
	Right   bool // takes white space after it along
	Within  bool // is looked for in normalised text, and is normalised itself
}

// A finder finds added tokens in texts: the first, and of several that begin at the same place the longest.
type finder struct {
	tokens []Added // by first byte, longest first
	from   [257]int32
}

func newFinder(tokens []Added) *finder {
	f := &finder{tokens: slices.Clone(tokens)}
	slices.SortStableFunc(f.tokens, func(a, b Added) int {
		return cmp.Or(cmp.Compare(a.Text[0], b.Text[0]), cmp.Compare(len(b.Text), len(a.Text)))
	})
	for b := range 256 {
		n := f.from[b]
		for int(n) < len(f.tokens) && int(f.tokens[n].Text[0]) == b {
			n++
		}
		f.from[b+1] = n
	}
	return f
}

// find returns the next token at or behind byte at of text, and where it begins; nil if there is none.
func (f *finder) find(text string, at int) (*Added, int) {
	if len(f.tokens) == 0 {
		return nil, len(text)
	}
	for ; at < len(text); at++ {
		b := int(text[at])
		for i := f.from[b]; i < f.from[b+1]; i++ {
			if strings.HasPrefix(text[at:], f.tokens[i].Text) {
				return &f.tokens[i], at
			}
		}
	}
	return nil, len(text)
}

// cut calls between for each piece of text between tokens and token for each token. Special ones are text like other text if plain is
// set.
func (f *finder) cut(sp splitter, text string, plain bool, between func(string), token func(id int32)) {
	done, at := 0, 0
	for {
		a, start := f.find(text, at)
		if a == nil {
			break
		}
		stop := start + len(a.Text)
		at = stop
		if a.Special && plain {
			continue
		}
		if a.Left {
			for start > done {
				_, size := utf8.DecodeLastRuneInString(text[done:start])
				if class, _ := sp.at(text[start-size:]); class&space == 0 {
					break
				}
				start -= size
			}
		}
		if a.Right {
			stop += sp.run(text[stop:], space, true, all)
			at = stop
		}
		if start > done {
			between(text[done:start])
		}
		token(int32(a.ID))
		done = stop
	}
	if done < len(text) {
		between(text[done:])
	}
}
