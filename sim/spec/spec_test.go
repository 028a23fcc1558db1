package spec

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starling/node"
)

// read takes one setting of every kind.
func read(text string) (string, error) {
	s := Parse("thing", text)
	if s.Name != "" && s.Name != "a" && s.Name != "b" {
		return "", s.Unknown("a:number=N", "b")
	}
	out := fmt.Sprintf("%s %g %d", s.Name, s.Number("number", 7, 0, 100), s.Duration("time", 5, 0, node.Second))
	low, high := node.Instant(0), node.Instant(0)
	if s.Name == "b" {
		low, high = s.Range("low", "high", node.Second)
	}
	out += fmt.Sprintf(" %d%d %s%s%t", low, high, s.Text("text", "x"), s.Word("word", "one", "two"), s.Flag("flag"))
	return out, s.Done()
}

func TestSettingsAreTakenByKeyByPlaceOrByDefault(t *testing.T) {
	for text, want := range map[string]string{
		"a":                                "a 7 5 00 xonefalse",
		" A ":                              "a 7 5 00 xonefalse",
		"a:8":                              "a 8 5 00 xonefalse",
		"a:8,6ns":                          "a 8 6 00 xonefalse",
		"a:time=6ns,number=8":              "a 8 6 00 xonefalse",
		"a: 8 , text = y , word=two":       "a 8 5 00 ytwofalse",
		"number=1,flag=true":               " 1 5 00 xonetrue",
		"number=1,text=a:b":                " 1 5 00 a:bonefalse",
		"b:high=2ns":                       "b 7 5 02 xonefalse",
		"b:1,2ns,3ns-4ns":                  "b 1 2 34 xonefalse",
		"b:1,2ns,3ns-4ns,y":                "b 1 2 34 yonefalse",
		"b:1,2ns,3ns,4ns,y":                "b 1 2 34 yonefalse",
		"b:low=3ns,high=1s":                "b 7 5 31000000000 xonefalse",
		"b:1e1,1µs,0s-0s,C:/x.csv,one":     "b 10 1000 00 C:/x.csvonefalse",
		"a:0,1s,text=x,word=one,flag=true": "a 0 1000000000 00 xonetrue",
	} {
		if got, err := read(text); err != nil || got != want {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestProblemsAreSaid(t *testing.T) {
	for text, want := range map[string]string{
		"c":                   `thing "c" is not known; use a:number=N, b; did you mean "a"?`,
		"a:":                  `thing "a:": setting "" is empty`,
		"a:8,":                `setting "" is empty`,
		"a:number=":           `setting "number=" is empty`,
		"a:x":                 `thing "a:x": number wants a number from 0 to 100, not "x"`,
		"a:101":               `number wants a number from 0 to 100, not "101"`,
		"a:time=1":            `time wants a duration from 0s to 1s, such as 20ms or 1h, not "1"`,
		"a:time=2s":           "time wants a duration",
		"a:time=-1s":          "time wants a duration",
		"a:1,number=1":        "number is given twice",
		"a:time=1s,time=1s":   "time is given twice",
		"a:tmie=1s":           `there is no setting "tmie"; there are number, time, text, word, flag; did you mean "time"?`,
		"a:1,1s,x,one,true,6": `there is no setting "6"`,
		"a:word=twoo":         `word wants one of one, two; did you mean "two"?, not "twoo"`,
		"b":                   "high must be given",
		"b:low=1ns":           "high must be given",
		"b:low=5ns,high=4ns":  "low is above high",
		"b:1,2ns,5ns-4ns":     "low is above high",
		"b:1,2ns,-4ns":        "low wants a duration",
		"a:" + strings.Repeat("x", maxText): fmt.Sprintf(`%s…": is longer than %d characters`,
			strings.Repeat("x", 58), maxText),
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q in it", text, err, want)
		}
	}
	s := Parse("thing", "a:x=1")
	s.Number("must", math.NaN(), 0, 1)
	if err := s.Done(); err == nil || !strings.Contains(err.Error(), "must must be given") {
		t.Errorf("without a number that must be given: %v", err)
	}
}

func TestMixesAddUp(t *testing.T) {
	names := []string{"red", "green", "blue"}
	for text, want := range map[string]string{
		"mix:red=0.5,blue=0.5":           "[0.5 0 0.5]",
		"mix:red:0.5, blue:0.5":          "[0.5 0 0.5]",
		"green=1":                        "[0 1 0]",
		"mix:green:1":                    "[0 1 0]",
		"mix:red=0.1,green=0.9":          "[0.1 0.9 0]",
		"mix:red=0.5":                    `thing "mix:red=0.5": shares add up to 0.5, not 1`,
		"mix:red=0.5,bleu=0.5":           `there is no setting "bleu"; there are red, green, blue; did you mean "blue"?`,
		"mix:red:0.5,red:0.5":            "red is given twice",
		"mix:red=x":                      `red wants a share from 0 to 1, not "x"`,
		"mix:red=nan":                    `red wants a share from 0 to 1, not "nan"`,
		"mix:red=-1,green=1,blue=1":      `red wants a share from 0 to 1, not "-1"`,
		"mix":                            "shares add up to 0, not 1",
		"mix:0.5,0.5":                    `there is no setting "0.5"`,
		"mix:red=0.5,blue:0.25,blue=.25": "blue is given twice",
	} {
		s := Parse("thing", text)
		got := fmt.Sprint(s.Mix(names))
		if err := s.Done(); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %q in it", text, got, want)
		}
	}
}

func TestTablesNameThePlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(file, []byte("\ufeffName,n\r\n\r\n# no\r\n a , 1\r\nb,2,"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := ReadTable(file, func(r *Row) error {
		if r.Header("name") {
			return nil
		}
		v, err := r.Number(1, "n", 0, 5)
		w, err2 := r.Whole(1, "n", 5)
		got = append(got, fmt.Sprintf("%d %d %q %g %d %q %v %v", r.Line(), r.Len(), r.Text(0), v, w, r.Text(9), err, err2))
		return nil
	})
	if want := `4 2 "a" 1 1 "" <nil> <nil>; 5 3 "b" 2 2 "" <nil> <nil>`; strings.Join(got, "; ") != want || err != nil {
		t.Errorf("have %q (%v), want %s", got, err, want)
	}
	for _, c := range []struct {
		try  func(r *Row) error
		want string
	}{
		{func(r *Row) error { return r.Errorf(0, "no") }, ":4:2: no"},
		{func(r *Row) error { return r.Errorf(1, "no") }, ":4:6: no"},
		{func(r *Row) error { return r.Errorf(2, "no") }, ":4:6: no"},
		{func(r *Row) error { _, err := r.Number(0, "n", 0, 5); return err }, `:4:2: n is "a", not a number from 0 to 5`},
		{func(r *Row) error { _, err := r.Number(1, "n", 2, 5); return err }, `:4:6: n is "1", not a number from 2 to 5`},
		{func(r *Row) error { _, err := r.Whole(1, "n", 0); return err }, `:4:6: n is "1", not a whole number from 0 to 0`},
	} {
		err := ReadTable(file, func(r *Row) error {
			if r.Line() == 1 {
				return nil
			}
			return c.try(r)
		})
		if err == nil || err.Error() != file+c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := ReadTable(file+".gone", nil); err == nil || !strings.Contains(err.Error(), "x.csv.gone") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"a:1,2s", "b:low=1ns,high=2ns", "b:1,1ns,1ns-2ns,x", "number=1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := read(text); err == nil && got == "" {
			t.Error("nothing was read")
		} else if err != nil && len(err.Error()) > 1000 {
			t.Errorf("the error has %d characters", len(err.Error()))
		}
		s := Parse("thing", text)
		var sum float64
		for _, share := range s.Mix([]string{"red", "green"}) {
			sum += share
		}
		if err := s.Done(); err == nil && math.Abs(sum-1) > 1e-6 {
			t.Errorf("shares add up to %g", sum)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add("a,1\n# x\nb, 2")
	f.Fuzz(func(t *testing.T, content string) {
		fields := 0
		err := scan("x.csv", content, func(r *Row) error {
			fields += r.Len()
			_, err := r.Number(r.Len()-1, "n", 0, 5)
			return err
		})
		if err != nil && !strings.HasPrefix(err.Error(), "x.csv:") {
			t.Errorf("the error %v names no place", err)
		}
		if most := strings.Count(content, ",") + strings.Count(content, "\n") + 1; fields > most {
			t.Errorf("%d fields where at most %d are", fields, most)
		}
	})
}
