package mesh

import "starling/node"

// messages are the messages of a topic that nodes may still remember, oldest first, each with the set of the nodes that
// have it. A ring: IDs are consecutive.
type messages struct {
	base  MsgID // the oldest
	next  MsgID
	words int      // of one set
	about []about  // by ID modulo its length, a power of two
	sets  []uint64 // words for each of about
}

type about struct {
	at   node.Instant // of publication
	size int32
}

func newMessages(nodes int) messages {
	const room = 64
	words := (nodes + 63) / 64
	return messages{base: 1, next: 1, words: words, about: make([]about, room), sets: make([]uint64, room*words)}
}

// add takes a new message in, and forgets those published before the given time.
func (m *messages) add(a about, before node.Instant) MsgID {
	for m.base < m.next && m.about[m.slot(m.base)].at < before {
		m.base++
	}
	if int(m.next-m.base) == len(m.about) {
		m.grow()
	}
	id := m.next
	m.next++
	i := m.slot(id)
	m.about[i] = a
	clear(m.sets[i*m.words : (i+1)*m.words])
	return id
}

func (m *messages) slot(id MsgID) int { return int(id) & (len(m.about) - 1) }

func (m *messages) grow() {
	old := *m
	m.about = make([]about, 2*len(old.about))
	m.sets = make([]uint64, 2*len(old.sets))
	for id := m.base; id < m.next; id++ {
		from, to := old.slot(id), m.slot(id)
		m.about[to] = old.about[from]
		copy(m.sets[to*m.words:(to+1)*m.words], old.sets[from*m.words:])
	}
}

// known reports whether the message is remembered at all.
func (m *messages) known(id MsgID) bool { return m.base <= id && id < m.next }

// has reports whether the node has seen the message. It must be known.
func (m *messages) has(id MsgID, n int) bool {
	return m.sets[m.slot(id)*m.words+n>>6]>>(n&63)&1 != 0
}

func (m *messages) mark(id MsgID, n int) { m.sets[m.slot(id)*m.words+n>>6] |= 1 << (n & 63) }

// forget lets a node lose its memory.
func (m *messages) forget(n int) {
	for id := m.base; id < m.next; id++ {
		m.sets[m.slot(id)*m.words+n>>6] &^= 1 << (n & 63)
	}
}

func (m *messages) size(id MsgID) int { return int(m.about[m.slot(id)].size) }
