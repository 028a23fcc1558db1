package daemon

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"starling/gossip"
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

// check measures a record of somebody else again.
func (s *stepper) check(j node.CheckJob) {
	s.compute(jobCheck, func(w *compute.Worker) {
		s.report(w.CheckReplica(s.work, s.d.node, j, s.d.replica))
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
	d.base = cfg.BaseDigest
	cfg.Log, err = ownLog(d.store)
	return cfg, err
}

// ownLog reads the records that the node has made and persisted.
func ownLog(s *storage.Store) ([]node.Record, error) {
	log, err := s.Records(node.ScalarKey)
	if err != nil {
		return nil, fmt.Errorf("read own records: %w", err)
	}
	out := make([]node.Record, len(log))
	for i, r := range log {
		out[i] = node.Record{Key: r.Key, Value: r.Value}
	}
	return out, nil
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
	// Epochs is null but in runs that close epochs.
	Epochs *EpochReport `json:"epochs,omitempty"`
	Digest string       `json:"digest"` // SHA-256 of the sums: equal digests are equal models
	// Model is the SHA-256 of the weights, float32 and little-endian. While the node trains, it is that of weights that it has probed a
	// while ago, which lack what has come since.
	Model string `json:"model"`

	Nodes []LogReport `json:"nodes"`

	Checks *CheckReport `json:"checks,omitempty"` // null in a run whose nodes measure none of others' records again
}

// A CheckReport is what came of measuring records of others again.
type CheckReport struct {
	Share      float64 `json:"share"` // of others' records that is to be
	Asked      uint64  `json:"asked"` // about which the author was asked
	Right      uint64  `json:"right"`
	Wrong      uint64  `json:"wrong"`
	Unanswered uint64  `json:"unanswered"`
	Unable     uint64  `json:"unable"` // this node lacks what it takes
}

// A LogReport is what a node knows of the records of one node, itself among them.
type LogReport struct {
	Peer    string `json:"peer"` // empty if only the sums of its records were ever heard
	Known   uint64 `json:"known"`
	Missing uint64 `json:"missing"` // there for sure, or told of by the peer heard of last
	Banned  bool   `json:"banned"`

	// Of the records that this node has measured again, or wanted to.
	Right      uint64 `json:"right"`
	Wrong      uint64 `json:"wrong"`
	Unanswered uint64 `json:"unanswered"`
}

// reportLogs lists them, that of this node first, then those with most records.
func reportLogs(self gossip.PeerID, logs []node.LogStatus) []LogReport {
	slices.SortStableFunc(logs, func(a, b node.LogStatus) int {
		switch {
		case a.Peer == self:
			return -1
		case b.Peer == self:
			return 1
		}
		return cmp.Compare(b.Known, a.Known)
	})
	var out []LogReport
	for _, l := range logs {
		r := LogReport{
			Known: l.Known, Missing: l.Missing, Banned: l.Banned, Right: l.Right, Wrong: l.Wrong, Unanswered: l.Unanswered,
		}
		if l.Peer != (gossip.PeerID{}) {
			r.Peer = l.Peer.String()
		}
		out = append(out, r)
	}
	return out
}

// hashing is when a model's hash was computed last, and how long that took.
type hashing struct {
	mu   sync.Mutex
	hash [32]byte      // guarded by mu, as are:
	at   time.Time     // zero: never
	took time.Duration // which is a pass over the weights if they have changed
}

// hashShare bounds the time that goes into hashes of a model that changes all the time, for which the node would wait: one part in so many.
const hashShare = 20

// modelHash is the hash of the model. That of a node that trains may be of an older state.
func (d *Daemon) modelHash(training bool) [32]byte {
	h := &d.hashing
	h.mu.Lock()
	defer h.mu.Unlock()
	if training && !h.at.IsZero() && time.Since(h.at) < hashShare*h.took {
		return h.hash
	}
	began := time.Now()
	h.hash = d.replica.Digest()
	h.at, h.took = time.Now(), time.Since(began)
	return h.hash
}

// reportRecords says what the node knows of the records.
func (d *Daemon) reportRecords(s node.Status, logs []node.LogStatus) *RecordReport {
	k := s.Scalar
	if k == nil {
		return nil
	}
	model := d.modelHash(s.Phase == node.PhaseTraining)
	r := &RecordReport{
		Known: k.Records, Missing: k.Missing, Own: k.Next, Logs: k.Logs, Banned: k.Banned, Kept: k.Kept,
		Digest: hex.EncodeToString(k.Digest[:]), Model: hex.EncodeToString(model[:]), Nodes: reportLogs(d.self, logs),
	}
	if share := d.manifest.Method.Check; share > 0 {
		c := k.Checks
		r.Checks = &CheckReport{Share: share, Asked: c.Asked, Right: c.Right, Wrong: c.Wrong, Unanswered: c.Unanswered, Unable: c.Unable}
	}
	if k.Voters > 0 {
		r.Epochs = &EpochReport{Closed: k.Closed, Votes: k.Voted, Needed: 2*k.Voters/3 + 1, Voters: k.Voters, Round: k.Round, Clip: k.Clip}
	}
	return r
}

// An EpochReport is how far a node is with closing epochs.
type EpochReport struct {
	Closed uint32 `json:"closed"`
	Votes  int    `json:"votes"`  // about closing the next one that this node has heard of in the present step; 0 before it has begun
	Needed int    `json:"needed"` // votes that close it
	Voters int    `json:"voters"` // who have one; in the first epoch all peers that the run may have
	Round  uint32 `json:"round"`  // of the vote; each begins with another proposal
	Clip   byte   `json:"clip"`   // largest code that counts
}

// String says in words how many epochs are closed, and what the next one waits for.
func (e *EpochReport) String() string {
	if e.Votes == 0 {
		return fmt.Sprintf("%d closed; the next one will take %d of %d votes", e.Closed, e.Needed, e.Voters)
	}
	return fmt.Sprintf("%d closed; waiting for %d of %d votes on the next one, %d are here, in round %d", e.Closed, e.Needed, e.Voters, e.Votes, e.Round+1)
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
