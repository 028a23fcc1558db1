package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// A Checkpoint is a state that survives: some small facts, and sections of any size.
type Checkpoint struct {
	Seq      uint64 // its number, given by SaveCheckpoint; later ones have larger numbers
	Meta     []byte
	Sections []Section
}

// A Section is a named part of a checkpoint. Chunks that are equal to some of an earlier checkpoint are stored once.
type Section struct {
	Name string
	Data []byte
}

// An Info describes a checkpoint without its sections.
type Info struct {
	Seq  uint64
	Meta []byte
	Size int64 // of all sections
}

// A manifest is the record that makes a checkpoint: it is written last, in one transaction.
type manifest struct {
	_        struct{} `cbor:",toarray"`
	Meta     []byte
	Sections []sectionRecord
}

type sectionRecord struct {
	_    struct{} `cbor:",toarray"`
	Name string
	List []byte // encoded ChunkList
}

const maxCheckpoint = 1 << 40

func (m *manifest) lists() ([]ChunkList, error) {
	out := make([]ChunkList, len(m.Sections))
	for i, r := range m.Sections {
		l, err := ParseChunkList(r.List, maxCheckpoint)
		if err != nil {
			return nil, err
		}
		out[i] = l
	}
	return out, nil
}

// chunks lists what the checkpoint refers to. A list that does not parse refers to nothing.
func (m *manifest) chunks() []hash {
	var out []hash
	for _, r := range m.Sections {
		if l, err := ParseChunkList(r.List, maxCheckpoint); err == nil {
			out = append(out, l.Hashes...)
		}
	}
	return out
}

func decodeManifest(b []byte) (*manifest, error) {
	var m manifest
	if err := cbor.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: record: %w", ErrDamaged, err)
	}
	return &m, nil
}

func checkpointKey(seq uint64) string {
	return keyCheckpoint + string(binary.BigEndian.AppendUint64(nil, seq))
}

func numberOf(key string) uint64 {
	if len(key) != 9 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(key[1:]))
}

// SaveCheckpoint writes a checkpoint and removes the ones that are too old to keep. When it returns nil the checkpoint is
// on disk and whole. When it fails, [ErrDiskFull] or otherwise, the checkpoints before are as they were.
func (s *Store) SaveCheckpoint(ctx context.Context, c Checkpoint) error {
	m := manifest{Meta: c.Meta}
	lists, values := make([]ChunkList, len(c.Sections)), make([][]byte, len(c.Sections))
	for i, sec := range c.Sections {
		if err := ctx.Err(); err != nil {
			return err
		}
		lists[i], values[i] = Chunks(sec.Data), sec.Data
		m.Sections = append(m.Sections, sectionRecord{Name: sec.Name, List: lists[i].Encode()})
	}
	record, err := cbor.Marshal(&m)
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	writes, err := s.putChunks(lists, values)
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	old, err := s.tooOld()
	if err != nil {
		// What is too old stays until the next time.
		s.opt.Logger.Warn("find old checkpoints", "error", err)
	}
	seq := s.newest + 1
	writes = append(writes, write{key: checkpointKey(seq), value: record})
	for _, o := range old {
		writes = append(writes, write{key: o.key})
	}
	// One transaction, so that nobody ever finds one checkpoint more, or less, than are kept. A crash right after it leaves
	// chunks that nothing names, for GC, and never a checkpoint without its chunks.
	if err := s.commit("checkpoint", writes); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	s.newest = seq
	s.count(m.chunks(), 1)
	for _, o := range old {
		if o.manifest == nil {
			continue
		}
		if err := s.commit("prune chunks", s.drop(o.manifest.chunks())); err != nil {
			s.opt.Logger.Warn("remove chunks of old checkpoints", "error", err)
		}
	}
	return nil
}

type oldCheckpoint struct {
	key      string
	manifest *manifest // nil: it does not parse, and its chunks are for GC
}

