package report

import (
	"bytes"
	"embed"
	"html/template"
	"io"
)

//go:embed page
var pages embed.FS

// A column is the head of a column of a table.
type column struct {
	Name string
	Text bool // left-aligned
	Wrap bool // may break into lines
}

// A cell is one field of a table. Chip and Color are the mark of a curve before it.
type cell struct{ Text, Chip, Color string }

type row struct {
	Class string
	Run   int // for the script, from 1
	Cells []cell
}

type table struct {
	Head []column
	Rows []row
}

// Class is the class of the fields of a column.
func (t table) Class(i int) string {
	switch {
	case i >= len(t.Head):
		return ""
	case t.Head[i].Wrap:
		return "text wrap"
	case t.Head[i].Text:
		return "text"
	}
	return ""
}

func (t *table) add(class string, fields ...string) {
	r := row{Class: class}
	for _, f := range fields {
		r.Cells = append(r.Cells, cell{Text: f})
	}
	t.Rows = append(t.Rows, r)
}

// columns makes heads; the first holds text.
func columns(names ...string) []column {
	var out []column
	for i, n := range names {
		out = append(out, column{Name: n, Text: i == 0})
	}
	return out
}

// A card is a figure in words.
type card struct {
	Name, Value string
	Notes       []string
}

// A section is plots under one heading.
type section struct {
	Title, Note string
	Figures     []template.HTML
	drawn       []*figure
}

// frame is what every page has.
type frame struct {
	Title  string
	Style  template.CSS
	Script template.JS
}

// newFrame is a page with style and, if it has several runs to tell apart, the script.
func newFrame(title string, script bool) (frame, error) {
	style, err := pages.ReadFile("page/page.css")
	if err != nil {
		return frame{}, err
	}
	f := frame{Title: title, Style: template.CSS(figureStyle + string(style))}
	if script {
		text, err := pages.ReadFile("page/page.js")
		if err != nil {
			return frame{}, err
		}
		f.Script = template.JS(text)
	}
	return f, nil
}

// html marks a figure as safe: all text in it went through escape.
func (f *figure) html() template.HTML { return template.HTML(f.inline()) }

// render writes a page as a whole or not at all.
func render(w io.Writer, name string, data any) error {
	t, err := template.ParseFS(pages, "page/*.html")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	_, err = io.WriteString(w, visible(b.String()))
	return err
}
