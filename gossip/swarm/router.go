package swarm

import (
	"crypto/sha256"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
)

// seenTTL is how long gossipsub remembers a message ID: longer than the worst propagation. Protection from replay is
// the sequence number inside the message.
const seenTTL = 5 * time.Minute

func rpcSize(rpc *pubsub.RPC) int { return proto.Size(&rpc.RPC) }

// messageID depends on content alone: two copies of one message are one message, whoever passes it on. It runs for
// every copy received, in pubsub's only event loop.
func messageID(m *pb.Message) string {
	h := sha256.New()
	h.Write([]byte(m.GetTopic()))
	h.Write([]byte{0}) // topics hold no zero byte
	h.Write(m.GetData())
	return string(h.Sum(nil)[:20])
}

// GossipParams returns the parameters of every node's gossipsub.
func GossipParams() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout, p.Dlazy = 8, 6, 12, 6, 3, 8 // small payloads make degree cheap
	p.HistoryLength, p.HistoryGossip = 6, 3
	return p
}

// GossipOptions returns the options with which a node of the topic starts gossipsub, all but those that observe it: with
// them a bare host sends what a Swarm of default Config would. The model of package sim/mesh is measured against it.
func GossipOptions(topic string) []pubsub.Option {
	cfg := &settings{Config: Config{Topic: topic, MaxMessage: maxMessage, Queue: defaultQueue}}
	return gossipOptions(cfg, newTopicFilter(cfg), func(peer.ID) float64 { return 0 })
}

// gossipOptions returns what decides a node's gossip. Messages carry their authors' signatures inside and stay verifiable
// wherever they come from, so gossipsub itself neither signs nor names authors.
func gossipOptions(cfg *settings, filter *topicFilter, app func(peer.ID) float64) []pubsub.Option {
	return []pubsub.Option{
		pubsub.WithGossipSubParams(GossipParams()),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(cfg.MaxMessage + rpcSlack),
		pubsub.WithMaxControlMessageSize(maxMessage),
		pubsub.WithPeerOutboundQueueSize(cfg.Queue),
		pubsub.WithValidateQueueSize(cfg.Queue),
		pubsub.WithValidateThrottle(1024),
		pubsub.WithSeenMessagesTTL(seenTTL),
		pubsub.WithSubscriptionFilter(filter),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerScore(scoreParams(cfg.Topic, cfg.TrustedPrefixes, app), ScoreThresholds()),
		pubsub.WithPeerGater(pubsub.DefaultPeerGaterParams()),
	}
}

// newPubSub starts gossipsub on the host.
func (s *Swarm) newPubSub() (*pubsub.PubSub, error) {
	return pubsub.NewGossipSub(s.ctx, s.gossipHost(), append(gossipOptions(s.cfg, s.filter, s.appScore),
		pubsub.WithDefaultValidator(pubsub.ValidatorEx(s.judgeMessage), pubsub.WithValidatorInline(true)),
		pubsub.WithPeerScoreInspect(s.inspect, s.cfg.timing.inspect),
		pubsub.WithRawTracer(s.metrics),
		pubsub.WithLogger(quiet(s.cfg.Logger)),
		pubsub.WithRPCLogger(quiet(s.cfg.Logger)),
	)...)
}
