package daemon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"starling/gossip"
	"starling/mixing"
	"starling/node"
	"starling/node/compute"
	"starling/node/model/safetensors"
	"starling/storage"
)

// A Verification is what was recomputed of a node's records, in the order in which it was.
type Verification struct {
	Checked []Finding `json:"checked"`
	Problem string    `json:"problem,omitempty"` // the first thing that is not as it should be; what follows it was not looked at
}

// A Finding is one thing that is as it should be.
type Finding struct {
	What string `json:"what"` // in one word or two
	Text string `json:"text"`
}

func (v *Verification) found(what, format string, args ...any) {
	v.Checked = append(v.Checked, Finding{what, fmt.Sprintf(format, args...)})
}

// Own is what a node has of its own that its manifest does not say, as in [Config].
type Own struct {
	Data  string // only says how large the model is
	Model string // that the run starts from
}

// VerifyRecords recomputes the model of a run of the method scalar from the base and the records in the newest checkpoint, and looks at
// the node's own log and its counter. If the run's daemon is running, the daemon does it, of what it has on disk, and own says nothing.
// The error says why nothing could be looked at.
func VerifyRecords(ctx context.Context, runDir string, own Own) (v Verification, err error) {
	err = useStore(runDir, func(s *storage.Store) error {
		m, err := LoadManifest(runDir)
		if err != nil {
			return err
		}
		if m.Method.Name != "scalar" {
			return errNoRecords(m.Method.Name)
		}
		key, err := loadKey(filepath.Dir(filepath.Dir(runDir)))
		if err != nil {
			return err
		}
		a := audit{run: m.ID(), self: gossip.Ed25519Signer(key).ID(), store: s}
		o := compute.Options{Source: own.Data, Model: own.Model, Bare: true}
		if own.Model != "" {
			o.Weights = func(l *mixing.Layout) ([]float32, error) { return safetensors.ReadFile(own.Model, l) }
		}
		if a.program, err = compute.New(m, o); err != nil {
			return err
		}
		v, err = a.verify(ctx)
		return err
	}, func(c *Client) error { return c.fetch(ctx, pathRecords, &v) })
	return v, err
}

func errNoRecords(method string) error {
	return fmt.Errorf("the run's method is %s: only with scalar are there records to verify", method)
}

// pathRecords is where a running daemon says what [VerifyRecords] asks for.
const pathRecords = "/records/verify"

func (d *Daemon) serveRecords(w http.ResponseWriter, r *http.Request) error {
	select {
	case <-d.loop.ready:
	default:
		return errNotReady
	}
	if d.replica == nil {
		return errNoRecords(d.manifest.Method.Name)
	}
	a := audit{run: d.link.Run, self: d.self, store: d.store, program: d.program, still: d.loop.ask}
	v, err := a.verify(r.Context())
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(v)
}

// An audit verifies what is in a store.
type audit struct {
	run     gossip.RunID
	self    gossip.PeerID
	store   *storage.Store
	program *compute.Program
	still   func(ctx context.Context, f func()) error // calls f while nothing is persisted; nil if nobody persists
}

// tries is how often what is on disk is read again because a newer checkpoint has taken the place of the one that was read.
const tries = 8

func (a *audit) verify(ctx context.Context) (Verification, error) {
	scalar, err := a.program.Scalar()
	if err != nil {
		return Verification{}, err
	}
	cfg := node.Config{Run: a.run, Self: a.self, Scalar: scalar, RepairEvery: node.Second}
	for range tries {
		var v Verification
		c, err := a.newest(&v)
		if err != nil || v.Problem != "" {
			return v, err
		}
		again, err := a.read(ctx, &cfg, c.Seq)
		switch {
		case err != nil:
			return v, err
		case !again:
			a.compare(&v, c, cfg)
			return v, nil
		}
	}
	return Verification{}, errors.New("checkpoints are written faster than they are read: pause the node, and try again")
}

// newest loads the newest checkpoint, with number 0 if there is none.
func (a *audit) newest(v *Verification) (c storage.Checkpoint, err error) {
	list, err := a.store.List()
	if err != nil || len(list) == 0 {
		return c, err
	}
	c, err = a.store.Load(list[0].Seq)
	switch {
	case errors.Is(err, storage.ErrNotFound): // a newer one has taken its place
		return storage.Checkpoint{Seq: list[0].Seq}, nil
	case errors.Is(err, storage.ErrDamaged):
		v.Problem = err.Error()
		return c, nil
	}
	return c, err
}

