package chat

import (
	"errors"
	"fmt"
	"strings"

	"starling/mixing/spelling"
)

// A kind of token.
type kind uint8

const (
	end       kind = iota // of the template
	data                  // text outside of tags
	open                  // of an expression to print: {{
	openBlock             // {%
	closing               // }} or %}
	name
	text
	number
	operator
)

type token struct {
	kind kind
	text string // without quotes
	line int
}

// lex cuts a template into tokens, and takes white space away as Hugging Face's templates expect it: a line break behind a block goes,
// and blanks before a block at the beginning of a line, and all white space where a tag has a minus.
func lex(in string) ([]token, error) {
	l := &lexer{in: strings.ReplaceAll(in, "\r\n", "\n"), line: 1, fresh: true}
	l.in = strings.TrimSuffix(l.in, "\n")
	for l.at < len(l.in) {
		if err := l.step(); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.line, err)
		}
	}
	return append(l.out, token{kind: end, line: l.line}), nil
}

type lexer struct {
	in    string
	at    int
	line  int
	fresh bool // what was before ended with a line break
	out   []token
}

// move goes n bytes on and counts lines.
func (l *lexer) move(n int) {
	l.line += strings.Count(l.in[l.at:l.at+n], "\n")
	l.at += n
}

func (l *lexer) add(k kind, s string) { l.out = append(l.out, token{k, s, l.line}) }

// step reads data up to a tag, and the tag.
func (l *lexer) step() error {
	rest := l.in[l.at:]
	i := strings.Index(rest, "{")
	for i >= 0 && (i+1 == len(rest) || !strings.ContainsRune("{%#", rune(rest[i+1]))) {
		next := strings.Index(rest[i+1:], "{")
		if next < 0 {
			i = -1
			break
		}
		i += 1 + next
	}
	if i < 0 {
		l.add(data, rest)
		l.at = len(l.in)
		return nil
	}
	before, sign, tag := rest[:i], byte(0), rest[i+1]
	if i+2 < len(rest) && (rest[i+2] == '-' || rest[i+2] == '+') {
		sign = rest[i+2]
	}
	switch {
	case sign == '-':
		before = strings.TrimRight(before, " \t\n\r\v\f")
	case sign != '+' && tag != '{':
		start := strings.LastIndexByte(before, '\n') + 1
		if (start > 0 || l.fresh) && strings.Trim(before[start:], " \t\r\v\f") == "" {
			before = before[:start]
		}
	}
	if before != "" {
		l.add(data, before)
	}
	l.move(i + 2)
	if sign != 0 {
		l.move(1)
	}
	switch tag {
	case '#':
		n := strings.Index(l.in[l.at:], "#}")
		if n < 0 {
			return errors.New("a comment does not end")
		}
		minus := n > 0 && l.in[l.at+n-1] == '-'
		plus := n > 0 && l.in[l.at+n-1] == '+'
		l.move(n + 2)
		l.behind(minus, !plus)
		return nil
	case '{':
		l.add(open, "{{")
		return l.inside("}}")
	}
	l.add(openBlock, "{%")
	return l.inside("%}")
}

// behind skips white space after a tag: all of it, or one line break.
func (l *lexer) behind(all, line bool) {
	n := 0
	switch rest := l.in[l.at:]; {
	case all:
		n = len(rest) - len(strings.TrimLeft(rest, " \t\n\r\v\f"))
	case line && strings.HasPrefix(rest, "\n"):
		n = 1
	}
	l.fresh = n > 0 && l.in[l.at+n-1] == '\n'
	l.move(n)
}

// operators, long ones first.
var operators = []string{"==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "|", ".", ",", ":", "(", ")", "[", "]", "{", "}", "<", ">", "="}

// inside reads the tokens of a tag.
func (l *lexer) inside(close string) error {
	depth := 0 // of brackets, which may look like the end of the tag
	for l.at < len(l.in) {
		rest := l.in[l.at:]
		if depth == 0 {
			n := 0
			if rest[0] == '-' || rest[0] == '+' {
				n = 1
			}
			if strings.HasPrefix(rest[n:], close) {
				l.move(n + len(close))
				l.add(closing, close)
				l.behind(rest[0] == '-', close == "%}" && rest[0] != '+')
				return nil
			}
		}
		switch c := rest[0]; {
		case strings.IndexByte(" \t\n\r", c) >= 0:
			l.move(1)
		case c == '\'' || c == '"':
			if err := l.quoted(c); err != nil {
				return err
			}
		case c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z':
			n := 1
			for n < len(rest) && word(rest[n]) {
				n++
			}
			l.add(name, rest[:n])
			l.move(n)
		case c >= '0' && c <= '9':
			n := 1
			for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.' && n+1 < len(rest) && rest[n+1] >= '0' && rest[n+1] <= '9') {
				n++
			}
			l.add(number, rest[:n])
			l.move(n)
		default:
			found := ""
			for _, op := range operators {
				if strings.HasPrefix(rest, op) {
					found = op
					break
				}
			}
			switch found {
			case "":
				return fmt.Errorf("%s has no place in a tag", spelling.Quote(rest))
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth--
			}
			l.add(operator, found)
			l.move(len(found))
		}
	}
	return errors.New("a tag does not end")
}

func word(c byte) bool { return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// quoted reads a text in quotes.
func (l *lexer) quoted(quote byte) error {
	var b strings.Builder
	rest := l.in[l.at:]
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == quote:
			l.add(text, b.String())
			l.move(i + 1)
			return nil
		case c == '\\' && i+1 < len(rest):
			i++
			at := strings.IndexByte(`nrt\'"`, rest[i])
			if at < 0 {
				return fmt.Errorf("escape \\%c in a text is not known here", rest[i])
			}
			b.WriteByte("\n\r\t\\'\""[at])
		default:
			b.WriteByte(c)
		}
	}
	return errors.New("a text in quotes does not end")
}
