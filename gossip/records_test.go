package gossip

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// recordExamples are the messages in wire.md that are about records.
func recordExamples(t testing.TB, run RunID, s Signer) map[string]*Message {
	first := &Records{Epoch: 0, First: 0, Base: 0, Bytes: []byte{0x4e, 0xed, 0x00}}
	batch := func(r *Records) *Message { return &Message{Run: run, Author: s.ID(), Seq: 10 + r.First, Body: r} }
	direct := func(b Body) *Message { return &Message{Run: run, Author: s.ID(), Body: b} }
	packed := PackSums([]int64{0, -13204, 63744, 1})
	return map[string]*Message{
		"records":         batch(&Records{Epoch: 1, First: 3, Base: 40, Previous: first.Digest(s.ID()), Bytes: []byte{0x01, 0xff}}),
		"records-checked": batch(&Records{Epoch: 1, First: 3, Base: 40, Previous: first.Digest(s.ID()), Bytes: []byte{0x01, 0xff}, Sets: sets(2)}),
		"challenge":       direct(&Challenge{Tag: 0x1122334455667788, Seq: 4}),
		"basis": direct(&Basis{
			Tag: 0x1122334455667788, Seq: 4, First: 3, Sets: [][8]byte{{1}, {2}}, Places: []Place{{0x1122334455667788, 4}, {0x8899aabbccddeeff, 500}},
		}),
		"basis-gone":    direct(&Basis{Tag: 0x1122334455667788, Seq: 4}),
		"known-digest":  direct(&Known{Form: FormDigest, VectorDigest: id(5), BansDigest: id(6), Count: 1000}),
		"known-vector":  direct(&Known{Form: FormVector, Places: []Place{{0x1122334455667788, 3}, {0x8899aabbccddeeff, 500}}}),
		"known-ranges":  direct(&Known{Form: FormRanges, Reply: true, Ranges: []byte{1, 2, 3}}),
		"known-bans":    direct(&Known{Form: FormBans, Reply: true, Places: []Place{{0x1122334455667788, 0}}}),
		"fetch-records": direct(&Fetch{Want: WantRecords, Ranges: []Range{{0x1122334455667788, 3, 5}, {0x1122334455667788, 7, 300}}}),
		"fetch-digest":  direct(&Fetch{Want: WantDigest, VectorDigest: id(5)}),
		"snapshot": direct(&Snapshot{
			Config: id(7), Base: id(8), Digest: id(9), Whole: true, Closed: 2, Certificate: certificateOf(t, run, closingExample()),
			Tails: []Tail{{0x1122334455667788, 300, 1, 44, [2]uint64{0x0102030405060708, 0x090a0b0c0d0e0f10}}},
			Bans:  []Place{{0x8899aabbccddeeff, 12}},
			Sums:  []Sums{{0, 4, Piece{Inline: packed, Size: uint64(len(packed))}}, {1, 4096, Piece{Blob: BlobID(id(4)), Size: 12345}}},
		}),
		"snapshot-digest": direct(&Snapshot{Config: id(7), Base: id(8), Digest: id(9), VectorDigest: id(5), BansDigest: id(6)}),
		"proof":           {Run: run, Author: s.ID(), Seq: 12, Body: proofOf(t, run, first, &Records{Bytes: []byte{0x4e, 0x6d}})},
	}
}

// sets is the commitment to sets that are named by numbers from 1 on.
func sets(n byte) (c [16]byte) {
	for i := range n {
		c = Commit(c, [8]byte{i + 1})
	}
	return c
}

// proofOf shows two batches that signer 2 has signed.
func proofOf(t testing.TB, run RunID, a, b *Records) *Proof {
	t.Helper()
	p := new(Proof)
	for i, r := range []*Records{a, b} {
		m, err := Seal(&Message{Run: run, Author: signer(2).ID(), Seq: uint64(i + 1), Body: r}, signer(2))
		if err != nil {
			t.Fatal(err)
		}
		if p.A == nil {
			p.A = m
		} else {
			p.B = m
		}
	}
	if bytes.Compare(p.A.Raw, p.B.Raw) > 0 {
		p.A, p.B = p.B, p.A
	}
	return p
}

