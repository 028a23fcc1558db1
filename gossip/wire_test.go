package gossip

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"maps"
	"math"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the examples in wire.md")

func signer(n byte) Signer {
	return Ed25519Signer(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
}

func id(n byte) (p PeerID) {
	copy(p[:], bytes.Repeat([]byte{n}, 32))
	return p
}

// examples are the messages in wire.md.
func examples(t testing.TB) map[string]*Message {
	s := signer(1)
	run := RunID(bytes.Repeat([]byte{0xab}, 32))
	m := map[string]*Message{
		"update-inline": {Run: run, Author: s.ID(), Seq: 7, Body: &Update{
			Round: 3, Age: 150, Samples: 1600, Degree: 2, Loss: 0.5, Codec: "bf16", Len: 1, Inline: []byte{0x80, 0x3f}, Size: 2,
		}},
		"update-blob": {Run: run, Author: s.ID(), Seq: 8, Body: &Update{
			Round: 4, Age: 200, Samples: 1600, Degree: 2, Loss: 0.25, Weight: 1.5, LinkEpoch: 7, To: []PeerID{id(2), id(3)},
			Mixed: []Mark{{id(2), 5}}, Refused: []Refusal{{id(3), 6, RefusedStale}}, Stats: []TensorStat{{0.5, 2}},
			Codec: "bf16", Len: 50890, Blob: BlobID(id(9)), Size: 101780,
		}},
		"delta": {Run: run, Author: s.ID(), Seq: 9, Body: &Delta{
			Part: PartGradient, Fragment: 2, Round: 5, Base: 0x1234, Version: 0x1235, Age: 400, Steps: 100, Samples: 1600, Speed: 12.5, Loss: 0.25, Degree: 4, Rate: 0.5,
			To: []PeerID{id(2)}, Mixed: []Mark{{id(2), 5}}, Refused: []Refusal{{id(3), 6, RefusedStale}},
			Codec: "int8", Len: 50890, Pieces: []Piece{{Inline: []byte{1, 2}, Size: 2}, {Blob: BlobID(id(9)), Size: 25445}},
		}},
		"request": {Run: run, Author: s.ID(), Body: &Request{Part: PartState, Fragment: 1, Since: 9}},
		"leave":   {Run: run, Author: s.ID(), Seq: 9, Body: &Leave{}},
		"digest":  {Run: run, Author: s.ID(), Body: &Digest{Known: []Mark{{id(2), 5}, {id(3), 6}}, Reply: true}},
	}
	maps.Copy(m, recordExamples(t, run, s))
	maps.Copy(m, ballotExamples(t, run, s))
	maps.Copy(m, tokenExamples(run, s))
	m["repair"] = &Message{Run: run, Author: s.ID(), Body: &Repair{Messages: [][]byte{seal(t, m["leave"], s)}}}
	return m
}

func seal(t testing.TB, m *Message, s Signer) []byte {
	t.Helper()
	sealed, err := Seal(m, s)
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Raw
}

func openAny(raw []byte, m *Message) (*Message, Verdict) {
	if m.Body.kind().broadcast() {
		return Open(raw, DefaultLimits(), Ed25519Verifier{})
	}
	return OpenDirect(raw, m.Author, DefaultLimits())
}

// TestTheExamplesInWireMdAreWhatTheCodeDoes compares both ways.
func TestTheExamplesInWireMdAreWhatTheCodeDoes(t *testing.T) {
	text, err := os.ReadFile("wire.md")
	if err != nil {
		t.Fatal(err)
	}
	want := examples(t)
	block := regexp.MustCompile("(?s)```([a-z-]+)\n(.*?)```")
	seen := 0
	out := block.ReplaceAllStringFunc(string(text), func(b string) string {
		parts := block.FindStringSubmatch(b)
		m := want[parts[1]]
		if m == nil {
			t.Fatalf("example %s is not in the test", parts[1])
		}
		seen++
		raw := seal(t, m, signer(1))
		var hexed strings.Builder
		for i := 0; i < len(raw); i += 32 {
			hexed.WriteString(hex.EncodeToString(raw[i:min(i+32, len(raw))]) + "\n")
		}
		if *update {
			return "```" + parts[1] + "\n" + hexed.String() + "```"
		}
		doc, err := hex.DecodeString(strings.ReplaceAll(parts[2], "\n", ""))
		if err != nil {
			t.Fatalf("%s: %v", parts[1], err)
		}
		if !bytes.Equal(doc, raw) {
			t.Errorf("%s: wire.md has\n%x\nthe code makes\n%x", parts[1], doc, raw)
		}
		got, v := openAny(doc, m)
		if v.Decision != Accept {
			t.Fatalf("%s: %v", parts[1], v)
		}
		if d := cmp.Diff(m.Body, got.Body); d != "" || got.Author != m.Author || got.Seq != m.Seq || got.Run != m.Run {
			t.Errorf("%s (-want +got):\n%s", parts[1], d)
		}
		return b
	})
	if seen != len(want) {
		t.Errorf("wire.md has %d of %d examples", seen, len(want))
	}
	if *update {
		if err := os.WriteFile("wire.md", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryMessageComesBackAsItWasSealed(t *testing.T) {
	s := signer(3)
	peers := func(t *rapid.T) []PeerID {
		set := rapid.SliceOfNDistinct(rapid.Byte(), 0, 20, rapid.ID).Draw(t, "peers")
		var out []PeerID
		for n := range 256 {
			if bytes.IndexByte(set, byte(n)) >= 0 {
				out = append(out, id(byte(n)))
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		u := &Update{
			Round: rapid.Uint64().Draw(t, "round"), Age: rapid.Uint64().Draw(t, "age"), Samples: rapid.Uint64().Draw(t, "samples"),
			Degree: rapid.Uint32().Draw(t, "degree"), Loss: float32(rapid.Float64Range(-1e30, 1e30).Draw(t, "loss")),
			Weight: rapid.Float64Range(0, 1e300).Draw(t, "weight"), LinkEpoch: rapid.Uint64().Draw(t, "epoch"), To: peers(t),
			Codec: rapid.StringN(0, 10, 40).Draw(t, "codec"), Len: rapid.Uint32().Draw(t, "len"),
		}
		for _, p := range peers(t) {
			u.Mixed = append(u.Mixed, Mark{p, rapid.Uint64().Draw(t, "seq")})
		}
		for _, p := range peers(t) {
			u.Refused = append(u.Refused, Refusal{p, rapid.Uint64().Draw(t, "seq"), RefusalReason(rapid.Uint8().Draw(t, "why"))})
		}
		for range rapid.IntRange(0, 5).Draw(t, "stats") {
			u.Stats = append(u.Stats, TensorStat{float32(rapid.Float64Range(-9, 9).Draw(t, "mean")), float32(rapid.Float64Range(0, 9).Draw(t, "var"))})
		}
		if rapid.Bool().Draw(t, "inline") {
			u.Inline = rapid.SliceOfN(rapid.Byte(), 1, 3000).Draw(t, "payload")
			u.Size = uint64(len(u.Inline))
		} else {
			u.Blob, u.Size = BlobID(id(rapid.Byte().Draw(t, "blob"))), 1+rapid.Uint64Range(0, 1<<40).Draw(t, "size")
		}
		m := &Message{Run: RunID(id(9)), Author: s.ID(), Seq: 1 + rapid.Uint64Range(0, 1<<60).Draw(t, "seq"), Body: u}
		sealed, err := Seal(m, s)
		if err != nil {
			t.Fatal(err)
		}
		got, v := Open(sealed.Raw, DefaultLimits(), Ed25519Verifier{})
		if v.Decision != Accept {
			t.Fatalf("%v for %+v", v, u)
		}
		if d := cmp.Diff(m.Body, got.Body); d != "" {
			t.Fatal(d)
		}
		if n := SealedSize(m, u.Inline != nil); n != len(sealed.Raw) {
			t.Fatalf("the sealed size is said to be %d and is %d", n, len(sealed.Raw))
		}
	})
}

func TestSealedSizesAreKnownBeforehand(t *testing.T) {
	for name, m := range examples(t) {
		if got, want := SealedSize(m, false), len(seal(t, m, signer(1))); got != want {
			t.Errorf("%s: a size of %d, and sealed it is %d", name, got, want)
		}
	}
	raw := make([]byte, 300)
	with := &Message{Body: &Repair{Messages: [][]byte{raw, raw[:5]}}}
	if got, want := SealedSize(&Message{Body: &Repair{}}, false, 300, 5), len(seal(t, with, nil)); got != want {
		t.Errorf("a repair that forwards: a size of %d, and sealed it is %d", got, want)
	}
}

// TestEveryReasonIsGivenForWhatItSays breaks a good message in one way at a time.
func TestEveryReasonIsGivenForWhatItSays(t *testing.T) {
	s := signer(1)
	good := func() (*Message, *Update) {
		m := examples(t)["update-inline"]
		return m, m.Body.(*Update)
	}
	envelopeOf := func(edit func(e *envelope)) []byte {
		m, _ := good()
		var e envelope
		if err := decMode.Unmarshal(seal(t, m, s), &e); err != nil {
			t.Fatal(err)
		}
		edit(&e)
		b, err := encMode.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	updateOf := func(edit func(u *Update)) []byte {
		m, u := good()
		edit(u)
		return seal(t, m, s)
	}
	raw := updateOf(func(*Update) {})
	nan := float32(math.NaN())
	for _, c := range []struct {
		name string
		raw  []byte
		want Verdict
	}{
		{"good", raw, Verdict{}},
		{"empty", nil, Verdict{Reject, ReasonMalformed}},
		{"oversized", make([]byte, 64<<10+1), Verdict{Reject, ReasonOversized}},
		{"truncated", raw[:len(raw)-1], Verdict{Reject, ReasonMalformed}},
		{"trailing byte", append(bytes.Clone(raw), 0), Verdict{Reject, ReasonMalformed}},
		{"long form of an integer", bytes.Replace(raw, []byte{0x87, 0x01}, []byte{0x87, 0x18, 0x01}, 1), Verdict{Reject, ReasonMalformed}},
		{"indefinite array", append(append([]byte{0x9f}, raw[1:]...), 0xff), Verdict{Reject, ReasonMalformed}},
		{"map", []byte{0xa1, 0x01, 0x02}, Verdict{Reject, ReasonMalformed}},
		{"next version", envelopeOf(func(e *envelope) { e.Version = 2 }), Verdict{Ignore, ReasonVersion}},
		{"signature of nobody", envelopeOf(func(e *envelope) { e.Signature = make([]byte, 64) }), Verdict{Reject, ReasonSignature}},
		{"no signature", envelopeOf(func(e *envelope) { e.Signature = []byte{} }), Verdict{Reject, ReasonSignature}},
		{"other author", envelopeOf(func(e *envelope) { e.Author = signer(2).ID() }), Verdict{Reject, ReasonSignature}},
		{"other run", envelopeOf(func(e *envelope) { e.Run[0]++ }), Verdict{Reject, ReasonSignature}},
		{"other number", envelopeOf(func(e *envelope) { e.Seq++ }), Verdict{Reject, ReasonSignature}},
		{"other kind", envelopeOf(func(e *envelope) { e.Kind = 2 }), Verdict{Reject, ReasonSignature}},
		{"changed body", envelopeOf(func(e *envelope) { e.Body[3]++ }), Verdict{Reject, ReasonSignature}},
		{"number 0", envelopeOf(func(e *envelope) { e.Seq = 0 }), Verdict{Reject, ReasonMalformed}},
		{"direct kind", envelopeOf(func(e *envelope) { e.Kind = 3 }), Verdict{Reject, ReasonUnknownKind}},
		{"unknown kind", envelopeOf(func(e *envelope) { e.Kind = 77 }), Verdict{Reject, ReasonUnknownKind}},
		{"loss NaN", updateOf(func(u *Update) { u.Loss = nan }), Verdict{Reject, ReasonNonFinite}},
		{"weight infinite", updateOf(func(u *Update) { u.Weight = math.Inf(1) }), Verdict{Reject, ReasonNonFinite}},
		{"weight negative", updateOf(func(u *Update) { u.Weight = -1 }), Verdict{Reject, ReasonMalformed}},
		{"statistics NaN", updateOf(func(u *Update) { u.Stats = []TensorStat{{nan, 1}} }), Verdict{Reject, ReasonNonFinite}},
		{"variance negative", updateOf(func(u *Update) { u.Stats = []TensorStat{{0, -1}} }), Verdict{Reject, ReasonNonFinite}},
		{"too many statistics", updateOf(func(u *Update) { u.Stats = make([]TensorStat, 1025) }), Verdict{Reject, ReasonMalformed}},
		{"no payload", updateOf(func(u *Update) { u.Inline = []byte{}; u.Size = 1 }), Verdict{Reject, ReasonMalformed}},
		{"size of the payload wrong", updateOf(func(u *Update) { u.Size = 3 }), Verdict{Reject, ReasonMalformed}},
		{"size 0", updateOf(func(u *Update) { u.Inline, u.Size = nil, 0 }), Verdict{Reject, ReasonMalformed}},
		{"codec name too long", updateOf(func(u *Update) { u.Codec = strings.Repeat("x", 65) }), Verdict{Reject, ReasonMalformed}},
		{"marks not ascending", updateOf(func(u *Update) { u.Mixed = []Mark{{id(3), 1}, {id(2), 1}} }), Verdict{Reject, ReasonMalformed}},
		{"neighbour twice", updateOf(func(u *Update) { u.To = []PeerID{id(3), id(3)} }), Verdict{Reject, ReasonMalformed}},
		{"refusals not ascending", updateOf(func(u *Update) { u.Refused = []Refusal{{id(3), 1, 1}, {id(2), 1, 1}} }), Verdict{Reject, ReasonMalformed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := Open(c.raw, DefaultLimits(), Ed25519Verifier{}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestDirectMessagesMustComeFromTheirAuthor(t *testing.T) {
	digest := examples(t)["digest"]
	raw := seal(t, digest, nil)
	if _, v := OpenDirect(raw, id(4), DefaultLimits()); v != (Verdict{Reject, ReasonAuthor}) {
		t.Errorf("from somebody else: %v", v)
	}
	if _, v := OpenDirect(make([]byte, 256<<10+1), digest.Author, DefaultLimits()); v != (Verdict{Reject, ReasonOversized}) {
		t.Errorf("oversized: %v", v)
	}
	if _, v := OpenDirect(seal(t, examples(t)["leave"], signer(1)), digest.Author, DefaultLimits()); v != (Verdict{Reject, ReasonUnknownKind}) {
		t.Errorf("a broadcast message: %v", v)
	}
	many := *digest
	many.Body = &Repair{Messages: make([][]byte, 65)}
	if _, v := OpenDirect(seal(t, &many, nil), digest.Author, DefaultLimits()); v.Decision != Reject {
		t.Errorf("a repair of 65 messages: %v", v)
	}
	if _, err := Seal(examples(t)["leave"], nil); err == nil {
		t.Error("a broadcast message is sealed without a signature")
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

// FuzzOpen checks that no bytes make Open panic, take much more memory than they are long, or come back different.
func FuzzOpen(f *testing.F) {
	for _, m := range examples(f) {
		f.Add(seal(f, m, signer(1)))
	}
	inner := seal(f, examples(f)["proof"], signer(1))
	f.Add(sealProof(f, RunID{}, inner[:len(inner)-1], inner))
	f.Add(seal(f, &Message{Author: signer(1).ID(), Body: &Snapshot{Whole: true, Sums: []Sums{{0, math.MaxUint32, Piece{Inline: []byte{0x80}, Size: 1}}}}}, nil))
	f.Add([]byte{0x87, 0x01, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		author := signer(1).ID()
		n := allocated(func() {
			for _, direct := range []bool{false, true} {
				m, v := Open(raw, DefaultLimits(), nil)
				if direct {
					m, v = OpenDirect(raw, author, DefaultLimits())
				}
				if v.Decision != Accept {
					continue
				}
				e := envelope{Version: WireVersion, Run: m.Run, Author: m.Author, Seq: m.Seq, Kind: uint64(m.Body.kind())}
				e.Body, _ = encMode.Marshal(toWire(m.Body))
				var was envelope
				decMode.Unmarshal(raw, &was)
				if !bytes.Equal(e.Body, was.Body) {
					t.Errorf("body %x comes back as %x", was.Body, e.Body)
				}
			}
		})
		if most := uint64(1<<20 + 64*len(raw)); n > most {
			t.Errorf("%d bytes allocate %d", len(raw), n)
		}
	})
}

func TestLinksComeBackAndMistakesAreNoticed(t *testing.T) {
	for _, l := range []Link{
		{Run: RunID(id(7))},
		{Run: RunID(id(7)), Bootstrap: []string{"/ip4/192.0.2.1/udp/4150/quic-v1/p2p/" + signer(1).ID().String(), "/dns4/x/tcp/1"}},
	} {
		text := l.String()
		for _, form := range []string{text, " " + text + "\n", linkScheme + strings.ToUpper(text[len(linkScheme):])} {
			got, err := ParseLink(form)
			if d := cmp.Diff(l, got); err != nil || d != "" {
				t.Errorf("%q: %v %s", form, err, d)
			}
		}
		for i := len(linkScheme); i < len(text); i++ {
			if _, err := ParseLink(text[:i]); err == nil {
				t.Fatalf("cut after %d characters: accepted", i)
			}
			wrong := []byte(text)
			wrong[i] = 'a' + (wrong[i]+1)%26
			if wrong[i] != text[i] {
				if _, err := ParseLink(string(wrong)); err == nil {
					t.Fatalf("mistyped at %d: accepted", i)
				}
			}
		}
	}
	for _, bad := range []string{"", "http://x", "starling://", "starling://!!!!", "starling:/abc", linkScheme + strings.Repeat("a", 5000)} {
		if _, err := ParseLink(bad); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(Link{Run: RunID(id(7)), Bootstrap: []string{"/ip4/1.2.3.4/tcp/1"}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLink(text)
		if err != nil {
			return
		}
		if again, err := ParseLink(l.String()); err != nil || cmp.Diff(l, again) != "" {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestPeerIDsComeBack(t *testing.T) {
	p := signer(1).ID()
	if !strings.HasPrefix(p.String(), "12D3KooW") {
		t.Errorf("peer ID %s does not look like one", p)
	}
	if got, err := ParsePeerID(p.String()); err != nil || got != p {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "x", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", strings.Repeat("1", 100), "0OIl"} {
		if _, err := ParsePeerID(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestCellsAreEvenAndReshuffle(t *testing.T) {
	const peers, cells = 4000, 8
	var count [cells]int
	moved := 0
	for i := range peers {
		var p PeerID
		p[0], p[1] = byte(i), byte(i>>8)
		a, b := Cell(p, 1, cells), Cell(p, 2, cells)
		count[a]++
		if a != b {
			moved++
		}
	}
	for c, n := range count {
		if n < peers/cells*8/10 || n > peers/cells*12/10 {
			t.Errorf("cell %d has %d of %d peers", c, n, peers)
		}
	}
	if moved < peers/2 {
		t.Errorf("only %d of %d peers moved with the epoch", moved, peers)
	}
}

func TestPeerArraysAreByteStrings(t *testing.T) {
	b, err := cbor.Marshal(id(1))
	if err != nil || b[0] != 0x58 {
		t.Errorf("%x %v", b[:2], err)
	}
}

func BenchmarkSealOpen(b *testing.B) {
	for name, n := range map[string]int{"300 B": 100, "48 KiB": 48 << 10} {
		b.Run(name, func(b *testing.B) {
			s := signer(1)
			m := &Message{Author: s.ID(), Seq: 1, Body: &Update{Round: 1, Age: 1, Codec: "fp32", Len: 1, Inline: make([]byte, n), Size: uint64(n)}}
			for b.Loop() {
				raw := seal(b, m, s)
				if _, v := Open(raw, DefaultLimits(), Ed25519Verifier{}); v.Decision != Accept {
					b.Fatal(v)
				}
			}
		})
	}
}
