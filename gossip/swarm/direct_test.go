package swarm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"starling/gossip"
)

func is(err, target error) bool {
	if target == nil {
		return err == nil
	}
	return errors.Is(err, target)
}

func pair(t *testing.T, change ...func(*Config)) (a, b *node) {
	a = start(t, 0, change...)
	b = start(t, 1, with(a.Addrs()...))
	eventually(t, "a and b are up", func() bool { return len(a.Peers()) == 1 && len(b.Peers()) == 1 })
	return a, b
}

func TestDirectMessageArrivesFromItsSender(t *testing.T) {
	a, b := pair(t)
	if err := b.Send(t.Context(), a.id, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(t.Context(), b.id, bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if want := b.id.Short() + " hi"; len(a.direct) != 1 || a.direct[0] != want {
		t.Errorf("got %q, want %q", a.direct, want)
	}
}

func TestSendToStrangerSaysNotConnected(t *testing.T) {
	n := start(t, 0)
	if err := n.Send(t.Context(), idOf(9), []byte("x")); !errors.Is(err, ErrNotConnected) {
		t.Errorf("got %v, want ErrNotConnected", err)
	}
}

func TestDirectMessageWithoutHandlerIsRefused(t *testing.T) {
	a, b := pair(t, func(c *Config) { c.Direct = nil })
	if err := b.Send(t.Context(), a.id, []byte("x")); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
}

func TestHostileDirectStreamsAreCut(t *testing.T) {
	a, b := pair(t, func(c *Config) { c.timing.stream = 300 * time.Millisecond })
	open := func(t *testing.T) network.Stream {
		st, err := b.Host().NewStream(t.Context(), a.Host().ID(), protoDirect)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	for _, tt := range []struct {
		name  string
		write []byte
	}{
		{"oversize", binary.BigEndian.AppendUint32(nil, 1<<31)},
		{"never finishes", append(binary.BigEndian.AppendUint32(nil, 1000), "a bit"...)},
		{"half a header", []byte{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := open(t)
			defer st.Reset()
			if _, err := st.Write(tt.write); err != nil {
				t.Fatal(err)
			}
			st.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadAll(st); err == nil || strings.Contains(err.Error(), "deadline") {
				t.Errorf("got %v, want a reset", err)
			}
		})
	}
	t.Run("flood", func(t *testing.T) {
		var wg sync.WaitGroup
		var cut, open int
		var mu sync.Mutex
		for range 200 {
			wg.Go(func() {
				st, err := b.Host().NewStream(t.Context(), a.Host().ID(), protoDirect)
				if err != nil {
					mu.Lock()
					cut++
					mu.Unlock()
					return
				}
				defer st.Reset()
				st.Write([]byte{0, 0})
				st.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, err = io.ReadAll(st)
				mu.Lock()
				defer mu.Unlock()
				if err != nil && !strings.Contains(err.Error(), "deadline") {
					cut++
				} else {
					open++
				}
			})
		}
		wg.Wait()
		if cut != 200 || open != 0 {
			t.Errorf("%d streams were cut and %d stayed open, want 200 and 0", cut, open)
		}
	})
	// Honest traffic goes on afterwards.
	eventually(t, "an honest message gets through", func() bool { return b.Send(t.Context(), a.id, []byte("still here")) == nil })
	if len(a.Peers()) != 1 {
		t.Errorf("got peers %v, want b alone", a.Peers())
	}
}

func TestManifestReachesNewcomerThatHasOnlyTheRunID(t *testing.T) {
	manifest := []byte("model: tiny")
	a := start(t, 0)
	if err := a.SetManifest(manifest); err != nil {
		t.Fatal(err)
	}
	empty := start(t, 1, with(a.Addrs()...))
	liar := start(t, 2, with(a.Addrs()...))
	if err := liar.SetManifest([]byte("model: other")); err != nil {
		t.Fatal(err)
	}
	boots := append(append(a.Addrs(), empty.Addrs()...), liar.Addrs()...)
	newcomer := start(t, 3, with(boots...), func(c *Config) { c.Handlers = Handlers{} })
	check := func(data []byte) error {
		if !bytes.Equal(data, manifest) {
			return errors.New("wrong hash")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := newcomer.FetchManifest(ctx, check)
	if err != nil || !bytes.Equal(got, manifest) {
		t.Fatalf("got %q, %v", got, err)
	}
	eventually(t, "all are connected", func() bool { return len(newcomer.Peers()) == 3 })
	if _, err := newcomer.FetchManifest(ctx, check, empty.id); !errors.Is(err, ErrNoManifest) {
		t.Errorf("from a node without it: got %v, want ErrNoManifest", err)
	}
	if _, err := newcomer.FetchManifest(ctx, check, liar.id); err == nil || !strings.Contains(err.Error(), "wrong hash") {
		t.Errorf("from a liar: got %v, want the check's error", err)
	}

	// Now it joins the topic, and takes messages.
	if err := newcomer.Publish(ctx, []byte("early")); !errors.Is(err, ErrNotJoined) {
		t.Errorf("publish before join: got %v, want ErrNotJoined", err)
	}
	var got2 atomic.Pointer[string]
	err = newcomer.Join(Handlers{
		Validate: func(gossip.PeerID, []byte) (Decision, string) { return Accept, "" },
		Deliver: func(_ context.Context, _ gossip.PeerID, data []byte) {
			text := string(data)
			got2.Store(&text)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// What is published before the others have heard of the newcomer's subscription passes it by; it is theirs to repair who use the topic.
	n := 0
	eventually(t, "a message arrives", func() bool {
		n++
		if err := a.Publish(t.Context(), fmt.Appendf(nil, "welcome %d", n)); err != nil {
			t.Fatal(err)
		}
		return got2.Load() != nil
	})
	if text := *got2.Load(); !strings.HasPrefix(text, "welcome ") {
		t.Errorf("got %q, want a welcome", text)
	}
}

func TestFetchManifestSaysWhyItEnded(t *testing.T) {
	n := start(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := n.FetchManifest(ctx, func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no peer could be reached") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
