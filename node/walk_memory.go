package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"starling/gossip"
	"starling/mixing/srrw"
)

// A memory is what a token knows of its way: the history that repels it, and the counts that tokens share.
type memory struct {
	history *srrw.History
	shared  *srrw.Shared // nil if tokens stay apart
}

// sharedBytes bounds the counts that a token tells. They are of all tokens and of as many peers as fit.
const sharedBytes = 56 << 10

func (w *walk) sharedLimit() int {
	return min(w.cfg.Limit, sharedBytes/(int(max(w.cfg.Tokens, manyTokens))+10))
}

// newMemory is that of a token that begins, with so many peers known.
func (w *walk) newMemory(token uint32, peers []uint64) memory {
	m := memory{history: srrw.NewHistory(w.cfg.Limit, peers...)}
	if !w.cfg.Apart {
		m.shared = srrw.NewShared(w.tokenTag(token), w.sharedLimit())
	}
	return m
}

// visit takes a visit into the memory. A peer that the history does not know joined after the token began, as far as that can tell: it
// begins where those are that were visited least.
func (w *walk) visit(m memory, tag uint64) {
	m.history.Admit(tag)
	m.history.Visit(tag, w.cfg.Gamma)
	if m.shared != nil {
		m.shared.Visit(tag)
	}
}

func (m memory) forms() (history, shared []byte) {
	history = m.history.Append(nil)
	if m.shared != nil {
		shared = m.shared.Append(nil)
	}
	return history, shared
}

func (m memory) digest() [32]byte { return gossip.HistoryDigest(m.forms()) }

// What a giver tells of the memory of a token: the forms as they came to it, and then what it has done to them, each a byte, a number, and
// bytes. So the receiver makes the changes itself, and takes no others.
const (
	changeVisits byte = 1 // so many visits of the giver
	changeLearn  byte = 2 // it has met another token, whose counts follow
)

// begin is what is told of a memory of which nothing was changed yet.
func (m memory) begin() []byte {
	history, shared := m.forms()
	out := binary.AppendUvarint(nil, uint64(len(history)))
	out = append(out, history...)
	out = binary.AppendUvarint(out, uint64(len(shared)))
	return append(out, shared...)
}

// telling is what is told of the memory of a copy.
func (cp *tokenCopy) telling() []byte {
	if cp.stay == 0 {
		return cp.told
	}
	return binary.AppendUvarint(append(slices.Clone(cp.told), changeVisits), cp.stay)
}

// learn has a copy take over the visits that another token tells of, once in a stay: that is as much as fits into what is told.
func (w *walk) learn(cp *tokenCopy, other *srrw.Shared) {
	if cp.learned || cp.memory.shared == nil || other == nil {
		return
	}
	form := other.Append(nil)
	cp.told = append(binary.AppendUvarint(append(slices.Clone(cp.telling()), changeLearn), uint64(len(form))), form...)
	cp.stay, cp.learned = 0, true
	cp.memory.learn(other, w.cfg.Gamma)
}

func (m memory) learn(other *srrw.Shared, gamma func(n uint64, peers int) float64) {
	m.history.Learn(m.shared.Merge(other), gamma)
}

// A retold memory is what came of what a giver has told.
type retold struct {
	memory
	came   [32]byte // digest of what came to the giver
	visits uint64   // of the giver
	learns int
}

// maxStay is how many visits in a row a token may make at one node.
const maxStay = 1 << 16

var errTold = errors.New("what is told of the token's history is cut off or damaged")

// retell makes the memory from what the node of that tag has told.
func (w *walk) retell(token uint32, told []byte, giver uint64) (r retold, err error) {
	d := decoder{rest: told}
	history, shared := d.bytes(d.number()), d.bytes(d.number())
	if d.bad || (len(shared) > 0) == w.cfg.Apart {
		return r, errTold
	}
	if r.history, err = srrw.DecodeHistory(history, w.cfg.Limit); err != nil {
		return r, fmt.Errorf("history: %w", err)
	}
	if len(shared) > 0 {
		if r.shared, err = srrw.DecodeShared(shared, w.sharedLimit()); err != nil {
			return r, fmt.Errorf("shared counts: %w", err)
		}
		if r.shared.Token() != w.tokenTag(token) {
			return r, errors.New("shared counts: they are those of another token")
		}
	}
	r.came = gossip.HistoryDigest(history, shared)
	for len(d.rest) > 0 && !d.bad {
		switch d.bytes(1)[0] {
		case changeVisits:
			n := d.number()
			if r.visits += n; n > maxStay || r.visits > maxStay {
				return r, errTold
			}
			for range n {
				w.visit(r.memory, giver)
			}
		case changeLearn:
			other, err := srrw.DecodeShared(d.bytes(d.number()), w.sharedLimit())
			if err != nil {
				return r, fmt.Errorf("shared counts of another token: %w", err)
			}
			if r.learns++; r.learns > 1 || w.cfg.Apart {
				return r, errTold
			}
			r.learn(other, w.cfg.Gamma)
		default:
			return r, errTold
		}
	}
	if d.bad {
		return r, errTold
	}
	return r, nil
}
