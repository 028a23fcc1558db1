package report_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"starling/sim/report"
)

// sameReal takes all missing numbers for the same.
func sameReal() cmp.Option {
	return cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b report.Real) bool {
		return a == b || !a.Finite() && !b.Finite()
	})}
}

func text(t testing.TB, s report.Series) string {
	t.Helper()
	var b strings.Builder
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSeriesComesBackAsItWas(t *testing.T) {
	for name, run := range map[string]report.Run{"large": largeRun(), "small": smallRun(), "empty": {}} {
		csv := text(t, run.Series)
		have, err := report.ParseSeries(strings.NewReader(csv))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(run.Series, have, sameReal()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if again := text(t, have); again != csv {
			t.Errorf("%s: reading and writing changes the text", name)
		}
	}
}

func TestMissingNumbersAreEmptyCells(t *testing.T) {
	s := report.Series{{Loss: report.Losses([]float64{math.Inf(1), 1, 2}), Accuracy: report.Accuracies(nil), Online: 3, Evaluated: 3}}
	if have, want := strings.Split(text(t, s), "\n")[1], "0,0,0,0,0,,,,,,,,,,1,,1,2,,0,3,3,0,0"; have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestBadSeriesAreRefusedWithTheirLine(t *testing.T) {
	head := strings.Join(report.Columns(), ",") + "\n"
	row := func(seconds, events string) string { return seconds + ",1," + events + strings.Repeat(",1", 21) + "\n" }
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "line 1: the columns are not virtual_seconds,"},
		{"other columns", "a,b\n", "line 1: the columns"},
		{"short row", head + row("1", "1") + "1,2\n", "line 3: 2 values, must be 24"},
		{"blank line", head + "\n", "line 2: 1 values"},
		{"word", head + row("soon", "1"), `line 2: virtual_seconds is "soon", must be a number`},
		{"nan", head + row("NaN", "1"), "virtual_seconds"},
		{"hexadecimal", head + row("0x1p3", "1"), "virtual_seconds"},
		{"too large", head + row("1e999", "1"), "virtual_seconds"},
		{"without time", head + row("", "1"), "line 2: virtual_seconds is missing"},
		{"negative count", head + row("1", "-1"), `events is "-1"`},
		{"time that goes back", head + row("2", "1") + row("1", "1"), "line 3: virtual_seconds goes back from 2 to 1"},
		{"events that go back", head + row("1", "5") + row("1", "4"), "line 3: events goes back"},
		{"endless line", head + row("1", "1") + strings.Repeat("1", 1<<13), "line 3: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := report.ParseSeries(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestWindowsLineEndsAreRead(t *testing.T) {
	csv := strings.ReplaceAll(text(t, smallRun().Series), "\n", "\r\n")
	if s, err := report.ParseSeries(strings.NewReader(csv)); err != nil || len(s) != len(smallRun().Series) {
		t.Errorf("have %d rows and %v", len(s), err)
	}
}

func TestDistributionOfKnownNodes(t *testing.T) {
	values := []float64{0.5, 0.1, 0.9, 0.7, 0.3, 0.2, 0.4, 0.6, 0.8, 0, 1}
	std := report.Real(math.Sqrt(0.1))
	for _, test := range []struct {
		name string
		have report.Distribution
		want report.Distribution
	}{
		{"accuracy", report.Accuracies(values), report.Distribution{Spread: report.Spread{Mean: 0.5, Worst: 0, Best: 1, Std: std}, P10: 0.1, P50: 0.5, P90: 0.9}},
		{"loss", report.Losses(values), report.Distribution{Spread: report.Spread{Mean: 0.5, Worst: 1, Best: 0, Std: std}, P10: 0.1, P50: 0.5, P90: 0.9}},
		{"one node", report.Losses([]float64{3}), report.Distribution{Spread: report.Spread{Mean: 3, Worst: 3, Best: 3}, P10: 3, P50: 3, P90: 3}},
	} {
		near := cmp.Comparer(func(a, b report.Real) bool { return math.Abs(float64(a-b)) < 1e-12 })
		if diff := cmp.Diff(test.want, test.have, near); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	if d := report.Losses([]float64{math.NaN(), 1}); d.Mean.Finite() || d.Worst.Finite() || d.Best != 1 {
		t.Errorf("a node that diverged is hidden: %+v", d)
	}
}

func TestTargetIsTheFirstTickThatReachesIt(t *testing.T) {
	s := report.Series{
		{Seconds: 1, Rounds: 2, ReceivedPerNode: 3, Accuracy: report.Accuracies([]float64{0.5})},
		{Seconds: 4, Rounds: 5, ReceivedPerNode: 6, Accuracy: report.Accuracies([]float64{0.9})},
		{Seconds: 7, Rounds: 8, ReceivedPerNode: 9, Accuracy: report.Accuracies([]float64{0.8})},
	}
	want := report.Target{Accuracy: 0.8, Reached: true, Seconds: 4, Rounds: 5, BytesPerNode: 6}
	if have := s.Reach(0.8); have != want {
		t.Errorf("have %+v, want %+v", have, want)
	}
	if have := s.Reach(0.95); have.Reached || have.Seconds.Finite() || have.Rounds.Finite() || have.BytesPerNode.Finite() {
		t.Errorf("a target out of reach: %+v", have)
	}
}

func FuzzSeries(f *testing.F) {
	f.Add([]byte(text(f, smallRun().Series)))
	f.Add([]byte(strings.Join(report.Columns(), ",") + "\n1e3,1,1" + strings.Repeat(",", 17) + ",1,1"))
	f.Fuzz(func(t *testing.T, csv []byte) {
		s, err := report.ParseSeries(bytes.NewReader(csv))
		if err != nil {
			return
		}
		again, err := report.ParseSeries(strings.NewReader(text(t, s)))
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if diff := cmp.Diff(s, again, sameReal()); diff != "" {
			t.Fatal(diff)
		}
	})
}
