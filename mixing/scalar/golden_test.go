package scalar

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"starling/mixing/philox"
)

// What a set of records makes of a model is the same on every machine: these were recorded on one.
func TestRecordedDigestsAreReproduced(t *testing.T) {
	for c, want := range []string{
		"166 [baf54cdb506f3291 a7f23b81d26e3724] 82c45e849a128bb6 856d6c1d0c99086b 72b73326f040ac2d 7e578de3921487e2 [-0x1.878c54p-02 -0x1.28e956p+01]",
		"195 [6c77071f5b25a929 5369bec6504b1ea9] 1414c4bc7ebbf5f0 26c82ff81f605602 26201aea4fcaa418 e957bb7c5f71db4d [0x1.03d10ep-02 -0x1.a0056cp+00]",
		"114 [b1ba758dbea4099f f026949d690fe1dd] c1799b54f575cfac 80e4035f9e87c538 851494f5b1948c9a c5dde0da198a0908 [0x1.0c981ep+00 -0x1.b357b8p+00]",
		"208 [6cc3236599a5546b c655a1acf989d7be] 2196e415f5e84a8c fc774c1de40e10b1 5033ab79ba7032d6 6e557861ec7f275a [-0x1.cdeccp-01 -0x1.def4b2p-01]",
	} {
		cfg := configs(t)[c]
		r, m := NewReplica(cfg, runSeed), newModel(t, cfg)
		for _, log := range drawLogs(rand.New(philox.NewStream(81, philox.Data, uint32(c))), cfg, 6, 60) {
			insert(t, r, log...)
		}
		m.Queue(r.Take())
		m.Apply()
		moved := make([]float32, len(m.base))
		m.Perturb(moved, 1, 3, cfg.Eps)
		n, sum := r.Set().Fingerprint()
		vector := r.Set().Vector().Digest()
		if got := fmt.Sprintf("%d %x %.8x %.8x %.8x %.8x %x", n, sum, vector, r.Sums().Digest(), m.ThetaDigest(), m.Digest(), moved[:2]); got != want {
			t.Errorf("%s:\n%s, want\n%s", cfg, got, want)
		}
	}
}

func TestEveryByteOfAMessageIsChecked(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64")
	rng := rand.New(philox.NewStream(3, philox.Data, 9))
	a, b, _, _ := subsets(rng, cfg, 60, 100, rng.Float64)
	messages := []Message{a.Begin()}
	for range 2 {
		reply, err := []*Set{b, a}[len(messages)-1].Reconcile(messages[len(messages)-1])
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, reply.Message)
	}
	for i, m := range messages {
		form, _ := m.AppendBinary(nil)
		if _, err := ParseMessage(append(form, 0)); err == nil || len(form) < 10 {
			t.Errorf("message %d with a byte too many is read", i)
		}
		for n := range form {
			if _, err := ParseMessage(form[:n]); err == nil {
				t.Errorf("message %d is read after %d of %d bytes", i, n, len(form))
			}
		}
	}
	for _, form := range [][]byte{{0x80, 0}, {1, 0x80}, {1, joined | toEnd | byte(Ends), 17}, {0xff, 0xff, 1}} {
		if m, err := ParseMessage(form); err == nil {
			t.Errorf("%x is read as %v", form, m)
		}
	}
}
