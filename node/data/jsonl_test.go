package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// writeLines writes a file of lines and returns its name.
func writeLines(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "documents.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// shown renders rows of tokens as text, and what is learnt in them: "·" where nothing is.
func shown(set *Set) (rows, learnt []string) {
	x, y := make([]float32, set.Inputs()), make([]int32, set.Inputs())
	for i := range set.Len() {
		set.FillRange(x, y, i, 1)
		var text, labels strings.Builder
		for j := range x {
			token := rune(x[j])
			if token < 0 {
				text.WriteRune('|')
				token = -1 - token
			}
			text.WriteRune(token)
			if y[j] < 0 {
				labels.WriteRune('·')
			} else {
				labels.WriteRune(rune(y[j]))
			}
		}
		rows, learnt = append(rows, strings.ReplaceAll(text.String(), "\x00", "0")), append(learnt, strings.ReplaceAll(labels.String(), "\x00", "0"))
	}
	return rows, learnt
}

func TestOnlyWhatIsAnsweredIsLearnt(t *testing.T) {
	file := writeLines(t,
		`{"text": "abc"}`,
		`{"prompt": "12", "completion": "34", "source": "of no interest"}`,
		``,
		`{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}`,
		`{"text": "held"}`)
	s, err := Open("jsonl:held=0.25:" + file)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = s.Windows(24); err != nil {
		t.Fatal(err)
	}
	train, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, learnt := shown(train)
	// The last token of a document is only a label. "abc0" and "12340" share a row, and the dialogue does not fit in with them.
	if want := []string{"abc|1234" + strings.Repeat("0", 17), "user: q\nassistant: a" + "0000"}; !slices.Equal(rows, want) {
		t.Errorf("rows are %q, want %q", rows, want)
	}
	if want := []string{"bc0·340" + strings.Repeat("·", 17), strings.Repeat("·", 18) + "a\n····"}; !slices.Equal(learnt, want) {
		t.Errorf("learnt is %q, want %q", learnt, want)
	}
	test, err := s.Test()
	if err != nil {
		t.Fatal(err)
	}
	if rows, learnt := shown(test); len(rows) != 1 || !strings.HasPrefix(rows[0], "held") || !strings.HasPrefix(learnt[0], "eld0·") {
		t.Errorf("held out: %q, learnt %q", rows, learnt)
	}
}

func TestEveryTokenIsLearntOnceHoweverDocumentsArePacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(1, 40).Draw(t, "length")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 90), 1, 200).Draw(t, "sizes")
		var documents []document
		next, want := int32(0), map[int32]int32{} // each token is another, and has the next one after it
		first := map[int32]bool{}
		for _, n := range sizes {
			var d document
			for range n {
				d.add([]int32{next}, next%3 > 0)
				next++
			}
			for i := 1; i < n; i++ {
				first[d.tokens[i-1]] = (i-1)%length == 0 // or a piece of one
				want[d.tokens[i-1]] = -1
				if d.learn[i] {
					want[d.tokens[i-1]] = d.tokens[i]
				}
			}
			documents = append(documents, d)
		}
		const filler = 1 << 20
		s := pack(documents, length, filler)
		for i, token := range s.tokens {
			begins := token < 0
			if begins {
				token = -1 - token
			}
			if begins != (first[token] && i%length > 0) {
				t.Fatalf("token %d at %d of a row: %v that it begins a document", token, i%length, begins)
			}
			label, there := want[token]
			switch {
			case token == filler && s.labels[i] == -1 && !begins:
			case !there || label != s.labels[i]:
				t.Fatalf("token %d has the label %d, want %d (%v)", token, s.labels[i], label, there)
			}
			delete(want, token)
		}
		if len(want) > 0 || len(s.tokens)%length != 0 {
			t.Fatalf("%d tokens are in no row; %d tokens in rows of %d", len(want), len(s.tokens), length)
		}
	})
}

