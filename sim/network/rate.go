package network

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"starling/node"
)

// A Rate is a bandwidth in bits per second; 0 is unlimited.
type Rate int64

// Unlimited is the rate of a link that takes no time.
const Unlimited Rate = 0

// maxRate bounds rates, in bits per second.
const maxRate = 1e15

// units of rates, the largest first, with the bits per second of each.
var units = [...]struct {
	name string
	bits float64
}{
	{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1},
	{"GiB", 8 << 30}, {"MiB", 8 << 20}, {"KiB", 8 << 10}, {"GB", 8e9}, {"MB", 8e6}, {"kB", 8e3}, {"B", 8},
}

// ParseRate reads a rate: bits per second with the units bit, kbit, Mbit and Gbit, such as 10Mbit, bytes per second with B,
// kB, MB, GB, KiB, MiB and GiB, such as 1.5MB, or "unlimited". "/s" may follow the unit.
func ParseRate(text string) (Rate, error) {
	if text == "unlimited" {
		return Unlimited, nil
	}
	t := strings.TrimSuffix(text, "/s")
	number := strings.TrimRight(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for _, u := range units {
		if t[len(number):] != u.name {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if v *= u.bits; err == nil && v >= 1 && v <= maxRate {
			return Rate(math.Floor(v + 0.5)), nil
		}
		return 0, fmt.Errorf("%q is not a rate from 1bit to 1000000Gbit", text)
	}
	return 0, fmt.Errorf("%q is not a rate; write bits as 10Mbit or 500kbit, or bytes as 1MB, of each second", text)
}

// String returns the rate in the largest unit that gives a whole number, so that [ParseRate] returns the same rate.
func (r Rate) String() string {
	if r == Unlimited {
		return "unlimited"
	}
	for _, u := range units[:3] {
		if b := Rate(u.bits); r%b == 0 {
			return strconv.FormatInt(int64(r/b), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(r), 10) + "bit"
}

// bitNanos is how many bits, times nanoseconds of each second, a byte is: work = rate x time = bytes x bitNanos.
const bitNanos = 8 * 1_000_000_000

// Time returns how long so many bytes take, rounded up to a nanosecond.
func (r Rate) Time(bytes int64) node.Instant {
	if r == Unlimited || bytes <= 0 {
		return 0
	}
	const short = math.MaxInt64 / bitNanos / 2
	if bytes < short && r < 1<<60 {
		return node.Instant((uint64(bytes)*bitNanos + uint64(r) - 1) / uint64(r))
	}
	hi, lo := bits.Mul64(uint64(bytes), bitNanos)
	return ceil(hi, lo, uint64(r))
}

// ceil divides 128 bits of work by a rate, rounded up. What would take longer than 146 years takes that.
func ceil(hi, lo, rate uint64) node.Instant {
	const most = 1 << 62
	lo, carry := bits.Add64(lo, rate-1, 0)
	hi += carry
	if hi >= rate {
		return most
	}
	q, _ := bits.Div64(hi, lo, rate)
	return node.Instant(min(q, most))
}
