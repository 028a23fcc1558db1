package network

import (
	"starling/sim/chance"
	"starling/sim/spec"
)

// A NATClass is what address translation stands between a node and the world.
type NATClass uint8

// The classes of address translation.
const (
	Public    NATClass = iota // none: everybody can dial it
	Cone                      // the same outer address towards everybody: hole punching works with public and cone nodes
	Symmetric                 // another outer address towards everybody: it can dial public nodes only
)

// String returns the name of the class.
func (c NATClass) String() string { return natNames()[c] }

func natNames() []string { return []string{"public", "cone", "symmetric"} }

// A Path is how a connection comes about.
type Path uint8

// The paths.
const (
	NoPath  Path = iota // the node cannot be dialled
	Direct              // the dialled node has a public address
	Punched             // both sides dial at the same time, or the dialled node dials back
	Relayed             // over a third node
)

// NAT is who can dial whom. It is safe for concurrent use. The zero NAT has public nodes only.
type NAT struct {
	class []int32
	key   uint64
	punch float64
	relay bool
}

// ParseNAT gives each of n nodes a class:
//
//	none                                            all nodes are public
//	public=0.3,cone=0.5,symmetric=0.2               shares of the nodes
//	public=0.3,cone=0.7,punch=0.7,relay=true        punch: the share of pairs of cone nodes for whom hole punching works (0.7),
//	                                                fixed for each pair; relay: who cannot be dialled is reached over a relay
func ParseNAT(text string, n int, seed uint64) (*NAT, error) {
	if err := checkNodes("nat", n); err != nil {
		return nil, err
	}
	s := spec.Parse("nat", text)
	switch s.Name {
	case "none":
		return &NAT{}, s.Done()
	case "":
	default:
		return nil, s.Unknown("none", "public=0.3,cone=0.5,symmetric=0.2")
	}
	shares := s.Mix(natNames())
	t := &NAT{key: chance.Key(seed, chance.Punch), punch: s.Number("punch", 0.7, 0, 1), relay: s.Flag("relay")}
	if err := s.Done(); err != nil {
		return nil, err
	}
	t.class = chance.Deal(chance.Stream(seed, chance.NAT, 0), n, shares)
	return t, nil
}

// Class returns the class of a node.
func (t *NAT) Class(n int) NATClass {
	if t.class == nil {
		return Public
	}
	return NATClass(t.class[n])
}

// Path returns how a connection comes about that one node dials to another. Only the dialling is one-sided: what connects
// carries messages in both directions.
func (t *NAT) Path(from, to int) Path {
	a, b := t.Class(from), t.Class(to)
	switch {
	case b == Public:
		return Direct
	case b == Cone && a == Public, b == Cone && a == Cone && chance.Unit(chance.Pair(t.key, from, to)) < t.punch:
		return Punched
	case t.relay:
		return Relayed
	}
	return NoPath
}

// Dialable reports whether one node can dial another.
func (t *NAT) Dialable(from, to int) bool { return t.Path(from, to) != NoPath }

// Connectable reports whether a connection of two nodes can come about, whoever dials.
func (t *NAT) Connectable(a, b int) bool { return t.Dialable(a, b) || t.Dialable(b, a) }
