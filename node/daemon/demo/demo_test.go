package demo

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"starling/node/manifest"
)

// The long forms: go test ./node/daemon/demo -run Kill -kills 100; go test ./node/daemon/demo -run Component -daemons 50 -times 20
// -late 30s -within 15s -timeout 1h.
var (
	kills   = flag.Int("kills", 6, "nodes to kill -9 in TestKilledNodesLoseAtMostOneRound")
	daemons = flag.Int("daemons", 10, "daemons in TestDaemonsFormOneComponent")
	times   = flag.Int("times", 1, "repetitions of TestDaemonsFormOneComponent")
	within  = flag.Duration("within", time.Minute, "how soon after the last start the daemons must be one component; the goal on a machine that does nothing else is 15s")
	soak    = flag.Duration("soak", 5*time.Second, "how long TestSoakLeavesMemoryAndGoroutinesWhereTheyWere trains")
	late    = flag.Duration("late", 6*time.Second, "how late the second bootstrap starts; the first is killed after a third of it")
)

// program is the starling binary, built once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "starling-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "starling")
	code := 1
	if out, err := exec.Command("go", "build", "-o", program, "starling/cmd/starling").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func small(nodes int) manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Data.Shards, m.Method.Steps.Count = "softmax", nodes, 20
	return m
}

func TestKilledNodesLoseAtMostOneRound(t *testing.T) {
	var out bytes.Buffer
	m := small(4)
	m.Evaluate.Target = 0.85
	d := Demo{Config: Config{Nodes: 4, Manifest: m, Home: t.TempDir(), Program: program}, Kills: *kills,
		Timeout: time.Minute + time.Duration(*kills)*20*time.Second, Out: &out}
	r, err := d.Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if r.Kills != *kills || r.MostLost > 1 || r.Corrupted != 0 || !r.Reached {
		t.Errorf("got %+v, want %d kills, at most 1 round lost, nothing damaged, target reached\n%s", r, *kills, out.String())
	}
	t.Logf("%d kills: at most %d rounds lost, %d checkpoints damaged, worst accuracy %.4f", r.Kills, r.MostLost, r.Corrupted, r.Accuracy.Worst)
}

func TestScalarNodesEndWithEqualModelsAfterKills(t *testing.T) {
	var out bytes.Buffer
	m := small(3)
	m.Method.Steps.Count, m.Method.Batch, m.Checkpoint.Every = manifest.Default().Method.Steps.Count, 64, 8
	m.Method.Name, m.Method.Scalar = "scalar", "structured:rotate=2,epoch=128,lr=0.002"
	m.Evaluate.Target = 0.6
	d := Demo{Config: Config{Nodes: 3, Manifest: m, Home: t.TempDir(), Program: program}, Kills: 2, Timeout: 2 * time.Minute, Out: &out}
	r, err := d.Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(r.ModelHashes) != 3 || r.ModelHashes[0] == "" || r.ModelHashes[1] != r.ModelHashes[0] || r.ModelHashes[2] != r.ModelHashes[0] {
		t.Errorf("the models are %q", r.ModelHashes)
	}
	if r.MostLost > 1 || r.Corrupted != 0 || !r.Reached {
		t.Errorf("got %+v, want at most 1 batch lost, nothing damaged, target reached\n%s", r, out.String())
	}
}

func TestDaemonsFormOneComponent(t *testing.T) {
	for i := range *times {
		took, err := oneComponent(t, *daemons, *late)
		if err != nil {
			t.Fatalf("run %d: %v", i+1, err)
		}
		t.Logf("run %d: %d daemons are one component %.1f s after the last start", i+1, *daemons, took.Seconds())
	}
}

