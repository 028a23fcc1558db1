package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var steps = map[string]Split{"Digits": Digits, "Numbers": Numbers, "GPT2": GPT2, "Llama3": Llama3, "Qwen2": Qwen2}

func cut(sp splitter, step Split, text string) []string {
	var out []string
	for len(text) > 0 {
		n := sp.next(step, text)
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

func TestTextIsCutAsByTheReference(t *testing.T) {
	text, err := os.ReadFile("testdata/splits.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Pieces map[string][]string
		SHA256 string
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	sp := splitter(classes())
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		w, ok := want[name]
		if !ok || len(w.Pieces) == 0 {
			t.Fatalf("the fixture has no %s", name)
		}
		for text, pieces := range w.Pieces {
			if got := cut(sp, steps[name], text); !slices.Equal(got, pieces) {
				t.Errorf("%s: %q is cut into %q, want %q", name, text, got, pieces)
			}
		}
		if testing.Short() {
			continue
		}
		digest := sha256.New()
		for c := range rune(0x32400) {
			if !utf8.ValidRune(c) {
				continue
			}
			s := string(c)
			for _, piece := range cut(sp, steps[name], "a"+s+"b "+s+s+"12'"+s+"c") {
				digest.Write([]byte{byte(utf8.RuneCountInString(piece))})
			}
		}
		if got := hex.EncodeToString(digest.Sum(nil)); got != w.SHA256 {
			t.Errorf("%s: some character below U+32400 is cut elsewhere than by the reference", name)
		}
	}
}

func TestShortAndLongMergesAgree(t *testing.T) {
	text, err := os.ReadFile("testdata/gpt2.json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	e := tok.NewEncoder()
	state := uint32(1)
	for range 3000 {
		state = state*1664525 + 1013904223
		word := make([]int32, 1+state>>8%64)
		for i := range word {
			state = state*1664525 + 1013904223
			word[i] = tok.single["the and model"[state>>8%13]]
		}
		short := slices.Clone(e.mergeShort(slices.Clone(word)))
		long := e.mergeLong(slices.Clone(word))
		if !slices.Equal(short, long) {
			t.Fatalf("%v gives %v and %v", word, short, long)
		}
	}
}

func TestBrokenCharactersAreReplacedByTheirLongestParts(t *testing.T) {
	for text, want := range map[string]string{
		"\xe2\x82A": "\ufffdA", "\xe2\x82": "\ufffd", "\xf0\x9f\x98": "\ufffd", "\xff\xfe": "\ufffd\ufffd", "\xc0\xaf": "\ufffd\ufffd", "\xed\xa0\x80": "\ufffd\ufffd\ufffd",
		"\xf4\x90\x80\x80": "\ufffd\ufffd\ufffd\ufffd", "a\x80b": "a\ufffdb", "\xe2\xe2\x82\xac": "\ufffd€", "\xf0\x9f\xf0\x9f\x98\x80": "\ufffd😀",
	} {
		if got := valid([]byte(text)); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func FuzzCut(f *testing.F) {
	for _, s := range []string{"it's  a\n test 123", "\xff'\xc5\xbfx \u3000", "a\u0085 b\r\n\r\n"} {
		f.Add(s)
	}
	sp := splitter(classes())
	f.Fuzz(func(t *testing.T, text string) {
		for name, step := range steps {
			if got := strings.Join(cut(sp, step, text), ""); got != text {
				t.Fatalf("%s loses something: %q of %q", name, got, text)
			}
		}
	})
}
