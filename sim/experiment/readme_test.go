package experiment

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readme is the documentation of the keys, which lies beside the files that use them.
const readme = "../experiments/README.md"

func TestTheTableHasEveryKeyInOrderWithItsDefault(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "## All keys")
	if !ok {
		t.Fatal("there is no table of all keys")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	standard := Default()
	defaults := map[string]string{}
	for _, s := range settings(&standard) {
		defaults[s.path] = strings.Trim(render(s.to), `"`)
	}
	var keys []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .* \\| ([^|]+) \\| [^|]+ \\|$").FindAllStringSubmatch(table, -1) {
		keys = append(keys, row[1])
		want, known := defaults[row[1]]
		if want == "" {
			want = "empty"
		}
		have, _, _ := strings.Cut(strings.ReplaceAll(row[2], "`", ""), ", or")
		if known && have != want && have != "required" {
			t.Errorf("%s has the default %s, the table says %s", row[1], want, have)
		}
	}
	if !slices.Equal(keys, Keys()) {
		t.Errorf("the table has\n%q\nthe keys are\n%q", keys, Keys())
	}
}

func TestTheExamplesOfTheReadmeAreTrue(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	src, rest, _ := strings.Cut(rest, "```")
	f, err := Load([]byte(src), "my-first.yaml", nil, Owners())
	if err != nil || len(f.Points) != 2 {
		t.Fatalf("%v, %d points", err, len(f.Points))
	}
	_, onText, _ := strings.Cut(rest, "```yaml\n")
	onText, _, _ = strings.Cut(onText, "```")
	if f, err := Load([]byte(onText), "my-text.yaml", []string{"data.path=a.txt"}, Owners()); err != nil || len(f.Points) != 2 || f.Name != "my-text" {
		t.Errorf("the example on text: %v", err)
	}
	_, want, _ := strings.Cut(rest, "```\n")
	want, _, _ = strings.Cut(want, "\n```")
	bad := strings.Replace(strings.Replace(src, "{mix:", "{mxi:", 1), "rounds: 30", "rounds: many", 1)
	if _, err := Load([]byte(bad), "my-first.yaml", nil, Owners()); err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
}