// drawRecords draws a batch that is well-formed.
func drawRecords(t *rapid.T, most int) *Records {
	r := &Records{
		Epoch: rapid.Uint32().Draw(t, "epoch"), First: rapid.Uint64Range(0, math.MaxUint64-uint64(most)).Draw(t, "first"),
		Base:  rapid.Uint64().Draw(t, "base"),
		Bytes: rapid.SliceOfN(rapid.Byte().Filter(func(b byte) bool { return b != noRecord }), 1, most).Draw(t, "bytes"),
	}
	if r.First > 0 {
		r.Previous = [32]byte(id(rapid.ByteRange(1, 255).Draw(t, "previous")))
	}
	r.Sets = sets(rapid.ByteMax(3).Draw(t, "sets"))
	return r
}

// comesBack checks that a message survives sealing and opening, and that its size was known.
func comesBack(t *rapid.T, m *Message, s Signer) {
	sealed, err := Seal(m, s)
	if err != nil {
		t.Fatal(err)
	}
	got, v := openAny(sealed.Raw, m)
	if v.Decision != Accept {
		t.Fatalf("%v for %+v", v, m.Body)
	}
	if d := cmp.Diff(m.Body, got.Body); d != "" {
		t.Fatal(d)
	}
	if n := SealedSize(m, false); n != len(sealed.Raw) {
		t.Fatalf("the sealed size is said to be %d and is %d", n, len(sealed.Raw))
	}
}

func TestAllRecordsComeBackAsTheyWereSealed(t *testing.T) {
	s := signer(3)
	rapid.Check(t, func(t *rapid.T) {
		comesBack(t, &Message{Run: RunID(id(9)), Author: s.ID(), Seq: 1 + rapid.Uint64Range(0, 1<<60).Draw(t, "seq"), Body: drawRecords(t, 600)}, s)
	})
	most := &Message{Author: s.ID(), Seq: 1, Body: &Records{Bytes: make([]byte, 4096)}}
	if _, v := Open(seal(t, most, s), DefaultLimits(), Ed25519Verifier{}); v.Decision != Accept {
		t.Errorf("the largest batch: %v", v)
	}
}

