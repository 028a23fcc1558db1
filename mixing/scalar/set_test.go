package scalar

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"starling/mixing/philox"
)

func TestVerdicts(t *testing.T) {
	bytes := func(n int) []byte { return make([]byte, n) }
	for _, c := range []struct {
		name, text string
		before     []Run
		ban        bool // from record 5 on
		run        Run
		want       Verdict
		why        string
		next       uint64
	}{
		{name: "first", run: Run{1, 0, 0, bytes(3)}, want: Added, next: 3},
		{name: "empty", run: Run{1, 0, 0, nil}, want: Invalid, why: "no records"},
		{name: "malformed", run: Run{1, 0, 0, []byte{1, 0x80}}, want: Invalid, why: "record 1 is the byte 0x80"},
		{name: "clipped", text: ",clip=90x1:80", run: Run{1, 10, 1, []byte{81 | 0x80}}, want: Invalid, why: "epoch 1 clips at 80"},
		{name: "wrong epoch", run: Run{1, 9, 1, bytes(2)}, want: Invalid, why: "of epochs 0 to 1"},
		{name: "beyond the budget", run: Run{1, 95, 9, bytes(6)}, want: Invalid, why: "a peer may add 100"},
		{name: "far beyond the budget", run: Run{1, math.MaxUint64, 9, bytes(6)}, want: Invalid, why: "a peer may add 100"},
		{name: "known", before: []Run{{1, 0, 0, bytes(5)}}, run: Run{1, 1, 0, bytes(3)}, want: Duplicate, next: 5},
		{name: "overlapping", before: []Run{{1, 0, 0, bytes(5)}}, run: Run{1, 1, 0, bytes(8)}, want: Added, next: 9},
		{name: "ahead", before: []Run{{1, 0, 0, bytes(5)}}, run: Run{1, 6, 0, bytes(3)}, want: Parked, next: 5},
		{name: "ahead again", before: []Run{{1, 6, 0, bytes(3)}}, run: Run{1, 6, 0, bytes(3)}, want: Duplicate},
		{name: "filling a gap", before: []Run{{1, 6, 0, bytes(3)}, {1, 10, 1, bytes(2)}}, run: Run{1, 0, 0, bytes(6)}, want: Added, next: 9},
		{name: "conflicting", before: []Run{{1, 0, 0, bytes(5)}}, run: Run{1, 3, 0, []byte{0, 1, 0, 0}}, want: Conflicting, why: "record 4 is known and different", next: 5},
		{name: "conflicting later", before: []Run{{1, 4, 0, []byte{1}}}, run: Run{1, 0, 0, bytes(5)}, want: Added, why: "record 4 is known and different", next: 5},
		{name: "banned", ban: true, run: Run{1, 5, 0, bytes(1)}, want: Banned},
		{name: "partly banned", ban: true, run: Run{1, 0, 0, bytes(9)}, want: Added, next: 5},
		{name: "banned while it waits", ban: true, before: []Run{{1, 4, 0, bytes(4)}}, run: Run{1, 0, 0, bytes(4)}, want: Added, next: 5},
		{name: "epoch by the clock", text: ",clock=run", run: Run{1, 0, 7, bytes(3)}, want: Added, next: 3},
		{name: "before its epoch", text: ",clock=run", run: Run{1, 10, 0, bytes(3)}, want: Invalid, why: "of epochs 1 to 1"},
		{name: "epoch going down", text: ",clock=run", before: []Run{{1, 0, 7, bytes(3)}}, run: Run{1, 3, 6, bytes(3)}, want: Invalid, why: "epoch 6 after one of epoch 7", next: 3},
		{name: "too many of an epoch", text: ",clock=run", before: []Run{{1, 0, 7, bytes(9)}}, run: Run{1, 9, 7, bytes(2)}, want: Invalid, why: "more than 10 of epoch 7", next: 9},
		{name: "other epoch", text: ",clock=run", before: []Run{{1, 0, 7, bytes(9)}}, run: Run{1, 0, 8, bytes(2)}, want: Conflicting, why: "record 0 is known and different", next: 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSet(parse(t, "structured:pool=8,epoch=10,records=100%s", c.text))
			for _, r := range c.before {
				if res := s.Insert(r); res.Err != nil {
					t.Fatal(res.Err)
				}
			}
			if c.ban {
				if _, err := s.Ban(1, 5); err != nil {
					t.Fatal(err)
				}
			}
			res := s.Insert(c.run)
			if res.Verdict != c.want || s.Next(1) != c.next || (res.Err == nil) != (c.why == "") || c.why != "" && !strings.Contains(res.Err.Error(), c.why) {
				t.Errorf("%v, %v, %d records; want %v, %q, %d", res.Verdict, res.Err, s.Next(1), c.want, c.why, c.next)
			}
			if res.Conflict != strings.Contains(c.why, "different") {
				t.Errorf("proof of equivocation: %v", res.Conflict)
			}
		})
	}
}

