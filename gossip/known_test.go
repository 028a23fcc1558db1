package gossip

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// drawPlaces draws places in order.
func drawPlaces(t *rapid.T, least uint64) (out []Place) {
	for range rapid.IntRange(0, 20).Draw(t, "places") {
		p := Place{rapid.Uint64().Draw(t, "tag"), rapid.Uint64Min(least).Draw(t, "seq")}
		if len(out) == 0 || out[len(out)-1].Tag < p.Tag {
			out = append(out, p)
		}
	}
	return out
}

func TestWhatIsKnownAndWantedComesBackAsItWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &Known{Form: KnownForm(rapid.IntRange(1, 4).Draw(t, "form")), Reply: rapid.Bool().Draw(t, "reply")}
		switch k.Form {
		case FormDigest:
			k.Reply = false
			k.VectorDigest, k.BansDigest, k.Count = id(rapid.Byte().Draw(t, "vector")), id(rapid.Byte().Draw(t, "bans")), rapid.Uint64().Draw(t, "count")
		case FormVector:
			k.Places = drawPlaces(t, 1)
		case FormBans:
			k.Places = drawPlaces(t, 0)
		case FormRanges:
			k.Ranges = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "ranges")
		}
		comesBack(t, &Message{Run: RunID(id(9)), Author: id(4), Body: k}, nil)
		f := &Fetch{Want: FetchWant(rapid.IntRange(1, 3).Draw(t, "want"))}
		switch f.Want {
		case WantRecords:
			for i := range rapid.IntRange(1, 256).Draw(t, "ranges") {
				first := rapid.Uint64Range(0, math.MaxUint64-1).Draw(t, "first")
				f.Ranges = append(f.Ranges, Range{uint64(i) << 32, first, rapid.Uint64Min(first+1).Draw(t, "end")})
			}
		case WantDigest:
			f.VectorDigest = id(rapid.Byte().Draw(t, "vector"))
		}
		comesBack(t, &Message{Run: RunID(id(9)), Author: id(4), Body: f}, nil)
	})
}

func TestTheLargestListsFitIntoAMessage(t *testing.T) {
	lim := DefaultLimits()
	k := &Known{Form: FormVector}
	s := &Snapshot{Whole: true}
	for i := range lim.MaxKnown {
		k.Places = append(k.Places, Place{math.MaxUint64 - uint64(lim.MaxKnown-i), math.MaxUint64})
		s.Tails = append(s.Tails, Tail{k.Places[i].Tag, math.MaxUint64, math.MaxUint32, math.MaxUint32, [2]uint64{}})
	}
	for name, body := range map[string]Body{
		"vector": k, "tails": s, "ranges": &Known{Form: FormRanges, Ranges: make([]byte, lim.MaxRanges)},
	} {
		if _, v := OpenDirect(seal(t, &Message{Author: id(4), Body: body}, nil), id(4), lim); v.Decision != Accept {
			t.Errorf("%s: %v", name, v)
		}
	}
	k.Places = append(k.Places, Place{math.MaxUint64, 1})
	s.Tails = append(s.Tails, Tail{math.MaxUint64, 1, 0, 1, [2]uint64{}})
	for name, body := range map[string]Body{
		"vector": k, "tails": s, "bans": &Snapshot{Whole: true, Bans: k.Places},
		"ranges": &Known{Form: FormRanges, Ranges: make([]byte, lim.MaxRanges+1)},
	} {
		if _, v := OpenDirect(seal(t, &Message{Author: id(4), Body: body}, nil), id(4), lim); v != (Verdict{Reject, ReasonMalformed}) {
			t.Errorf("%s, one more: %v", name, v)
		}
	}
}

// openBody opens a direct message with a body as it would be on the wire, sensible or not.
func openBody(t *testing.T, k Kind, body any) Verdict {
	t.Helper()
	raw, err := encMode.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err = encMode.Marshal(&envelope{Version: WireVersion, Author: id(4), Kind: uint64(k), Body: raw, Signature: []byte{}})
	if err != nil {
		t.Fatal(err)
	}
	_, v := OpenDirect(raw, id(4), DefaultLimits())
	return v
}