// tooOld lists the checkpoints that have to go when the next one is saved. Those that are known to be damaged do not stand for a whole one
// that is kept. The caller holds mu.
func (s *Store) tooOld() ([]oldCheckpoint, error) {
	var all []oldCheckpoint
	err := s.scan(keyCheckpoint, func(key string, value []byte) error {
		m, err := decodeManifest(value)
		if err != nil {
			m = nil
		}
		all = append(all, oldCheckpoint{key, m})
		return nil
	})
	if err != nil {
		return nil, err
	}
	kept := 1 // the next one
	for i := len(all); i > 0; i-- {
		if kept >= s.opt.Keep {
			return all[:i], nil
		}
		if s.whole(all[i-1].manifest) {
			kept++
		}
	}
	return nil, nil
}

// whole reports whether nothing is known to be damaged of a checkpoint.
func (s *Store) whole(m *manifest) bool {
	return m != nil && !slices.ContainsFunc(m.chunks(), func(h hash) bool { return s.bad[h] })
}

// List lists the checkpoints, the newest first.
func (s *Store) List() ([]Info, error) {
	var out []Info
	err := s.scan(keyCheckpoint, func(key string, value []byte) error {
		info := Info{Seq: numberOf(key)}
		if m, err := decodeManifest(value); err == nil {
			info.Meta = m.Meta
			lists, _ := m.lists()
			for _, l := range lists {
				info.Size += l.Size
			}
		}
		out = append([]Info{info}, out...)
		return nil
	})
	return out, err
}

// Load reads a checkpoint and checks every chunk. It returns [ErrNotFound] if there is none of that number and
// [ErrDamaged] if it is not whole.
func (s *Store) Load(seq uint64) (Checkpoint, error) {
	c, damage, err := s.load(seq, true)
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("checkpoint %s: %w", damage[0], ErrDamaged)
	}
	return c, err
}

// Verify reads a checkpoint and reports everything in it that is damaged. It returns [ErrNotFound] if there is none of that
// number.
func (s *Store) Verify(seq uint64) ([]Damaged, error) {
	_, damage, err := s.load(seq, false)
	return damage, err
}

// Latest loads the newest whole checkpoint, and reports the damaged ones that it had to skip. It returns [ErrNotFound] if
// there is no whole one.
func (s *Store) Latest(ctx context.Context) (Checkpoint, []Damaged, error) {
	list, err := s.List()
	if err != nil {
		return Checkpoint{}, nil, err
	}
	var skipped []Damaged
	for _, info := range list {
		if err := ctx.Err(); err != nil {
			return Checkpoint{}, skipped, err
		}
		c, damage, err := s.load(info.Seq, true)
		switch {
		case errors.Is(err, ErrNotFound):
			continue // pruned in the meantime
		case err != nil:
			return Checkpoint{}, skipped, err
		case len(damage) == 0:
			return c, skipped, nil
		}
		skipped = append(skipped, damage...)
	}
	return Checkpoint{}, skipped, ErrNotFound
}

// load reads a checkpoint. With first it stops at the first damage; without, it reports all and keeps no data.
func (s *Store) load(seq uint64, first bool) (Checkpoint, []Damaged, error) {
	c := Checkpoint{Seq: seq}
	value, err := s.get(checkpointKey(seq))
	if errors.Is(err, ErrNotFound) {
		return c, nil, err
	}
	if err != nil {
		return c, []Damaged{{Checkpoint: seq, Why: err.Error()}}, nil
	}
	m, err := decodeManifest(value)
	if err != nil {
		return c, []Damaged{{Checkpoint: seq, Why: err.Error()}}, nil
	}
	lists, err := m.lists()
	if err != nil {
		return c, []Damaged{{Checkpoint: seq, Why: err.Error()}}, nil
	}
	c.Meta = m.Meta
	var damage []Damaged
	for i, r := range m.Sections {
		var data []byte
		for j, h := range lists[i].Hashes {
			b, err := s.chunk(h)
			if err != nil {
				if _, gone := s.get(checkpointKey(seq)); errors.Is(gone, ErrNotFound) {
					return c, nil, ErrNotFound // pruned in the meantime: the record goes before the chunks
				}
				damage = append(damage, Damaged{Checkpoint: seq, Section: r.Name, Chunk: j, Why: err.Error()})
				if first {
					return c, damage, nil
				}
			}
			if first {
				data = append(data, b...)
			}
		}
		c.Sections = append(c.Sections, Section{Name: r.Name, Data: data})
	}
	return c, damage, nil
}
