package data

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func csvFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// twenty are 20 rows: label i mod 3, features i and i/2.
func twenty() string {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, "%d,%d,%g\n", i%3, i, float64(i)/2)
	}
	return b.String()
}

func TestACSVFileIsReadAndEveryTenthRowHeldOut(t *testing.T) {
	for name, text := range map[string]string{
		"plain":   twenty(),
		"header":  "label,x,y\n" + twenty(),
		"windows": "\ufeffLabel , x, y\r\n" + strings.ReplaceAll(twenty(), "\n", "\r\n"),
		"spaces":  strings.ReplaceAll(twenty(), ",", " , "),
		"blank":   "\n" + strings.ReplaceAll(twenty(), "\n", "\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open("csv:" + csvFile(t, text))
			if err != nil {
				t.Fatal(err)
			}
			if s.Inputs() != 2 || s.Classes() != 3 || len(s.Labels()) != 18 {
				t.Fatalf("%d inputs, %d classes, %d rows", s.Inputs(), s.Classes(), len(s.Labels()))
			}
			test, err := s.Test()
			if err != nil {
				t.Fatal(err)
			}
			train, err := s.Train([]int32{0, 8, 9, 17})
			if err != nil {
				t.Fatal(err)
			}
			x, y := make([]float32, 12), make([]int32, 6)
			test.FillRange(x, y, 0, 2)
			train.Fill(x[4:], y[2:], []int32{0, 1, 2, 3})
			if got, want := fmt.Sprint(x), "[9 4.5 19 9.5 0 0 8 4 10 5 18 9]"; got != want {
				t.Errorf("rows are %s, want %s", got, want)
			}
			if got, want := fmt.Sprint(y), "[0 1 0 2 1 0]"; got != want {
				t.Errorf("labels are %s, want %s", got, want)
			}
		})
	}
}

func TestABadCSVFileIsNamedWithTheLine(t *testing.T) {
	lines := strings.SplitAfter(twenty(), "\n")
	with := func(line int, text string) string {
		l := append([]string(nil), lines...)
		l[line-1] = text + "\n"
		return strings.Join(l, "")
	}
	for _, test := range []struct {
		name, text, want string
	}{
		{"label", with(3, "x,1,2"), `rows.csv:3: the label is "x"`},
		{"large label", with(4, "256,1,2"), `:4: the label is "256"`},
		{"large label in the first line", with(1, "256,1,2"), `:1: the label is "256"`},
		{"negative label", with(1, "-1,1,2"), `:1: the label is "-1"`},
		{"second header", "a,b,c\na,b,c\n" + twenty(), ":2: the label"},
		{"no features", with(5, "1"), ":5: there is a label but no feature"},
		{"word", with(6, "1,2,two"), `:6: feature 2 is "two"`},
		{"empty field", with(6, "1,,2"), `:6: feature 1 is ""`},
		{"NaN", with(7, "1,NaN,2"), `:7: feature 1 is "NaN"`},
		{"infinite", with(7, "1,2,-inf"), ":7: feature 2"},
		{"too large", with(7, "1,2,1e39"), ":7: feature 2"},
		{"short", with(8, "1,2"), ":8: 1 features, but 2 in the first row"},
		{"long", with(8, "1,2,3,4"), ":8: 3 features"},
		{"long field", with(8, "1,2,"+strings.Repeat("x", 5000)), ":8: feature 2"},
		{"many fields", with(8, "1"+strings.Repeat(",1", maxInputs+1)), ":8: more than 65536 features"},
		{"long line", with(9, strings.Repeat("1", maxLine+1)), ":9: bufio.Scanner: token too long"},
		{"few rows", strings.Join(lines[:9], ""), "at least 10 rows"},
		{"empty", "", "at least 10 rows"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open("csv:" + csvFile(t, test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 400 {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestACSVFileThatChangesIsNoticed(t *testing.T) {
	for name, text := range map[string]string{
		"grown":  twenty() + "1,2,3\n",
		"shrunk": strings.TrimSuffix(twenty(), "1,19,9.5\n"),
		"wider":  strings.ReplaceAll(twenty(), "\n", ",1\n"),
		"class":  strings.Replace(twenty(), "0,0,0", "9,0,0", 1),
	} {
		t.Run(name, func(t *testing.T) {
			file := csvFile(t, twenty())
			s, err := Open("csv:" + file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, errTrain := s.Train(nil)
			_, errTest := s.Test()
			if errTrain == nil && errTest == nil {
				t.Error("nothing was noticed")
			}
		})
	}
}

func TestOpenSaysWhatThereIs(t *testing.T) {
	for _, spec := range []string{"", "mnist:x", "idx:", "csv", "own", "cifar", strings.Repeat("x", 1000)} {
		_, err := Open(spec)
		if err == nil || !strings.Contains(err.Error(), "use mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE or jsonl:FILE") || len(err.Error()) > 200 {
			t.Errorf("Open(%.20q): %v", spec, err)
		}
	}
	for _, spec := range []string{"idx:" + t.TempDir(), "csv:" + filepath.Join(t.TempDir(), "none.csv")} {
		if _, err := Open(spec); err == nil || !strings.Contains(err.Error(), strings.SplitN(spec, ":", 2)[1]) {
			t.Errorf("Open(%q): %v, want an error that names it", spec, err)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add(twenty())
	f.Add("a,b\n1,2\n")
	f.Add("\ufeff1,1e38\r\n2,-0\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		width := 0
		err := scanCSV(strings.NewReader(text), "f", func(row int, label int32, features []float32) error {
			if row > 0 && len(features) != width || len(features) == 0 {
				t.Errorf("row %d has %d features, the first %d", row, len(features), width)
			}
			width = len(features)
			return nil
		})
		if err != nil && !strings.HasPrefix(err.Error(), "data f:") {
			t.Errorf("error %q does not name the file and line", err)
		}
	})
}
