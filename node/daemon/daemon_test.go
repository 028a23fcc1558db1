package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"starling/gossip"
	"starling/gossip/swarm"
	"starling/node/manifest"
	"starling/storage"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Started by imported packages for the life of the process.
		goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

func tiny() manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Data.Shards, m.Method.Steps.Count, m.Method.Batch = "softmax", 2, 2, 8
	m.Evaluate.Target = 0
	return m
}

func local(home string) Config {
	c := DefaultConfig()
	c.Home, c.Listen, c.Local, c.Shard = home, []string{"127.0.0.1:0"}, true, 0
	return c
}

// serve runs a daemon until the test ends, or until the returned function is called, which returns what Serve returned.
func serve(t testing.TB, link string, cfg Config) (*Daemon, func() error) {
	t.Helper()
	d, err := Open(link, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	stopped := false
	stop := func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-done
	}
	t.Cleanup(func() { stop() })
	return d, stop
}

// serveError serves a daemon that is expected to fail by itself.
func serveError(t *testing.T, link string, cfg Config) error {
	t.Helper()
	d, err := Open(link, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return d.Serve(ctx)
}

// reports polls a daemon until its report is as wanted.
func reports(t testing.TB, d *Daemon, what string, ok func(Report) bool) Report {
	t.Helper()
	var r Report
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		c, err := Dial(d.dir)
		if err != nil {
			continue
		}
		if r, err = c.Status(t.Context()); err == nil && ok(r) {
			return r
		}
	}
	t.Fatalf("waited 60 s for %s; the last report is %+v", what, r)
	return r
}

