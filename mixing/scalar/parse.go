package scalar

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

var keys = [...]string{
	"pool", "rotate", "epoch", "records", "peers", "m", "lr", "unit", "g", "eps", "clip", "clock", "mode", "combine", "seeds",
}

// Parse makes a configuration from its text: the name of a family of directions, and after a colon what differs from the defaults.
//
//	structured:pool=4096,rotate=0,epoch=256,records=1048576,peers=256,m=1024,lr=0.001,g=-12,eps=0.001,clip=127,clock=seq,mode=open,combine=none,seeds=peer
//
// These are the defaults, but for clock, which is run in closed mode, and seeds, which is common if something is combined. m and
// clip are schedules, see [ParseSchedule]. lr is the learning rate in epoch 0, or under the largest m if m is 0 there; unit gives
// [Config.Unit] instead. Numbers may be powers of two, such as 2^-20. clock is seq or run, mode is open or closed, combine is none,
// median, trimmed:0.2 or mom:5 (see [ParseCombine]), seeds is peer or common. In closed mode peers is how many take part: more than two
// thirds of them must add to the first epoch before it is closed, see [Config.Founders].
func Parse(text string) (Config, error) {
	name, rest, _ := strings.Cut(text, ":")
	if at := strings.IndexAny(name, ",= "); at > 0 && slices.Contains(Families(), name[:at]) {
		return Config{}, fmt.Errorf("scalar %q: settings come after a colon, such as %s:pool=1024,lr=0.01", spelling.Brief(text), name[:at])
	}
	family, err := ParseFamily(name)
	if err != nil {
		return Config{}, fmt.Errorf("scalar: %w", err)
	}
	c := Config{
		Family: family, K: 4096, PerEpoch: 256, Records: 1 << 20, Peers: 256, Exponent: -12, Eps: 1e-3,
		Multipliers: Schedule{{1024, 1024, 0}}, Clips: Schedule{{MaxCode, MaxCode, 0}},
	}
	seen, lr := map[string]bool{}, 1e-3
	for _, part := range strings.Split(rest, ",") {
		if rest == "" {
			break
		}
		key, value, _ := strings.Cut(part, "=")
		switch {
		case !slices.Contains(keys[:], key):
			return Config{}, fmt.Errorf("scalar %s: setting %q is not known: there are %s%s", name, spelling.Brief(key), strings.Join(keys[:], ", "), spelling.Hint(key, keys[:]))
		case seen[key]:
			return Config{}, fmt.Errorf("scalar %s: %s is set twice", name, key)
		}
		seen[key] = true
		if err := c.set(key, value, &lr); err != nil {
			return Config{}, fmt.Errorf("scalar %s: %s=%s: %w", name, key, spelling.Brief(value), err)
		}
	}
	if seen["lr"] && seen["unit"] {
		return Config{}, fmt.Errorf("scalar %s: lr and unit say the same thing: give one of them", name)
	}
	if !seen["unit"] {
		c.Unit = c.unitOf(lr)
	}
	if !seen["clock"] {
		c.RunClock = c.Closed // a peer that falls behind can only go on in the epoch of others if it may say which that is
	}
	if !seen["seeds"] {
		c.Common = c.Combine.Kind != Plain
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("scalar %s: %w", name, err)
	}
	return c, nil
}

// unitOf is the unit under which a learning rate is that of epoch 0.
func (c Config) unitOf(lr float64) float64 {
	m := c.Multipliers.At(0)
	if m == 0 {
		m = max(1, c.Multipliers.Most())
	}
	return lr * c.GUnit() / c.Family.Sigma() / float64(m)
}

func (c *Config) set(key, value string, lr *float64) (err error) {
	var n uint64
	switch key {
	case "pool":
		n, err = whole(value, 1, maxPool)
		c.K = uint32(n)
	case "rotate":
		n, err = whole(value, 0, math.MaxUint32)
		c.Rotate = uint32(n)
	case "epoch":
		n, err = whole(value, 1, maxPerEpoch)
		c.PerEpoch = uint32(n)
	case "records":
		c.Records, err = whole(value, 1, maxRecords)
	case "peers":
		n, err = whole(value, 1, maxPeers)
		c.Peers = uint32(n)
	case "m":
		c.Multipliers, err = ParseSchedule(value, math.MaxUint16)
	case "clip":
		c.Clips, err = ParseSchedule(value, MaxCode)
	case "lr":
		*lr, err = number(value)
	case "unit":
		c.Unit, err = number(value)
	case "eps":
		c.Eps, err = number(value)
	case "g":
		if c.Exponent, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("want a whole number from -40 to 40")
		}
	case "clock":
		c.RunClock, err = either(value, "seq", "run")
	case "mode":
		c.Closed, err = either(value, "open", "closed")
	case "seeds":
		c.Common, err = either(value, "peer", "common")
	case "combine":
		c.Combine, err = ParseCombine(value)
	}
	return err
}

func whole(value string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
	}
	return n, nil
}

// number reads a positive number, or a power of two such as 2^-20.
func number(value string) (float64, error) {
	if power, ok := strings.CutPrefix(value, "2^"); ok {
		if n, err := strconv.Atoi(power); err == nil && n >= -1000 && n <= 1000 {
			return math.Ldexp(1, n), nil
		}
		return 0, fmt.Errorf("want a power of two such as 2^-20")
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		return 0, fmt.Errorf("want a number above 0")
	}
	return x, nil
}

// either says whether a value is the second of two words.
func either(value, first, second string) (bool, error) {
	if value != first && value != second {
		return false, fmt.Errorf("want %s or %s%s", first, second, spelling.Hint(value, []string{first, second}))
	}
	return value == second, nil
}

// String is the canonical text: all settings in one order and form, so that peers that mean the same write the same. [Parse]
// reads it back without loss.
func (c Config) String() string {
	word := func(second bool, words ...string) string {
		if second {
			return words[1]
		}
		return words[0]
	}
	return fmt.Sprintf("%s:pool=%d,rotate=%d,epoch=%d,records=%d,peers=%d,m=%s,unit=%s,g=%d,eps=%s,clip=%s,clock=%s,mode=%s,combine=%s,seeds=%s",
		c.Family, c.K, c.Rotate, c.PerEpoch, c.Records, c.Peers, c.Multipliers, exact(c.Unit), c.Exponent, exact(c.Eps), c.Clips,
		word(c.RunClock, "seq", "run"), word(c.Closed, "open", "closed"), c.Combine, word(c.Common, "peer", "common"))
}

// exact writes a number so that it is read back to the last bit.
func exact(x float64) string {
	if fraction, exponent := math.Frexp(x); fraction == 0.5 {
		return "2^" + strconv.Itoa(exponent-1)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
