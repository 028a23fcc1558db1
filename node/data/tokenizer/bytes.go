package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Vocabularies write bytes as characters that can be seen: the printable ones of Latin-1 stand for themselves, the others, in order,
// for the characters from 256 on.

func printable(b int) bool {
	return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae && b <= 0xff
}

// alphabet returns the byte that each character below 324 stands for, -1 for those that stand for none.
func alphabet() (table [324]int16) {
	for i := range table {
		table[i] = -1
	}
	next := 256
	for b := range 256 {
		if printable(b) {
			table[b] = int16(b)
		} else {
			table[next] = int16(b)
			next++
		}
	}
	return table
}

var bytesOf = alphabet()

// raw returns the bytes that a token of a vocabulary stands for; ok is false if one of its characters stands for none.
func raw(token string) (text string, ok bool) {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		if int(r) >= len(bytesOf) || bytesOf[r] < 0 {
			return "", false
		}
		out = append(out, byte(bytesOf[r]))
	}
	return string(out), true
}

// valid replaces every longest prefix of a character that does not go on, and every byte that begins none, by U+FFFD.
func valid(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			size = prefix(text)
		}
		b.WriteRune(r)
		text = text[size:]
	}
	return b.String()
}

// prefix returns the length of the longest prefix of text, which begins no whole character, that could begin one; at least 1.
func prefix(text []byte) int {
	n := 1
	for n < len(text) && n < utf8.UTFMax && partial(text[:n+1]) {
		n++
	}
	return n
}

// partial reports whether text could be the beginning of one character and is not all of it.
func partial(text []byte) bool {
	return len(text) > 0 && !utf8.FullRune(text)
}

// unfinished returns how many bytes at the end of text could begin a character that goes on in what follows.
func unfinished(text []byte) int {
	for n := min(len(text), utf8.UTFMax-1); n > 0; n-- {
		if partial(text[len(text)-n:]) {
			return n
		}
	}
	return 0
}