// two serves two daemons of a run, of which the second has the configuration that is returned.
func two(t *testing.T, m manifest.Manifest) (link gossip.Link, a, b *Daemon, cfg Config, stopA, stopB func() error) {
	t.Helper()
	first := t.TempDir()
	link, err := CreateRun(first, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	a, stopA = serve(t, link.String(), local(first))
	link.Bootstrap = a.Addrs()
	cfg = local(t.TempDir())
	cfg.Shard = 1
	b, stopB = serve(t, link.String(), cfg)
	return link, a, b, cfg, stopA, stopB
}

func TestTwoDaemonsTrainTogetherAndGoOnAfterARestart(t *testing.T) {
	link, a, b, cfg, stopA, stopB := two(t, tiny())
	r := reports(t, b, "rounds that count", func(r Report) bool { return r.Counted > 2 && r.EvalAt > 0 })
	if !strings.HasPrefix(r.Counts(), "yes: ") || r.Run != link.Run.String() || len(r.Peers) != 1 {
		t.Errorf("%s; %+v", r.Counts(), r)
	}
	if err := stopB(); err != nil {
		t.Fatal(err)
	}
	reports(t, a, "the goodbye of the other", func(r Report) bool { return len(r.Members) == 1 && r.Members[0].Gone })
	list, err := ListCheckpoints(t.Context(), b.dir)
	if err != nil || len(list) == 0 || list[0].Round < r.Round {
		t.Fatalf("checkpoints after leaving at round %d: %+v %v", r.Round, list, err)
	}
	if bad, err := VerifyCheckpoints(t.Context(), b.dir); err != nil || len(bad) != 0 {
		t.Errorf("%v %v", bad, err)
	}
	again, stopAgain := serve(t, link.String(), cfg)
	r = reports(t, again, "more rounds", func(r Report) bool { return r.Published > 1 })
	if r.Resumed != list[0].Round || r.Round <= list[0].Round {
		t.Errorf("resumed at round %d and is at %d; the checkpoint was of %d", r.Resumed, r.Round, list[0].Round)
	}
	// The owner says leave.
	c, err := Dial(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Order(t.Context(), "leave"); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(a.dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after leaving: %v", err)
	}
	if err := errors.Join(stopA(), stopAgain()); err != nil {
		t.Error(err)
	}
	out := filepath.Join(t.TempDir(), "m.safetensors")
	if info, err := ExportCheckpoint(t.Context(), a.dir, 0, out); err != nil || info.Round == 0 {
		t.Errorf("export: %+v %v", info, err)
	}
	if size, err := os.Stat(out); err != nil || size.Size() < 4*7850 {
		t.Errorf("exported file: %v %v", size, err)
	}
}

// pushing is a run of the exchange push with models too large for an update, so that they travel as blobs, or without.
func pushing(blobs bool) manifest.Manifest {
	m := tiny()
	m.Data.Shards = 3
	m.Method.Exchange, m.Method.Wake = manifest.Push, manifest.Wake{Period: 200 * time.Millisecond, Deviation: 50 * time.Millisecond}
	m.Method.Mix = "mean"
	if blobs {
		m.Limits.Inline = 1000
	}
	return m
}

func TestThreeDaemonsTrainByPushing(t *testing.T) {
	for name, m := range map[string]manifest.Manifest{"inline": pushing(false), "as blobs": pushing(true)} {
		t.Run(name, func(t *testing.T) {
			homes := []string{t.TempDir(), t.TempDir(), t.TempDir()}
			link, err := CreateRun(homes[0], m, []string{"/ip4/127.0.0.1/tcp/1"})
			if err != nil {
				t.Fatal(err)
			}
			first, _ := serve(t, link.String(), local(homes[0]))
			r := reports(t, first, "the end of its own training", func(r Report) bool { return r.Round == 1 && r.Phase == "waiting for a model" })
			if !strings.Contains(r.Counts(), "nobody is connected") || r.Method != "average, mean, push" {
				t.Errorf("alone: %s; %s", r.Counts(), r.Method)
			}
			link.Bootstrap = first.Addrs()
			daemons := []*Daemon{first}
			var stop func() error
			for i := 1; i < 3; i++ {
				cfg := local(homes[i])
				cfg.Shard = i
				var d *Daemon
				d, stop = serve(t, link.String(), cfg)
				daemons = append(daemons, d)
			}
			for _, d := range daemons {
				r := reports(t, d, "models taken and given", func(r Report) bool {
					mixed := 0
					for _, m := range r.Members {
						if m.Mixed > 0 {
							mixed++
						}
					}
					return mixed == 2 && r.Counted > 1 && r.EvalAt > 1 && r.Accuracy > 0.5
				})
				if !strings.HasPrefix(r.Counts(), "yes: at least ") || len(r.Rejected) > 0 || len(r.Trouble) > 0 {
					t.Errorf("%s, not taken: %v, trouble: %v", r.Counts(), r.Rejected, r.Trouble)
				}
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			left := daemons[2].self.String()
			reports(t, first, "the goodbye of the last", func(r Report) bool {
				for _, m := range r.Members {
					if m.Peer == left {
						return m.Gone
					}
				}
				return false
			})
		})
	}
}

func TestARunMayTrainForAPassOverTheDataInEachRound(t *testing.T) {
	m := tiny()
	m.Model, m.Optimizer = "svm", "pegasos"
	m.Data = manifest.Data{Source: "pegasos:seed=3", Split: "contiguous", Shards: 7}
	m.Method.Steps, m.Method.Batch = manifest.Steps{Epoch: true}, 100
	home := t.TempDir()
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, _ := serve(t, link.String(), local(home))
	r := reports(t, d, "two rounds", func(r Report) bool { return r.Round >= 2 })
	pass := uint64((d.node.Rows() + 99) / 100)
	if pass < 2 || r.Age%pass != 0 || r.Age < 2*pass {
		t.Errorf("at age %d with %d steps a pass", r.Age, pass)
	}
}

// TestHostileMessagesAreRefusedAndCounted gives a daemon what a hostile peer could send.
func TestHostileMessagesAreRefusedAndCounted(t *testing.T) {
	home := t.TempDir()
	link, err := CreateRun(home, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, _ := serve(t, link.String(), local(home))
	reports(t, d, "the start", func(r Report) bool { return r.Round > 0 })

	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	evil := gossip.Ed25519Signer(key)
	seq := uint64(0)
	update := func(edit func(m *gossip.Message, u *gossip.Update)) []byte {
		seq++
		u := &gossip.Update{Round: 1, Age: 2, Samples: 16, Loss: 1, Codec: "bf16", Len: 7850, Size: 15700, Blob: gossip.BlobID{1}}
		m := &gossip.Message{Run: link.Run, Author: evil.ID(), Seq: seq, Body: u}
		edit(m, u)
		sealed, err := gossip.Seal(m, evil)
		if err != nil {
			t.Fatal(err)
		}
		return sealed.Raw
	}
	good := update(func(*gossip.Message, *gossip.Update) {})
	forged := append([]byte{}, good...)
	forged[len(forged)-1]++
	for _, c := range []struct {
		name   string
		raw    []byte
		want   swarm.Decision
		reason string
	}{
		{"good", good, swarm.Accept, ""},
		{"garbage", []byte("hello"), swarm.Reject, "malformed"},
		{"oversized", make([]byte, 65<<10), swarm.Reject, "oversized"},
		{"mis-signed", forged, swarm.Reject, "bad signature"},
		{"of another run", update(func(m *gossip.Message, _ *gossip.Update) { m.Run[0]++ }), swarm.Reject, "wrong run"},
		{"not finite", update(func(_ *gossip.Message, u *gossip.Update) { u.Loss = float32(math.NaN()) }), swarm.Reject, "not finite"},
		{"in another codec", update(func(_ *gossip.Message, u *gossip.Update) { u.Codec = "fp32" }), swarm.Reject, "wrong codec"},
		{"of another length", update(func(_ *gossip.Message, u *gossip.Update) { u.Len = 7 }), swarm.Reject, "wrong length"},
		{"with a huge blob", update(func(_ *gossip.Message, u *gossip.Update) { u.Size = 1 << 50 }), swarm.Reject, "wrong length"},
		{"with push-sum fields", update(func(_ *gossip.Message, u *gossip.Update) { u.Weight = 3 }), swarm.Reject, "malformed"},
	} {
		got, reason := d.validate(gossip.PeerID{}, c.raw)
		if got != c.want || reason != c.reason {
			t.Errorf("%s: %v %q, want %v %q", c.name, got, reason, c.want, c.reason)
		}
	}
	d.deliver(t.Context(), gossip.PeerID{}, good)
	r := reports(t, d, "the good one", func(r Report) bool { return len(r.Members) == 1 })
	if got, reason := d.validate(gossip.PeerID{}, good); got != swarm.Ignore || reason != "replayed" {
		t.Errorf("the same again: %v %q", got, reason)
	}
	for _, reason := range []string{"malformed", "oversized", "bad signature", "wrong run", "not finite", "wrong codec", "wrong length"} {
		if r.Rejected[reason] == 0 {
			t.Errorf("%q is not counted: %v", reason, r.Rejected)
		}
	}
}

func TestWhatIsWrongWithTheMachineIsSaidInOneLine(t *testing.T) {
	home := t.TempDir()
	link, err := CreateRun(home, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	fails := func(name, want string, cfg Config, text string) {
		t.Helper()
		d, err := Open(text, cfg)
		if err == nil {
			d.close()
			t.Errorf("%s: no error", name)
			return
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(strings.TrimSpace(err.Error()), "\n") {
			t.Errorf("%s: %q, want one line with %q", name, err, want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := local(home)
	busy.Listen = []string{l.Addr().String()}
	fails("busy port", l.Addr().String()[len("127.0.0.1:"):], busy, link.String())
	metrics := local(home)
	metrics.Metrics = l.Addr().String()
	fails("busy metrics port", "--metrics", metrics, link.String())
	metrics.Metrics = "0.0.0.0:0"
	fails("metrics for everybody", "loopback", metrics, link.String())
	fails("cut link", "cut off", local(home), link.String()[:40])
	little := local(home)
	little.Disk = "1MiB"
	fails("too little disk", "disk", little, link.String())

	// Nothing was lost: the same home still works.
	d, stop := serve(t, link.String(), local(home))
	reports(t, d, "a round", func(r Report) bool { return r.Round > 0 })
	fails("second daemon", "in use", local(home), link.String())
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	// A manifest that was changed on disk.
	path := filepath.Join(d.dir, manifestFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, b...)
	bad[len(bad)/2]++
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := serveError(t, link.String(), local(home)); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("damaged manifest: %v", err)
	}
}

func TestADaemonWantsRowsToTrainOn(t *testing.T) {
	m := tiny()
	m.Model, m.Optimizer = "svm", "pegasos"
	m.Data = manifest.Data{Source: "pegasos:seed=3", Split: "contiguous", Shards: 65536} // of 4,141 rows
	home := t.TempDir()
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := serveError(t, link.String(), local(home)); err == nil || !strings.Contains(err.Error(), "--shard") {
		t.Errorf("part 0 is empty: %v", err)
	}
	cfg := local(home)
	cfg.Shard = 65535
	d, stop := serve(t, link.String(), cfg)
	reports(t, d, "a round on one row", func(r Report) bool { return r.Round > 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskLosesNothingAndIsSaid(t *testing.T) {
	home := t.TempDir()
	link, err := CreateRun(home, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := local(home)
	d, stop := serve(t, link.String(), cfg)
	before := reports(t, d, "some rounds", func(r Report) bool { return r.Round >= 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	cfg.diskLimit = 1 // less than is used already
	d, stop = serve(t, link.String(), cfg)
	r := reports(t, d, "the trouble", func(r Report) bool { return len(r.Trouble) > 0 })
	if r.Round < before.Round || !strings.Contains(strings.Join(r.Trouble, ";"), "full") || r.Announced > r.Resumed+1 {
		t.Errorf("%+v", r)
	}
	if len(r.Trouble) != 1 {
		t.Errorf("one cause is told %d times: %q", len(r.Trouble), r.Trouble)
	}
	c, err := Dial(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Order(t.Context(), "leave"); err == nil || !strings.Contains(err.Error(), "the newest state is lost: ") {
		t.Errorf("leaving without having saved: %v", err)
	}
	if err := stop(); !errors.Is(err, storage.ErrDiskFull) {
		t.Errorf("serve: %v", err)
	}
	if bad, err := VerifyCheckpoints(t.Context(), d.dir); err != nil || len(bad) > 0 {
		t.Errorf("%v %v", bad, err)
	}
	cfg.diskLimit = 0
	d, _ = serve(t, link.String(), cfg)
	if r := reports(t, d, "new rounds", func(r Report) bool { return r.Published > 1 }); r.Resumed < before.Round {
		t.Errorf("went on at round %d, was at %d", r.Resumed, before.Round)
	}
}

func TestANodeThatWaitsForTheManifestSaysSoAndCanLeave(t *testing.T) {
	link, err := CreateRun(t.TempDir(), tiny(), []string{"/ip4/127.0.0.1/tcp/1"}) // where nobody listens
	if err != nil {
		t.Fatal(err)
	}
	d, stop := serve(t, link.String(), local(t.TempDir()))
	r := reports(t, d, "the reason", func(r Report) bool { return len(r.Trouble) > 0 })
	if r.Phase != phaseManifest || !strings.Contains(r.Counts(), "manifest") || !strings.Contains(r.Trouble[0], "/ip4/127.0.0.1/tcp/1") {
		t.Errorf("%+v", r)
	}
	if _, err := LoadManifest(d.dir); err == nil || !strings.Contains(err.Error(), "not here yet") {
		t.Errorf("manifest: %v", err)
	}
	c, err := Dial(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Order(t.Context(), "pause"); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("pause: %v", err)
	}
	if err := c.Order(t.Context(), "leave"); err != nil {
		t.Errorf("leave: %v", err)
	}
	if err := c.AwaitEnd(t.Context()); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestADamagedCheckpointIsReportedAndTheOneBeforeUsed(t *testing.T) {
	home := t.TempDir()
	link, err := CreateRun(home, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, stop := serve(t, link.String(), local(home))
	reports(t, d, "some rounds", func(r Report) bool { return r.Round >= 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	list, err := ListCheckpoints(t.Context(), d.dir)
	if err != nil || len(list) < 2 {
		t.Fatalf("%v %v", list, err)
	}
	s, err := storage.Open(filepath.Join(d.dir, "store"), storage.Options{Keep: 10})
	if err != nil {
		t.Fatal(err)
	}
	// A newer checkpoint of another version: as unusable as a damaged one, and not to be overwritten.
	if err := s.SaveCheckpoint(t.Context(), storage.Checkpoint{Meta: []byte(`{"version":9}`)}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := serveError(t, link.String(), local(home)); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a checkpoint of a newer version: %v", err)
	}
}

func TestSettingsComeFromTheFileUnlessGiven(t *testing.T) {
	home := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(home, configFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("threads: 3\nupload: 500KiB\nmdns: false\n")
	c := DefaultConfig()
	c.Home, c.Threads = home, 1
	if err := c.Load(func(name string) bool { return name == "threads" }); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Threads != 1 || c.caps.upload != 500<<10 || c.MDNS || c.caps.disk != 8<<30 {
		t.Errorf("%+v", c)
	}
	write("thread: 3\n")
	if err := c.Load(func(string) bool { return false }); err == nil || !strings.Contains(err.Error(), "thread") {
		t.Errorf("a wrong key: %v", err)
	}
	c = DefaultConfig()
	c.Home, c.Threads, c.Upload, c.Disk, c.Listen = home, -1, "fast", "1KiB", nil
	err := c.Validate()
	for _, field := range []string{"threads", "upload", "disk", "listen"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s is not among the problems: %v", field, err)
		}
	}
}

func TestCountsSayInPlainWordsWhetherWorkCounts(t *testing.T) {
	for _, c := range []struct {
		r    Report
		want string
	}{
		{Report{}, "nothing announced yet"},
		{Report{Published: 3}, "no: 3 rounds announced, but nobody is connected"},
		{Report{Published: 1, Peers: make([]PeerReport, 1)}, "not yet: 1 round announced"},
		{Report{Published: 3, Peers: make([]PeerReport, 1), Refused: map[string]uint64{"stale": 2}}, "refused as stale (2)"},
		{Report{Published: 9, Counted: 7, NewestBy: 4}, "yes: 7 of 9 rounds mixed in by peers, the newest by 4"},
		{Report{Exchange: "push", Phase: phaseManifest}, "manifest"},
		{Report{Exchange: "push", Phase: "paused"}, "the node is paused"},
		{Report{Exchange: "push"}, "no: nobody is connected to send a model to"},
		{Report{Exchange: "push", Peers: make([]PeerReport, 1)}, "nothing sent yet: the first round is still under way"},
		{Report{Exchange: "push", Round: 1, Peers: make([]PeerReport, 1)}, "nothing sent yet: the first time to send has not come"},
		{Report{Exchange: "push", Round: 1, Published: 1, Peers: make([]PeerReport, 1)}, "not known yet: 1 model sent"},
		{Report{Exchange: "push", Round: 3, Published: 9, Counted: 4, Peers: make([]PeerReport, 2)}, "yes: at least 4 of 9 models sent"},
		{Report{Exchange: "push", Round: 3, Published: 9, Refused: map[string]uint64{"stale": 2}, Peers: make([]PeerReport, 2)}, "refused as stale (2)"},
	} {
		if got := c.r.Counts(); !strings.Contains(got, c.want) {
			t.Errorf("%q does not say %q", got, c.want)
		}
	}
	if got := Reasons(map[string]uint64{"b": 2, "a": 2, "c": 5}); got != "c (5), a (2), b (2)" {
		t.Error(got)
	}
}

func ExampleReport_Counts() {
	fmt.Println(Report{Published: 9, Counted: 7, NewestBy: 4}.Counts())
	// Output: yes: 7 of 9 rounds mixed in by peers, the newest by 4
}