func TestRecordsThatNoHonestNodeSendsAreRejected(t *testing.T) {
	malformed := Verdict{Reject, ReasonMalformed}
	for _, c := range []struct {
		name string
		edit func(r *Records)
		want Verdict
	}{
		{"good", func(*Records) {}, Verdict{}},
		{"none", func(r *Records) { r.Bytes = nil }, malformed},
		{"too many", func(r *Records) { r.Bytes = make([]byte, 4097) }, malformed},
		{"negative zero", func(r *Records) { r.Bytes[1] = 0x80 }, malformed},
		{"a later batch without a previous one", func(r *Records) { r.Previous = [32]byte{} }, malformed},
		{"a first batch with a previous one", func(r *Records) { r.First = 0 }, malformed},
		{"the last record that has a number", func(r *Records) { r.First = math.MaxUint64 - 2 }, Verdict{}},
		{"records without a number", func(r *Records) { r.First = math.MaxUint64 - 1 }, malformed},
	} {
		m := examples(t)["records"]
		c.edit(m.Body.(*Records))
		if _, got := Open(seal(t, m, signer(1)), DefaultLimits(), Ed25519Verifier{}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	m := examples(t)["records"]
	raw := seal(t, m, signer(1))
	if _, v := OpenDirect(raw, m.Author, DefaultLimits()); v != (Verdict{Reject, ReasonUnknownKind}) {
		t.Errorf("as a direct message: %v", v)
	}
	lim := DefaultLimits()
	lim.MaxRecords = 1
	if _, v := Open(raw, lim, Ed25519Verifier{}); v != malformed {
		t.Errorf("more records than a lower limit: %v", v)
	}
}

// TestTagsAndChainsAreThoseOfTheDocument keeps names that other programs compute, too.
func TestTagsAndChainsAreThoseOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("wire.md")
	if err != nil {
		t.Fatal(err)
	}
	m := examples(t)["records"]
	r := m.Body.(*Records)
	link := r.Digest(m.Author)
	for _, want := range []string{fmt.Sprintf("`%016x`", Tag(m.Run, m.Author)), fmt.Sprintf("`%s`", hex.EncodeToString(link[:]))} {
		if !strings.Contains(string(text), want) {
			t.Errorf("wire.md lacks %s", want)
		}
	}
	if other := *m; Tag(RunID{}, m.Author) == Tag(m.Run, m.Author) || Tag(m.Run, id(2)) == Tag(other.Run, other.Author) {
		t.Error("another run or author has the same tag")
	}
	for name, edit := range map[string]func(r *Records){
		"epoch": func(r *Records) { r.Epoch++ }, "first": func(r *Records) { r.First++ }, "previous": func(r *Records) { r.Previous[0]++ },
		"bytes": func(r *Records) { r.Bytes = r.Bytes[:1] }, "sets": func(r *Records) { r.Sets = sets(1) },
	} {
		other := *r
		edit(&other)
		if other.Digest(m.Author) == link {
			t.Errorf("the digest does not cover %s", name)
		}
	}
	if r.Base++; r.Digest(m.Author) != link || r.Digest(id(2)) == link {
		t.Error("the digest covers what a batch was measured on, or not whose it is")
	}
}

// onWire is the length of what gossipsub sends for a message of n bytes over a link: an RPC with its length before it, in which there is
// one message of data and topic.
func onWire(n int, topic string) int {
	length := func(n int) int { // of a number in base 128
		digits := 1
		for ; n >= 128; n >>= 7 {
			digits++
		}
		return digits
	}
	field := func(n int) int { return 1 + length(n) + n }
	rpc := field(field(n) + field(len(topic)))
	return length(rpc) + rpc
}

// TestAThousandRecordsAreFourKiBOnTheWire is claim 2 of one byte per gradient, with the longest encoding of every field.
func TestAThousandRecordsAreFourKiBOnTheWire(t *testing.T) {
	text, err := os.ReadFile("wire.md")
	if err != nil {
		t.Fatal(err)
	}
	const records, most = 1000, 4096
	topic := Topic(RunID(id(0xab)), MaxCells-1)
	for _, batch := range []int{64, DefaultBatch, 256} {
		total, messages := 0, 0
		for left := records; left > 0; left -= batch {
			m := &Message{Author: signer(1).ID(), Seq: math.MaxUint64, Body: &Records{
				Epoch: math.MaxUint32, First: math.MaxUint64 - 5000, Base: math.MaxUint64, Previous: id(1), Bytes: make([]byte, min(batch, left)),
			}}
			if got, want := SealedSize(m, false), len(seal(t, m, signer(1))); got != want {
				t.Fatalf("a size of %d, and sealed it is %d", got, want)
			}
			total += onWire(SealedSize(m, false), topic)
			messages++
		}
		if row := fmt.Sprintf("| %d | %d | %d |", batch, messages, total); !strings.Contains(string(text), row) {
			t.Errorf("wire.md lacks the row %s", row)
		}
		// An ID is announced in a record of control of its own at the worst.
		const announced = 1 + 2 + 2 + (2 + 48) + (2 + len([20]byte{}))
		if all := total + messages*announced; batch == DefaultBatch && all > most {
			t.Errorf("%d records in batches of %d are %d bytes on the wire, and %d with an announcement of each: more than %d", records, batch, total, all, most)
		}
	}
}

func TestEquivocationIsFoundWhereItBegins(t *testing.T) {
	a := &Records{Epoch: 1, First: 4, Previous: id(1), Bytes: []byte{1, 2, 3, 4}}
	author := signer(2).ID()
	for _, c := range []struct {
		name  string
		b     Records
		first uint64
		ok    bool
	}{
		{"the same", *a, 0, false},
		{"another base", Records{Epoch: 1, First: 4, Base: 9, Previous: id(1), Bytes: a.Bytes}, 0, false},
		{"fewer of the same", Records{Epoch: 1, First: 4, Previous: id(1), Bytes: a.Bytes[:2]}, 0, false},
		{"another byte", Records{Epoch: 1, First: 4, Previous: id(1), Bytes: []byte{1, 2, 9, 4}}, 6, true},
		{"another epoch", Records{Epoch: 2, First: 4, Previous: id(1), Bytes: []byte{1}}, 4, true},
		{"another past", Records{Epoch: 1, First: 4, Previous: id(2), Bytes: a.Bytes}, 4, true},
		{"later, the same", Records{Epoch: 1, First: 6, Previous: id(2), Bytes: []byte{3, 4, 5}}, 0, false},
		{"later, another byte", Records{Epoch: 1, First: 6, Previous: id(2), Bytes: []byte{3, 5, 5}}, 7, true},
		{"later, another epoch", Records{Epoch: 0, First: 6, Previous: id(2), Bytes: []byte{3, 5, 5}}, 6, true},
		{"inside, the same", Records{Epoch: 1, First: 5, Previous: id(2), Bytes: []byte{2, 3}}, 0, false},
		{"earlier, another byte", Records{Epoch: 1, First: 1, Previous: id(2), Bytes: []byte{7, 7, 7, 8, 9}}, 4, true},
		{"next", Records{Epoch: 2, First: 8, Previous: a.Digest(author), Bytes: []byte{9}}, 0, false},
		{"next, of another past", Records{Epoch: 2, First: 8, Previous: id(3), Bytes: []byte{9}}, 8, true},
		{"far ahead", Records{Epoch: 2, First: 9, Previous: id(3), Bytes: []byte{9}}, 0, false},
		{"the same, measured on others", Records{Epoch: 1, First: 4, Previous: id(1), Bytes: a.Bytes, Sets: sets(1)}, 4, true},
		{"fewer of the same, measured on others", Records{Epoch: 1, First: 4, Previous: id(1), Bytes: a.Bytes[:2], Sets: sets(1)}, 0, false},
		{"the last there can be", Records{Epoch: 2, First: math.MaxUint64, Previous: id(3), Bytes: []byte{9}}, 0, false},
	} {
		x, y := &Message{Author: author, Body: a}, &Message{Author: author, Body: &c.b}
		for _, pair := range [][2]*Message{{x, y}, {y, x}} {
			if first, ok := Equivocation(pair[0], pair[1]); ok != c.ok || ok && first != c.first {
				t.Errorf("%s: got %d %v, want %d %v", c.name, first, ok, c.first, c.ok)
			}
		}
	}
	other := &Message{Author: author, Body: &Records{Epoch: 3, First: 4, Previous: id(2), Bytes: []byte{7}}}
	for name, m := range map[string]*Message{
		"another author": {Author: id(7), Body: other.Body}, "another run": {Author: author, Run: RunID{1}, Body: other.Body}, "no records": {Author: author, Body: &Leave{}},
	} {
		if _, ok := Equivocation(&Message{Author: author, Body: a}, m); ok {
			t.Errorf("%s: taken for a proof", name)
		}
	}
}

// TestTwoLogsConflictWhereTheyPart cuts two logs that share a beginning into batches, and compares all of them.
func TestTwoLogsConflictWhereTheyPart(t *testing.T) {
	author := signer(2).ID()
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := rapid.SliceOfN(rapid.ByteRange(0, 3), 1, 40)
		one, other := bytesOf.Draw(t, "log"), bytesOf.Draw(t, "fork")
		parts := rapid.IntRange(0, min(len(one), len(other))).Draw(t, "shared")
		copy(other, one[:parts])
		for parts < min(len(one), len(other)) && one[parts] == other[parts] {
			parts++
		}
		cuts := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 9).Draw(t, "cuts")
		cut := func(log []byte) (out []*Message) {
			r := &Records{}
			for i := 0; len(log) > 0; i++ {
				n := min(cuts[i%len(cuts)], len(log))
				r.Bytes = log[:n]
				out = append(out, &Message{Author: author, Body: r})
				r, log = &Records{First: r.End(), Previous: r.Digest(author)}, log[n:]
			}
			return out
		}
		first := uint64(math.MaxUint64)
		for i, a := range cut(one) {
			for j, b := range cut(one) {
				if at, ok := Equivocation(a, b); ok {
					t.Fatalf("batches %d and %d of one log conflict at %d", i, j, at)
				}
			}
			for _, b := range cut(other) {
				at, ok := Equivocation(a, b)
				if again, same := Equivocation(b, a); again != at || same != ok {
					t.Fatalf("the order matters: %d %v and %d %v", at, ok, again, same)
				}
				if ok {
					first = min(first, at)
				}
			}
		}
		if parts < min(len(one), len(other)) && first != uint64(parts) {
			t.Fatalf("logs that part at %d conflict at %d", parts, first)
		}
	})
}
