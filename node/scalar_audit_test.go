package node

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"starling/gossip"
)

// disk is what a node of a world has on disk.
func disk(n *worldNode) (Config, State) {
	cfg := n.core.cfg
	cfg.Scalar.Log = nil
	for _, key := range slices.Sorted(maps.Keys(n.store)) {
		if strings.HasPrefix(key, ScalarKey) {
			cfg.Scalar.Log = append(cfg.Scalar.Log, Record{Key: key, Value: bytes.Clone(n.store[key])})
		}
	}
	cfg.Seq = binary.BigEndian.Uint64(n.store[SeqKey])
	state := n.saved
	state.Params, state.Opt, state.Opaque = 1, 2, bytes.Clone(state.Opaque)
	return cfg, state
}

func TestAnAuditFindsWhatIsNotAsItShouldBe(t *testing.T) {
	w := newScalarWorld(t, 5, 3)
	w.loss = 0
	for _, n := range w.nodes {
		w.boot(n)
	}
	w.until(30 * Second)
	n := w.nodes[0]
	cfg, state := disk(n)
	a, err := AuditScalar(cfg, state, gossip.Ed25519Verifier{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Records < 100 || a.Logs != 3 || a.Sealed < 5 || a.Batches < 5 || a.Own < 50 || a.Beyond == 0 || a.Newest == 0 || a.Newest > cfg.Seq {
		t.Errorf("%+v", a)
	}
	other := n.method().kept.of(gossip.Tag(cfg.Run, w.nodes[1].id))[0]
	for _, c := range []struct {
		name string
		edit func(cfg *Config, s *State)
		want string
	}{
		{"a signature", func(_ *Config, s *State) { // is the last that a sealed batch has
			at := bytes.Index(s.Opaque, other.Raw) + len(other.Raw) - 1
			s.Opaque[at] ^= 1
		}, "does not open: bad signature"},
		{"a record of another node", func(_ *Config, s *State) {
			b := recordsOf(other)
			at := bytes.Index(s.Opaque, b.Bytes)
			if at > bytes.Index(s.Opaque, other.Raw) {
				t.Fatal("the records are not found before the sealed batches")
			}
			s.Opaque[at] ^= 1
		}, "are not those that it has signed"},
		{"an own record", func(cfg *Config, _ *State) {
			v := cfg.Scalar.Log[1].Value
			v[len(v)-1] ^= 2
		}, "is known and different"},
		{"the newest own record", func(cfg *Config, s *State) { // nothing but the chain tells
			*s = State{Params: 1, Opt: 2}
			v := cfg.Scalar.Log[len(cfg.Scalar.Log)-2].Value
			v[len(v)-1] ^= 2
		}, "the chain is broken"},
		{"the link to the batch before", func(cfg *Config, s *State) {
			*s = State{Params: 1, Opt: 2}
			cfg.Scalar.Log[2].Value[loggedHead-1] ^= 1
		}, "the chain is broken"},
		{"a batch that is gone", func(cfg *Config, _ *State) { cfg.Scalar.Log = slices.Delete(cfg.Scalar.Log, 2, 3) }, "are missing from the log"},
		{"the counter", func(cfg *Config, _ *State) { cfg.Seq = a.Newest - 1 }, "would repeat a number"},
		{"a cut checkpoint", func(_ *Config, s *State) { s.Opaque = s.Opaque[:len(s.Opaque)/2] }, "cut off or damaged"},
	} {
		cfg, state := disk(n)
		c.edit(&cfg, &state)
		if _, err := AuditScalar(cfg, state, gossip.Ed25519Verifier{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}
