package chat

import (
	"slices"
	"strconv"

	"starling/mixing/spelling"
)

// An expr is an expression.
type expr interface {
	eval(r *renderer) (any, error)
}

type (
	literal  struct{ value any }
	variable struct{ name string }
	list     struct{ items []expr }
	mapping  struct{ keys, values []expr }
	unary    struct {
		op string
		x  expr
	}
	binary struct {
		op   string
		x, y expr
	}
	ternary struct{ when, then, otherwise expr }
	item    struct {
		of, key expr
		dotted  bool
	}
	slice struct{ of, from, to, step expr } // parts may be nil
	call  struct {
		of    expr
		args  []expr
		named map[string]expr
	}
	filter struct {
		name  string
		x     expr
		args  []expr
		named map[string]expr
	}
	test struct {
		name string
		x    expr
		args []expr
		not  bool
	}
)

func (p *parser) expression() (expr, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	x, err := p.or()
	for err == nil && p.is("if") {
		var n ternary
		n.then = x
		if n.when, err = p.or(); err != nil {
			return nil, err
		}
		n.otherwise = literal{undefined("")}
		if p.is("else") {
			if n.otherwise, err = p.expression(); err != nil {
				return nil, err
			}
		}
		x = n
	}
	return x, err
}

// level reads operands joined by operators of one precedence, from the left.
func (p *parser) level(below func() (expr, error), ops ...string) (expr, error) {
	x, err := below()
	for err == nil {
		t := p.peek()
		if t.kind != operator && t.kind != name || !slices.Contains(ops, t.text) {
			return x, nil
		}
		p.at++
		var y expr
		y, err = below()
		x = binary{t.text, x, y}
	}
	return nil, err
}

func (p *parser) or() (expr, error)  { return p.level(p.and, "or") }
func (p *parser) and() (expr, error) { return p.level(p.not, "and") }

func (p *parser) not() (expr, error) {
	if !p.is("not") {
		return p.compare()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	x, err := p.not()
	return unary{"not", x}, err
}

func (p *parser) compare() (expr, error) {
	x, err := p.sum()
	for n := 0; err == nil; n++ {
		t := p.peek()
		op := t.text
		switch {
		case t.kind == operator && slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, op), t.kind == name && op == "in":
		case t.kind == name && op == "not" && p.tokens[p.at+1].text == "in":
			p.at++
			op = "not in"
		default:
			return x, nil
		}
		if n > 0 {
			return nil, p.fail(t, "comparisons in a row are not known here")
		}
		p.at++
		var y expr
		y, err = p.sum()
		x = binary{op, x, y}
	}
	return nil, err
}

func (p *parser) sum() (expr, error)     { return p.level(p.concat, "+", "-") }
func (p *parser) concat() (expr, error)  { return p.level(p.product, "~") }
func (p *parser) product() (expr, error) { return p.level(p.unary, "*", "/", "//", "%") }

func (p *parser) unary() (expr, error) {
	if p.is("-") {
		if err := p.deeper(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		x, err := p.unary()
		return unary{"-", x}, err
	}
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	return p.behind(x)
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	switch t.kind {
	case text:
		s := t.text
		for p.peek().kind == text { // texts side by side are one
			s += p.next().text
		}
		return literal{s}, nil
	case number:
		if n, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return literal{n}, nil
		}
		return nil, p.fail(t, "number %s is not known here; whole ones are", spelling.Quote(t.text))
	case name:
		switch t.text {
		case "true", "True":
			return literal{true}, nil
		case "false", "False":
			return literal{false}, nil
		case "none", "None":
			return literal{nil}, nil
		case "if", "else", "and", "or", "in", "is", "not":
			return nil, p.fail(t, "there is %s where a value should be", spelling.Quote(t.text))
		}
		return variable{t.text}, nil
	case operator:
		switch t.text {
		case "(":
			items, comma, err := p.items(")")
			if err == nil && len(items) == 1 && !comma {
				return items[0], nil
			}
			return list{items}, err
		case "[":
			items, _, err := p.items("]")
			return list{items}, err
		case "{":
			return p.mapping()
		}
	}
	return nil, p.fail(t, "%s where a value should be", shown(t))
}

// items reads expressions with commas up to a bracket.
func (p *parser) items(close string) (all []expr, comma bool, err error) {
	for !p.is(close) {
		if len(all) > 0 && !comma {
			return nil, false, p.want(close)
		}
		x, err := p.expression()
		if err != nil {
			return nil, false, err
		}
		all, comma = append(all, x), p.is(",")
	}
	return all, comma, nil
}

func (p *parser) mapping() (expr, error) {
	var m mapping
	for !p.is("}") {
		if len(m.keys) > 0 {
			if err := p.want(","); err != nil {
				return nil, err
			}
		}
		key, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.want(":"); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		m.keys, m.values = append(m.keys, key), append(m.values, value)
	}
	return m, nil
}

// behind reads what follows a value: fields, items, calls, filters and tests.
func (p *parser) behind(x expr) (expr, error) {
	for {
		var err error
		switch {
		case p.is("."):
			t := p.next()
			if t.kind != name {
				return nil, p.fail(t, "%s where a name should be", shown(t))
			}
			x = item{x, literal{t.text}, true}
		case p.is("["):
			x, err = p.subscript(x)
		case p.is("("):
			c := call{of: x}
			c.args, c.named, err = p.args()
			x = c
		case p.is("|"):
			f := filter{x: x, name: p.next().text}
			if p.is("(") {
				f.args, f.named, err = p.args()
			}
			x = f
		case p.is("is"):
			x, err = p.test(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) subscript(of expr) (expr, error) {
	var parts [3]expr
	n := 0
	for {
		if t := p.peek(); t.kind != operator || t.text != ":" && t.text != "]" {
			x, err := p.expression()
			if err != nil {
				return nil, err
			}
			parts[n] = x
		}
		if p.is("]") {
			break
		}
		if n++; n > 2 {
			return nil, p.want("]")
		}
		if err := p.want(":"); err != nil {
			return nil, err
		}
	}
	if n > 0 {
		return slice{of, parts[0], parts[1], parts[2]}, nil
	}
	if parts[0] == nil {
		return nil, p.fail(p.peek(), "there is nothing between brackets")
	}
	return item{of, parts[0], false}, nil
}

func (p *parser) args() (all []expr, named map[string]expr, err error) {
	for first := true; !p.is(")"); first = false {
		if !first {
			if err := p.want(","); err != nil {
				return nil, nil, err
			}
			if p.is(")") {
				break
			}
		}
		key := ""
		if t, after := p.peek(), p.tokens[min(p.at+1, len(p.tokens)-1)]; t.kind == name && after.kind == operator && after.text == "=" {
			key = t.text
			p.at += 2
		}
		x, err := p.expression()
		if err != nil {
			return nil, nil, err
		}
		if key == "" {
			all = append(all, x)
			continue
		}
		if named == nil {
			named = map[string]expr{}
		}
		named[key] = x
	}
	return all, named, nil
}

func (p *parser) test(x expr) (expr, error) {
	t := test{x: x, not: p.is("not")}
	word := p.next()
	if word.kind != name {
		return nil, p.fail(word, "%s where a test should be", shown(word))
	}
	t.name = word.text
	var err error
	if p.is("(") {
		t.args, _, err = p.args()
		return t, err
	}
	if next := p.peek(); next.kind == text || next.kind == number { // "is divisibleby 2"
		arg, err := p.primary()
		t.args = []expr{arg}
		return t, err
	}
	return t, nil
}
