package tokenizer_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"hash/crc32"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"starling/node/data/tokenizer"
)

// splitmix makes the words that testdata/reference.py has too.
type splitmix uint64

func (s *splitmix) below(n uint64) uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) % n
}

// lines are 10,000 texts of many scripts, emoji, code, white space, special tokens and random characters.
var lines = sync.OnceValues(func() ([]string, error) {
	text, err := os.ReadFile("testdata/pieces.json")
	if err != nil {
		return nil, err
	}
	var pieces []string
	if err := json.Unmarshal(text, &pieces); err != nil {
		return nil, err
	}
	words := splitmix(2024)
	out := make([]string, 10000)
	for i := range out {
		out[i] = line(&words, pieces)
	}
	return out, nil
})

func line(words *splitmix, pieces []string) string {
	var b strings.Builder
	piece := func() string { return pieces[words.below(uint64(len(pieces)))] }
	for range 1 + words.below(12) {
		switch kind := words.below(16); {
		case kind < 11:
			b.WriteString(piece())
		case kind < 14:
			b.WriteByte(' ')
		case kind == 14:
			limit := uint64(0x110000)
			if words.below(2) == 1 {
				limit = 0x10000
			}
			if c := rune(words.below(limit)); utf8.ValidRune(c) {
				b.WriteRune(c)
			} else {
				b.WriteByte('?')
			}
		default:
			first, _ := utf8.DecodeRuneInString(piece())
			b.WriteString(strings.Repeat(string(first), int(1+words.below(90))))
		}
	}
	return b.String()
}

func texts(t testing.TB) []string {
	t.Helper()
	all, err := lines()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var names = []string{"gpt2", "llama3", "qwen2", "smollm2", "unknown", "dropped"}

func load(t testing.TB, name string) *tokenizer.Tokenizer {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tok
}

// compare encodes all lines and compares with what the reference made of them.
func compare(t *testing.T, name string, tok *tokenizer.Tokenizer) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + name + ".ids")
	if err != nil {
		t.Fatal(err)
	}
	all := texts(t)
	if len(want) != sha256.Size+2*len(all) {
		t.Fatalf("%d bytes of IDs for %d lines", len(want), len(all))
	}
	if testing.Short() {
		all = all[:1000]
	}
	e := tok.NewEncoder()
	whole, wrong := sha256.New(), 0
	for i, text := range all {
		ids := e.Encode(nil, text)
		if got := uint16(sum(whole, ids)); got != binary.LittleEndian.Uint16(want[sha256.Size+2*i:]) {
			if wrong++; wrong <= 5 {
				t.Errorf("line %d, %q, is encoded to %q", i, text, pieces(tok, ids))
			}
		}
	}
	if wrong == 0 && !testing.Short() && string(whole.Sum(nil)) != string(want[:sha256.Size]) {
		wrong = 1 // of those whose checksums are right by chance
	}
	if wrong > 0 {
		t.Errorf("%d lines of %d are not encoded as by the reference", wrong, len(all))
	}
}

// sum adds the IDs of a line to the hash of all and returns the checksum of the line.
func sum(whole hash.Hash, ids []int32) uint32 {
	packed := binary.LittleEndian.AppendUint32(nil, uint32(len(ids)))
	for _, id := range ids {
		packed = binary.LittleEndian.AppendUint32(packed, uint32(id))
	}
	whole.Write(packed)
	return crc32.ChecksumIEEE(packed)
}

func pieces(tok *tokenizer.Tokenizer, ids []int32) []string {
	var out []string
	for _, id := range ids {
		out = append(out, tok.Token(id))
	}
	return out
}

func TestTextIsEncodedAsByTheReference(t *testing.T) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) { compare(t, name, load(t, name)) })
	}
}

func TestTokensAreDecodedAsByTheReference(t *testing.T) {
	text, err := os.ReadFile("testdata/decoded.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name      string
		IDs       []int32
		All, Text string
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	toks := map[string]*tokenizer.Tokenizer{}
	for _, name := range names {
		toks[name] = load(t, name)
	}
	for _, c := range cases {
		for special, want := range map[bool]string{true: c.All, false: c.Text} {
			if got := toks[c.Name].Decode(c.IDs, special); got != want {
				t.Errorf("%s: %v is %q, want %q", c.Name, c.IDs, got, want)
			}
			s, got := toks[c.Name].NewStream(special), ""
			for _, id := range c.IDs {
				piece := s.Add(id)
				if !utf8.ValidString(piece) {
					t.Errorf("%s: %v gives half a character, %q", c.Name, c.IDs, piece)
				}
				got += piece
			}
			if got += s.End(); got != want {
				t.Errorf("%s: %v is %q one by one, want %q", c.Name, c.IDs, got, want)
			}
		}
	}
}

func TestTextComesBack(t *testing.T) {
	for _, name := range []string{"gpt2", "llama3", "smollm2"} { // the others lose something on purpose
		tok := load(t, name)
		e := tok.NewEncoder()
		for _, text := range texts(t)[:2000] {
			if got := tok.Decode(e.Encode(nil, text), true); got != text {
				t.Fatalf("%s: %q comes back as %q", name, text, got)
			}
			if got := tok.Decode(e.Plain(nil, text), false); got != text {
				t.Fatalf("%s: %q comes back as %q when it is plain text", name, text, got)
			}
		}
	}
}