// oneComponent starts all daemons but the second bootstrap, kills the first one, starts the second one late, and waits
// until all that run are connected.
func oneComponent(t *testing.T, n int, late time.Duration) (time.Duration, error) {
	s, err := Prepare(Config{Nodes: n, Manifest: small(n), Home: t.TempDir(), Program: program, Args: []string{"--paused"}}, 2)
	if err != nil {
		return 0, err
	}
	defer s.Stop()
	const first, second = 0, 1
	began := time.Now()
	for i := range n {
		if i == second {
			continue
		}
		if err := s.Launch(i); err != nil {
			return 0, err
		}
	}
	if err := sleep(t.Context(), time.Until(began.Add(late/3))); err != nil {
		return 0, err
	}
	if err := s.Kill(first); err != nil {
		return 0, err
	}
	if err := sleep(t.Context(), time.Until(began.Add(late))); err != nil {
		return 0, err
	}
	if err := s.Launch(second); err != nil {
		return 0, err
	}
	last := time.Now()
	for {
		if err := s.Poll(t.Context()); err != nil {
			return 0, err
		}
		took := time.Since(last)
		parts := components(s)
		if parts == 1 {
			return took, nil
		}
		if took > *within {
			return 0, fmt.Errorf("%d components %s after the last start", parts, *within)
		}
		if err := sleep(t.Context(), 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// components counts the connected parts of the nodes that run.
func components(s *Swarm) int {
	root := make(map[string]string)
	var find func(string) string
	find = func(x string) string {
		if root[x] != x {
			root[x] = find(root[x])
		}
		return root[x]
	}
	running := 0
	for _, n := range s.Nodes() {
		if n.cmd == nil {
			continue
		}
		running++
		if !n.Seen {
			return running + 1 // not up yet
		}
		root[n.Report.Peer] = n.Report.Peer
	}
	parts := running
	for _, n := range s.Nodes() {
		if n.cmd == nil {
			continue
		}
		for _, p := range n.Report.Peers {
			if _, ok := root[p.Peer]; !ok {
				continue
			}
			if a, b := find(n.Report.Peer), find(p.Peer); a != b {
				root[a] = b
				parts--
			}
		}
	}
	return parts
}

func TestInterruptLeavesNoProcessBehind(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			home := t.TempDir()
			var out bytes.Buffer
			if sig != syscall.SIGKILL { // else what nohup has had this test ignore is ignored by the command, too
				caught := make(chan os.Signal, 1)
				signal.Notify(caught, sig)
				defer signal.Stop(caught)
			}
			cmd := exec.Command(program, "demo", "--nodes", "3", "--model", "softmax", "--target", "0.999", "--home", home)
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wait(t, "three daemons", func() bool { return len(processes(t, home)) >= 4 })
			cmd.Process.Signal(sig)
			err := cmd.Wait()
			var exit *exec.ExitError
			if sig != syscall.SIGKILL && (!errors.As(err, &exit) || exit.ExitCode() != 130) {
				t.Errorf("exit: %v, want code 130\n%s", err, out.String())
			}
			wait(t, "all processes to end", func() bool { return len(processes(t, home)) == 0 })
		})
	}
}

// processes lists the processes that have the directory in their command line.
func processes(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("this system has no /proc to look for processes in")
	}
	var found []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), dir) {
			found = append(found, f)
		}
	}
	return found
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !ok() {
		if sleep(ctx, 50*time.Millisecond) != nil {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// TestSoakLeavesMemoryAndGoroutinesWhereTheyWere trains for a while and compares the end with the time after warming up.
func TestSoakLeavesMemoryAndGoroutinesWhereTheyWere(t *testing.T) {
	s, err := Start(Config{Nodes: 3, Manifest: small(3), Home: t.TempDir(), Program: program})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	look := func() (rounds uint64, goroutines int, memory int64) {
		if err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Nodes() {
			rounds += n.Report.Round
			goroutines = max(goroutines, n.Report.Goroutines)
			memory = max(memory, n.Report.Memory)
		}
		return rounds, goroutines, memory
	}
	wait(t, "rounds", func() bool { r, _, _ := look(); return r > 60 })
	r0, g0, m0 := look()
	if err := sleep(t.Context(), *soak); err != nil {
		t.Fatal(err)
	}
	r1, g1, m1 := look()
	t.Logf("after %s and %d rounds: goroutines %d, were %d; memory %d MiB, was %d MiB", *soak, r1-r0, g1, g0, m1>>20, m0>>20)
	if g1 > g0+g0/2 || m1 > 2*m0 {
		t.Errorf("goroutines went from %d to %d and memory from %d to %d bytes", g0, g1, m0, m1)
	}
}

func TestAnIdleDaemonIsSmall(t *testing.T) {
	s, err := Start(Config{Nodes: 2, Manifest: manifest.Default(), Home: t.TempDir(), Program: program, Args: []string{"--paused"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	var most int64
	wait(t, "both to be joined", func() bool {
		if err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		most = 0
		for _, n := range s.Nodes() {
			if !n.Seen || len(n.Report.Peers) != 1 || n.Report.Phase != "paused" {
				return false
			}
			most = max(most, n.Report.Memory)
		}
		return true
	})
	t.Logf("%.1f MiB", float64(most)/(1<<20))
	if most > 96<<20 {
		t.Errorf("a joined daemon that does nothing takes %.1f MiB; 96 are allowed", float64(most)/(1<<20))
	}
}
