package network

import (
	"fmt"
	"math"
	"strings"

	"starling/sim/chance"
	"starling/sim/spec"
)

// Bandwidth is what the link of a node carries in each direction.
type Bandwidth struct{ Up, Down Rate }

// A Class is a kind of link that many nodes have.
type Class struct {
	Name  string
	Share float64 // of nodes, of 1
	Bandwidth
}

const (
	mbit = Rate(1e6)
	gbit = Rate(1e9)
)

// Classes returns the built-in classes of links: rates that are typical of what is sold, rounded, and a mix of homes.
func Classes() []Class {
	return []Class{
		{"datacenter", 0, Bandwidth{10 * gbit, 10 * gbit}},
		{"campus", 0.05, Bandwidth{1 * gbit, 1 * gbit}},
		{"fiber", 0.3, Bandwidth{300 * mbit, 500 * mbit}},
		{"cable", 0.35, Bandwidth{20 * mbit, 200 * mbit}},
		{"dsl", 0.2, Bandwidth{10 * mbit, 50 * mbit}},
		{"mobile", 0.08, Bandwidth{10 * mbit, 40 * mbit}},
		{"satellite", 0.02, Bandwidth{10 * mbit, 100 * mbit}},
	}
}

// ParseBandwidth returns the bandwidth of each of n nodes; nil if all are unlimited:
//
//	unlimited
//	constant:up=10Mbit,down=50Mbit              of every node; constant:10Mbit is the same for both directions
//	lognormal:up=10Mbit,down=50Mbit,sigma=0.8   medians; who draws a fast uplink has a fast downlink
//	classes                                     the mix of [Classes]
//	classes:fiber=0.3,cable=0.5,dsl=0.2         another mix of them; also fiber:0.3,cable:0.5,dsl:0.2
//	classes:FILE                                own classes: lines class,share,up,down
func ParseBandwidth(text string, n int, seed uint64) ([]Bandwidth, error) {
	if err := checkNodes("bandwidth", n); err != nil {
		return nil, err
	}
	s := spec.Parse("bandwidth", text)
	classes := Classes()
	for _, c := range classes {
		if s.Name == c.Name {
			s = spec.Parse("bandwidth", "classes:"+strings.TrimSpace(text))
		}
	}
	out := make([]Bandwidth, n)
	switch s.Name {
	case "unlimited":
		return nil, s.Done()
	case "constant":
		b := rates(s)
		for i := range out {
			out[i] = b
		}
	case "lognormal":
		b, sigma := rates(s), s.Number("sigma", 0.5, 0, 5)
		key := chance.Key(seed, chance.Bandwidth)
		for i := range out {
			f := chance.LogNormal(chance.Of(key, i), sigma)
			out[i] = Bandwidth{b.Up.times(f), b.Down.times(f)}
		}
	case "classes":
		err := mix(s, &classes)
		if err == nil {
			err = s.Done()
		}
		if err != nil {
			return nil, err
		}
		shares := make([]float64, len(classes))
		for i, c := range classes {
			shares[i] = c.Share
		}
		for i, class := range chance.Deal(chance.Stream(seed, chance.Bandwidth, 0), n, shares) {
			out[i] = classes[class].Bandwidth
		}
	default:
		return nil, s.Unknown("unlimited", "constant:up=R,down=R", "lognormal:up=R,down=R,sigma=S", "classes:fiber=0.6,dsl=0.4", "classes:FILE")
	}
	return out, s.Done()
}

// rates takes up and down, where down is like up unless it is written.
func rates(s *spec.Spec) Bandwidth {
	rate := func(key, otherwise string) Rate {
		r, err := ParseRate(s.Text(key, otherwise))
		if err != nil {
			s.Fail("%s: %w", key, err)
		}
		return r
	}
	up := rate("up", "")
	return Bandwidth{up, rate("down", up.String())}
}

func (r Rate) times(f float64) Rate {
	if r == Unlimited {
		return r
	}
	return Rate(math.Floor(min(max(float64(r)*f, 1), maxRate) + 0.5))
}

// mix replaces shares by those written, or all classes by those of a file.
func mix(s *spec.Spec, classes *[]Class) error {
	switch {
	case s.Settings() == 0:
		return nil
	case s.Settings() == 1 && !s.Keyed():
		if name, _, ok := strings.Cut(s.Rest(), ":"); !ok || !known(name, *classes) {
			var err error
			*classes, err = readClasses(s.Rest())
			return err
		}
		s = spec.Parse("bandwidth", "classes:"+s.Rest())
	}
	names := make([]string, len(*classes))
	for i, c := range *classes {
		names[i] = c.Name
	}
	for i, share := range s.Mix(names) {
		(*classes)[i].Share = share
	}
	return s.Done()
}

func known(name string, classes []Class) bool {
	for _, c := range classes {
		if c.Name == name {
			return true
		}
	}
	return false
}

func readClasses(file string) ([]Class, error) {
	var classes []Class
	var sum float64
	err := spec.ReadTable(file, func(r *spec.Row) error {
		if r.Header("class") {
			return nil
		}
		if r.Len() != 4 {
			return r.Errorf(r.Len(), "%d fields; there must be 4: class, share, up, down", r.Len())
		}
		c := Class{Name: r.Text(0)}
		if c.Name == "" || known(c.Name, classes) {
			return r.Errorf(0, "class %s is there twice or has no name", spec.Brief(c.Name))
		}
		var err error
		if c.Share, err = r.Number(1, "the share", 0, 1); err != nil {
			return err
		}
		if c.Up, err = ParseRate(r.Text(2)); err != nil {
			return r.Errorf(2, "%w", err)
		}
		if c.Down, err = ParseRate(r.Text(3)); err != nil {
			return r.Errorf(3, "%w", err)
		}
		sum += c.Share
		classes = append(classes, c)
		return nil
	})
	if err == nil && !(math.Abs(sum-1) <= 1e-6) {
		err = fmt.Errorf("%s: shares add up to %.6g, not 1", file, sum)
	}
	if err != nil {
		return nil, fmt.Errorf("bandwidth: %w", err)
	}
	return classes, nil
}
