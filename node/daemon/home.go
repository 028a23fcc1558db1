package daemon

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"starling/gossip"
	"starling/node/manifest"
	"starling/storage"
)

// version is set by release builds with -ldflags "-X starling/node/daemon.version=…".
var version string

// Version returns the version of this build: that of the release, or of the module, or "development".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// Home returns the directory of a node: the given one, or $XDG_DATA_HOME/starling, or ~/.local/share/starling.
func Home(home string) (string, error) {
	if home != "" {
		return filepath.Abs(home)
	}
	if x := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "starling"), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find home directory: %w: name one with --home", err)
	}
	return filepath.Join(user, ".local", "share", "starling"), nil
}

// RunDir returns the directory of a run in a home.
func RunDir(home string, run gossip.RunID) string {
	return filepath.Join(home, "runs", run.String())
}

// What a run's directory holds, beside the control file.
const (
	manifestFile = "manifest.cbor"
	storeDir     = "store"
)

// FindRun returns the directory of the run in the home whose ID begins as given. If nothing is given it is the only run, or
// the only one with a daemon.
func FindRun(home, prefix string) (string, error) {
	home, err := Home(home)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(filepath.Join(home, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var found, running []string
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		found = append(found, e.Name())
		if storage.InUse(filepath.Join(home, "runs", e.Name(), storeDir)) {
			running = append(running, e.Name())
		}
	}
	if prefix == "" && len(running) == 1 {
		found = running
	}
	switch {
	case len(found) == 1:
		return filepath.Join(home, "runs", found[0]), nil
	case len(found) == 0 && prefix != "":
		return "", fmt.Errorf("no run in %s begins with %q", home, prefix)
	case len(found) == 0:
		return "", fmt.Errorf("no run in %s: join one with `starling join LINK`, or name another home with --home", home)
	}
	return "", fmt.Errorf("several runs in %s: name one with --run:\n  %s", home, strings.Join(found, "\n  "))
}

// LoadManifest reads and verifies the manifest in a run's directory.
func LoadManifest(runDir string) (manifest.Manifest, error) {
	path := filepath.Join(runDir, manifestFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest.Manifest{}, fmt.Errorf("the run's manifest is not here yet: a daemon gets it from the first peer that it reaches: %w", err)
	}
	if err != nil {
		return manifest.Manifest{}, err
	}
	m, err := manifest.Open(b)
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// saveManifest writes it so that a crash leaves either nothing or all of it.
func saveManifest(runDir string, signed []byte) error {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return err
	}
	return writeFile(filepath.Join(runDir, manifestFile), signed)
}

// writeFile replaces a file atomically and durably.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// defaultPort is where a daemon listens unless told otherwise.
const defaultPort = 4150

// CreateRun signs the manifest with the home's key, which is made if there is none, keeps it in the home, and returns
// the run's link. Others will look for this machine at addrs, which are multiaddrs without /p2p; if there are none, at
// its own addresses and the default port.
func CreateRun(home string, m manifest.Manifest, addrs []string) (gossip.Link, error) {
	home, err := Home(home)
	if err != nil {
		return gossip.Link{}, err
	}
	if err := checkAddrs(addrs); err != nil {
		return gossip.Link{}, err
	}
	key, err := loadKey(home)
	if err != nil {
		return gossip.Link{}, err
	}
	m.Created = time.Now().UTC().Truncate(time.Second)
	signed, err := manifest.Sign(m, key)
	if err != nil {
		return gossip.Link{}, err
	}
	m, err = manifest.Open(signed.Encode())
	if err != nil {
		return gossip.Link{}, err
	}
	link := gossip.Link{Run: m.ID()}
	if len(addrs) == 0 {
		addrs = ownAddrs(defaultPort)
	}
	for _, a := range addrs {
		link.Bootstrap = append(link.Bootstrap, a+"/p2p/"+m.Creator.String())
	}
	if _, err := gossip.ParseLink(link.String()); err != nil {
		return gossip.Link{}, fmt.Errorf("%w: name fewer addresses", err)
	}
	if err := saveManifest(RunDir(home, link.Run), signed.Encode()); err != nil {
		return gossip.Link{}, fmt.Errorf("keep manifest: %w", err)
	}
	return link, nil
}

// checkAddrs finds what would only be noticed by those who got the link.
func checkAddrs(addrs []string) error {
	var errs []error
	for _, a := range addrs {
		m, err := ma.NewMultiaddr(a)
		why := ""
		switch {
		case err != nil:
			why = err.Error()
		case has(m, ma.P_P2P):
			why = "it names a peer, which is added here"
		case !has(m, ma.P_TCP) && !has(m, ma.P_QUIC_V1):
			why = "it has no port of TCP or QUIC"
		default:
			continue
		}
		errs = append(errs, fmt.Errorf("address %q: %s: write it like /ip4/203.0.113.7/udp/4150/quic-v1 or /dns4/example.org/tcp/4150", a, why))
	}
	return errors.Join(errs...)
}

func has(m ma.Multiaddr, code int) bool {
	_, err := m.ValueForProtocol(code)
	return err == nil
}

// Identity returns the ID of the node of a home, which gets one if it has none.
func Identity(home string) (gossip.PeerID, error) {
	home, err := Home(home)
	if err != nil {
		return gossip.PeerID{}, err
	}
	key, err := loadKey(home)
	if err != nil {
		return gossip.PeerID{}, err
	}
	return gossip.Ed25519Signer(key).ID(), nil
}

func loadKey(home string) (ed25519.PrivateKey, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	return storage.LoadOrCreateKey(filepath.Join(home, "key"))
}

// ownAddrs lists the addresses of this machine's interfaces that others can dial, the public ones first; loopback only
// if there is nothing else.
func ownAddrs(port int) []string {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		interfaces = nil
	}
	var public, private []netip.Addr
	for _, a := range interfaces {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch ip := p.Addr().Unmap(); {
		case ip.IsLoopback(), ip.IsLinkLocalUnicast(), ip.IsMulticast():
		case ip.IsPrivate():
			private = append(private, ip)
		default:
			public = append(public, ip)
		}
	}
	ips := append(public, private...)
	if len(ips) == 0 {
		ips = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	// A link is pasted into chats: three machines' worth of addresses is enough.
	ips = ips[:min(len(ips), 3)]
	var out []string
	for _, ip := range ips {
		family := "ip4"
		if ip.Is6() {
			family = "ip6"
		}
		out = append(out, fmt.Sprintf("/%s/%s/udp/%d/quic-v1", family, ip, port), fmt.Sprintf("/%s/%s/tcp/%d", family, ip, port))
	}
	return out
}
