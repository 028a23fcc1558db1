package node

import (
	"math/rand/v2"
	"testing"
)

// TestScalarStateGoesOnWhereItWas takes a node with a sum, records, batches of others and a proof through its checkpoint.
func TestScalarStateGoesOnWhereItWas(t *testing.T) {
	s := rich(t)
	m := s.core.method.(*scalarMethod)
	cfg := s.core.cfg
	core, err := New(cfg, s.core.State())
	if err != nil {
		t.Fatal(err)
	}
	again := core.method.(*scalarMethod)
	n, sum := m.replica.Set().Fingerprint()
	if k, also := again.replica.Set().Fingerprint(); n != k || sum != also || again.replica.Sums().Digest() != m.replica.Sums().Digest() {
		t.Errorf("%d records of sum %x have become %d of sum %x", n, sum, k, also)
	}
	if again.replica.Set().Bans().Digest() != m.replica.Set().Bans().Digest() || len(m.proofs) != 1 || len(again.proofs) != 1 {
		t.Errorf("bans %v and %d proofs have become %v and %d", m.replica.Set().Bans(), len(m.proofs), again.replica.Set().Bans(), len(again.proofs))
	}
	if again.kept.total != m.kept.total || again.kept.total == 0 {
		t.Errorf("%d batches of others are kept, %d were", again.kept.total, m.kept.total)
	}
}

func TestDamagedScalarStateIsRefused(t *testing.T) {
	s := rich(t)
	cfg, whole := s.core.cfg, s.core.State()
	for n := 1; n < len(whole.Opaque); n++ {
		cut := whole
		cut.Opaque = whole.Opaque[:n]
		if _, err := New(cfg, cut); err == nil {
			t.Errorf("a checkpoint of %d of %d bytes is taken", n, len(whole.Opaque))
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 { // which need not be noticed, and must not crash
		bad := whole
		bad.Opaque = append([]byte(nil), whole.Opaque...)
		bad.Opaque[r.IntN(len(bad.Opaque))] ^= byte(1 + r.IntN(255))
		_, _ = New(cfg, bad)
	}
}

// rich is a node that has something of everything.
func rich(t *testing.T) *script {
	s := newScript(t)
	for _, cmd := range []string{
		"node scalar=structured:pool=8,epoch=16,records=1024,peers=8", "others B first=0 count=16", "others C first=0 count=16", "tick", "up C",
		"known C digest", "snapshot C", "probed slope=1", "probed slope=2", "records D first=0 bytes=10111213 seq=1", "records D first=4 bytes=20 seq=2",
		"records E first=0 bytes=10111213 seq=1", "records E first=0 bytes=10111215 seq=1 fork=1",
	} {
		s.command(cmd)
	}
	return s
}
