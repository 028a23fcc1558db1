package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"starling/node"
	"starling/node/manifest"
	"starling/node/model/safetensors"
	"starling/storage"
)

func byScalars() manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Data.Shards, m.Method.Batch = "softmax", 2, 8
	m.Method.Name, m.Method.Scalar = "scalar", "structured:pool=256,epoch=64,rotate=2,peers=8"
	m.Evaluate.Target, m.Checkpoint.Every = 0, 2
	return m
}

func TestScalarDaemonsHoldTheSameModelAlsoAfterARestart(t *testing.T) {
	link, a, b, cfg, stopA, stopB := two(t, byScalars())
	r := reports(t, b, "records of both", func(r Report) bool {
		return r.Records != nil && r.Records.Logs == 2 && r.Records.Own > 150 && r.EvalAt > 0
	})
	if !strings.HasPrefix(r.Counts(), "yes: ") || r.Method != "scalar, structured" || r.Records.Known <= r.Records.Own || r.Records.Banned != 0 {
		t.Errorf("%s; %+v, %+v", r.Counts(), r, *r.Records)
	}
	if err := stopB(); err != nil {
		t.Fatal(err)
	}
	b, stopB = serve(t, link.String(), cfg)
	own := r.Records.Own
	r = reports(t, b, "more records", func(r Report) bool { return r.Records != nil && r.Records.Own > own+50 })
	if r.Resumed == 0 {
		t.Errorf("a new start: %+v", r)
	}
	for _, d := range []*Daemon{a, b} {
		c, err := Dial(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Order(t.Context(), "pause"); err != nil {
			t.Fatal(err)
		}
	}
	two := reports(t, b, "a pause", func(r Report) bool { return r.Phase == "paused" })
	one := reports(t, a, "equal sets", func(r Report) bool {
		if c, err := Dial(b.dir); err == nil && r.Phase == "paused" {
			two, err = c.Status(t.Context())
			return err == nil && two.Records.Digest == r.Records.Digest
		}
		return false
	})
	if one.Records.Model != two.Records.Model || one.Records.Known != two.Records.Known {
		t.Errorf("equal sums, and %+v and %+v", *one.Records, *two.Records)
	}
	if one.Records.Logs != 2 || one.Records.Banned != 0 {
		t.Errorf("%+v", *one.Records)
	}
	if err := errors.Join(stopA(), stopB()); err != nil {
		t.Error(err)
	}
	// What is exported is the model, not what it started from.
	out := filepath.Join(t.TempDir(), "m.safetensors")
	if _, err := ExportCheckpoint(t.Context(), a.dir, 0, out); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	weights := file[len(file)-4*7850:]
	if sum := sha256.Sum256(weights); hex.EncodeToString(sum[:]) != one.Records.Model {
		t.Errorf("the exported model has another hash than %s", one.Records.Model)
	}
	startsFrom(t, out)
}

// startsFrom makes a run that begins with the weights in a file, and has nodes try it that have them, others or none.
func startsFrom(t *testing.T, path string) {
	digest, err := safetensors.Digest(path)
	if err != nil {
		t.Fatal(err)
	}
	m := byScalars()
	m.Init = manifest.WeightsInit(digest)
	home := t.TempDir()
	link, err := CreateRun(home, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := local(home)
	d, err := Open(link.String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "--model") {
		t.Errorf("without its weights the run begins: %v", err)
	}
	cfg.Model = path
	cfg.Paused = true
	d, stop := serve(t, link.String(), cfg)
	r := reports(t, d, "a model", func(r Report) bool { return r.Records != nil && r.Records.Model != "" })
	if r.Records.Model != hex.EncodeToString(digest[:]) || r.Records.Known != 0 {
		t.Errorf("the run starts from %x, and the node has %+v", digest, *r.Records)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRecordsThatCouldNotBeWrittenAreWrittenWithTheNext(t *testing.T) {
	open := func() *storage.Store {
		s, err := storage.Open(t.TempDir(), storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	d := &Daemon{store: open(), log: slog.New(slog.DiscardHandler)}
	d.metrics = newMetrics(prometheus.NewRegistry(), d)
	s := &stepper{d: d}
	if !s.persist([]node.Record{{Key: "scalar/0", Value: []byte("old")}}) || len(s.owed) != 0 {
		t.Fatal("a record is not written to a store that is well")
	}
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	value := []byte("one")
	if s.persist([]node.Record{{Key: "scalar/1", Value: value}, {Key: "scalar/2", Value: []byte("two")}}) || s.persist(nil) {
		t.Error("what a closed store does not take is durable")
	}
	clear(value) // as the core does, which uses its memory again: what is owed must be a copy
	s.persist([]node.Record{{Key: "scalar/2", Value: []byte("deux")}, {Key: "scalar/3"}})
	if len(d.trouble.list()) != 1 {
		t.Errorf("the owner is told %q", d.trouble.list())
	}
	d.store = open()
	if !s.persist(nil) || len(d.trouble.list()) != 0 {
		t.Error("what is owed is not written when it can be")
	}
	have, err := d.store.Records(node.ScalarKey)
	want := []storage.Record{{Key: "scalar/1", Value: []byte("one")}, {Key: "scalar/2", Value: []byte("deux")}}
	if err != nil || !reflect.DeepEqual(have, want) {
		t.Errorf("%q, %v; want %q", have, err, want)
	}
}

// TestDaemonsCloseEpochsAlike has four daemons train in closed mode, and one of them die in between.
func TestDaemonsCloseEpochsAlike(t *testing.T) {
	m := byScalars()
	m.Data.Shards = 4
	m.Method.Scalar = "structured:pool=256,epoch=64,rotate=4,peers=4,mode=closed,combine=median"
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()}
	link, err := CreateRun(dirs[0], m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	var all []*Daemon
	var stops []func() error
	begin := func(i int) (*Daemon, func() error) {
		cfg := local(dirs[i])
		cfg.Shard = i
		d, stop := serve(t, link.String(), cfg)
		return d, stop
	}
	for i := range dirs {
		d, stop := begin(i)
		link.Bootstrap = append(d.Addrs(), link.Bootstrap...)[:1]
		all, stops = append(all, d), append(stops, stop)
	}
	r := reports(t, all[3], "closed epochs", func(r Report) bool {
		return r.Records != nil && r.Records.Epochs != nil && r.Records.Epochs.Closed >= 2
	})
	if e := r.Records.Epochs; e.Needed != 3 || e.Voters < 3 || e.Clip == 0 || !strings.Contains(e.String(), " closed; ") {
		t.Errorf("%+v: %s", *e, e)
	}
	if err := stops[3](); err != nil {
		t.Fatal(err)
	}
	all[3], stops[3] = begin(3)
	closed := r.Records.Epochs.Closed
	reports(t, all[3], "more epochs", func(r Report) bool { return r.Records != nil && r.Records.Epochs.Closed >= closed+2 })
	for _, d := range all {
		c, err := Dial(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Order(t.Context(), "pause"); err != nil {
			t.Fatal(err)
		}
	}
	one := reports(t, all[0], "equal models", func(r Report) bool {
		for _, d := range all[1:] {
			c, err := Dial(d.dir)
			if err != nil {
				return false
			}
			other, err := c.Status(t.Context())
			if err != nil || other.Phase != "paused" || r.Phase != "paused" || other.Records.Epochs.Closed != r.Records.Epochs.Closed || other.Records.Model != r.Records.Model {
				return false
			}
		}
		return true
	})
	if one.Records.Banned > 0 || one.Records.Logs < 3 { // as many as it takes: the last one may come too late to add anything
		t.Errorf("%+v", *one.Records)
	}
	for _, stop := range stops {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
