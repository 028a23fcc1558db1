package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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

// newPubSub starts gossipsub on the host. Messages carry their authors' signatures inside and stay verifiable wherever
// they come from, so gossipsub itself neither signs nor names authors.
func (s *Swarm) newPubSub() (*pubsub.PubSub, error) {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout, p.Dlazy = 8, 6, 12, 6, 3, 8 // small payloads make degree cheap
	p.HistoryLength, p.HistoryGossip = 6, 3
	return pubsub.NewGossipSub(s.ctx, s.gossipHost(),
		pubsub.WithGossipSubParams(p),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(s.cfg.MaxMessage+rpcSlack),
		pubsub.WithMaxControlMessageSize(maxMessage),
		pubsub.WithPeerOutboundQueueSize(s.cfg.Queue),
		pubsub.WithValidateQueueSize(s.cfg.Queue),
		pubsub.WithValidateThrottle(1024),
		pubsub.WithSeenMessagesTTL(seenTTL),
		// Without this a peer could make this node remember any number of topics (go-libp2p-pubsub#705).
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(
			pubsub.NewAllowlistSubscriptionFilter(s.cfg.Topic), 16)),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerScore(scoreParams(s.cfg.Topic, s.cfg.TrustedPrefixes, s.appScore), scoreThresholds()),
		pubsub.WithPeerScoreInspect(s.inspect, s.cfg.timing.inspect),
		pubsub.WithPeerGater(pubsub.DefaultPeerGaterParams()),
		pubsub.WithRawTracer(s.metrics),
		pubsub.WithLogger(quiet(s.cfg.Logger)),
		pubsub.WithRPCLogger(quiet(s.cfg.Logger)),
	)
}

// Join subscribes to the run's topic and begins to take messages. It may be called once, before or during Run, and only
// if [Config] held no Validate. Validate and Deliver are required.
func (s *Swarm) Join(h Handlers) error {
	if h.Validate == nil || h.Deliver == nil {
		return errors.New("join topic: Validate and Deliver are required")
	}
	s.joinMu.Lock()
	defer s.joinMu.Unlock()
	if s.topic.Load() != nil {
		return errors.New("join topic: joined already")
	}
	if s.ctx.Err() != nil {
		return fmt.Errorf("join topic: %w", ErrClosed)
	}
	err := s.pubsub.RegisterTopicValidator(s.cfg.Topic, s.validator(h), pubsub.WithValidatorInline(true))
	if err != nil {
		return fmt.Errorf("join topic: %w", err)
	}
	t, err := s.pubsub.Join(s.cfg.Topic)
	if err != nil {
		return fmt.Errorf("join topic: %w", err)
	}
	own := s.host.ID() // a node's own messages come back to its subscription; they must not fill the queue
	sub, err := t.Subscribe(pubsub.WithBufferSize(s.cfg.Queue),
		pubsub.WithMessageFilter(func(m *pubsub.Message) bool { return m.ReceivedFrom != own }))
	if err != nil {
		return fmt.Errorf("join topic: %w", err)
	}
	s.sub, s.handlers = sub, h
	s.topic.Store(t)
	close(s.joined)
	return nil
}

func (s *Swarm) validator(h Handlers) pubsub.ValidatorEx {
	return func(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if from == s.host.ID() {
			return pubsub.ValidationAccept
		}
		id, ok := fromPeer(from)
		if !ok {
			return pubsub.ValidationReject // the gater admits Ed25519 keys only
		}
		if len(m.Data) > s.cfg.MaxMessage {
			s.metrics.rejected.WithLabelValues("too large").Inc()
			return pubsub.ValidationReject
		}
		d, reason := h.Validate(id, m.Data)
		switch d {
		case Accept:
			return pubsub.ValidationAccept
		case Reject:
			s.metrics.rejected.WithLabelValues(reason).Inc()
			s.cfg.Logger.Debug("message rejected", "peer", short(from), "reason", reason)
			return pubsub.ValidationReject
		}
		s.metrics.rejected.WithLabelValues(reason).Inc()
		return pubsub.ValidationIgnore
	}
}

// Publish broadcasts data to the run. It refuses what is longer than MaxMessage, which gossipsub would drop in silence,
// and waits until the publish rate and the upload limit allow it. A nil error does not mean that anybody received it:
// gossip gives no such answer. Publishing the same bytes again within 5 minutes does nothing. The caller does not change data
// afterwards: it is sent, and remembered for peers who ask, without a copy.
func (s *Swarm) Publish(ctx context.Context, data []byte) error {
	if len(data) > s.cfg.MaxMessage {
		return fmt.Errorf("publish %d bytes, at most %d fit: %w", len(data), s.cfg.MaxMessage, ErrTooLarge)
	}
	t := s.topic.Load()
	if t == nil {
		return fmt.Errorf("publish: %w", ErrNotJoined)
	}
	if err := s.pace.Wait(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	// One's own message goes to every peer of the topic (flood publish).
	size := len(data) * max(1, len(t.ListPeers()))
	if err := take(ctx, s.cfg.Upload, size); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if s.cfg.Upload != nil {
		s.prepaid.set(size)
	}
	err := t.Publish(ctx, data)
	switch {
	case err == nil:
		s.metrics.published.Inc()
		return nil
	case s.ctx.Err() != nil:
		return fmt.Errorf("publish: %w", ErrClosed)
	}
	return fmt.Errorf("publish: %w", err)
}

// deliver hands accepted messages of others to the node, one after another.
func (s *Swarm) deliver(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.joined:
	}
	for {
		m, err := s.sub.Next(ctx)
		if err != nil {
			return nil // ctx is done or the swarm was closed
		}
		if from, ok := fromPeer(m.ReceivedFrom); ok {
			s.handlers.Deliver(ctx, from, m.Data)
		}
	}
}
