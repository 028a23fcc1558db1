package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Which of history and model has the larger steps in the long run: the cases of [Panel.Case].
const (
	HistoryFaster = "history faster"
	EquallyFast   = "equally fast"
	ModelFaster   = "model faster"
)

// WalksKind is the kind of a study of walks, in its file and in its result.
const WalksKind = "walk"

// Walks are the figures of a study of walks: result.json, but for File.
type Walks struct {
	Kind    string  `json:"kind"` // WalksKind
	Name    string  `json:"name"`
	About   string  `json:"about"`
	Version string  `json:"version"` // of the program
	Seed    uint64  `json:"seed"`
	Seeds   int     `json:"seeds"` // walks of each point
	Hops    []int   `json:"hops"`  // at which there are values; the last is the length of the walks
	Panels  []Panel `json:"panels"`

	Settings []Setting `json:"settings"` // from --set, in order
	File     string    `json:"file"`     // the study as it was read
}

// A Panel is one walk on one graph with one problem, at all strengths of repulsion.
type Panel struct {
	Graph   string `json:"graph"`
	Nodes   int    `json:"nodes"`
	Links   int    `json:"links"`
	Problem string `json:"problem"`
	Walk    string `json:"walk"`
	A       Real   `json:"a"`    // the history's steps are (n+1)^-A
	B       Real   `json:"b"`    // the model's steps are (n+1)^-B
	Case    string `json:"case"` // HistoryFaster, EquallyFast or ModelFaster

	Strengths []Strength `json:"strengths"` // by alpha, ascending
}

// A Strength is how the model did at one alpha: the mean square distance from the optimum, and the ends of its confidence interval of 95 %.
type Strength struct {
	Alpha   Real `json:"alpha"`
	MSE     Real `json:"mse"` // after the last hop
	MSELow  Real `json:"mse_low"`
	MSEHigh Real `json:"mse_high"`
	// Formula is what the theory of the limit says that MSE is; null if it says nothing.
	Formula Real `json:"formula"`
	// Now is the same with the steps as they are at the last hop, where the slower one is not yet as much slower as in the limit.
	Now Real `json:"formula_now"`
	// Distance is that of the whole covariance matrix from the one of Now, relative to the latter, in the norm of Frobenius.
	Distance Real   `json:"covariance_distance"`
	Curve    []Real `json:"curve"` // MSE at each of the hops
	Low      []Real `json:"curve_low"`
	High     []Real `json:"curve_high"`
}

