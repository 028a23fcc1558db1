package report

import (
	"bytes"
	_ "embed" // the style
	"encoding/xml"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// fontSize is that of all text in figures, in units of the figure.
const fontSize = 12

//go:embed figure.css
var figureStyle string

// A figure is a drawing that stands in a page or alone.
type figure struct {
	name          string // of its file, without the ending
	title         string // for whoever does not see it
	width, height float64
	body          bytes.Buffer
}

// inline is the drawing as a part of a page that has its style.
func (f *figure) inline() string { return f.text("") }

// alone is the drawing as a file.
func (f *figure) alone() string {
	return f.text(` xmlns="http://www.w3.org/2000/svg" width="` + number(f.width) + `" height="` + number(f.height) + `"`)
}

func (f *figure) text(attrs string) string {
	var b strings.Builder
	b.WriteString(`<svg class="figure" viewBox="0 0 ` + number(f.width) + " " + number(f.height) + `" role="img"` + attrs + ">")
	b.WriteString("<title>" + escape(f.title) + "</title>")
	if attrs != "" {
		b.WriteString("<style>" + figureStyle + "</style>" + `<rect class="paper" width="100%" height="100%"/>`)
	}
	b.Write(f.body.Bytes())
	b.WriteString("</svg>\n")
	return b.String()
}

// open begins an element. Attributes are pairs of name and value.
func (f *figure) open(name string, attrs ...string) { f.tag(name, ">", attrs) }

// void is an element without content.
func (f *figure) void(name string, attrs ...string) { f.tag(name, "/>", attrs) }

func (f *figure) close(name string) { f.body.WriteString("</" + name + ">") }

func (f *figure) tag(name, end string, attrs []string) {
	f.body.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i+1] != "" {
			f.body.WriteString(" " + attrs[i] + `="` + escape(attrs[i+1]) + `"`)
		}
	}
	f.body.WriteString(end)
}

// hint is what is shown while the pointer rests on the element that is open.
func (f *figure) hint(s string) { f.body.WriteString("<title>" + escape(s) + "</title>") }

// label writes text at a place; anchor is start, middle or end.
func (f *figure) label(x, y float64, anchor, class, s string) {
	if anchor == "start" {
		anchor = ""
	}
	f.open("text", "x", number(x), "y", number(y), "text-anchor", anchor, "class", class)
	f.body.WriteString(escape(s))
	f.close("text")
}

// slanted writes text that rises to a place, where it ends.
func (f *figure) slanted(x, y float64, s string) {
	f.open("g", "transform", "translate("+number(x)+" "+number(y)+") rotate(-50)")
	f.label(0, 0, "end", "dim", fit(s, slantLimit))
	f.close("g")
}

func (f *figure) line(class string, x1, y1, x2, y2 float64) {
	f.void("line", "class", class, "x1", number(x1), "y1", number(y1), "x2", number(x2), "y2", number(y2))
}

func (f *figure) rect(class string, x, y, w, h float64) {
	f.void("rect", "class", class, "x", number(x), "y", number(y), "width", number(w), "height", number(h))
}

// colors draws a scale of colours, 120 wide. Its fields overlap, so that no seam shows.
func (f *figure) colors(x, y float64, of func(share float64) string) {
	for i := range 24 {
		f.void("rect", "x", number(x+float64(5*i)), "y", number(y), "width", "5.6", "height", "11", "fill", of(float64(i)/23))
	}
}

// number writes a place to a tenth.
func number(v float64) string {
	v = math.Round(v*10) / 10
	if v == 0 {
		return "0" // never -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// escape makes text safe inside elements and attributes.
func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(visible(s))) // a builder takes everything
	return b.String()
}

// visible replaces what XML forbids and what would change the text around it: control characters, and marks that turn the
// direction of writing.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// width estimates how wide text is in a common sans-serif font of a size; rather a little more than less.
func width(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("ijlI.,:;'|! ", r):
			w += 0.33
		case strings.ContainsRune("mwMW%@", r):
			w += 0.92
		case unicode.IsUpper(r):
			w += 0.7
		case r > 0x2e80: // wide scripts
			w += 1.05
		default:
			w += 0.59
		}
	}
	return w * size
}

// fit shortens text to a width.
func fit(s string, limit float64) string {
	for n := len([]rune(s)); width(s, fontSize) > limit && n > 1; n-- {
		s = clip(s, n-1)
	}
	return s
}
