package adversary

import (
	"encoding/binary"

	"starling/gossip"
	"starling/mixing/philox"
)

// Blob returns the name of a version of a vector whose honest one has the given name.
func Blob(honest gossip.BlobID, version uint32) gossip.BlobID {
	tail := honest[len(honest)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)^version)
	return honest
}

// VersionOf returns the version for which [Blob] gives name, and whether there is one.
func VersionOf(honest, name gossip.BlobID) (version uint32, ok bool) {
	const head = len(honest) - 4
	if [head]byte(honest[:head]) != [head]byte(name[:head]) {
		return 0, false
	}
	return binary.BigEndian.Uint32(honest[head:]) ^ binary.BigEndian.Uint32(name[head:]), true
}

// renamed returns a copy of the message that tells of a version of its blob, or m if it tells of no blob.
func renamed(m *gossip.Message, version uint32) *gossip.Message {
	u, ok := m.Body.(*gossip.Update)
	if !ok || u.Inline != nil || version == 0 {
		return m
	}
	body := *u
	body.Blob = Blob(u.Blob, version)
	// Raw is the seal of the honest one.
	return &gossip.Message{Run: m.Run, Author: m.Author, Seq: m.Seq, Body: &body}
}

// equivocation tells different receivers different things under one sequence number: its model with noise as large as its
// update, another for every receiver or every group of receivers.
type equivocation struct {
	*member
	versions uint32 // 0: as many as receivers
	sigma    float64
	literal  bool

	of   *gossip.Message   // the message that told is made from
	told []*gossip.Message // by version, where versions are few
}

// maxTold bounds the messages that are kept to be sent again.
const maxTold = 64

func (a *equivocation) Version(to int) uint32 {
	if a.versions == 0 {
		return uint32(to) + 1
	}
	return 1 + philox.Below(word(a.seed, forVersion, a.node, to), a.versions)
}

func (a *equivocation) Announce(c *Context, out []float32) bool {
	if c.Version == 0 {
		return false
	}
	size := rms(c.Own, originOf(c, a.literal))
	if size == 0 { // nothing was learned: the versions shall differ all the same
		if size = rms(c.Own, nil); size == 0 {
			size = 1
		}
	}
	n := newNoise(a.seed, forVersion, a.node, c.Round, c.Version)
	scale := float64(a.sigma * size)
	for j, x := range c.Own {
		out[j] = narrow(float64(x) + float64(scale*n.normal()))
	}
	return true
}

func (a *equivocation) Send(to int, m *gossip.Message) *gossip.Message {
	version := a.Version(to)
	if version > maxTold {
		return renamed(m, version)
	}
	if a.of != m {
		a.of = m
		clear(a.told)
	}
	for int(version) >= len(a.told) {
		a.told = append(a.told, nil)
	}
	if a.told[version] == nil {
		a.told[version] = renamed(m, version)
	}
	return a.told[version]
}

// dissensus drives each honest receiver away from the others (He, Karimireddy and Jaggi 2022; spec 07, section 19.2). The
// weights with which a receiver will mix are not known, so all nodes count alike: every honest node heard of is a
// neighbour, and so is every attacker of the kind.
type dissensus struct {
	*member
	eps float64
}

func (a *dissensus) Version(to int) uint32 { return uint32(to) + 1 }

func (a *dissensus) Send(to int, m *gossip.Message) *gossip.Message { return renamed(m, a.Version(to)) }

func (a *dissensus) Announce(c *Context, out []float32) bool {
	if c.Version == 0 {
		return false
	}
	target := c.View.Of(int(c.Version - 1))
	if len(target) != len(out) || !c.View.ready(c.Own) {
		return false
	}
	// The sum over the other honest nodes of x - target is their number, with the target, times (mean - target).
	away := float64(a.eps * float64(len(c.View.Nodes())) / float64(a.group.size))
	for j, x := range target {
		t := float64(x)
		out[j] = narrow(t - float64(away*(c.View.mean(j)-t)))
	}
	return true
}

// silence receives and sends nothing, to all or to a share of the peers.
type silence struct {
	*member
	towards float64
}

func (a *silence) Serves(to int) bool {
	return a.towards < 1 && philox.Unit(word(a.seed, forSilence, a.node, to)) >= a.towards
}

func (a *silence) Send(to int, m *gossip.Message) *gossip.Message {
	if !a.Serves(to) {
		return nil
	}
	return m
}
