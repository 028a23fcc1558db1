package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// controlFile is where a running daemon says how it can be reached. It is readable by the owner only: whoever has the
// token can stop the daemon.
const controlFile = "control.json"

type controlInfo struct {
	Addr  string `json:"addr"`
	Token string `json:"token"`
	PID   int    `json:"pid"`
}

// ErrNotRunning is what [Dial] returns when no daemon runs for the run. Starting one helps.
var ErrNotRunning = errors.New("no daemon is running")

// control is the daemon's HTTP server on loopback: /metrics for Prometheus, without a token; /status, and the commands
// /leave, /pause and /resume for the owner's command line, with it.
type control struct {
	listener net.Listener
	path     string
	info     controlInfo
}

func listenControl(addr, runDir string) (*control, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("metrics address %q: %w: write it like 127.0.0.1:9150", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("metrics address %q is not on loopback: use 127.0.0.1 and a tunnel or proxy to reach it from elsewhere", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics address %s: %w: choose another port with --metrics, or 127.0.0.1:0 for any free one", addr, err)
	}
	token := make([]byte, 16)
	rand.Read(token)
	c := &control{
		listener: l, path: filepath.Join(runDir, controlFile),
		info: controlInfo{Addr: l.Addr().String(), Token: hex.EncodeToString(token), PID: os.Getpid()},
	}
	b, err := json.Marshal(c.info)
	if err != nil {
		l.Close()
		return nil, err
	}
	tmp := c.path + ".tmp"
	if err = os.WriteFile(tmp, b, 0o600); err == nil {
		err = os.Rename(tmp, c.path)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("write %s: %w", c.path, err)
	}
	return c, nil
}

// serve answers until ctx ends, and takes the control file away then.
func (c *control) serve(ctx context.Context, reg *prometheus.Registry, status func(context.Context) (Report, error), order func(context.Context, string) error) error {
	defer os.Remove(c.path)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", c.authorized(func(w http.ResponseWriter, r *http.Request) error {
		report, err := status(r.Context())
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(report)
	}))
	for _, name := range []string{"leave", "pause", "resume"} {
		mux.HandleFunc("POST /"+name, c.authorized(func(w http.ResponseWriter, r *http.Request) error {
			return order(r.Context(), name)
		}))
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(c.listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("control server: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		srv.Close()
	}
	<-done
	return nil
}

// authorized lets in who knows the token. That also keeps web pages out: a browser cannot set the header across origins.
func (c *control) authorized(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	want := []byte("Bearer " + c.info.Token)
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "token missing or wrong: it is in "+controlFile, http.StatusUnauthorized)
			return
		}
		if err := h(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
}

// A Client talks to a running daemon of the same user.
type Client struct {
	info controlInfo
	http http.Client
}

// Dial finds the daemon that runs in a run's directory. It returns [ErrNotRunning] if there is none.
func Dial(runDir string) (*Client, error) {
	b, err := os.ReadFile(filepath.Join(runDir, controlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("read control file: %w", err)
	}
	c := &Client{http: http.Client{Timeout: 10 * time.Second}}
	if err := json.Unmarshal(b, &c.info); err != nil {
		return nil, fmt.Errorf("read control file %s: %w: stop the daemon and start it again", filepath.Join(runDir, controlFile), err)
	}
	return c, nil
}

// PID returns the daemon's process ID.
func (c *Client) PID() int { return c.info.PID }

// Status asks the daemon what it knows.
func (c *Client) Status(ctx context.Context) (Report, error) {
	var r Report
	b, err := c.call(ctx, http.MethodGet, "/status")
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("daemon's answer: %w: are both of the same version?", err)
	}
	return r, nil
}

// Order sends "leave", "pause" or "resume".
func (c *Client) Order(ctx context.Context, name string) error {
	_, err := c.call(ctx, http.MethodPost, "/"+name)
	return err
}

// AwaitEnd returns when the daemon has stopped, or with ctx's error.
func (c *Client) AwaitEnd(ctx context.Context) error {
	for {
		if _, err := c.call(ctx, http.MethodGet, "/status"); errors.Is(err, ErrNotRunning) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// maxAnswer bounds what a client reads: thousands of members fit.
const maxAnswer = 16 << 20

func (c *Client) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.info.Addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.info.Token)
	res, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, ErrNotRunning // a control file that a crash left behind
		}
		return nil, fmt.Errorf("ask daemon: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask daemon: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("daemon: %s", bytes.TrimSpace(b))
	}
	return b, nil
}
