package daemon

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"starling/node/manifest"
)

// A Report is what a daemon tells its owner: the answer to /status, and what `starling status` and `starling peers`
// print.
type Report struct {
	Run     string    `json:"run"`
	Name    string    `json:"name"`
	Peer    string    `json:"peer"`
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Home    string    `json:"home"`
	Addrs   []string  `json:"addrs"`
	Started time.Time `json:"started"`

	Method   string  `json:"method"`
	Exchange string  `json:"exchange"` // of the manifest: announce, push or copies
	Phase    string  `json:"phase"`
	Round    uint64  `json:"round"`
	Age      uint64  `json:"age"`
	Steps    uint64  `json:"steps"` // local steps of this node alone, where age is that of what it has mixed in as well
	Loss     float64 `json:"loss"`
	Accuracy float64 `json:"accuracy"` // of the newest evaluation, 0 to 1
	EvalLoss float64 `json:"eval_loss"`
	OfText   bool    `json:"of_text,omitempty"`  // what is foretold are tokens: the exponential of a loss is the perplexity
	EvalAt   uint64  `json:"evaluated_at_round"` // 0: not yet
	Target   float64 `json:"target"`             // 0: none
	Reached  bool    `json:"reached"`            // the newest evaluation is at or above the target

	Cells     int       `json:"cells"`                // that the run is divided into; 1: it is not
	Cell      int       `json:"cell"`                 // of this node
	CellUntil time.Time `json:"cell_until,omitzero"`  // when all are divided anew; zero if never
	CellPeers int       `json:"cell_peers_connected"` // peers of the same cell that this node is connected to

	Records *RecordReport `json:"records,omitempty"` // null but with the method scalar
	Walk    *WalkReport   `json:"walk,omitempty"`    // null but with the method walk

	Resumed   uint64            `json:"resumed_at_round"` // round of the checkpoint this process started from; 0: fresh
	Announced uint64            `json:"announced_round"`  // newest round that was announced by this process
	Published uint64            `json:"published"`        // rounds announced by this process
	Counted   uint64            `json:"counted"`          // own updates that at least one peer mixed in
	NewestSeq uint64            `json:"newest_counted"`
	NewestBy  int               `json:"newest_counted_by"`
	Refused   map[string]uint64 `json:"refused_by_peers"` // own updates that a peer did not mix in, by reason
	Rejected  map[string]uint64 `json:"rejected_here"`    // messages of others that this node did not take, by reason
	Trouble   []string          `json:"trouble"`          // what the owner should know, in words

	// Sent and Received are what went over streams of libp2p, that of its own protocols included: without the headers of
	// transports, acknowledgements and repetitions, which the machine's interface counts as well.
	Sent     int64            `json:"bytes_sent"`
	Received int64            `json:"bytes_received"`
	Blobs    map[string]int64 `json:"blobs"` // served and fetched, by what the metric starling_blob_total calls it
	Disk     int64            `json:"bytes_on_disk"`
	Memory   int64            `json:"bytes_of_memory"` // resident set

	Began time.Time       `json:"began"` // when the node had all that it needs to train; zero: it has not yet
	Work  map[string]Work `json:"work"`  // jobs by kind: train, probe, check, mix, encode, evaluate, save, fetch

	Goroutines int `json:"goroutines"`

	Members []MemberReport `json:"members"`
	Peers   []PeerReport   `json:"peers"`
	Dials   []DialReport   `json:"dials"`
}

// Work is what this process has done of one kind of job.
type Work struct {
	Done    uint64  `json:"done"`
	Seconds float64 `json:"seconds"` // from when they were asked for until they were done, all together
}

// A MemberReport is what is known of another member, connected or not.
type MemberReport struct {
	Peer      string            `json:"peer"`
	Connected bool              `json:"connected"`
	Gone      bool              `json:"gone"`
	Round     uint64            `json:"round"`
	Age       uint64            `json:"age"`
	Loss      float64           `json:"loss"`
	Updates   uint64            `json:"updates"`
	Mixed     uint64            `json:"mixed"`
	Refused   map[string]uint64 `json:"refused"`
	Score     float64           `json:"score"`
}

