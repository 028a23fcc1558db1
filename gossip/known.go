package gossip

// A Known is a turn of two nodes that find out what records they do not share. Form says which of the other fields count; the
// others are zero.
type Known struct {
	Form  KnownForm
	Reply bool // it answers a Known, and to lists that do there are no answers but what is missing; never with FormDigest

	// FormDigest: the digests of the sender's version vector and of its bans, see [Place], and how many records it has.
	VectorDigest, BansDigest [32]byte
	Count                    uint64

	Places []Place // FormVector and FormBans: ascending by tag
	Ranges []byte  // FormRanges: a message of range reconciliation, as mixing/scalar writes it
}

// KnownForm says what a [Known] tells.
type KnownForm uint8

// The forms. The numbers are part of the wire format and are never reused.
const (
	FormDigest KnownForm = 1 // digests of everything
	FormVector KnownForm = 2 // where each log ends
	FormRanges KnownForm = 3 // a turn of range reconciliation
	FormBans   KnownForm = 4 // where the log of each banned peer ends for good
)

// A Place is a position in the log that [Tag] names: in a version vector the number of records that are known, from 1; in a list of
// bans the first record that is void. The digest of either is the SHA-256 of tag and number of each, 8 bytes little-endian.
type Place struct {
	Tag, Seq uint64
}

// A Fetch asks for records, or for their sum.
type Fetch struct {
	Want         FetchWant
	Ranges       []Range  // WantRecords: ascending by tag and First, with a gap between those of one tag
	VectorDigest [32]byte // WantDigest: which set it is to be the sum of
}

// FetchWant says what a [Fetch] asks for.
type FetchWant uint8

// What can be asked for. The numbers are part of the wire format and are never reused.
const (
	WantRecords  FetchWant = 1 // sealed Records, in Repairs
	WantSnapshot FetchWant = 2 // a Snapshot
	WantDigest   FetchWant = 3 // a Snapshot that is not whole
)

// A Range is the records First to End-1 of the log that [Tag] names.
type Range struct {
	Tag, First, End uint64
}

func (*Known) kind() Kind { return KindKnown }
func (*Fetch) kind() Kind { return KindFetch }

type (
	wireKnown struct {
		_            struct{} `cbor:",toarray"`
		Form         uint8
		Reply        bool
		VectorDigest []byte // empty if it does not belong to the form, like all that follow
		BansDigest   []byte
		Count        uint64
		Places       []wirePlace
		Ranges       []byte
	}
	wirePlace struct {
		_        struct{} `cbor:",toarray"`
		Tag, Seq uint64
	}
	wireFetch struct {
		_            struct{} `cbor:",toarray"`
		Want         uint8
		Ranges       []wireRange
		VectorDigest []byte // empty if it is not wanted
	}
	wireRange struct {
		_               struct{} `cbor:",toarray"`
		Tag, First, End uint64
	}
)

func knownToWire(k *Known) *wireKnown {
	w := &wireKnown{Form: uint8(k.Form), Reply: k.Reply, VectorDigest: []byte{}, BansDigest: []byte{}, Places: []wirePlace{}, Ranges: []byte{}}
	switch k.Form {
	case FormDigest:
		w.VectorDigest, w.BansDigest, w.Count = k.VectorDigest[:], k.BansDigest[:], k.Count
	case FormVector, FormBans:
		w.Places = toPlaces(k.Places)
	case FormRanges:
		w.Ranges = filled(k.Ranges)
	}
	return w
}

func knownFromWire(raw []byte, lim Limits) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireKnown
	if !decodeBody(raw, &w) {
		return nil, malformed
	}
	k := &Known{Form: KnownForm(w.Form), Reply: w.Reply, Count: w.Count}
	digests, counted, listed, ranged := len(w.VectorDigest)+len(w.BansDigest) > 0, w.Count > 0, len(w.Places) > 0, len(w.Ranges) > 0
	switch k.Form {
	case FormDigest:
		if k.Reply || listed || ranged || !digest(&k.VectorDigest, w.VectorDigest) || !digest(&k.BansDigest, w.BansDigest) {
			return nil, malformed
		}
	case FormVector, FormBans:
		least := uint64(0)
		if k.Form == FormVector {
			least = 1
		}
		if digests || counted || ranged || len(w.Places) > lim.MaxKnown || !ascendingPlaces(w.Places, least) {
			return nil, malformed
		}
		k.Places = fromPlaces(w.Places)
	case FormRanges:
		if digests || counted || listed || !ranged || len(w.Ranges) > lim.MaxRanges {
			return nil, malformed
		}
		k.Ranges = w.Ranges
	default:
		return nil, malformed
	}
	return k, Verdict{}
}