// WriteWalks makes the directory if need be and puts the files of a study of walks into it: result.json, report.html, the figures as SVG and
// the study itself. result.json is written last.
func WriteWalks(dir string, w Walks) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	w.Kind, w.Settings = WalksKind, listed(w.Settings)
	result, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := WalksPage(&page, w); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, ResultFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files := []file{{ExperimentFile, []byte(w.File)}}
	for i := range w.Panels {
		f := w.plot(i)
		files = append(files, file{f.name + ".svg", []byte(f.alone())})
	}
	for _, f := range append(files, file{PageFile, page.Bytes()}, file{ResultFile, append(result, '\n')}) {
		if err := WriteFile(filepath.Join(dir, f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

type walksPage struct {
	frame
	About, Lead, Version, File string
	Graphs                     []walksGraph
	Settings                   *table
}

type walksGraph struct {
	Title  string
	Plots  []template.HTML
	Tables []walksTable
}

type walksTable struct {
	Title, Note string
	Table       table
}

// WalksPage writes report.html of a study of walks.
func WalksPage(out io.Writer, w Walks) error {
	f, err := newFrame(orElse(w.Name, "Walks"), false)
	if err != nil {
		return err
	}
	page := walksPage{frame: f, About: w.About, Version: orElse(w.Version, "unknown"), File: orElse(w.File, "# the study was not kept"), Settings: settingsTable(w.Settings)}
	page.Lead = fmt.Sprintf("Mean square distance of the model from the optimum over %s for each line; bands and ± are confidence intervals of 95 %%.", plural(uint64(w.Seeds), "walk", "walks"))
	for i := range w.Panels {
		p := &w.Panels[i]
		title := fmt.Sprintf("%s: %d nodes, %d links", p.Graph, p.Nodes, p.Links)
		if n := len(page.Graphs); n == 0 || page.Graphs[n-1].Title != title {
			page.Graphs = append(page.Graphs, walksGraph{Title: title})
		}
		g := &page.Graphs[len(page.Graphs)-1]
		g.Plots = append(g.Plots, w.plot(i).html())
		g.Tables = append(g.Tables, walksTable{Title: p.title(), Note: p.Verdict(), Table: p.table()})
	}
	return render(out, "walks.html", page)
}

func (p *Panel) title() string { return p.Problem + ", " + p.Walk + " (" + p.Case + ")" }

// Falls tells whether the error is smaller at every alpha than at the one before, and whether it is nowhere larger by more than the
// confidence intervals allow.
func (p *Panel) Falls() (everywhere, within bool) {
	everywhere, within = true, true
	for i := 1; i < len(p.Strengths); i++ {
		before, now := p.Strengths[i-1], p.Strengths[i]
		everywhere = everywhere && now.MSE < before.MSE
		within = within && now.MSELow <= before.MSEHigh
	}
	return everywhere, within
}

// At is the figures of an alpha.
func (p *Panel) At(alpha float64) (Strength, bool) {
	for _, s := range p.Strengths {
		if float64(s.Alpha) == alpha {
			return s, true
		}
	}
	return Strength{}, false
}

// Verdict says in words what repulsion did.
func (p *Panel) Verdict() string {
	if len(p.Strengths) < 2 {
		return "There is only one alpha."
	}
	everywhere, within := p.Falls()
	text := "The error does not fall with every step of alpha."
	switch {
	case everywhere:
		text = "The error falls with every step of alpha."
	case within:
		text = "The error falls with alpha, within the confidence intervals."
	}
	none, has := p.At(0)
	last := p.Strengths[len(p.Strengths)-1]
	if has && last.Alpha > 0 {
		text += fmt.Sprintf(" At alpha %s it is %s of that without repulsion.", digitsOr(last.Alpha), digitsOr(last.MSE/none.MSE))
	}
	return text
}

func (p *Panel) table() table {
	t := table{Head: columns("alpha", "mean square error", "±", "of alpha 0", "formula in the limit", "formula now", "measured / now", "covariance off by")}
	none, has := p.At(0)
	for _, s := range p.Strengths {
		share := Real(math.NaN())
		if has {
			share = s.MSE / none.MSE
		}
		t.add("", digitsOr(s.Alpha), digitsOr(s.MSE), digitsOr(s.MSEHigh-s.MSE), digitsOr(share), digitsOr(s.Formula), digitsOr(s.Now), digitsOr(s.MSE/s.Now), digitsOr(s.Distance))
	}
	return t
}

// plotStyles is how many strokes there are to tell curves apart.
const plotStyles = 8

// plot is the error against hops, a line for each alpha.
func (w *Walks) plot(i int) *figure {
	p := &w.Panels[i]
	hops := make([]float64, len(w.Hops))
	for k, h := range w.Hops {
		hops[k] = float64(h)
	}
	q := plot{name: fmt.Sprintf("mse-hops-%02d", i+1), title: p.title(), xName: "hops", yName: "mean square error", log: true}
	if n := len(hops); n > 0 {
		q.xAxis = logAxis(plain, hops[0], hops[n-1])
	}
	for k, s := range p.Strengths {
		class := fmt.Sprint(k % plotStyles)
		q.ribbons = append(q.ribbons, ribbon{class: "f" + class, x: hops, lo: reals(s.Low), hi: reals(s.High)})
		q.curves = append(q.curves, curve{label: "alpha " + digitsOr(s.Alpha), class: "l" + class, x: hops, y: reals(s.Curve)})
	}
	return q.draw()
}

func reals(v []Real) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = float64(v[i])
	}
	return out
}

// WriteWalksTable writes what came out as lines of text.
func WriteWalksTable(out io.Writer, w Walks) error {
	var b strings.Builder
	for i := range w.Panels {
		p := &w.Panels[i]
		fmt.Fprintf(&b, "%s, %s\n", p.Graph, p.title())
		for _, s := range p.Strengths {
			fmt.Fprintf(&b, "  alpha %-4s mse %-10s (%s to %s), formula %s now, %s in the limit\n", digitsOr(s.Alpha), digitsOr(s.MSE), digitsOr(s.MSELow), digitsOr(s.MSEHigh),
				digitsOr(s.Now), digitsOr(s.Formula))
		}
		fmt.Fprintf(&b, "  %s\n", p.Verdict())
	}
	_, err := io.WriteString(out, b.String())
	return err
}
