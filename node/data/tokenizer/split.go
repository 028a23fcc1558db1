package tokenizer

import (
	"math"
	"unicode/utf8"
)

// A Split is one step of cutting a text into the words that are encoded one by one.
type Split uint8

const (
	Digits  Split = iota + 1 // every digit alone
	Numbers                  // runs of digits
	GPT2                     // the pattern of GPT-2
	Llama3                   // the pattern of Llama 3: numbers of up to three digits
	Qwen2                    // the pattern of Llama 3 with every digit alone
)

// The patterns, by which files name the steps. They are matched by hand below: package regexp has no negative look-ahead.
var patterns = map[string]Split{
	`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                          GPT2,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: Llama3,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      Qwen2,
}

// A splitter cuts texts; it holds the table of characters.
type splitter []uint8

// at returns the class of the character that s begins with, and its length; zeros at the end. A byte that is no UTF-8 is a character of
// no class.
func (sp splitter) at(s string) (class uint8, size int) {
	if len(s) == 0 {
		return 0, 0
	}
	if s[0] < utf8.RuneSelf {
		return sp[s[0]], 1
	}
	r, size := utf8.DecodeRuneInString(s)
	if int(r) < len(sp) {
		class = sp[r]
	}
	return class, size
}

// run returns the length of the longest prefix of s whose characters are of a class in mask, or of none in mask if in is false, and of
// at most limit of them.
func (sp splitter) run(s string, mask uint8, in bool, limit int) int {
	n := 0
	for ; limit > 0; limit-- {
		class, size := sp.at(s[n:])
		if size == 0 || class&mask != 0 != in {
			break
		}
		n += size
	}
	return n
}

const all = math.MaxInt // no limit of characters

// next returns the length of the first word of s, which is not empty.
func (sp splitter) next(step Split, s string) int {
	switch step {
	case Digits, Numbers:
		if class, size := sp.at(s); class&numeric == 0 {
			return sp.run(s, numeric, false, all)
		} else if step == Digits {
			return size
		}
		return sp.run(s, numeric, true, all)
	case GPT2:
		return sp.gpt2(s)
	}
	limit := 3
	if step == Qwen2 {
		limit = 1
	}
	return sp.llama3(s, limit)
}

// gpt2 matches 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func (sp splitter) gpt2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	lead := 0
	if s[0] == ' ' {
		lead = 1
	}
	class, size := sp.at(s[lead:])
	switch {
	case size == 0 || class&space != 0:
		return sp.spaces(s)
	case class&letter != 0:
		return lead + sp.run(s[lead:], letter, true, all)
	case class&number != 0:
		return lead + sp.run(s[lead:], number, true, all)
	}
	return lead + sp.run(s[lead:], space|letter|number, false, all)
}

// llama3 matches, with the given limit of digits,
// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func (sp splitter) llama3(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	class, size := sp.at(s)
	switch {
	case class&letter != 0:
		return sp.run(s, letter, true, all)
	case class&number != 0:
		return sp.run(s, number, true, digits)
	}
	if s[0] != '\r' && s[0] != '\n' {
		if n := sp.run(s[size:], letter, true, all); n > 0 {
			return size + n
		}
	}
	lead := 0
	if s[0] == ' ' {
		lead = 1
	}
	if n := sp.run(s[lead:], space|letter|number, false, all); n > 0 {
		n += lead
		for n < len(s) && (s[n] == '\r' || s[n] == '\n') {
			n++
		}
		return n
	}
	end := sp.run(s, space, true, all)
	for i := end; i > 0; i-- { // up to the last line break of the white space
		if s[i-1] == '\r' || s[i-1] == '\n' {
			return i
		}
	}
	return sp.spaces(s)
}

// spaces matches \s+(?!\S)|\s+: white space, but for the last character of it if something follows.
func (sp splitter) spaces(s string) int {
	end := sp.run(s, space, true, all)
	if end == len(s) {
		return end
	}
	_, last := utf8.DecodeLastRuneInString(s[:end])
	if last < end {
		return end - last
	}
	return end
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at the beginning of s, or 0; with fold in capitals too, where the
// long s is an s.
func contraction(s string, fold bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	lower := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		if c := s[i]; !fold || c < 'A' || c > 'Z' {
			return c
		}
		return s[i] + 'a' - 'A'
	}
	switch a, b := lower(1), lower(2); {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case a == 'r' && b == 'e' || a == 'v' && b == 'e' || a == 'l' && b == 'l':
		return 3
	case fold && len(s) >= 3 && s[1:3] == "ſ":
		return 3
	}
	return 0
}
