package thin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"starling/node/daemon/demo"
)

// A Net is a network of thin links. Its methods may be called concurrently, but none after Close.
type Net struct {
	hub   *space
	sites []*site
	line  *line
}

// Open makes the network. When it fails it leaves nothing behind; the error is [ErrNotPermitted] if this system is to blame.
func Open(cfg Config) (_ *Net, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	delays, err := cfg.delays()
	if err != nil {
		return nil, err
	}
	n := &Net{}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.hub, err = newSpace(); err != nil {
		return nil, err
	}
	if err := n.hub.do(route); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	for i, l := range cfg.Links {
		s, err := newSpace()
		if err != nil {
			return nil, err
		}
		n.sites = append(n.sites, &site{s, nodeAddr(i)})
		if err := n.connect(i, l); err != nil {
			return nil, err
		}
	}
	if cfg.Delay == nil {
		return n, nil
	}
	if n.line, err = openLine(n.hub, delays); err != nil {
		return nil, err
	}
	return n, n.detour()
}

// route makes the namespace of the caller one that forwards packets, and takes them back from the detour.
func route() error {
	for file, value := range map[string]string{ // order-free: none depends on another
		"/proc/sys/net/ipv4/ip_forward":             "1",
		"/proc/sys/net/ipv4/conf/all/rp_filter":     "0",
		"/proc/sys/net/ipv4/conf/default/rp_filter": "0",
	} {
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// Names of devices.
const nodeDevice = "thin"

func hubDevice(i int) string { return fmt.Sprintf("thin%d", i) }

// connect puts a wire between a node and the hub.
func (n *Net) connect(i int, l Link) error {
	s, far := n.sites[i], hubDevice(i)
	err := n.hub.ip(
		fmt.Sprintf("link add %s type veth peer name %s netns %d", far, nodeDevice, s.thread),
		fmt.Sprintf("addr add %s/24 dev %s", hubAddr(i), far),
		fmt.Sprintf("link set %s up", far))
	if err == nil {
		err = s.ip(
			fmt.Sprintf("addr add %s/24 dev %s", nodeAddr(i), nodeDevice),
			fmt.Sprintf("link set %s up", nodeDevice),
			fmt.Sprintf("route add default via %s", hubAddr(i)))
	}
	if err == nil && l.Up != 0 {
		err = s.tc(bucket(nodeDevice, l.Up))
	}
	if err == nil && l.Down != 0 {
		err = n.hub.tc(bucket(far, l.Down))
	}
	return err
}

// bucketBurst is that of one frame: what the kernel has put together from several is cut up again before it is counted.
const bucketBurst = 1600

// bucket is the command that limits what leaves a device. The queue behind the limit holds half a second.
func bucket(device string, rate int64) string {
	return fmt.Sprintf("qdisc add dev %s root tbf rate %dbit burst %d limit %d", device, rate, max(bucketBurst, rate/8/250), max(8*bucketBurst, rate/16))
}

// detour sends what comes from nodes through the line. What comes back from there goes the usual way.
func (n *Net) detour() error {
	const table = 77
	lines := []string{
		fmt.Sprintf("link set %s up", lineDevice),
		fmt.Sprintf("link set %s txqueuelen 10000", lineDevice),
		fmt.Sprintf("route add default dev %s table %d", lineDevice, table),
	}
	for i := range n.sites {
		lines = append(lines, fmt.Sprintf("rule add iif %s lookup %d", hubDevice(i), table))
	}
	if err := n.hub.ip(lines...); err != nil {
		return err
	}
	n.line.run()
	return nil
}

// Sites returns the places of the nodes.
func (n *Net) Sites() []demo.Site {
	var all []demo.Site
	for _, s := range n.sites {
		all = append(all, s)
	}
	return all
}

// Traffic returns what has passed the link of a node.
func (n *Net) Traffic(i int) (Traffic, error) {
	t, err := n.passed(i)
	if err != nil {
		return t, err
	}
	up, err := n.sites[i].drops(nodeDevice)
	if err != nil {
		return t, err
	}
	down, err := n.hub.drops(hubDevice(i))
	t.Dropped = up + down
	return t, err
}

// passed is Traffic without the packets that were dropped, which take longer to ask for.
func (n *Net) passed(i int) (t Traffic, err error) {
	const file = "/proc/thread-self/net/dev" // that of the namespace of the thread that opens it
	var text []byte
	if err = n.sites[i].do(func() error { text, err = os.ReadFile(file); return err }); err != nil {
		return t, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), nodeDevice+":"); ok {
			skip := new(int64) // errors, drops by the device and what else there is
			_, err = fmt.Sscan(rest, &t.ReceivedBytes, &t.ReceivedPackets, skip, skip, skip, skip, skip, skip, &t.SentBytes, &t.SentPackets)
			return t, err
		}
	}
	return t, fmt.Errorf("%s: there is no device %s", file, nodeDevice)
}

// drops returns how many packets found the queue of a device full.
func (s *space) drops(device string) (int64, error) {
	cmd := exec.Command("tc", "-json", "-statistics", "qdisc", "show", "dev", device, "root")
	var out, why bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &why
	if err := s.do(cmd.Run); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(why.String()))
	}
	var queues []struct{ Drops int64 }
	if err := json.Unmarshal(out.Bytes(), &queues); err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	sum := int64(0)
	for _, q := range queues {
		sum += q.Drops
	}
	return sum, nil
}

// Close ends the network. Processes inside should have ended before; those that have not are alone then.
func (n *Net) Close() error {
	var err error
	if n.line != nil {
		err = n.line.close()
	}
	for _, s := range n.sites {
		s.close()
	}
	if n.hub != nil {
		n.hub.close()
	}
	return err
}
