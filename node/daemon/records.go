package daemon

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"starling/node"
	"starling/node/compute"
	"starling/storage"
)

// persist makes what a batch says durable, and reports whether it is, with all that earlier batches said: what is not durable is not
// announced, and neither is what comes after it. What could not be written is written with the next batch.
func (s *stepper) persist(records []node.Record) bool {
	for _, r := range records {
		owed := storage.Record{Key: r.Key, Value: r.Value}
		if i := slices.IndexFunc(s.owed, func(o storage.Record) bool { return o.Key == r.Key }); i >= 0 {
			s.owed[i] = owed
		} else {
			s.owed = append(s.owed, owed)
		}
	}
	if len(s.owed) == 0 {
		return true
	}
	began := time.Now()
	err := s.d.store.Put(s.owed)
	s.d.metrics.worked(jobPersist, time.Since(began))
	if err != nil {
		for i := range s.owed {
			s.owed[i].Value = slices.Clone(s.owed[i].Value) // that of the batch is the core's
		}
		s.d.trouble.set(troubleStore, fmt.Errorf("cannot write to disk: %w", err))
		s.d.log.Error("persist", "error", err)
		return false
	}
	s.owed = s.owed[:0]
	s.d.trouble.clear(troubleStore)
	return true
}

// probe measures a slope on the node's integer model.
func (s *stepper) probe(j node.ProbeJob) {
	s.compute(jobProbe, func(w *compute.Worker) {
		s.report(w.ProbeReplica(s.work, s.d.node, j, s.d.replica))
	})
}

// scalar fills in what the method scalar needs beside what the manifest says, and makes the integer model; with another method it does
// nothing.
func (d *Daemon) scalar(state *node.State) (node.ScalarConfig, error) {
	cfg, err := d.program.Scalar()
	if err != nil || d.manifest.Method.Name != "scalar" {
		return cfg, err
	}
	if d.replica, err = compute.NewReplica(d.program.Layout(), cfg, d.loop.arena.Vec(state.Params)); err != nil {
		return cfg, err
	}
	log, err := d.store.Records(node.ScalarKey)
	if err != nil {
		return cfg, fmt.Errorf("read own records: %w", err)
	}
	for _, r := range log {
		cfg.Log = append(cfg.Log, node.Record{Key: r.Key, Value: r.Value})
	}
	return cfg, nil
}

// unsavedMeans says what comes of a checkpoint that could not be written.
func (d *Daemon) unsavedMeans() string {
	if d.replica != nil {
		return "after a restart, records since the one before would be read from the log, and those of others fetched again"
	}
	return "nothing new is announced until it is saved"
}

// A RecordReport is what a node of the method scalar knows of the records of the run.
type RecordReport struct {
	Known   uint64 `json:"known"`
	Missing uint64 `json:"missing"` // that the peer heard of last has and this node does not
	Own     uint64 `json:"own"`
	Logs    int    `json:"logs"`   // of all nodes that have any records
	Banned  int    `json:"banned"` // of these, cut off because their nodes equivocate
	Kept    int    `json:"kept"`   // batches that can be passed on
	Digest  string `json:"digest"` // SHA-256 of the sums: equal digests are equal models
	// Model is the SHA-256 of the weights, float32 and little-endian. While the node trains, it is that of the weights that it probes, which
	// lack what has come since.
	Model string `json:"model"`
}

// reportRecords says what the node knows of the records.
func (d *Daemon) reportRecords(s *node.ScalarStatus) *RecordReport {
	if s == nil {
		return nil
	}
	model := d.replica.Digest()
	return &RecordReport{
		Known: s.Records, Missing: s.Missing, Own: s.Next, Logs: s.Logs, Banned: s.Banned, Kept: s.Kept,
		Digest: hex.EncodeToString(s.Digest[:]), Model: hex.EncodeToString(model[:]),
	}
}

// countsOfRecords is [Report.Counts] with the method scalar, in which nobody says what it has added: whoever hears of a record does.
func (r Report) countsOfRecords() string {
	switch {
	case r.Published == 0:
		return "nothing announced yet: the first batch of records is still open"
	case len(r.Peers) == 0:
		return fmt.Sprintf("not yet: %s announced, but nobody is connected to hear it", batches(r.Published))
	}
	return fmt.Sprintf("yes: %d of the %s that this node knows are its own, and whoever hears of them adds them", r.Records.Own, plural(r.Records.Known, "record"))
}

func batches(n uint64) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}
