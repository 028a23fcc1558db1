package swarm

import (
	"net/netip"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
)

// The thresholds of gossipsub v1.1's peer score. One invalid message prunes a peer (any negative score does), the second
// ends gossip to it, the third makes this node deaf to it.
const (
	gossipScore   = -100
	publishScore  = -200
	graylistScore = -400
	acceptPXScore = 100
	graftScore    = 2

	appScoreMin    = -400
	appScoreMax    = 40
	bootstrapScore = 200
)

// ScoreThresholds returns what gossipsub makes of peers' scores.
func ScoreThresholds() *pubsub.PeerScoreThresholds {
	return &pubsub.PeerScoreThresholds{
		GossipThreshold: gossipScore, PublishThreshold: publishScore, GraylistThreshold: graylistScore,
		AcceptPXThreshold: acceptPXScore, OpportunisticGraftThreshold: graftScore,
	}
}

// scoreParams are the score parameters of the one topic. Mesh delivery (P3) is off, as with the large users of
// gossipsub: rare messages and small networks make it punish honest peers.
func scoreParams(topic string, extra []netip.Prefix, app func(peer.ID) float64) *pubsub.PeerScoreParams {
	return &pubsub.PeerScoreParams{
		Topics:                      map[string]*pubsub.TopicScoreParams{topic: TopicScore()},
		TopicScoreCap:               50, // a good history cannot buy poison
		AppSpecificScore:            app,
		AppSpecificWeight:           1,
		IPColocationFactorWeight:    -10,
		IPColocationFactorThreshold: 8,
		IPColocationFactorWhitelist: ipNets(trusted(extra)),
		BehaviourPenaltyWeight:      -10,
		BehaviourPenaltyThreshold:   6,
		BehaviourPenaltyDecay:       pubsub.ScoreParameterDecay(time.Hour),
		DecayInterval:               pubsub.DefaultDecayInterval,
		DecayToZero:                 pubsub.DefaultDecayToZero,
		RetainScore:                 6 * time.Hour, // reconnecting does not wash
		SeenMsgTTL:                  seenTTL,
	}
}

// TopicScore returns what a peer's behaviour in the run's topic counts.
func TopicScore() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		TopicWeight:                    0.5,
		TimeInMeshWeight:               0.00027,
		TimeInMeshQuantum:              time.Second,
		TimeInMeshCap:                  3600,
		FirstMessageDeliveriesWeight:   1,
		FirstMessageDeliveriesDecay:    pubsub.ScoreParameterDecay(10 * time.Minute),
		FirstMessageDeliveriesCap:      40,
		InvalidMessageDeliveriesWeight: -100,
		InvalidMessageDeliveriesDecay:  pubsub.ScoreParameterDecay(time.Hour),
	}
}

// SetScore sets what the node's core thinks of a peer, from -400 (as bad as three invalid messages) to +40; what is
// outside is clamped. It adds to what gossipsub itself observes. It is kept while the process lives.
func (s *Swarm) SetScore(p gossip.PeerID, score float64) {
	if score != score {
		score = 0
	}
	score = min(max(score, appScoreMin), appScoreMax)
	s.mu.Lock()
	defer s.mu.Unlock()
	id := ToPeer(p)
	if score == 0 {
		delete(s.appScores, id)
		return
	}
	if _, known := s.appScores[id]; !known && len(s.appScores) >= maxScores {
		// Forgetting a mild opinion costs least.
		var mild peer.ID
		for q, v := range s.appScores {
			if mild == "" || abs(v) < abs(s.appScores[mild]) {
				mild = q
			}
		}
		delete(s.appScores, mild)
	}
	s.appScores[id] = score
}

// maxScores bounds the opinions kept.
const maxScores = 16384

func abs(x float64) float64 { return max(x, -x) }

// appScore is the application's part of a peer's score; pubsub calls it while holding its own locks.
func (s *Swarm) appScore(p peer.ID) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	score := s.appScores[p]
	if s.bootIDs[p] {
		score += bootstrapScore
	}
	return score
}

// inspect takes the scores that pubsub computes every so often.
func (s *Swarm) inspect(scores map[peer.ID]float64) {
	lowest := 0.0
	for _, v := range scores {
		s.metrics.scores.Observe(v)
		lowest = min(lowest, v)
	}
	s.metrics.lowest.Set(lowest)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scores = scores
	for p, v := range scores {
		if v > graylistScore {
			delete(s.graySince, p)
		} else if _, known := s.graySince[p]; !known {
			s.graySince[p] = now
		}
	}
	for p := range s.graySince {
		if _, known := scores[p]; !known {
			delete(s.graySince, p)
		}
	}
}
