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
	first, second := t.TempDir(), t.TempDir()
	link, err := CreateRun(first, byScalars(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	a, stopA := serve(t, link.String(), local(first))
	link.Bootstrap = a.Addrs()
	cfg := local(second)
	cfg.Shard = 1
	b, stopB := serve(t, link.String(), cfg)
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
	copy(value, "xxx") // the core's memory is used again
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