func TestAKnownHasExactlyOneForm(t *testing.T) {
	d := make([]byte, 32)
	places := []wirePlace{{Tag: 3, Seq: 1}, {Tag: 4, Seq: 1}}
	for _, c := range []struct {
		name string
		w    wireKnown
		ok   bool
	}{
		{"digest", wireKnown{Form: 1, VectorDigest: d, BansDigest: d, Count: 7}, true},
		{"vector", wireKnown{Form: 2, Places: places}, true},
		{"vector of nothing", wireKnown{Form: 2}, true},
		{"ranges", wireKnown{Form: 3, Ranges: d}, true},
		{"bans", wireKnown{Form: 4, Places: []wirePlace{{Tag: 3}}}, true},
		{"no form", wireKnown{}, false},
		{"an unknown form", wireKnown{Form: 5}, false},
		{"a short digest", wireKnown{Form: 1, VectorDigest: d[1:], BansDigest: d}, false},
		{"no digest of bans", wireKnown{Form: 1, VectorDigest: d}, false},
		{"digest as a reply", wireKnown{Form: 1, Reply: true, VectorDigest: d, BansDigest: d}, false},
		{"digest with places", wireKnown{Form: 1, VectorDigest: d, BansDigest: d, Places: places}, false},
		{"digest with ranges", wireKnown{Form: 1, VectorDigest: d, BansDigest: d, Ranges: d}, false},
		{"vector with a digest", wireKnown{Form: 2, VectorDigest: d, Places: places}, false},
		{"vector with a count", wireKnown{Form: 2, Count: 2, Places: places}, false},
		{"vector with ranges", wireKnown{Form: 2, Ranges: d, Places: places}, false},
		{"vector with nothing of somebody", wireKnown{Form: 2, Places: []wirePlace{{Tag: 3}}}, false},
		{"vector not ascending", wireKnown{Form: 2, Places: []wirePlace{{Tag: 3, Seq: 1}, {Tag: 3, Seq: 2}}}, false},
		{"bans not ascending", wireKnown{Form: 4, Places: []wirePlace{{Tag: 3, Seq: 1}, {Tag: 2, Seq: 2}}}, false},
		{"bans with a digest", wireKnown{Form: 4, BansDigest: d}, false},
		{"no ranges", wireKnown{Form: 3}, false},
		{"ranges with a count", wireKnown{Form: 3, Count: 1, Ranges: d}, false},
		{"ranges with places", wireKnown{Form: 3, Places: places, Ranges: d}, false},
		{"ranges with a digest", wireKnown{Form: 3, BansDigest: d, Ranges: d}, false},
	} {
		if got := openBody(t, KindKnown, &c.w); (got == Verdict{}) != c.ok || !c.ok && got != (Verdict{Reject, ReasonMalformed}) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAFetchAsksForOneThing(t *testing.T) {
	d := make([]byte, 32)
	one := []wireRange{{Tag: 3, First: 0, End: 1}}
	many := make([]wireRange, 257)
	for i := range many {
		many[i] = wireRange{Tag: uint64(i), End: 1}
	}
	for _, c := range []struct {
		name string
		w    wireFetch
		ok   bool
	}{
		{"records", wireFetch{Want: 1, Ranges: one}, true},
		{"many records", wireFetch{Want: 1, Ranges: many[1:]}, true},
		{"records with a gap", wireFetch{Want: 1, Ranges: []wireRange{{Tag: 3, First: 0, End: 1}, {Tag: 3, First: 2, End: 3}}}, true},
		{"a snapshot", wireFetch{Want: 2}, true},
		{"a digest", wireFetch{Want: 3, VectorDigest: d}, true},
		{"nothing", wireFetch{}, false},
		{"something unknown", wireFetch{Want: 4}, false},
		{"no records", wireFetch{Want: 1}, false},
		{"too many ranges", wireFetch{Want: 1, Ranges: many}, false},
		{"an empty range", wireFetch{Want: 1, Ranges: []wireRange{{Tag: 3, First: 1, End: 1}}}, false},
		{"a range backwards", wireFetch{Want: 1, Ranges: []wireRange{{Tag: 3, First: 2, End: 1}}}, false},
		{"a range in two", wireFetch{Want: 1, Ranges: []wireRange{{Tag: 3, First: 0, End: 1}, {Tag: 3, First: 1, End: 2}}}, false},
		{"tags descending", wireFetch{Want: 1, Ranges: []wireRange{{Tag: 3, End: 1}, {Tag: 2, End: 1}}}, false},
		{"records and a digest", wireFetch{Want: 1, Ranges: one, VectorDigest: d}, false},
		{"a snapshot and records", wireFetch{Want: 2, Ranges: one}, false},
		{"a snapshot and a digest", wireFetch{Want: 2, VectorDigest: d}, false},
		{"a digest and records", wireFetch{Want: 3, Ranges: one, VectorDigest: d}, false},
		{"a digest of nothing", wireFetch{Want: 3}, false},
		{"a long digest", wireFetch{Want: 3, VectorDigest: append(d, 0)}, false},
	} {
		if got := openBody(t, KindFetch, &c.w); (got == Verdict{}) != c.ok || !c.ok && got != (Verdict{Reject, ReasonMalformed}) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
