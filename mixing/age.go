package mixing

import "math"

// MergeAges is the age of a merged model: the largest, not the sum, or repeated merges would inflate it (spec 06, 6.8).
func MergeAges(ages ...uint64) uint64 {
	var m uint64
	for _, a := range ages {
		m = max(m, a)
	}
	return m
}

// MergeParts merges one received part of a model that is cut into parts of their own ages: the part of dst becomes the
// age-weighted mean, and its age the larger one (spec 06, 6.8). With both ages zero it is the plain mean.
func MergeParts(dst, received []float32, age, receivedAge uint64) uint64 {
	a, b := float64(age), float64(receivedAge)
	if a+b == 0 {
		a, b = 1, 1
	}
	wa, wb := a/(a+b), b/(a+b)
	for i, x := range dst {
		dst[i] = float32(float64(wa*float64(x)) + float64(wb*float64(received[i])))
	}
	return MergeAges(age, receivedAge)
}

// A TokenAccount limits how often a node sends while letting news travel fast: one token comes each period, each send
// costs one (Danner 2018; Hegedus et al. 2021; spec 06, 6.8). Chance is handed in as numbers in [0, 1).
type TokenAccount struct {
	Tokens   int
	Size     int // A: from about here on it sends by itself
	Capacity int // C: it always does
}

// Period adds a token and reports whether to send now. A send is paid for.
func (t *TokenAccount) Period(u float64) bool {
	t.Tokens++
	p := 0.0
	switch {
	case t.Tokens > t.Capacity:
		p = 1
	case t.Tokens >= t.Size-1:
		p = float64(t.Tokens-t.Size+1) / float64(t.Capacity-t.Size+1)
	}
	if u < p {
		t.Tokens--
		return true
	}
	return false
}

// React returns how many messages to send because of a received one, and pays for them. Useless is one that is older than
// what the node has.
func (t *TokenAccount) React(useful bool, u float64) int {
	if !useful {
		return 0
	}
	x := float64(t.Tokens) / float64(t.Size)
	n := int(math.Floor(x))
	if u < x-math.Floor(x) {
		n++
	}
	n = min(n, t.Tokens)
	t.Tokens -= n
	return n
}
