package node

import (
	"errors"
	"fmt"

	"starling/gossip"
	"starling/mixing/scalar"
)

// ScalarConfig sets the method scalar. All nodes of a run agree on everything above the line.
type ScalarConfig struct {
	scalar.Config

	RunSeed      uint64   // of directions
	BaseDigest   [32]byte // of the model that the records change
	ConfigDigest [32]byte // of the text of Config

	// CheckShare is the part of others' records that is measured again, 0 to 1. If it is not 0, examples are drawn for each record from all of
	// the run's data, and batches commit to what their records were measured on: see type checks.
	CheckShare float64

	// ---- what may differ from node to node ----

	// Batch is how many records are sent together; default [gossip.DefaultBatch]. What there is after BatchEvery, default 1 s, is sent then;
	// where more than 64 nodes add records, it waits longer in proportion, so that all together send no more than 64 batches in that time.
	Batch      int
	BatchEvery Instant

	// Keep is how many sealed batches of others a node keeps at the most, to pass them on and to prove equivocation; default 16,384, which
	// take some 8 MiB. What is kept no more can be had as a part of the sum.
	Keep int

	// ExchangeEvery is the mean interval between two looks at what a random peer has; default [Config.RepairEvery].
	ExchangeEvery Instant

	// SaveEvery and EvaluateEvery are in own batches, as in [AverageConfig] in rounds. A crash between two checkpoints loses no record of
	// the node's own; those of others are fetched again.
	SaveEvery     uint64
	EvaluateEvery uint64

	// Log is the node's own batches as they were persisted: all Records whose keys begin with [ScalarKey], in order of keys.
	Log []Record
}

// ScalarKey begins the keys of the Records that hold the node's own batches. A driver reads them back into [ScalarConfig.Log].
const ScalarKey = "scalar/"

func (s *ScalarConfig) setDefaults(run *Config) {
	if s.Batch == 0 {
		s.Batch = gossip.DefaultBatch
	}
	if s.BatchEvery == 0 {
		s.BatchEvery = Second
	}
	if s.Keep == 0 {
		s.Keep = 1 << 14
	}
	if s.ExchangeEvery == 0 {
		s.ExchangeEvery = run.RepairEvery
	}
}

func (s *ScalarConfig) validate(run *Config) error {
	errs := []error{s.Config.Validate(), s.Runs()}
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	most := gossip.DefaultLimits().MaxRecords
	bad(!(s.CheckShare >= 0 && s.CheckShare <= 1), "check %v: must be 0 to 1", s.CheckShare)
	bad(s.CheckShare > 0 && s.Closed, "check %v: with mode=closed records are not added up one by one", s.CheckShare)
	bad(s.Batch < 1 || s.Batch > most, "batches of %d records: must be 1 to %d", s.Batch, most)
	bad(s.Keep < 0, "%d batches to keep: must be positive", s.Keep)
	bad(s.BatchEvery < 0, "a batch every %d ns: must be positive", s.BatchEvery)
	bad(s.ExchangeEvery < 2, "an exchange every %d ns: must be positive", s.ExchangeEvery)
	bad(s.SaveEvery == 0, "save every 0 batches: must be at least 1")
	bad(run.Cells > 1, "%d cells: records have to come to all nodes; use one cell", run.Cells)
	return errors.Join(errs...)
}
