package swarm

import (
	"maps"
	"slices"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// maxTopics is how many topics of the run a peer may be in at once: the one that it moves to, the one that it leaves, and
	// as many again for changes whose news come late.
	maxTopics = 4
	// maxSubscriptions is how many subscriptions one packet may hold.
	maxSubscriptions = 16
)

// A topicFilter says which subscriptions of peers gossipsub takes note of. Without it a peer could make this node remember any
// number of topics (go-libp2p-pubsub#705).
type topicFilter struct {
	first string
	more  func(topic string) bool // nil: first is the only one

	mu sync.Mutex
	of map[peer.ID][]string // guarded by mu: what peers are subscribed to
}

var _ pubsub.SubscriptionFilter = (*topicFilter)(nil)

func newTopicFilter(cfg *settings) *topicFilter {
	return &topicFilter{first: cfg.Topic, more: cfg.Topics, of: make(map[peer.ID][]string)}
}

// CanSubscribe reports whether a topic is one of the run's.
func (f *topicFilter) CanSubscribe(topic string) bool {
	return topic == f.first || f.more != nil && f.more(topic)
}

// FilterIncomingSubscriptions drops what is not of the run, and what is more than a node of the run can need.
func (f *topicFilter) FilterIncomingSubscriptions(from peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	if len(subs) > maxSubscriptions {
		return nil, pubsub.ErrTooManySubscriptions
	}
	subs = pubsub.FilterSubscriptions(subs, f.CanSubscribe)
	f.mu.Lock()
	defer f.mu.Unlock()
	has := f.of[from]
	var kept []*pb.RPC_SubOpts
	for _, on := range []bool{false, true} { // what is left makes room for what is new
		for _, sub := range subs {
			if sub.GetSubscribe() != on {
				continue
			}
			i := slices.Index(has, sub.GetTopicid())
			switch {
			case !on && i >= 0:
				has = slices.Delete(has, i, i+1)
			case on && i < 0 && len(has) >= maxTopics:
				continue
			case on && i < 0:
				has = append(has, sub.GetTopicid())
			}
			kept = append(kept, sub)
		}
	}
	f.of[from] = has
	return kept, nil
}

// told reports whether a peer's last word on a topic was that it is in it.
func (f *topicFilter) told(p peer.ID, topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.of[p], topic)
}

// drop forgets a peer that is gone.
func (f *topicFilter) drop(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, p)
}

// forget drops every peer that keep does not want: gossipsub may have taken a last packet of one after it was gone.
func (f *topicFilter) forget(keep func(peer.ID) bool) {
	f.mu.Lock()
	known := slices.Collect(maps.Keys(f.of))
	f.mu.Unlock()
	for _, p := range known {
		if !keep(p) {
			f.drop(p)
		}
	}
}
