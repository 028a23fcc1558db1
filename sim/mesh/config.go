package mesh

import (
	"errors"
	"fmt"

	"starling/node"
)

// Config holds the settings of gossipsub that decide what is sent. [Default] is the daemon's; names are gossipsub's.
type Config struct {
	D    int // mesh peers a node aims at
	Dlo  int // fewer mesh peers than this are filled up to D
	Dhi  int // this many or more are pruned to D
	Dout int // of them at least so many over connections that the node dialled itself
	// Dscore is how many of the best by score a crowded mesh keeps; the rest is drawn.
	Dscore int
	// Dlazy is how many peers outside of the mesh are told what the node has, at each heartbeat; GossipFactor is the
	// share of them if that is more.
	Dlazy        int
	GossipFactor float64

	HistoryLength int // heartbeats for which a message can be asked for
	HistoryGossip int // heartbeats for which it is advertised

	Heartbeat    node.Instant // between heartbeats
	InitialDelay node.Instant // from the start of a node to its first heartbeat

	PruneBackoff       node.Instant // after a PRUNE nobody grafts for so long
	UnsubscribeBackoff node.Instant // the same after a peer left the topic
	SeenTTL            node.Instant // how long a message is remembered after its publication

	MaxIHaveLength       int // IDs taken from one peer within a heartbeat, and put into one IHAVE
	MaxIHaveMessages     int // records of control taken from one peer within a heartbeat before its IHAVEs are ignored
	MaxIDontWantMessages int // IDONTWANTs taken from one peer within a heartbeat
	IDontWantSize        int // IDONTWANT is sent for messages of so many bytes and more
	IDontWantTTL         int // heartbeats for which it is heeded

	// OpportunisticTicks is how many heartbeats lie between looks at whether the median score of the mesh is below
	// OpportunisticScore; if so, OpportunisticPeers better ones are grafted. 0 ticks is never.
	OpportunisticTicks int
	OpportunisticPeers int
	OpportunisticScore float64
	Score              Score

	FloodPublish bool // a node's own messages go to every peer of the topic, not only to the mesh

	TopicLen int // bytes of the topic's name
	IDLen    int // bytes of a message ID
}

// Score holds the parts of gossipsub's peer score that honest nodes earn. A peer's score is
// TopicWeight · (MeshWeight · seconds in mesh + FirstWeight · first deliveries), both counts capped.
type Score struct {
	TopicWeight float64
	MeshWeight  float64 // for each second in the mesh
	MeshCap     float64 // seconds
	FirstWeight float64 // for each message that the peer was the first to bring
	FirstCap    float64 // messages
	// FirstDecay is what is left of the count of first deliveries after a second.
	FirstDecay float64
}

// Default returns the daemon's settings.
func Default() Config {
	return Config{
		D: 8, Dlo: 6, Dhi: 12, Dout: 3, Dscore: 6, Dlazy: 8, GossipFactor: 0.25,
		HistoryLength: 6, HistoryGossip: 3,
		Heartbeat: node.Second, InitialDelay: node.Second / 10,
		PruneBackoff: 60 * node.Second, UnsubscribeBackoff: 10 * node.Second, SeenTTL: 300 * node.Second,
		MaxIHaveLength: 5000, MaxIHaveMessages: 10, MaxIDontWantMessages: 1000, IDontWantSize: 1024, IDontWantTTL: 3,
		OpportunisticTicks: 60, OpportunisticPeers: 2, OpportunisticScore: 2,
		Score: Score{
			TopicWeight: 0.5, MeshWeight: 0.00027, MeshCap: 3600, FirstWeight: 1, FirstCap: 40,
			FirstDecay: 0.9923540961321005,
		},
		FloodPublish: true,
		TopicLen:     len("/starling/") + 2*32 + len("/1"),
		IDLen:        20,
	}
}

// Validate reports everything that is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(0 < c.Dlo && c.Dlo <= c.D && c.D <= c.Dhi, "D: want 0 < Dlo <= D <= Dhi, got %d, %d, %d", c.Dlo, c.D, c.Dhi)
	need(0 <= c.Dout && c.Dout < c.Dlo && 2*c.Dout < c.D, "Dout: %d must be below Dlo and below half of D", c.Dout)
	need(0 <= c.Dscore && c.Dscore <= c.D, "Dscore: %d is not within 0 and D", c.Dscore)
	need(c.Dlazy >= 0, "Dlazy: %d is negative", c.Dlazy)
	need(c.GossipFactor >= 0 && c.GossipFactor <= 1, "GossipFactor: %v is not within 0 and 1", c.GossipFactor)
	need(0 < c.HistoryGossip && c.HistoryGossip <= c.HistoryLength,
		"HistoryGossip: %d is not within 1 and HistoryLength, %d", c.HistoryGossip, c.HistoryLength)
	need(c.Heartbeat > 0, "Heartbeat: %d ns is not positive", c.Heartbeat)
	need(c.InitialDelay >= 0, "InitialDelay: %d ns is negative", c.InitialDelay)
	need(c.PruneBackoff >= 0 && c.UnsubscribeBackoff >= 0, "PruneBackoff, UnsubscribeBackoff: must not be negative")
	need(c.SeenTTL > 0, "SeenTTL: %d ns is not positive", c.SeenTTL)
	need(c.MaxIHaveLength > 0 && c.MaxIHaveMessages > 0 && c.MaxIDontWantMessages > 0,
		"MaxIHaveLength, MaxIHaveMessages, MaxIDontWantMessages: must be positive")
	need(c.IDontWantSize >= 0 && c.IDontWantTTL >= 0, "IDontWantSize, IDontWantTTL: must not be negative")
	need(c.OpportunisticTicks >= 0 && c.OpportunisticPeers >= 0, "OpportunisticTicks, OpportunisticPeers: must not be negative")
	need(c.Score.FirstDecay >= 0 && c.Score.FirstDecay < 1, "Score.FirstDecay: %v is not within 0 and 1", c.Score.FirstDecay)
	need(c.TopicLen > 0 && c.IDLen > 0, "TopicLen, IDLen: must be positive")
	return errors.Join(errs...)
}
