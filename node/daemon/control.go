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

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"starling/storage"
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

// control is the daemon's HTTP server on loopback: /metrics for Prometheus, without a token; /status, /records/verify, /checkpoints and what
// is below it, and the commands /leave, /pause and /resume for the owner's command line, with it.
type control struct {
	listener net.Listener
	path     string
	info     controlInfo
}

// checkLoopback wants an address that only this machine reaches.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("metrics address %q: write it as host:port, like 127.0.0.1:9150", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("metrics address %q is not on loopback: use 127.0.0.1 and a tunnel or proxy to reach it from elsewhere", addr)
	}
	return nil
}

// listenControl listens on an address that checkLoopback allows.
func listenControl(addr, runDir string) (*control, error) {
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
func (c *control) serve(ctx context.Context, d *Daemon) error {
	defer os.Remove(c.path)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", c.authorized(func(w http.ResponseWriter, r *http.Request) error {
		report, err := d.report(r.Context())
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(report)
	}))
	mux.HandleFunc("GET "+pathCheckpoints, c.authorized(d.serveCheckpoints))
	mux.HandleFunc("GET "+pathVerify, c.authorized(d.serveVerify))
	mux.HandleFunc("GET "+pathExport, c.authorized(d.serveExport))
	mux.HandleFunc("GET "+pathRecords, c.authorized(d.serveRecords))
	for _, name := range []string{"leave", "pause", "resume"} {
		mux.HandleFunc("POST /"+name, c.authorized(func(w http.ResponseWriter, r *http.Request) error {
			return d.order(r.Context(), name)
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
	dir  string // of the run
	info controlInfo
	http http.Client
}

// answerTimeout is how long the daemon may take for an answer that needs no work.
const answerTimeout = 10 * time.Second

// Dial finds the daemon that runs in a run's directory. It returns [ErrNotRunning] if there is none.
func Dial(runDir string) (*Client, error) {
	b, err := os.ReadFile(filepath.Join(runDir, controlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("read control file: %w", err)
	}
	c := &Client{dir: runDir}
	if err := json.Unmarshal(b, &c.info); err != nil {
		return nil, fmt.Errorf("read control file %s: %w: stop the daemon and start it again", filepath.Join(runDir, controlFile), err)
	}
	return c, nil
}

// DialVia is [Dial] for a daemon whose loopback is not that of the caller, since it runs in another network namespace: dial
// opens connections there. A connection is used for one question.
func DialVia(runDir string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Client, error) {
	c, err := Dial(runDir)
	if err == nil {
		c.http.Transport = &http.Transport{DialContext: dial, DisableKeepAlives: true}
	}
	return c, err
}

// PID returns the daemon's process ID.
func (c *Client) PID() int { return c.info.PID }

// Status asks the daemon what it knows.
func (c *Client) Status(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var r Report
	err := c.fetch(ctx, "/status", &r)
	return r, err
}

// Order sends "leave", "pause" or "resume". Leave is answered when the state is saved and the goodbye said, or with the reason
// why it could not be saved; [Client.AwaitEnd] waits for what comes then.
func (c *Client) Order(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout+answerTimeout)
	defer cancel()
	res, err := c.do(ctx, http.MethodPost, "/"+name)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// AwaitEnd returns when the daemon has stopped and the store is free for others, or with ctx's error.
func (c *Client) AwaitEnd(ctx context.Context) error {
	stopped := false
	for {
		if !stopped {
			_, err := c.Status(ctx)
			stopped = errors.Is(err, ErrNotRunning)
		}
		if stopped && !storage.InUse(filepath.Join(c.dir, storeDir)) {
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

// fetch reads an answer in JSON.
func (c *Client) fetch(ctx context.Context, path string, to any) error {
	res, err := c.do(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask daemon: %w", err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("daemon's answer: %w: are both of the same version?", err)
	}
	return nil
}

// do sends a request. The caller closes the body of the answer, whose status is 200.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
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
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask daemon: %w", err)
	}
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return nil, ErrNotRunning // the port has passed to another daemon since the crash
	case http.StatusNotFound:
		return nil, errors.New("the running daemon is of another version: stop it and start it again")
	}
	return nil, fmt.Errorf("daemon: %s", bytes.TrimSpace(b))
}