func TestTheSideBufferIsBoundedAndPrefersWhatIsNear(t *testing.T) {
	s := NewSet(parse(t, "structured:pool=8,epoch=1024"))
	for i := range uint64(1000) { // far ahead first
		s.Insert(Run{1, 1023 - i, 0, []byte{1}})
	}
	l := s.log(1)
	if len(l.parked) != maxParkedRuns || l.parkedBytes != maxParkedRuns || l.parked[0].First != 24 || l.parked[63].First != 87 {
		t.Errorf("%d runs with %d bytes wait, from %d on", len(l.parked), l.parkedBytes, l.parked[0].First)
	}
	if v := s.Insert(Run{1, 500, 0, []byte{1}}).Verdict; v != Full {
		t.Errorf("a run far ahead is %v, want full", v)
	}
	for i := range uint64(100) {
		s.Insert(Run{2, 1024 * (i + 1), uint32(i + 1), make([]byte, 1024)})
	}
	if l := s.log(2); l.parkedBytes > maxParkedBytes {
		t.Errorf("%d bytes wait, want at most %d", l.parkedBytes, maxParkedBytes)
	}
	if res := s.Insert(Run{1, 0, 0, slices.Repeat([]byte{1}, 24)}); s.Next(1) != 88 || len(res.Added) != 65 || len(l.parked) != 0 || l.parkedBytes != 0 {
		t.Errorf("%d records, %d runs are added, %d wait", s.Next(1), len(res.Added), len(l.parked))
	}
}

func TestASetTakesAByteForARecord(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=256")
	s := NewSet(cfg)
	for e := range uint32(64) {
		s.Insert(Run{1, uint64(e) * 256, e, make([]byte, 256)})
	}
	l := s.logs[0]
	if cap(l.bytes) > 2*64*256 || cap(l.epochs) > 128 || len(l.blocks) != 0 {
		t.Errorf("%d records take %d bytes and %d epochs", 64*256, cap(l.bytes), cap(l.epochs))
	}
	if n, sum := s.Fingerprint(); n != 64*256 || sum == (Sum{}) || len(l.blocks) != 256 {
		t.Errorf("%d records have %d sums", n, len(l.blocks))
	}
}

func TestRecordsAreFoundAgain(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=10,clock=run")
	rng := rand.New(philox.NewStream(51, philox.Data, 0))
	s := NewSet(cfg)
	var all []Record
	for _, r := range drawLog(rng, cfg, 7, 80) {
		s.Insert(r)
		for i := range r.Bytes {
			all = append(all, r.At(i))
		}
	}
	for i, want := range all {
		if got, ok := s.At(7, uint64(i)); !ok || got != want {
			t.Errorf("record %d is %v, want %v", i, got, want)
		}
	}
	var got []Record
	for _, r := range s.Runs(Range{7, 13, 71}) {
		for i := range r.Bytes {
			got = append(got, r.At(i))
		}
	}
	if _, ok := s.At(7, 80); ok || !slices.Equal(got, all[13:71]) {
		t.Errorf("records 13 to 70 are %v, want %v", got, all[13:71])
	}
}

func drawVector() *rapid.Generator[Vector] {
	return rapid.Custom(func(t *rapid.T) Vector {
		var v Vector
		for p := range uint64(6) {
			if n := rapid.Uint64Range(0, 4).Draw(t, "next"); n > 0 {
				v = append(v, Entry{p * p, n})
			}
		}
		return v
	})
}

// join is the vector of the union of both sets.
func join(v, w Vector) Vector {
	out := slices.Concat(v, w)
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(b.Next, a.Next)) })
	return slices.CompactFunc(out, func(a, b Entry) bool { return a.Peer == b.Peer })
}

func TestVectorsJoinLikeSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawVector().Draw(t, "a"), drawVector().Draw(t, "b"), drawVector().Draw(t, "c")
		j := join(a, b)
		if !j.Valid() || !slices.Equal(j, join(b, a)) || !slices.Equal(join(a, a), a) || !slices.Equal(join(j, c), join(a, join(b, c))) {
			t.Fatalf("%v and %v join as %v", a, b, j)
		}
		missing := uint64(0)
		for _, r := range a.Missing(b) {
			missing += r.Len()
			if a.Next(r.Peer) != r.First || b.Next(r.Peer) != r.End {
				t.Fatalf("%v lacks %v of %v", a, r, b)
			}
		}
		if j.Count() != a.Count()+missing || (a.Digest() == b.Digest()) != slices.Equal(a, b) {
			t.Fatalf("%v lacks %d records of %v", a, missing, b)
		}
	})
}
