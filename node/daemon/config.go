package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"starling/node"
	"starling/node/data"
	"starling/node/manifest"
)

// Config is what the owner of a machine decides: what the node may use, and how it is reached. It has nothing that the
// nodes of a run must agree on.
type Config struct {
	Home string `yaml:"-"`

	// Listen holds host:port, each for QUIC and TCP alike. Default port 4150 on all addresses. Port 0 is any free one.
	Listen []string `yaml:"listen"`
	// Metrics is the loopback address of the metrics and status server. Default any free port.
	Metrics string `yaml:"metrics"`

	Threads  int    `yaml:"threads"`  // processor cores to compute on; 0 is all
	Upload   string `yaml:"upload"`   // bytes a second, as "500KiB"; "0" is no limit
	Download string `yaml:"download"` // bytes a second
	Disk     string `yaml:"disk"`     // bytes on disk for a run

	Shard  int    `yaml:"shard"` // part of the run's data; -1 is chosen by the node's key
	Data   string `yaml:"data"`  // own data, "idx:DIR", "csv:FILE", "text:FILE" or "jsonl:FILE"; empty is the run's source
	Model  string `yaml:"model"` // the model that the run starts from: the directory or GGUF file of a published one, or a file of weights
	MDNS   bool   `yaml:"mdns"`
	DHT    bool   `yaml:"dht"`
	NAT    bool   `yaml:"nat"`    // port mapping, hole punching, relays
	Local  bool   `yaml:"-"`      // this machine only: overrides MDNS and NAT
	Paused bool   `yaml:"paused"` // listen, serve and relay, but do not train until told

	Logger *slog.Logger `yaml:"-"`

	// What Validate makes of the above.
	caps   caps
	listen []string

	diskLimit int64                   // tests: of the store, in place of Disk, which has a least value
	walk      func(*node.WalkConfig)  // tests: other times than those of setPace
	tap       func(net.Conn) net.Conn // tests: see [swarm.Config]
}

// caps are the limits in numbers.
type caps struct{ upload, download, disk int64 }

// DefaultConfig returns what a volunteer's machine gets who sets nothing.
func DefaultConfig() Config {
	return Config{
		Listen: []string{fmt.Sprintf(":%d", defaultPort)}, Metrics: "127.0.0.1:0",
		Upload: "0", Download: "0", Disk: "8GiB", Shard: -1, MDNS: true, NAT: true,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// configFile is the optional file in the home, whose keys are those of Config.
const configFile = "config.yaml"

// Load resolves the home and takes settings from its config.yaml, except those that given names as set on the command
// line.
func (c *Config) Load(given func(name string) bool) error {
	home, err := Home(c.Home)
	if err != nil {
		return err
	}
	c.Home = home
	path := filepath.Join(home, configFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	file := *c
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %s", path, strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	pick(&c.Listen, file.Listen, given("listen"))
	pick(&c.Metrics, file.Metrics, given("metrics"))
	pick(&c.Threads, file.Threads, given("threads"))
	pick(&c.Upload, file.Upload, given("upload"))
	pick(&c.Download, file.Download, given("download"))
	pick(&c.Disk, file.Disk, given("disk"))
	pick(&c.Shard, file.Shard, given("shard"))
	pick(&c.Data, file.Data, given("data"))
	pick(&c.Model, file.Model, given("model"))
	pick(&c.MDNS, file.MDNS, given("mdns"))
	pick(&c.DHT, file.DHT, given("dht"))
	pick(&c.NAT, file.NAT, given("nat"))
	pick(&c.Paused, file.Paused, given("paused"))
	return nil
}

func pick[T any](to *T, file T, given bool) {
	if !given {
		*to = file
	}
}

// Validate reports all problems at once, each with the name of the setting. It also fills in what follows from others, so that
// it may be called again after a change.
func (c *Config) Validate() error {
	var errs []error
	home, err := Home(c.Home)
	if err != nil {
		errs = append(errs, err)
	}
	c.Home = home
	limit := func(name, text string, to *int64, least int64) {
		n, err := bytesPerSecond(text)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		case n != 0 && n < least:
			errs = append(errs, fmt.Errorf("%s: %s is too little to take part: at least %s", name, text, manifest.Size(least)))
		default:
			*to = n
		}
	}
	limit("upload", c.Upload, &c.caps.upload, 1<<10)
	limit("download", c.Download, &c.caps.download, 1<<10)
	limit("disk", c.Disk, &c.caps.disk, 64<<20)
	if c.Threads < 0 {
		errs = append(errs, fmt.Errorf("threads: %d: must be 0 (all) or more", c.Threads))
	}
	if c.Shard < -1 {
		errs = append(errs, fmt.Errorf("shard: %d: must be -1 (chosen by key) or more", c.Shard))
	}
	for _, own := range [...]struct{ name, path string }{{"data", data.Path(c.Data)}, {"model", c.Model}} {
		if _, err := os.Stat(own.path); own.path != "" && err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", own.name, err))
		}
	}
	if len(c.Listen) == 0 {
		errs = append(errs, errors.New("listen: no address: use :4150, or 127.0.0.1:0 for this machine only"))
	}
	if c.listen, err = multiaddrs(c.Listen); err != nil {
		errs = append(errs, err)
	}
	if err := checkLoopback(c.Metrics); err != nil {
		errs = append(errs, err)
	}
	if c.Local {
		c.MDNS, c.NAT = false, false
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// bytesPerSecond reads a number of bytes; "0" and "" are no limit.
func bytesPerSecond(text string) (int64, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	n, err := manifest.ParseSize(strings.TrimSuffix(text, "/s"))
	return int64(n), err
}

// multiaddrs turns host:port into the addresses to listen on: QUIC and TCP on the same port.
func multiaddrs(listen []string) ([]string, error) {
	var out []string
	for _, l := range listen {
		host, port, err := net.SplitHostPort(l)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: write it as host:port, like :4150 or 192.0.2.1:4150", l)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return nil, fmt.Errorf("listen address %q: %q is not a port", l, port)
		}
		ip := net.ParseIP(host)
		switch {
		case host == "":
			out = append(out, both("/ip4/0.0.0.0", port)...)
			if ipv6() {
				out = append(out, both("/ip6/::", port)...)
			}
		case ip == nil:
			return nil, fmt.Errorf("listen address %q: %q is not an IP address", l, host)
		case ip.To4() != nil:
			out = append(out, both("/ip4/"+ip.String(), port)...)
		default:
			out = append(out, both("/ip6/"+ip.String(), port)...)
		}
	}
	return out, nil
}

func both(host, port string) []string {
	return []string{host + "/udp/" + port + "/quic-v1", host + "/tcp/" + port}
}

// ipv6 reports whether this machine can listen on IPv6 at all.
func ipv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}
