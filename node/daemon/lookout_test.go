package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func TestTheOwnerIsToldWhenNobodyIsFoundAndWhenSomebodyIs(t *testing.T) {
	creator := t.TempDir()
	link, err := CreateRun(creator, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	cfg := local(t.TempDir())
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d, _ := serve(t, link.String(), cfg)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.lookout(ctx, 150*time.Millisecond) }()
	until := func(what string, n int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); log.count(what) < n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q is not said %d times:\n%s", what, n, log.buf.String())
			}
		}
	}
	until("nobody of the run is connected", 2)
	until("cannot reach "+link.Bootstrap[0], 1)
	until("connection refused: nothing listens there", 1)
	link.Bootstrap = d.Addrs()
	serve(t, link.String(), local(creator))
	until("found peers of the run", 1)
	until("taking part", 1)
	told := log.count("nobody of the run is connected")
	time.Sleep(time.Second)
	if now := log.count("nobody of the run is connected"); now != told {
		t.Errorf("it says that nobody is connected %d times more, and somebody is", now-told)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
