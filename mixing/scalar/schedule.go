package scalar

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// A Schedule is a whole number for each epoch, in pieces one after the other. The last piece goes on for ever.
type Schedule []Piece

// A Piece leads from one value to another in so many epochs, the other excluded: From + (To-From)·i/Epochs in epoch i, rounded towards
// From. After its Epochs the last piece of a schedule stays at To; there Epochs may be 0.
type Piece struct {
	From, To uint16
	Epochs   uint32
}

// maxPieces bounds what a manifest can make everybody compute.
const maxPieces = 256

// At is the value in an epoch.
func (s Schedule) At(epoch uint32) uint16 {
	for i, p := range s {
		if epoch < p.Epochs {
			return p.at(epoch)
		}
		if i == len(s)-1 {
			return p.To
		}
		epoch -= p.Epochs
	}
	return 0
}

func (p Piece) at(i uint32) uint16 {
	if p.To < p.From {
		return p.From - uint16(uint64(p.From-p.To)*uint64(i)/uint64(p.Epochs))
	}
	return p.From + uint16(uint64(p.To-p.From)*uint64(i)/uint64(p.Epochs))
}

// Most is the largest value.
func (s Schedule) Most() uint16 {
	most := uint16(0)
	for _, p := range s {
		most = max(most, p.From, p.To)
	}
	return most
}

// String is the text that [ParseSchedule] reads, in one form for each schedule.
func (s Schedule) String() string {
	parts := make([]string, len(s))
	for i, p := range s {
		switch {
		case p.From != p.To:
			parts[i] = fmt.Sprintf("%d..%d/%d", p.From, p.To, p.Epochs)
		case i < len(s)-1:
			parts[i] = fmt.Sprintf("%dx%d", p.From, p.Epochs)
		default:
			parts[i] = strconv.Itoa(int(p.From))
		}
	}
	return strings.Join(parts, ":")
}

// ParseSchedule reads pieces with colons between them: 1024 for ever, 1024x10 for ten epochs, 1024..64/40 down to 64 in forty epochs. So
// 512x1:1024x9:1024..0/40 starts at half, stays at 1024 and ends at 0 in epoch 50. No value is above most.
func ParseSchedule(text string, most uint16) (Schedule, error) {
	parts := strings.Split(text, ":")
	if len(parts) > maxPieces {
		return nil, fmt.Errorf("%d pieces: want at most %d", len(parts), maxPieces)
	}
	s, total := make(Schedule, len(parts)), uint64(0)
	for i, part := range parts {
		p, err := parsePiece(part, most)
		last := i == len(parts)-1
		switch {
		case err != nil:
			return nil, err
		case p.Epochs == 0 && !last:
			return nil, fmt.Errorf("%s has no end and others follow: write %sx10 for ten epochs", part, part)
		case last && p.From == p.To:
			p.Epochs = 0 // it stays there anyway
		}
		if total += uint64(p.Epochs); total > math.MaxUint32 {
			return nil, fmt.Errorf("%s ends after 2^32 epochs", spelling.Brief(text))
		}
		s[i] = p
	}
	return s, nil
}

func parsePiece(text string, most uint16) (Piece, error) {
	bad := fmt.Errorf("%q: want whole numbers up to %d, such as %d, or %dx10 for ten epochs, or %d..0/40 down to 0 in forty, with colons between them", spelling.Brief(text), most, most, most, most)
	value := func(s string) (uint16, bool) {
		n, err := strconv.ParseUint(s, 10, 16)
		return uint16(n), err == nil && n <= uint64(most)
	}
	ok, more := true, true
	var p Piece
	if from, rest, has := strings.Cut(text, ".."); has {
		to, epochs, _ := strings.Cut(rest, "/")
		p.From, ok = value(from)
		if p.To, more = value(to); !ok || !more {
			return Piece{}, bad
		}
		n, err := strconv.ParseUint(epochs, 10, 32)
		if err != nil || n == 0 {
			return Piece{}, bad
		}
		p.Epochs = uint32(n)
		return p, nil
	}
	v, epochs, has := strings.Cut(text, "x")
	if p.From, ok = value(v); !ok {
		return Piece{}, bad
	}
	p.To = p.From
	if has {
		n, err := strconv.ParseUint(epochs, 10, 32)
		if err != nil || n == 0 {
			return Piece{}, bad
		}
		p.Epochs = uint32(n)
	}
	return p, nil
}
