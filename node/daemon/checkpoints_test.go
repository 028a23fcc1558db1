package daemon

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starling/storage"
)

// TestCheckpointsCanBeHadFromARunningDaemonAndFromAStoppedOne asks both and compares the model that they export.
func TestCheckpointsCanBeHadFromARunningDaemonAndFromAStoppedOne(t *testing.T) {
	home := t.TempDir()
	m := tiny()
	m.Checkpoint.Keep = 5
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	dir := RunDir(home, link.Run)
	if _, err := ListCheckpoints(t.Context(), dir); !errors.Is(err, ErrNotJoined) {
		t.Errorf("before joining: %v", err)
	}
	d, stop := serve(t, link.String(), local(home))
	reports(t, d, "more rounds than are kept", func(r Report) bool { return r.Round > 6 })
	if err := d.order(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	reports(t, d, "the pause", func(r Report) bool { return r.Phase == "paused" })
	exports := t.TempDir()
	export := func(name string, number uint64) []byte {
		t.Helper()
		path := filepath.Join(exports, name)
		info, err := ExportCheckpoint(t.Context(), dir, number, path)
		if err != nil || info.Number != number {
			t.Fatalf("export: %+v %v", info, err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	running, err := ListCheckpoints(t.Context(), dir)
	if err != nil || len(running) != m.Checkpoint.Keep {
		t.Fatalf("%d checkpoints, the manifest keeps %d: %v", len(running), m.Checkpoint.Keep, err)
	}
	if bad, err := VerifyCheckpoints(t.Context(), dir); err != nil || len(bad) > 0 {
		t.Errorf("verify: %v %v", bad, err)
	}
	newest := running[0]
	fromRunning := export("running", newest.Number)
	if _, err := ExportCheckpoint(t.Context(), dir, 9999, filepath.Join(exports, "none")); err == nil || !strings.Contains(err.Error(), "checkpoint list") {
		t.Errorf("an unknown number: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	stopped, err := ListCheckpoints(t.Context(), dir)
	if err != nil || len(stopped) == 0 {
		t.Fatal(stopped, err)
	}
	if !bytes.Equal(fromRunning, export("stopped", newest.Number)) {
		t.Errorf("checkpoint %d exports differently from a stopped node", newest.Number)
	}
	for name, want := range map[string]string{"": "is a directory", "missing/model": "make it first"} {
		if _, err := ExportCheckpoint(t.Context(), dir, 0, filepath.Join(exports, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("export to %q: %v, want %q", name, err, want)
		}
	}
	if files, err := os.ReadDir(exports); err != nil || len(files) != 2 {
		t.Errorf("failed exports leave files behind: %v %v", files, err)
	}
}

func TestOfSeveralRunsTheOneThatRunsIsMeant(t *testing.T) {
	home := t.TempDir()
	var links []string
	for _, name := range []string{"one", "two"} {
		m := tiny()
		m.Name = name
		link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, link.String())
	}
	if dir, err := FindRun(home, ""); err == nil || !strings.Contains(err.Error(), "--run") {
		t.Errorf("none of two runs: %s %v", dir, err)
	}
	d, _ := serve(t, links[1], local(home))
	if dir, err := FindRun(home, ""); err != nil || dir != d.dir {
		t.Errorf("one of two runs: %s %v, want %s", dir, err, d.dir)
	}
}

func TestAfterLeavingTheStoreIsFree(t *testing.T) {
	home := t.TempDir()
	link, err := CreateRun(home, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, _ := serve(t, link.String(), local(home))
	reports(t, d, "a round", func(r Report) bool { return r.Round > 0 })
	c, err := Dial(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Order(t.Context(), "leave"); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := storage.Open(filepath.Join(d.dir, storeDir), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// A node that cannot read any of its checkpoints does not begin anew by itself: it would soon remove them.
func TestANodeDoesNotBeginAnewOverDamagedCheckpoints(t *testing.T) {
	home := t.TempDir()
	m := tiny()
	m.Model = "mlp:128" // large enough for packs
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, stop := serve(t, link.String(), local(home))
	reports(t, d, "more rounds than are kept", func(r Report) bool { return r.Round > 6 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	list, err := ListCheckpoints(t.Context(), d.dir)
	if err != nil || len(list) == 0 {
		t.Fatalf("%d checkpoints: %v", len(list), err)
	}
	packs := filepath.Join(d.dir, storeDir, "packs")
	files, err := os.ReadDir(packs)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d packs: %v", len(files), err)
	}
	away := packs + ".away"
	if err := os.Rename(packs, away); err != nil {
		t.Fatal(err)
	}
	bad, err := VerifyCheckpoints(t.Context(), d.dir)
	if err != nil || len(bad) != len(list) || !strings.Contains(bad[0], "section params") {
		t.Errorf("of %d checkpoints %q are damaged, %v", len(list), bad, err)
	}
	if err := serveError(t, link.String(), local(home)); err == nil || !strings.Contains(err.Error(), "move it away") || strings.Contains(err.Error(), "\n") {
		t.Errorf("over damaged checkpoints: %v", err)
	}
	if _, err := ExportCheckpoint(t.Context(), d.dir, 0, filepath.Join(t.TempDir(), "x")); err == nil || !strings.Contains(err.Error(), "no checkpoint is whole") {
		t.Errorf("export: %v", err)
	}
	if err := os.Rename(away, packs); err != nil {
		t.Fatal(err)
	}
	again, stop := serve(t, link.String(), local(home))
	if r := reports(t, again, "the node with what it had", func(r Report) bool { return r.Resumed > 0 }); r.Resumed < 6 {
		t.Errorf("resumed from round %d", r.Resumed)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestARunThatDoesNotFitTheDiskIsRefused(t *testing.T) {
	home := t.TempDir()
	m := tiny()
	m.Model = "mlp:4000" // 3.2 million numbers
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := local(home)
	cfg.Disk = "64MiB"
	if err := serveError(t, link.String(), cfg); err == nil || !strings.Contains(err.Error(), "join with --disk") {
		t.Errorf("64 MiB for checkpoints of 13: %v", err)
	}
}