func fetchToWire(f *Fetch) *wireFetch {
	w := &wireFetch{Want: uint8(f.Want), Ranges: []wireRange{}, VectorDigest: []byte{}}
	switch f.Want {
	case WantRecords:
		for _, r := range f.Ranges {
			w.Ranges = append(w.Ranges, wireRange{Tag: r.Tag, First: r.First, End: r.End})
		}
	case WantDigest:
		w.VectorDigest = f.VectorDigest[:]
	}
	return w
}

func fetchFromWire(raw []byte, lim Limits) (Body, Verdict) {
	var w wireFetch
	f := &Fetch{}
	ok := decodeBody(raw, &w)
	switch f.Want = FetchWant(w.Want); f.Want {
	case WantRecords:
		ok = ok && len(w.Ranges) > 0 && len(w.Ranges) <= lim.MaxFetch && ascendingRanges(w.Ranges) && len(w.VectorDigest) == 0
	case WantSnapshot:
		ok = ok && len(w.Ranges) == 0 && len(w.VectorDigest) == 0
	case WantDigest:
		ok = ok && len(w.Ranges) == 0 && digest(&f.VectorDigest, w.VectorDigest)
	default:
		ok = false
	}
	if !ok {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	for _, r := range w.Ranges {
		f.Ranges = append(f.Ranges, Range{Tag: r.Tag, First: r.First, End: r.End})
	}
	return f, Verdict{}
}

// digest takes a digest off the wire.
func digest(to *[32]byte, b []byte) bool {
	copy(to[:], b)
	return len(b) == len(to)
}

func toPlaces(places []Place) []wirePlace {
	out := make([]wirePlace, len(places))
	for i, p := range places {
		out[i] = wirePlace{Tag: p.Tag, Seq: p.Seq}
	}
	return out
}

func fromPlaces(places []wirePlace) []Place {
	var out []Place
	for _, p := range places {
		out = append(out, Place{Tag: p.Tag, Seq: p.Seq})
	}
	return out
}

// ascendingPlaces reports whether the places are strictly ascending by tag, and none is before least.
func ascendingPlaces(places []wirePlace, least uint64) bool {
	for i, p := range places {
		if p.Seq < least || i > 0 && places[i-1].Tag >= p.Tag {
			return false
		}
	}
	return true
}

// ascendingRanges reports whether the ranges are ascending, and neither empty nor to be had as fewer.
func ascendingRanges(ranges []wireRange) bool {
	for i, r := range ranges {
		if r.First >= r.End {
			return false
		}
		if i > 0 && (ranges[i-1].Tag > r.Tag || ranges[i-1].Tag == r.Tag && ranges[i-1].End >= r.First) {
			return false
		}
	}
	return true
}

func knownSize(k *Known) int {
	const others = 1 + 1 // the form and whether it is a reply
	switch k.Form {
	case FormDigest:
		return 1 + others + 2*bytes32 + number(k.Count) + 1 + 1
	case FormRanges:
		return 1 + others + 1 + 1 + 1 + 1 + head(len(k.Ranges)) + len(k.Ranges)
	}
	return 1 + others + 1 + 1 + 1 + placesSize(k.Places) + 1
}

func placesSize(places []Place) int {
	n := head(len(places))
	for _, p := range places {
		n += 1 + number(p.Tag) + number(p.Seq)
	}
	return n
}

func fetchSize(f *Fetch) int {
	n := 1 + 1
	switch f.Want {
	case WantRecords:
		n += head(len(f.Ranges)) + 1
		for _, r := range f.Ranges {
			n += 1 + number(r.Tag) + number(r.First) + number(r.End)
		}
	case WantDigest:
		n += 1 + bytes32
	default:
		n += 1 + 1
	}
	return n
}
