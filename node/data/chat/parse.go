package chat

import (
	"fmt"
	"slices"

	"starling/mixing/spelling"
)

// A node is a piece of a template.
type node interface {
	run(r *renderer) error
}

type (
	output struct{ value expr }
	choice struct {
		when      []expr // one for each of then
		then      [][]node
		otherwise []node
	}
	loop struct {
		names     []string
		over      expr
		when      expr // nil for all
		body      []node
		otherwise []node
		line      int
	}
	assign struct {
		names []string
		field string // of a namespace; "" for a variable
		value expr
		line  int
	}
)

type parser struct {
	tokens []token
	at     int
	depth  int
}

// maxDepth is how deep expressions and blocks may be nested.
const maxDepth = 100

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// is reports whether the next token is an operator or a word, and takes it if so.
func (p *parser) is(s string) bool {
	if t := p.peek(); (t.kind == operator || t.kind == name) && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) fail(t token, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", t.line, fmt.Sprintf(format, args...))
}

func (p *parser) want(s string) error {
	if t := p.peek(); !p.is(s) {
		return p.fail(t, "%s where %s should be", shown(t), spelling.Quote(s))
	}
	return nil
}

func shown(t token) string {
	if t.kind == end {
		return "the template ends"
	}
	return "there is " + spelling.Quote(t.text)
}

func (p *parser) close() error {
	if t := p.next(); t.kind != closing {
		return p.fail(t, "%s where the tag should end", shown(t))
	}
	return nil
}

// deeper guards against nesting that would exhaust the stack.
func (p *parser) deeper() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail(p.peek(), "more than %d levels of nesting", maxDepth)
	}
	return nil
}

func (p *parser) template() ([]node, error) {
	body, stop, err := p.block()
	if err == nil && stop.kind != end {
		err = p.fail(stop, "%s ends nothing", spelling.Quote(stop.text))
	}
	return body, err
}

// block reads nodes up to a word that ends a block, which is taken, or to the end.
func (p *parser) block(stops ...string) (body []node, stop token, err error) {
	if err := p.deeper(); err != nil {
		return nil, stop, err
	}
	defer func() { p.depth-- }()
	for {
		switch t := p.next(); t.kind {
		case end:
			if len(stops) > 0 {
				return nil, t, p.fail(t, "the template ends where %s should be", spelling.Quote(stops[len(stops)-1]))
			}
			return body, t, nil
		case data:
			body = append(body, output{literal{t.text}})
		case open:
			value, err := p.expression()
			if err != nil {
				return nil, t, err
			}
			if err := p.close(); err != nil {
				return nil, t, err
			}
			body = append(body, output{value})
		default:
			word := p.next()
			if slices.Contains(stops, word.text) && word.kind == name {
				return body, word, nil
			}
			n, err := p.statement(word)
			if err != nil {
				return nil, t, err
			}
			if n != nil {
				body = append(body, n...)
			}
		}
	}
}

func (p *parser) statement(word token) ([]node, error) {
	switch word.text {
	case "if":
		n, err := p.choice()
		return []node{n}, err
	case "for":
		n, err := p.loop(word.line)
		return []node{n}, err
	case "set":
		n, err := p.assign(word.line)
		return []node{n}, err
	case "generation": // marks what the assistant says, for others
		if err := p.close(); err != nil {
			return nil, err
		}
		body, _, err := p.block("endgeneration")
		if err != nil {
			return nil, err
		}
		return body, p.close()
	}
	return nil, p.fail(word, "%s is not known here; if, for and set are", spelling.Quote(word.text))
}

func (p *parser) choice() (node, error) {
	var n choice
	for {
		when, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.close(); err != nil {
			return nil, err
		}
		then, stop, err := p.block("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		n.when, n.then = append(n.when, when), append(n.then, then)
		switch stop.text {
		case "else":
			if err := p.close(); err != nil {
				return nil, err
			}
			if n.otherwise, _, err = p.block("endif"); err != nil {
				return nil, err
			}
			return n, p.close()
		case "endif":
			return n, p.close()
		}
	}
}

func (p *parser) names() ([]string, error) {
	var all []string
	for {
		t := p.next()
		if t.kind != name {
			return nil, p.fail(t, "%s where a name should be", shown(t))
		}
		all = append(all, t.text)
		if !p.is(",") {
			return all, nil
		}
	}
}

func (p *parser) loop(line int) (node, error) {
	n := loop{line: line}
	var err error
	if n.names, err = p.names(); err != nil {
		return nil, err
	}
	if err := p.want("in"); err != nil {
		return nil, err
	}
	if n.over, err = p.or(); err != nil {
		return nil, err
	}
	if p.is("if") {
		if n.when, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	body, stop, err := p.block("else", "endfor")
	if err != nil {
		return nil, err
	}
	n.body = body
	if stop.text == "else" {
		if err := p.close(); err != nil {
			return nil, err
		}
		if n.otherwise, _, err = p.block("endfor"); err != nil {
			return nil, err
		}
	}
	return n, p.close()
}

func (p *parser) assign(line int) (node, error) {
	n := assign{line: line}
	var err error
	if n.names, err = p.names(); err != nil {
		return nil, err
	}
	if len(n.names) == 1 && p.is(".") {
		t := p.next()
		if t.kind != name {
			return nil, p.fail(t, "%s where a name should be", shown(t))
		}
		n.field = t.text
	}
	if err := p.want("="); err != nil {
		return nil, err
	}
	if n.value, err = p.expression(); err != nil {
		return nil, err
	}
	if several := (list{[]expr{n.value}}); p.is(",") { // a list without brackets
		for ok := true; ok; ok = p.is(",") {
			x, err := p.expression()
			if err != nil {
				return nil, err
			}
			several.items = append(several.items, x)
		}
		n.value = several
	}
	return n, p.close()
}