func TestTextByATokenizerIsTheTextByItsBytes(t *testing.T) {
	file, _ := writeText(t, 1000)
	s, err := Open("text:" + file)
	if err != nil {
		t.Fatal(err)
	}
	byBytes, err := s.Windows(17)
	if err != nil {
		t.Fatal(err)
	}
	byTokens, err := s.Tokens(Bytes{}, 17)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []func(*Source) (*Set, error){
		func(s *Source) (*Set, error) { return s.Train(nil) },
		func(s *Source) (*Set, error) { return s.Train([]int32{1, 5, 50}) },
		(*Source).Test,
	} {
		a, err := of(byBytes)
		if err != nil {
			t.Fatal(err)
		}
		b, err := of(byTokens)
		if err != nil {
			t.Fatal(err)
		}
		rowsA, learntA := shown(a)
		rowsB, learntB := shown(b)
		if !slices.Equal(rowsA, rowsB) || !slices.Equal(learntA, learntB) || a.Label(0) != b.Label(0) || a.Classes() != b.Classes() {
			t.Errorf("%d rows by bytes, %d by tokens, and they differ", a.Len(), b.Len())
		}
		if _, _, ok := b.Range(0, 1); ok || b.Unpacked() != b {
			t.Error("tokens are said to lie in memory as floats")
		}
	}
	images, err := Open("mnist")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := images.Tokens(Bytes{}, 17); err == nil || !strings.Contains(err.Error(), "no text") {
		t.Errorf("tokens of images: %v", err)
	}
}

func TestBadDocumentsAreNamedByTheirLine(t *testing.T) {
	good := `{"text": "` + strings.Repeat("a", 50) + `"}`
	for line, want := range map[string]string{
		`{"text": `:                        "line 2: is not a document",
		`[1]`:                              "line 2: is not a document",
		`{"text": 5}`:                      "text: has a value of another kind, number",
		`{}`:                               "has 0 of the forms",
		`{"text": "", "messages": []}`:     "has 2 of the forms",
		`{"prompt": "a"}`:                  "not both",
		`{"messages": [{"content": "a"}]}`: "message 1 has no role",
		`{"messages": [{"role": "user", "content": [{"type": "text"}]}]}`: "messages.content: has a value of another kind, array",
		strings.Repeat("x", maxDocument+1):                                fmt.Sprintf("line 2: is longer than %d", maxDocument),
	} {
		file := writeLines(t, good, line, good)
		s, err := Open("jsonl:held=0.5:" + file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Tokens(Bytes{}, 8); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%.60s: %v, want %q", line, err, want)
		}
	}
	for spec, want := range map[string]string{
		"jsonl:":                       "not known",
		"jsonl:held=2:x":               `not "2"`,
		"jsonl:" + t.TempDir() + "/no": "no such file",
		"jsonl:" + t.TempDir():         "is not a file",
	} {
		if _, err := Open(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want %q", spec, err, want)
		}
	}
	s, err := Open("jsonl:" + writeLines(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Windows(8); err == nil || !strings.Contains(err.Error(), "both parts want some") {
		t.Errorf("one document: %v", err)
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"text": "a"}`))
	f.Add([]byte("\ufeff" + `{"prompt": "a", "completion": "é"}` + "\n\n" + `{"messages": [{"role": "assistant", "content": "b"}]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		var documents []document
		err := lines(strings.NewReader(string(file)), func(line []byte) error {
			d, err := documentOf(line, Bytes{})
			documents = append(documents, d)
			return err
		})
		if err != nil {
			return
		}
		size := 0
		for _, d := range documents {
			if len(d.tokens) != len(d.learn) {
				t.Fatalf("%d tokens, %d of them said to be learnt or not", len(d.tokens), len(d.learn))
			}
			size += len(d.tokens)
		}
		if s := pack(documents, 8, 0); len(s.tokens) != len(s.labels) || len(s.tokens) > 8*size {
			t.Fatalf("%d tokens and %d labels of %d", len(s.tokens), len(s.labels), size)
		}
	})
}