// A PeerReport is one connection.
type PeerReport struct {
	Peer      string        `json:"peer"`
	Addr      string        `json:"addr"`
	Transport string        `json:"transport"`
	Inbound   bool          `json:"inbound"`
	Relayed   bool          `json:"relayed"` // reached through a relay only: no gossip goes that way
	InMesh    bool          `json:"in_mesh"`
	Latency   time.Duration `json:"latency_ns"`
	Score     float64       `json:"score"`
	Since     time.Time     `json:"since"`
	Sent      int64         `json:"bytes_sent"`
	Received  int64         `json:"bytes_received"`
}

// A DialReport is an address that this node tries to reach.
type DialReport struct {
	Addr  string    `json:"addr"`
	State string    `json:"state"`
	Error string    `json:"error"` // of the newest try, in words
	Next  time.Time `json:"next"`  // zero: no further try planned
}

// Counts says in plain words whether this node's work counts.
func (r Report) Counts() string {
	switch {
	case r.Phase == phaseManifest:
		return "nothing announced yet: the run's manifest comes from the first peer that is reached"
	case r.Published == 0 && r.Phase == "paused":
		return "nothing announced yet: the node is paused; go on with `starling resume`"
	case r.Records != nil:
		return r.countsOfRecords()
	case r.Walk != nil:
		return r.countsOfWalk()
	case r.Exchange == manifest.Push:
		return r.countsOfPush()
	case r.Published == 0:
		return "nothing announced yet: the first round is still under way"
	case r.Counted == 0 && len(r.Peers) > 0 && r.CellPeers == 0 && r.Cells > 1:
		return fmt.Sprintf("not yet: %s announced, but no peer of this node's cell is connected", plural(r.Published, "round"))
	case r.Counted == 0 && len(r.Peers) == 0:
		return fmt.Sprintf("no: %s announced, but nobody is connected to hear it", plural(r.Published, "round"))
	case r.Counted == 0:
		s := fmt.Sprintf("not yet: %s announced, none mixed in by a peer so far", plural(r.Published, "round"))
		if len(r.Refused) > 0 {
			s += "; refused as " + Reasons(r.Refused)
		}
		return s
	}
	s := fmt.Sprintf("yes: %d of %s mixed in by peers, the newest by %d", r.Counted, plural(r.Published, "round"), r.NewestBy)
	if len(r.Refused) > 0 {
		s += "; refused as " + Reasons(r.Refused)
	}
	return s
}

// countsOfPush is Counts for the exchange push, where what became of a model is known only from those of its takers who
// later happen to send a model of theirs to this node.
func (r Report) countsOfPush() string {
	switch {
	case len(r.Peers) == 0 && r.Counted == 0:
		return "no: nobody is connected to send a model to"
	case r.CellPeers == 0 && r.Cells > 1 && r.Counted == 0:
		return "not yet: no peer of this node's cell is connected to send a model to"
	case r.Round == 0:
		return "nothing sent yet: the first round is still under way"
	case r.Published == 0:
		return "nothing sent yet: the first time to send has not come"
	}
	s := fmt.Sprintf("not known yet: %s sent, and no peer that took one has sent this node one of its own", plural(r.Published, "model"))
	if r.Counted > 0 {
		s = fmt.Sprintf("yes: at least %d of %s sent were mixed in by peers; there may be more that did not tell", r.Counted, plural(r.Published, "model"))
	}
	if len(r.Refused) > 0 {
		s += "; refused as " + Reasons(r.Refused)
	}
	return s
}

// Reasons lists counts by reason, the most frequent first.
func Reasons(m map[string]uint64) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if m[keys[i]] != m[keys[j]] {
			return m[keys[i]] > m[keys[j]]
		}
		return keys[i] < keys[j]
	})
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s (%d)", k, m[k])
	}
	return strings.Join(keys, ", ")
}

func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// finite makes a number fit for JSON, which knows no NaN.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}
