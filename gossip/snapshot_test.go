package gossip

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEverySnapshotComesBackAsItWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Snapshot{Config: id(rapid.Byte().Draw(t, "config")), Base: id(rapid.Byte().Draw(t, "base")), Digest: id(rapid.Byte().Draw(t, "digest"))}
		if s.Whole = rapid.Bool().Draw(t, "whole"); !s.Whole {
			s.VectorDigest, s.BansDigest = id(rapid.Byte().Draw(t, "vector")), id(rapid.Byte().Draw(t, "bans"))
			comesBack(t, &Message{Run: RunID(id(9)), Author: id(4), Body: s}, nil)
			return
		}
		if s.Closed, s.Bans = rapid.Uint32().Draw(t, "closed"), drawPlaces(t, 0); s.Closed > 0 {
			c := closingExample()
			c.Epoch = s.Closed - 1
			s.Certificate = certificateOf(t, RunID(id(9)), c)
		}
		for _, p := range drawPlaces(t, 1) {
			s.Tails = append(s.Tails, Tail{p.Tag, p.Seq, rapid.Uint32().Draw(t, "epoch"),
				rapid.Uint32Range(1, uint32(min(p.Seq, math.MaxUint32))).Draw(t, "records"), [2]uint64{rapid.Uint64().Draw(t, "low"), rapid.Uint64().Draw(t, "high")}})
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "generations") {
			sums := rapid.SliceOfN(rapid.Int64(), 1, 100).Draw(t, "sums")
			packed := PackSums(sums)
			piece := Piece{Inline: packed, Size: uint64(len(packed))}
			if rapid.Bool().Draw(t, "blob") {
				piece = Piece{Blob: BlobID(id(3)), Size: uint64(len(packed))}
			}
			s.Sums = append(s.Sums, Sums{uint32(i) << 16, uint32(len(sums)), piece})
		}
		comesBack(t, &Message{Run: RunID(id(9)), Author: id(4), Body: s}, nil)
	})
}

