package blob

// A shelf decides which blobs of a store stay. Blobs that this node made itself go last, as long as they take at most
// half of the room: others are told to pull them from here. It is not safe for concurrent use.
type shelf struct {
	room  int64
	used  int64
	own   int64 // bytes of used that are of this node's own blobs
	tick  uint64
	items map[ID]*item
}

type item struct {
	size int64
	own  bool
	pins int    // how many are filling it
	used uint64 // tick of the last use
}

func newShelf(room int64) *shelf { return &shelf{room: room, items: make(map[ID]*item)} }

// touch marks a blob as used now.
func (s *shelf) touch(id ID) {
	if it := s.items[id]; it != nil {
		s.tick++
		it.used = s.tick
	}
}

// add makes room for a blob and puts it there. The blobs that must go are returned, and are off the shelf already.
func (s *shelf) add(id ID, size int64, own bool) (gone []ID, err error) {
	if it := s.items[id]; it != nil {
		if own && !it.own {
			it.own = true
			s.own += it.size
		}
		s.touch(id)
		return nil, nil
	}
	if size > s.room {
		return nil, ErrTooLarge
	}
	pinned := int64(0)
	for _, it := range s.items {
		if it.pins > 0 {
			pinned += it.size
		}
	}
	if pinned+size > s.room {
		return nil, ErrFull
	}
	for s.used+size > s.room {
		id := s.victim()
		s.remove(id)
		gone = append(gone, id)
	}
	s.items[id] = &item{size: size, own: own}
	s.used += size
	if own {
		s.own += size
	}
	s.touch(id)
	return gone, nil
}

// victim returns the blob that goes next; there is one that is not pinned.
func (s *shelf) victim() (worst ID) {
	var w *item
	for id, it := range s.items {
		if it.pins == 0 && (w == nil || s.before(it, w)) {
			worst, w = id, it
		}
	}
	return worst
}

// before reports whether a goes before b.
func (s *shelf) before(a, b *item) bool {
	if a.own != b.own && s.own <= s.room/2 {
		return b.own
	}
	return a.used < b.used
}

func (s *shelf) remove(id ID) {
	it := s.items[id]
	if it == nil {
		return
	}
	delete(s.items, id)
	s.used -= it.size
	if it.own {
		s.own -= it.size
	}
}

func (s *shelf) pin(id ID) { s.items[id].pins++ }
func (s *shelf) unpin(id ID) {
	if it := s.items[id]; it != nil {
		it.pins--
	}
}
