package node

import (
	"encoding/binary"
	"slices"
)

// A checkpoint of copies has the numbers: format, number, degree; for each link with a pull the peer in four words. Copies of others are not in it: they are as many times the model as there are links, in every round, and
// after a crash neighbours send them again.
const copiesFormat = 1

const (
	ownVector      = "own"
	estimateVector = "estimate"
	shiftVector    = "shift"
	pullVector     = "pull"  // and two letters for the link
	takenVector    = "taken" // likewise, if it is not the pull
)

const numbersOfLink = 4

func nameOf(vector string, i int) string {
	return vector + string([]byte{'a' + byte(i/26%26), 'a' + byte(i%26)})
}

func (k *copies) state() State {
	s := State{Round: k.round, Age: k.age, Step: k.step, Weight: 1, Params: k.params, Opt: k.opt}
	if k.own == 0 {
		return s
	}
	d := k.run.Len
	add := func(name string, v VecRef, length int) {
		if v != 0 {
			s.Vectors = append(s.Vectors, NamedVector{Name: name, Vec: v, Len: length})
		}
	}
	s.Numbers = []uint64{copiesFormat, k.number, uint64(k.degree)}
	add(ownVector, k.own, k.parts*d)
	add(estimateVector, k.estimate, d)
	add(shiftVector, k.shift, d)
	for _, l := range k.links {
		if l.pull == 0 {
			continue
		}
		i := (len(s.Numbers) - 3) / numbersOfLink
		add(nameOf(pullVector, i), l.pull, k.parts*d)
		if l.taken != l.pull {
			add(nameOf(takenVector, i), l.taken, k.parts*d)
		}
		for i := 0; i < len(l.peer); i += 8 {
			s.Numbers = append(s.Numbers, binary.BigEndian.Uint64(l.peer[i:]))
		}
	}
	return s
}

// restore takes up a checkpoint. Of one that was written otherwise only the model is used.
func (k *copies) restore(from State) {
	d := k.run.Len
	if n := from.Numbers; len(n) >= 3 && n[0] == copiesFormat {
		k.own = from.Vector(ownVector, k.parts*d)
	}
	if k.own == 0 {
		for _, v := range from.Vectors {
			k.unused = append(k.unused, v.Vec)
		}
		return
	}
	k.number, k.degree = from.Numbers[1], uint32(from.Numbers[2])
	used := []VecRef{k.own}
	if k.tracks() {
		k.estimate, k.shift = from.Vector(estimateVector, d), from.Vector(shiftVector, d)
		used = append(used, k.estimate, k.shift)
	}
	for i, n := 0, from.Numbers[3:]; len(n) >= numbersOfLink; i, n = i+1, n[numbersOfLink:] {
		l := &link{pull: from.Vector(nameOf(pullVector, i), k.parts*d), since: k.number, mark: k.number}
		if l.taken = from.Vector(nameOf(takenVector, i), k.parts*d); l.taken == 0 {
			l.taken = l.pull
		}
		for j := range n[:numbersOfLink] {
			binary.BigEndian.PutUint64(l.peer[8*j:], n[j])
		}
		if l.pull != 0 {
			k.links = append(k.links, l)
			used = append(used, l.pull, l.taken)
		}
	}
	for _, v := range from.Vectors {
		if !slices.Contains(used, v.Vec) {
			k.unused = append(k.unused, v.Vec)
		}
	}
}

func (k *copies) status() MethodStatus {
	s := MethodStatus{
		Phase: phaseNames[k.phase], Round: k.round, Announced: k.announced, Age: k.age, Step: k.step, Loss: k.trained.Loss,
	}
	for _, l := range k.links {
		if l.busy {
			s.InFlight++
		}
	}
	k.report(&s)
	return s
}
