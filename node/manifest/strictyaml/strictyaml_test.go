package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func form() Form { return Form{Noun: "a menu", Needs: "a soup", MaxBytes: 1000, MaxDepth: 4} }

// menu is what the tests read.
type menu struct {
	Soup   string
	Guests int
	Table  uint64
	Price  float64
	Sides  []string
	Tips   []float64
	Length int // of a word, by a reader of its own
	Wines  []wine
}

type wine struct{ Year int }

func (m *menu) settings() []Setting {
	return []Setting{
		{"soup", &m.Soup}, {"order.guests", &m.Guests}, {"order.table", &m.Table}, {"order.bill.price", &m.Price}, {"order.bill.tips", &m.Tips},
		{"sides", &m.Sides},
		{"length", func(n *Node) error {
			text, err := n.Lines()
			if text == "bad" {
				return errors.New("is bad")
			}
			m.Length = len(text)
			return err
		}},
		{"wines", Each(func(n int) [][]Setting {
			m.Wines = make([]wine, n)
			var all [][]Setting
			for i := range m.Wines {
				all = append(all, []Setting{{fmt.Sprintf("wines[%d].year", i), &m.Wines[i].Year}})
			}
			return all
		})},
	}
}

// decode reads a document that has a tree into a menu.
func decode(t *testing.T, src string) (menu, *Decoded) {
	t.Helper()
	root, problems := form().Parse([]byte(src), "m.yaml")
	if root == nil {
		t.Fatal(problems)
	}
	var m menu
	d := Decode(root, m.settings())
	return m, d
}

func TestValuesComeToTheirPlaces(t *testing.T) {
	src := "soup: pea\norder: {guests: -3, table: 18446744073709551615, bill: {price: 1.5, tips: [1, 0.5]}}\nsides: [rice, \"7\"]\n" +
		"length: |\n  two\n  lines\nwines: [{year: 1999}, {}]\n"
	have, d := decode(t, src)
	want := menu{"pea", -3, 1<<64 - 1, 1.5, []string{"rice", "7"}, []float64{1, 0.5}, 10, []wine{{1999}, {}}}
	if diff := cmp.Diff(want, have); diff != "" || len(d.Problems) > 0 {
		t.Errorf("%s\n%v", diff, d.Problems)
	}
	for path, read := range map[string]bool{"soup": true, "order.bill.tips": true, "sides[1]": true, "wines[0].year": true, "wines[1].year": false, "wines[1]": true} {
		if d.Read(path) != read || d.Failed(path) {
			t.Errorf("%s: read is %v, failed %v", path, d.Read(path), d.Failed(path))
		}
	}
}

func TestEachProblemHasItsPlace(t *testing.T) {
	for src, want := range map[string]string{
		"soop: pea\n":                     `m.yaml:1:1: unknown key "soop"; did you mean "soup"?`,
		"price: 3\n":                      `m.yaml:1:1: unknown key "price"; did you mean "price" inside "order.bill"?`,
		"order: {bill: {guests: 3}}\n":    `m.yaml:1:16: unknown key "guests"; did you mean "guests" inside "order"?`,
		"order: {soup: pea}\n":            `m.yaml:1:9: unknown key "soup"; did you mean "soup" at the top level?`,
		"order: {colour: 3}\n":            `m.yaml:1:9: unknown key "colour"; known are guests, table, bill`,
		"soup: a\nsoup: b\n":              `m.yaml:2:1: key "soup" is given twice, first in line 1`,
		"soup:\n":                         `m.yaml:1:7: soup: want text, have nothing`,
		"soup: 3\n":                       `m.yaml:1:7: soup: want text, have the number 3; if it is meant as text, put it in quotes`,
		"soup: .nan\n":                    `m.yaml:1:7: soup: want text, have .nan; if it is meant as text, put it in quotes`,
		"soup: |\n  a\n  b\n":             `m.yaml:1:7: soup: want text, have several lines of text`,
		"soup: *a\n":                      `m.yaml:1:7: soup: want text, have an anchor or an alias, which a menu does not allow`,
		"soup: !!str a\n":                 `m.yaml:1:7: soup: want text, have a tag, which a menu does not allow`,
		"order: {guests: 1.5}\n":          `m.yaml:1:17: order.guests: want a whole number, have the number 1.5`,
		"order: {guests: 3000000000}\n":   `m.yaml:1:17: order.guests: 3000000000 is too large`,
		"order: {table: -1}\n":            `m.yaml:1:16: order.table: -1 is negative`,
		"order: {bill: {price: yes}}\n":   `m.yaml:1:23: order.bill.price: want a number, have the text "yes"`,
		"order: {bill: {price: true}}\n":  `m.yaml:1:23: order.bill.price: want a number, have the truth value true`,
		"order: [1]\n":                    `m.yaml:1:8: order: want the keys guests, table, bill, have a list`,
		"sides: rice\n":                   `m.yaml:1:8: sides: want a list, have the text "rice"`,
		"sides: [rice, {a: b}, 7]\n":      "m.yaml:1:16: sides: want text, have keys and values\nm.yaml:1:23: sides: want text, have the number 7; if it is meant as text, put it in quotes",
		"length: bad\n":                   `m.yaml:1:9: length: is bad`,
		"wines: {year: 3}\n":              `m.yaml:1:9: wines: want a list, have keys and values`,
		"wines: [{year: 3}, {yaer: 4}]\n": `m.yaml:1:21: unknown key "yaer"; did you mean "year"?`,
		"wines: [old]\n":                  `m.yaml:1:9: wines: want the keys year, have the text "old"`,
		"- soup\n":                        `m.yaml:1:1: want keys and values, have a list`,
	} {
		if _, d := decode(t, src); d.Problems.Err() == nil || d.Problems.Error() != want {
			t.Errorf("%q:\nhave %v\nwant %s", src, d.Problems, want)
		}
	}
}

