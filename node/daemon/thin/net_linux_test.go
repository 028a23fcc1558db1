package thin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// open makes a network, or skips the test with the reason why it cannot be.
func open(t *testing.T, cfg Config) *Net {
	t.Helper()
	n, err := Open(cfg)
	if errors.Is(err, ErrNotPermitted) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// serve sends so many bytes to whoever connects to a node, and returns where.
func serve(t *testing.T, s *site, bytes int) string {
	t.Helper()
	var l net.Listener
	err := s.do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(s.Addr(), 0).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write(make([]byte, bytes))
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestLinksAreAsSlowAndAsFarAsAsked(t *testing.T) {
	const size, rate = 40_000, 1_000_000
	far := 70 * time.Millisecond
	n := open(t, Config{Links: []Link{{Up: rate}, {}, {Down: rate}}, Delay: func(from, to int) time.Duration {
		return time.Duration(from+to) * far
	}})
	for _, way := range []struct{ from, to int }{{0, 1}, {1, 2}} { // a slow uplink, a slow downlink
		addr := serve(t, n.sites[way.from], size)
		began := time.Now()
		c, err := n.sites[way.to].Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		connected := time.Since(began)
		got, err := io.Copy(io.Discard, c)
		took := time.Since(began)
		c.Close()
		if err != nil || got != size {
			t.Fatalf("from %d to %d: %d bytes, %v", way.from, way.to, got, err)
		}
		delay := time.Duration(way.from+way.to) * far
		if connected < 2*delay || took < 3*delay+time.Duration(size)*8*time.Second/rate*9/10 {
			t.Errorf("from %d to %d: connected after %s and done after %s, with %s from one to the other and %d bits a second", way.from, way.to, connected, took, delay, rate)
		}
	}
	all, err := n.Traffic(0)
	if err != nil {
		t.Fatal(err)
	}
	if all.SentBytes < size || all.SentBytes > size*12/10 || all.ReceivedBytes < 100 || all.ReceivedBytes > size/5 {
		t.Errorf("a node that sent %d bytes: %+v", size, all)
	}
}

func TestNodesReachOthersAndNothingElse(t *testing.T) {
	n := open(t, Config{Links: make([]Link, 2)})
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if c, err := n.sites[0].Dial(ctx, "tcp", serve(t, n.sites[1], 1)); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if c, err := n.sites[0].Dial(ctx, "tcp", outside.Addr().String()); err == nil {
		c.Close()
		t.Error("a node reaches this machine's loopback")
	}
	if _, err := n.sites[0].Dial(ctx, "tcp", "localhost:80"); err == nil {
		t.Error("a name is taken for an address")
	}
}
