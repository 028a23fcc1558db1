package report

import (
	"math"
	"strconv"
	"strings"
)

// A heat map is a number for each pair of values of two settings.
type heat struct {
	name, title string
	rowName     string
	columnName  string
	rows        []string
	columns     []string
	cells       [][]float64 // by row and column; NaN for none
	kind        quantity
	lowIsBest   bool
}

// draw colours cells from worst to best, and writes the numbers into them where they fit.
func (h *heat) draw() *figure {
	f := &figure{name: h.name, title: h.title, width: 440}
	left := 0.0
	for _, r := range h.rows {
		left = math.Max(left, width(r, fontSize))
	}
	left = math.Min(left, 130) + 34
	w := math.Min((f.width-left-12)/float64(len(h.columns)), 96)
	tall := math.Max(14, math.Min(34, 300/float64(len(h.rows))))
	top, bottom := 34.0, 34+float64(tall*float64(len(h.rows)))
	f.label(8, 18, "start", "head", fit(h.title, f.width-16))
	lo, hi := h.extent()
	for r, row := range h.cells {
		y := top + float64(tall*float64(r))
		f.label(left-8, y+tall/2+4, "end", "dim", fit(h.rows[r], left-34))
		for c, v := range row {
			h.cell(f, left+float64(w*float64(c)), y, w, tall, v, (v-lo)/(hi-lo))
		}
	}
	f.open("g", "transform", "translate(14 "+number((top+bottom)/2)+") rotate(-90)")
	f.label(0, 0, "middle", "", fit(h.rowName, math.Max(60, bottom-top)))
	f.close("g")
	y := h.heads(f, left, bottom, w)
	f.label(left+float64(w*float64(len(h.columns)))/2, y+16, "middle", "", fit(h.columnName, f.width-left))
	f.height = y + 26
	h.scale(f, lo, hi)
	return f
}

func (h *heat) extent() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, row := range h.cells {
		for _, v := range row {
			if Real(v).Finite() {
				lo, hi = math.Min(lo, v), math.Max(hi, v)
			}
		}
	}
	return lo, hi
}

// cell draws one value; share is its place between the lowest and the highest.
func (h *heat) cell(f *figure, x, y, w, tall, v, share float64) {
	if !Real(v).Finite() {
		f.void("rect", "class", "grid", "fill", "none", "x", number(x+.5), "y", number(y+.5), "width", number(w-1), "height", number(tall-1))
		f.label(x+w/2, y+tall/2+4, "middle", "dim", missing)
		return
	}
	if !Real(share).Finite() {
		share = 1 // all equal
	} else if h.lowIsBest {
		share = 1 - share
	}
	color, dark := warmth(share)
	f.void("rect", "fill", color, "x", number(x+.5), "y", number(y+.5), "width", number(w-1), "height", number(tall-1))
	text := h.write(v)
	if width(text, fontSize)+4 > w {
		return
	}
	ink := "#101418"
	if dark {
		ink = "#ffffff"
	}
	f.open("text", "x", number(x+w/2), "y", number(y+tall/2+4), "text-anchor", "middle", "style", "fill:"+ink)
	f.body.WriteString(escape(text))
	f.close("text")
}

// write is short: three digits.
func (h *heat) write(v float64) string {
	if h.kind == fraction {
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	u := h.kind.unitFor(math.Abs(v), h.kind.enough())
	return strings.TrimSpace(significant(v/u.size, 3) + " " + u.name)
}

// heads writes the values of the columns below them, slanted when they would touch, and returns where they end.
func (h *heat) heads(f *figure, left, bottom, w float64) float64 {
	widest := 0.0
	for _, c := range h.columns {
		widest = math.Max(widest, width(c, fontSize))
	}
	slant := widest+6 > w
	for c, name := range h.columns {
		x := left + float64(w*(float64(c)+0.5))
		if !slant {
			f.label(x, bottom+16, "middle", "dim", name)
			continue
		}
		f.slanted(x+4, bottom+10, name)
	}
	if slant {
		return bottom + 6 + slantHeight(widest)
	}
	return bottom + 18
}

// scale explains the colours.
func (h *heat) scale(f *figure, lo, hi float64) {
	if !(lo < hi) {
		return
	}
	y := f.height + 6
	from, to := h.write(lo), h.write(hi)
	if h.lowIsBest {
		from, to = to, from
	}
	words := []string{"worst " + from, "best " + to}
	f.label(10, y+6, "start", "dim", words[0])
	x := 10 + width(words[0], fontSize) + 6
	f.colors(x, y-4, func(share float64) string {
		color, _ := warmth(share)
		return color
	})
	f.label(x+126, y+6, "start", "dim", words[1])
	f.height += 20
}

// warmth is a colour from dark blue (0) over green to light yellow (1), lighter the higher, so that it reads without colours
// too; and whether text on it must be light.
func warmth(x float64) (color string, dark bool) {
	stops := [][3]float64{{0x44, 0x2f, 0x6e}, {0x35, 0x5f, 0x8d}, {0x22, 0x90, 0x8c}, {0x5d, 0xc0, 0x63}, {0xf2, 0xe3, 0x50}}
	return blend(stops, x), x < 0.5
}

// blend finds a colour between stops at equal distances.
func blend(stops [][3]float64, x float64) string {
	if !(x > 0) {
		x = 0
	}
	x = math.Min(x, 1) * float64(len(stops)-1)
	i := min(int(x), len(stops)-2)
	var s strings.Builder
	s.WriteByte('#')
	for k := range 3 {
		v := int(math.Round(stops[i][k] + float64((x-float64(i))*(stops[i+1][k]-stops[i][k]))))
		s.WriteByte("0123456789abcdef"[v>>4])
		s.WriteByte("0123456789abcdef"[v&15])
	}
	return s.String()
}