// read reads the own log and the counter as they are at one time, and reports whether there is a newer checkpoint by then: it may be
// because of that one that batches have gone from the log.
func (a *audit) read(ctx context.Context, cfg *node.Config, checkpoint uint64) (again bool, err error) {
	look := func() {
		var list []storage.Info
		if cfg.Scalar.Log, err = ownLog(a.store); err != nil {
			return
		}
		if cfg.Seq, err = loadSeq(a.store); err != nil {
			return
		}
		list, err = a.store.List()
		again = len(list) > 0 && list[0].Seq != checkpoint
	}
	if a.still == nil {
		look()
		return again, err
	}
	return again, errors.Join(a.still(ctx, look), err)
}

// compare recomputes what a checkpoint and the own log hold, and stops at the first difference.
func (a *audit) compare(v *Verification, c storage.Checkpoint, cfg node.Config) {
	problem := func(format string, args ...any) { v.Problem = fmt.Sprintf(format, args...) }
	state := node.State{Params: firstParams, Opt: firstOpt}
	var meta stateMeta
	var weights []float32
	if c.Seq > 0 {
		var err error
		if meta, weights, err = readState(c, a.run, a.program); err != nil {
			problem("%s", err)
			return
		}
		state.Round, state.Age, state.Step = meta.Round, meta.Age, meta.Step
		if i := slices.IndexFunc(c.Sections, func(s storage.Section) bool { return s.Name == sectionOpaque }); i >= 0 {
			state.Opaque = c.Sections[i].Data
		}
		switch base := hash(cfg.Scalar.BaseDigest); {
		case meta.Base == "" || meta.Sums == "":
			problem("checkpoint %d does not say what base and sums it was made of: an older build wrote it; start the daemon, which will write another", c.Seq)
			return
		case meta.Base != base:
			problem("checkpoint %d was made from the base %s, and the manifest makes %s with this build: use the version of starling that joined the run", c.Seq, meta.Base, base)
			return
		default:
			v.found("base", "%s, made anew from the manifest; that of checkpoint %d", base, c.Seq)
		}
	}
	report, err := node.AuditScalar(cfg, state, gossip.Ed25519Verifier{})
	switch {
	case err != nil && c.Seq > 0:
		problem("checkpoint %d and the log after it: %s", c.Seq, err)
		return
	case err != nil:
		problem("%s", err)
		return
	}
	if c.Seq == 0 {
		v.found("checkpoint", "none yet: there is only the node's own log")
	} else if !a.compareModel(v, c.Seq, meta, weights, report, problem) {
		return
	}
	text := "empty: this node has made no record yet"
	if report.Own > 0 {
		text = fmt.Sprintf("%s, an unbroken chain up to record %d, the newest of this node", batches(uint64(report.Batches)), report.Own-1)
	}
	if c.Seq > 0 {
		text += fmt.Sprintf("; %s came after checkpoint %d", plural(report.Beyond, "record"), c.Seq)
	}
	v.found("own log", "%s", text)
	v.found("counter", "%d on disk, and the newest batch in the log is message %d: nothing was sent that it does not cover", cfg.Seq, report.Newest)
}

// compareModel compares what the records of a checkpoint add up to with its sums and its weights, and reports whether they agree.
func (a *audit) compareModel(v *Verification, seq uint64, meta stateMeta, weights []float32, r *node.ScalarAudit, problem func(string, ...any)) bool {
	if sums := hash(r.Digest); sums != meta.Sums {
		problem("the records in checkpoint %d add up to the sums %s, and it was written with %s", seq, sums, meta.Sums)
		return false
	}
	text := fmt.Sprintf("%s of %s", plural(r.Records, "record"), plural(uint64(r.Logs), "node"))
	if r.Summed > 0 {
		text += fmt.Sprintf(", %d of them by their sums alone", r.Summed)
	}
	v.found("records", "%s; %s of others are kept, with signatures that hold, and say the same", text, batches(uint64(r.Sealed)))
	v.found("sums", "%s, added up anew; those of checkpoint %d", meta.Sums, seq)
	have, want := compute.Digest(weights), a.program.ScalarModel(r.Sums)
	if have != want {
		problem("base and sums make the model %s, and the weights in checkpoint %d are %s", hash(want), seq, hash(have))
		return false
	}
	v.found("model", "%s, made anew of base and sums; the weights in checkpoint %d, bit for bit", hex.EncodeToString(have[:]), seq)
	return true
}
