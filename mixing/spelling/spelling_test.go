package spelling

import (
	"strings"
	"testing"
)

func TestSlipsAreRecognisedAndOtherWordsAreNot(t *testing.T) {
	names := []string{"mean", "age", "metropolis", "variance-corrected"}
	for word, want := range map[string]string{
		"mean": "mean", "maen": "mean", "Mean": "mean", "agee": "age", "metropolys": "metropolis", "variance_corrected": "variance-corrected",
		"": "", "x": "", "median": "mean", "krum": "", strings.Repeat("a", 1000): "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
	if got := Hint("maen", names); got != `; did you mean "mean"?` || Hint("krum", names) != "" {
		t.Errorf("Hint: %q", got)
	}
}

func TestDistanceCountsSlips(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"maen", "mean", 1}} {
		if got := distance(c.a, c.b, 10); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
