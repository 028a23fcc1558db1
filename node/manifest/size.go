package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes. Its text form carries a binary unit: "512B", "32KiB", "64MiB", "1GiB".
type Size int64

// The units of sizes.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// String returns the size in the largest unit that divides it, so that [ParseSize] returns the same size.
func (s Size) String() string {
	switch {
	case s == 0:
		return "0B"
	case s%GiB == 0:
		return strconv.FormatInt(int64(s/GiB), 10) + "GiB"
	case s%MiB == 0:
		return strconv.FormatInt(int64(s/MiB), 10) + "MiB"
	case s%KiB == 0:
		return strconv.FormatInt(int64(s/KiB), 10) + "KiB"
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// ParseSize reads a whole number with a unit, with or without spaces between them. A bare number is refused: whether
// it means bytes or kilobytes is what people get wrong.
func ParseSize(text string) (Size, error) {
	digits := strings.TrimRightFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	unit := Size(0)
	switch strings.TrimSpace(text[len(digits):]) {
	case "B":
		unit = 1
	case "KiB":
		unit = KiB
	case "MiB":
		unit = MiB
	case "GiB":
		unit = GiB
	default:
		return 0, fmt.Errorf("%q is not a size; write a whole number with B, KiB, MiB or GiB, such as 32KiB", text)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64/uint64(unit) {
		return 0, fmt.Errorf("%q is not a size; write a whole number with B, KiB, MiB or GiB, such as 32KiB", text)
	}
	return Size(n) * unit, nil
}
