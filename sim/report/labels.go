package report

import (
	"math"
	"slices"
	"strings"
)

// labels writes the name of each curve beside its last point, moved up or down so that no two overlap.
func (p *plot) labels() {
	type tag struct {
		c *curve
		y float64
	}
	var tags []tag
	for i := range p.curves {
		c := &p.curves[i]
		if c.silent || c.label == "" {
			continue
		}
		for k := len(c.x) - 1; k >= 0; k-- {
			if p.xAxis.shows(c.x[k]) && p.yAxis.shows(c.y[k]) {
				tags = append(tags, tag{c, p.yAxis.at(c.y[k])})
				break
			}
		}
	}
	slices.SortStableFunc(tags, func(a, b tag) int {
		switch {
		case a.y < b.y:
			return -1
		case a.y > b.y:
			return 1
		}
		return 0
	})
	places := make([]float64, len(tags))
	for i, t := range tags {
		places[i] = t.y
	}
	spread(places, fontSize+2, p.top+6, p.bottom)
	for i, t := range tags {
		class := strings.Replace(strings.Fields(t.c.class + " l7")[0], "l", "f", 1)
		p.fig.line("grid", p.right, t.y, p.right+6, places[i])
		p.fig.rect(class, p.right+7, places[i]-4, 6, 8)
		room, text := p.width-p.right-18, t.c.label
		if t.c.tag != "" && width(text, fontSize) > room {
			text = t.c.tag
		}
		p.fig.label(p.right+16, places[i]+4, "start", "", fit(text, room))
	}
}

// spread moves ascending places apart so that neighbours are at least gap apart and all lie in lo to hi, as far as there is
// room.
func spread(places []float64, gap, lo, hi float64) {
	n := len(places)
	if n > 1 {
		gap = math.Min(gap, (hi-lo)/float64(n-1))
	}
	floor := lo
	for i := range places {
		places[i] = math.Max(places[i], floor)
		floor = places[i] + gap
	}
	ceiling := hi
	for i := n - 1; i >= 0; i-- {
		places[i] = math.Min(places[i], ceiling)
		ceiling = places[i] - gap
	}
}
