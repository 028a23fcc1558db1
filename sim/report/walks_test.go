package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// someWalks are figures of a study that fall with alpha on one graph, and do not on the other.
func someWalks() Walks {
	w := Walks{Name: "walks <&>", About: "asked <b>", Version: "v1", Seed: 3, Seeds: 100, Hops: []int{10, 100, 1000}, File: "kind: walk\n"}
	for k, graph := range []string{"karate", "ring"} {
		p := Panel{Graph: graph, Nodes: 34, Links: 78, Problem: "quadratic", Walk: "srrw:a=0.8,b=0.9", A: 0.8, B: 0.9, Case: HistoryFaster}
		for i, alpha := range []Real{0, 1, 5} {
			last := Real(math.Pow(0.1, float64(i)))
			if k == 1 && i == 2 {
				last = 0.5
			}
			p.Strengths = append(p.Strengths, Strength{
				Alpha: alpha, MSE: last, MSELow: 0.9 * last, MSEHigh: 1.1 * last, Formula: Real(math.NaN()), Now: last / 2, Distance: 0.25,
				Curve: []Real{100 * last, 10 * last, last}, Low: []Real{0, 9 * last, 0.9 * last}, High: []Real{110 * last, 11 * last, 1.1 * last},
			})
		}
		w.Panels = append(w.Panels, p)
	}
	return w
}

func TestAStudyOfWalksLeavesItsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for range 2 { // again over what is there
		if err := WriteWalks(dir, someWalks()); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var got struct {
		Kind   string
		Panels []struct {
			Graph     string
			Strengths []struct {
				Alpha, MSE float64
				Formula    *float64
			}
		}
	}
	if err := json.Unmarshal(read(ResultFile), &got); err != nil {
		t.Fatal(err)
	}
	if s := got.Panels[0].Strengths; got.Kind != "walk" || len(got.Panels) != 2 || s[1].Alpha != 1 || s[1].MSE != 0.1 || s[1].Formula != nil {
		t.Errorf("the result is %+v", got)
	}
	for _, name := range []string{"mse-hops-01.svg", "mse-hops-02.svg"} {
		d := xml.NewDecoder(bytes.NewReader(read(name)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	page := string(read(PageFile))
	for _, want := range []string{
		"walks &lt;&amp;&gt;", "asked &lt;b&gt;", "karate: 34 nodes, 78 links", "alpha 5", "hops, log scale", "The error falls with every step of alpha. At alpha 5 it is 0.01 of that without repulsion.",
		"The error does not fall with every step of alpha. At alpha 5 it is 0.5 of that without repulsion.", "over 100 walks", "kind: walk",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "the result of a study of walks, which has its own page, report.html") {
		t.Errorf("read as a run it is %v", err)
	}
	if string(read(ExperimentFile)) != "kind: walk\n" {
		t.Error("the study is not kept")
	}
}

func TestVerdictsOnWalks(t *testing.T) {
	p := someWalks().Panels[0]
	p.Strengths[2].MSE, p.Strengths[2].MSELow = 0.105, 0.104 // above the one before, but within its interval
	if got := p.Verdict(); !strings.HasPrefix(got, "The error falls with alpha, within the confidence intervals. At alpha 5 it is 0.105") {
		t.Error(got)
	}
	p.Strengths = p.Strengths[1:2]
	if got := p.Verdict(); got != "There is only one alpha." {
		t.Errorf("of one alpha: %s", got)
	}
	if _, has := p.At(7); has {
		t.Error("there are figures of an alpha that was not tried")
	}
}

func TestWalksAsText(t *testing.T) {
	var b strings.Builder
	if err := WriteWalksTable(&b, someWalks()); err != nil {
		t.Fatal(err)
	}
	want := `karate, quadratic, srrw:a=0.8,b=0.9 (history faster)
  alpha 0    mse 1          (0.9 to 1.1), formula 0.5 now, – in the limit
`
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("have\n%s\nwant\n%s", b.String(), want)
	}
}
