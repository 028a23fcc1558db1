package node

import (
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/scalar"
)

// TestATrailKnowsWhatItsNewestRecordsWereMeasuredOn compares it with a list of all vectors, through a checkpoint and beyond its bounds.
func TestATrailKnowsWhatItsNewestRecordsWereMeasuredOn(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var tr trail
	var all []scalar.Vector
	v := scalar.Vector{}
	for seq := range uint64(maxTrailRecords + 3000) {
		for range r.IntN(4) {
			e := scalar.Entry{Peer: r.Uint64N(12), Next: uint64(r.IntN(9))}
			v = changed(v, []scalar.Entry{e}) // a ban can take records away, and all of them
		}
		all = append(all, v)
		tr.add(seq, v)
		if !v.Valid() {
			t.Fatalf("%v is no vector", v)
		}
	}
	if n := len(tr.entries); n > maxTrailRecords || n < maxTrailRecords/2 {
		t.Errorf("%d records are kept, want about %d", n, maxTrailRecords)
	}
	var again trail
	d := &decoder{rest: tr.encode(nil)}
	if again.decode(d); d.bad || len(d.rest) > 0 {
		t.Fatal("the trail does not come back from a checkpoint")
	}
	for name, tr := range map[string]*trail{"the trail": &tr, "the one from the checkpoint": &again} {
		for range 300 {
			seq := uint64(r.IntN(len(all) + 10))
			got, ok := tr.at(seq)
			sets, has := tr.sets(seq, 3)
			kept := seq >= tr.entries[0].seq && seq < uint64(len(all))
			switch {
			case ok != kept || has != (kept && seq+3 <= uint64(len(all))):
				t.Fatalf("%s has record %d: %v, and three sets from there: %v", name, seq, ok, has)
			case ok && !slices.Equal(got, all[seq]):
				t.Fatalf("%s says %v of record %d, want %v", name, got, seq, all[seq])
			case has && sets[2] != setName(all[seq+2]):
				t.Fatalf("%s names another set of record %d", name, seq+2)
			}
		}
	}
	tr.add(5, v) // another log
	if _, ok := tr.at(uint64(len(all) - 1)); ok || len(tr.entries) != 1 {
		t.Error("records of a log that is no more are still known")
	}
}

func TestATrailIsBoundedByWhatChanges(t *testing.T) {
	var tr trail
	for seq := range uint64(400) {
		v := make(scalar.Vector, 1000)
		for i := range v {
			v[i] = scalar.Entry{Peer: uint64(i), Next: seq + 1}
		}
		tr.add(seq, v)
	}
	if tr.changes > maxTrailChanges || len(tr.entries) < 30 {
		t.Errorf("%d changes in %d records, want at most %d", tr.changes, len(tr.entries), maxTrailChanges)
	}
	if v, ok := tr.at(399); !ok || v.Next(999) != 400 {
		t.Errorf("the newest record was measured on %v", v.Next(999))
	}
}

func TestDamagedTrailsAreRefused(t *testing.T) {
	var tr trail
	for seq := range uint64(20) {
		tr.add(seq, scalar.Vector{{Peer: 3, Next: seq + 1}, {Peer: 9, Next: 1}})
	}
	form := tr.encode(nil)
	for n := range form {
		d := &decoder{rest: form[:n]}
		if new(trail).decode(d); !d.bad {
			t.Errorf("%d of %d bytes are taken for a trail", n, len(form))
		}
	}
}