func TestASnapshotThatNoHonestNodeSendsIsRejected(t *testing.T) {
	d := make([]byte, 32)
	packed := PackSums([]int64{5, -1000})
	good := func() *wireSnapshot {
		return &wireSnapshot{
			Whole: true, Tails: []wireTail{{Tag: 1, Next: 9, InEpoch: 9}, {Tag: 2, Next: 9, InEpoch: 1}}, Bans: []wirePlace{{Tag: 3}, {Tag: 4}},
			Sums: []wireSums{{Generation: 1, Len: 2, Size: uint64(len(packed)), Inline: packed}, {Generation: 2, Len: 100, Size: 100, Blob: d}},
		}
	}
	if got := openBody(t, KindSnapshot, good()); got != (Verdict{}) {
		t.Fatalf("a good one: %v", got)
	}
	if got := openBody(t, KindSnapshot, &wireSnapshot{VectorDigest: d, BansDigest: d}); got != (Verdict{}) {
		t.Fatalf("a good digest: %v", got)
	}
	for name, edit := range map[string]func(w *wireSnapshot){
		"whole and with a digest":        func(w *wireSnapshot) { w.VectorDigest = d },
		"whole and with one of bans":     func(w *wireSnapshot) { w.BansDigest = d },
		"neither whole nor a digest":     func(w *wireSnapshot) { *w = wireSnapshot{} },
		"a digest without one of bans":   func(w *wireSnapshot) { *w = wireSnapshot{VectorDigest: d} },
		"a digest with closed epochs":    func(w *wireSnapshot) { *w = wireSnapshot{VectorDigest: d, BansDigest: d, Closed: 1} },
		"a digest with tails":            func(w *wireSnapshot) { *w = wireSnapshot{VectorDigest: d, BansDigest: d, Tails: w.Tails} },
		"a digest with bans":             func(w *wireSnapshot) { *w = wireSnapshot{VectorDigest: d, BansDigest: d, Bans: w.Bans} },
		"a digest with sums":             func(w *wireSnapshot) { *w = wireSnapshot{VectorDigest: d, BansDigest: d, Sums: w.Sums} },
		"a log of nothing":               func(w *wireSnapshot) { w.Tails[0].Next = 0 },
		"an epoch of nothing":            func(w *wireSnapshot) { w.Tails[0].InEpoch = 0 },
		"more in an epoch than there is": func(w *wireSnapshot) { w.Tails[0].InEpoch = 10 },
		"a log twice":                    func(w *wireSnapshot) { w.Tails[1].Tag = 1 },
		"a ban twice":                    func(w *wireSnapshot) { w.Bans[1].Tag = 3 },
		"a generation twice":             func(w *wireSnapshot) { w.Sums[1].Generation = 1 },
		"too many generations":           func(w *wireSnapshot) { w.Sums = manyGenerations(257) },
		"a generation of nothing":        func(w *wireSnapshot) { w.Sums[0].Len = 0 },
		"more sums than bytes":           func(w *wireSnapshot) { w.Sums[0].Len = 4 },
		"fewer sums than bytes":          func(w *wireSnapshot) { w.Sums[0].Len = 1 },
		"sums of another size":           func(w *wireSnapshot) { w.Sums[0].Size++ },
		"neither inline nor a blob":      func(w *wireSnapshot) { w.Sums[1].Blob = nil },
		"inline and a blob":              func(w *wireSnapshot) { w.Sums[0].Blob = d },
		"a blob too short for the sums":  func(w *wireSnapshot) { w.Sums[1].Size = 99 },
		"a blob too long for the sums":   func(w *wireSnapshot) { w.Sums[1].Size = 1001 },
		"too many sums":                  func(w *wireSnapshot) { w.Sums[1].Len, w.Sums[1].Size = 1<<16+1, 1<<17 },
		"as many sums as can be named":   func(w *wireSnapshot) { w.Sums[1].Len, w.Sums[1].Size = math.MaxUint32, 1<<33 },
		"a number written long":          func(w *wireSnapshot) { w.Sums[0].Inline = []byte{10, 0xcf, 0x8f, 0}; w.Sums[0].Size = 4 },
	} {
		w := good()
		edit(w)
		if got := openBody(t, KindSnapshot, w); got != (Verdict{Reject, ReasonMalformed}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := openBody(t, KindSnapshot, &wireSnapshot{Whole: true, Sums: manyGenerations(256)}); got != (Verdict{}) {
		t.Errorf("as many generations as there can be: %v", got)
	}
}

func manyGenerations(n int) []wireSums {
	var out []wireSums
	for i := range n {
		out = append(out, wireSums{Generation: uint32(i), Len: 1, Size: 1, Inline: []byte{2}})
	}
	return out
}

func TestPackedSumsComeBackAndHaveOneForm(t *testing.T) {
	edges := []int64{0, 1, -1, 63, -64, 64, math.MaxInt64, math.MinInt64}
	for _, sums := range [][]int64{{}, edges, make([]int64, 1<<16)} {
		got, ok := UnpackSums(PackSums(sums), len(sums))
		if !ok || !slices.Equal(got, sums) {
			t.Errorf("%d sums come back as %d: %v", len(sums), len(got), ok)
		}
	}
	if got, want := PackSums([]int64{0, -13204, 63744, 1}), []byte{0x00, 0xa7, 0xce, 0x01, 0x80, 0xe4, 0x07, 0x02}; !bytes.Equal(got, want) {
		t.Errorf("packed to %x, want %x", got, want)
	}
	overflow := append(bytes.Repeat([]byte{0xff}, 9), 2)
	for _, c := range []struct {
		name   string
		packed []byte
		n      int
	}{
		{"fewer bytes than sums", []byte{1, 2}, 3},
		{"a byte left", []byte{1, 2}, 1},
		{"cut off", []byte{1, 0x80}, 2},
		{"written long", []byte{1, 0x80, 0}, 2},
		{"more than 64 bits", overflow, 1},
		{"eleven bytes", append(bytes.Repeat([]byte{0x80}, 10), 1), 1},
		{"less than none", nil, -1},
		{"very many", []byte{1}, math.MaxInt},
	} {
		var ok bool
		n := allocated(func() { _, ok = UnpackSums(c.packed, c.n) })
		if ok || n > 1<<16 {
			t.Errorf("%s: ok is %v, %d bytes allocated", c.name, ok, n)
		}
	}
}

// TestASnapshotOfTenThousandRecordsIsSmall bounds what somebody who joins then must receive: 20 logs, and coefficients of 20 bits.
func TestASnapshotOfTenThousandRecordsIsSmall(t *testing.T) {
	s := &Snapshot{Whole: true, Closed: 2}
	for i := range 20 {
		s.Tails = append(s.Tails, Tail{Tag: uint64(1+i) << 59, Next: 500, Epoch: 1, InEpoch: 244})
	}
	for g := range 2 {
		sums := make([]int64, 4096)
		for i := range sums {
			sums[i] = int64(1<<20-i) * int64(1-2*(i&1)) * 3
		}
		packed := PackSums(sums)
		s.Sums = append(s.Sums, Sums{uint32(g), 4096, Piece{Inline: packed, Size: uint64(len(packed))}})
	}
	if n := SealedSize(&Message{Body: s}, false); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
}

func FuzzUnpackSums(f *testing.F) {
	f.Add(PackSums([]int64{0, -13204, 63744, math.MinInt64}), 4)
	f.Add(append(bytes.Repeat([]byte{0xff}, 9), 2), 1)
	f.Add([]byte{0x80, 0}, 1)
	f.Fuzz(func(t *testing.T, packed []byte, n int) {
		if sums, ok := UnpackSums(packed, n); ok && (len(sums) != n || !bytes.Equal(PackSums(sums), packed)) {
			t.Errorf("%x comes back as %x", packed, PackSums(sums))
		}
	})
}