func TestSomeDocumentsAreNotLookedAt(t *testing.T) {
	for src, want := range map[string]string{
		"":                              "m.yaml: is empty; a menu has at least a soup",
		"# soup\n":                      "m.yaml: is empty; a menu has at least a soup",
		"soup: a\n---\nsoup: b\n":       "m.yaml:3:1: holds a second document; a menu is one document",
		strings.Repeat("#", 1001):       "m.yaml: has 1001 bytes; a menu has at most 1000",
		"a: [[[[1]]]]\n":                "m.yaml:1:8: is nested deeper than 4 levels; a menu has no such values",
		"a: {b: {c: {d: {e: {f: 1}}}}}": "m.yaml:1:21: is nested deeper than 4 levels; a menu has no such values",
	} {
		root, problems := form().Parse([]byte(src), "m.yaml")
		if root != nil || problems.Error() != want {
			t.Errorf("%.20q: have %v, want %s", src, problems, want)
		}
	}
	if root, problems := form().Parse([]byte("a: [\n"), "m.yaml"); root != nil || !strings.HasPrefix(problems.Error(), "m.yaml:1:4: not YAML: ") {
		t.Errorf("have %v", problems)
	}
}

func TestProblemsWithValuesAreReportedWhereTheyStand(t *testing.T) {
	_, d := decode(t, "order: {guests: x}\nsoup: pea\n")
	d.Report("order.guests", "is not asked, since it was not read")
	d.Report("soup", "is cold")
	d.Report("sides", "are few")
	d.Missing("length")
	d.Missing("soup")
	d.Missing("order.guests")
	d.Problems.Sort()
	want := "m.yaml:1:17: order.guests: want a whole number, have the text \"x\"\nm.yaml:2:7: soup: is cold\nm.yaml: sides: are few\nm.yaml: length: is missing"
	if d.Problems.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", d.Problems, want)
	}
}

func TestWordsAndSpecificationsAreChecked(t *testing.T) {
	fine := func(string) error { return nil }
	for _, c := range []struct {
		have error
		want string
	}{
		{CheckWord("pea", []string{"pea", "leek"}), "<nil>"},
		{CheckWord("lekk", []string{"pea", "leek"}), `"lekk" is not known; did you mean "leek"?`},
		{CheckWord("\x1btomato", []string{"pea", "leek"}), `"\x1btomato" is not known; use pea or leek`},
		{CheckSpec("pea", 3, fine), "<nil>"},
		{CheckSpec("", 3, fine), "is empty"},
		{CheckSpec("peas", 3, fine), "has 4 bytes; at most 3 are allowed"},
		{CheckSpec("a\nb", 3, fine), `"a\nb" holds characters that cannot be printed`},
		{CheckSpec("\xff", 3, fine), `"\xff" holds characters that cannot be printed`},
		{CheckSpec("pea", 3, func(string) error { return errors.New("two\n lines") }), "two lines"},
	} {
		if fmt.Sprint(c.have) != c.want {
			t.Errorf("have %v, want %s", c.have, c.want)
		}
	}
}

func FuzzScalarIsReadAsItWasWritten(f *testing.F) {
	for _, s := range []string{"", "pea", "yes", "1e3", "0x1", "a: b", "a #b", "- a", "a:", "\x1b", "ä\u2028", "null", "~", "a,b", "=", "\"", "é\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		written := Scalar(s)
		root, problems := Form{MaxBytes: 1 << 20, MaxDepth: 4}.Parse([]byte("soup: "+written+"\n"), "m.yaml")
		if root == nil {
			if strings.ToValidUTF8(s, "") != s {
				return // no YAML can hold it
			}
			t.Fatalf("%q is written %s: %v", s, written, problems)
		}
		have, err := root.Entries[0].Value.Line()
		if err != nil || have != s && strings.ToValidUTF8(s, "") == s {
			t.Errorf("%q is written %s and read %q, %v", s, written, have, err)
		}
	})
}

func TestKeysAreInOrderAndOnce(t *testing.T) {
	var m menu
	if have := Keys("", m.settings()); !slices.Equal(have, []string{"soup", "order", "sides", "length", "wines"}) {
		t.Error(have)
	}
	if have := Keys("order.", m.settings()); !slices.Equal(have, []string{"guests", "table", "bill"}) {
		t.Error(have)
	}
}

func TestSectionsAreWrittenOnceAndReadBack(t *testing.T) {
	var b strings.Builder
	Write(&b, []Line{
		{"soup", "pea", "of the day"}, {"order.guests", "3", ""}, {"order.bill.price", "1.5", "in all"}, {"order.bill.tips", "[1]", ""},
		{"sides", "[rice]", ""},
	}, 20)
	want := "soup: pea            # of the day\norder:\n  guests: 3\n  bill:\n    price: 1.5       # in all\n    tips: [1]\nsides: [rice]\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	have, d := decode(t, b.String())
	if diff := cmp.Diff(menu{Soup: "pea", Guests: 3, Price: 1.5, Tips: []float64{1}, Sides: []string{"rice"}, Length: have.Length}, have); diff != "" || len(d.Problems) > 0 {
		t.Errorf("%s\n%v", diff, d.Problems)
	}
}
