package swarm

import (
	"context"
	"errors"
	"fmt"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
)

// A place is a topic that the node is in.
type place struct {
	name  string
	topic *pubsub.Topic
	sub   *pubsub.Subscription
}

// Join subscribes to the topic of [Config], or that of the newest Move, and begins to take messages. It may be called once,
// before or during Run, and only if [Config] held no Validate. Validate and Deliver are required.
func (s *Swarm) Join(h Handlers) error {
	if h.Validate == nil || h.Deliver == nil {
		return errors.New("join topic: Validate and Deliver are required")
	}
	s.joinMu.Lock()
	defer s.joinMu.Unlock()
	if s.place.Load() != nil {
		return errors.New("join topic: joined already")
	}
	s.handlers = h
	p, err := s.subscribe(s.want)
	if err != nil {
		return fmt.Errorf("join topic: %w", err)
	}
	s.place.Store(p)
	close(s.joined)
	return nil
}

// Move leaves the topic for another one, which [Config] must allow. What is published from now on goes there; what had come
// from the old one is still delivered. together says of two peers whether they belong to one topic, at this time: see it for
// whom this node prefers to be connected to. It must be quick, and nil is for everybody. Before Join, Move says what will be
// joined.
func (s *Swarm) Move(topic string, together func(a, b gossip.PeerID) bool) error {
	s.joinMu.Lock()
	defer s.joinMu.Unlock()
	if !s.filter.CanSubscribe(topic) {
		return fmt.Errorf("move to topic %q: it is none of the run's", topic)
	}
	s.setTogether(together)
	s.want = topic
	old := s.place.Load()
	if old == nil || old.name == topic {
		return nil
	}
	p, err := s.subscribe(topic)
	if err != nil {
		return fmt.Errorf("move to topic: %w", err)
	}
	s.place.Store(p)
	old.sub.Cancel()
	if err := old.topic.Close(); err != nil && s.ctx.Err() == nil {
		return fmt.Errorf("leave topic: %w", err)
	}
	return nil
}

func (s *Swarm) subscribe(topic string) (*place, error) {
	if s.ctx.Err() != nil {
		return nil, ErrClosed
	}
	t, err := s.pubsub.Join(topic)
	if err != nil {
		return nil, err
	}
	if err := t.SetScoreParams(TopicScore()); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	own := s.host.ID() // a node's own messages come back to its subscription; they must not fill the queue
	sub, err := t.Subscribe(pubsub.WithBufferSize(s.cfg.Queue),
		pubsub.WithMessageFilter(func(m *pubsub.Message) bool { return m.ReceivedFrom != own }))
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return &place{topic, t, sub}, nil
}

// judgeMessage is the validator of all topics. Gossipsub asks it about those that this node is subscribed to.
func (s *Swarm) judgeMessage(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
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
	d, reason := s.handlers.Validate(id, m.Data)
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

// Publish broadcasts data to the run. It refuses what is longer than MaxMessage, which gossipsub would drop in silence,
// and waits until the publish rate and the upload limit allow it. A nil error does not mean that anybody received it:
// gossip gives no such answer. Publishing the same bytes again within 5 minutes does nothing. The caller does not change data
// afterwards: it is sent, and remembered for peers who ask, without a copy.
func (s *Swarm) Publish(ctx context.Context, data []byte) error {
	if len(data) > s.cfg.MaxMessage {
		return fmt.Errorf("publish %d bytes, at most %d fit: %w", len(data), s.cfg.MaxMessage, ErrTooLarge)
	}
	if s.place.Load() == nil {
		return fmt.Errorf("publish: %w", ErrNotJoined)
	}
	if err := s.pace.Wait(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	// One's own message goes to every peer of the topic (flood publish).
	size := len(data) * max(1, len(s.place.Load().topic.ListPeers()))
	if err := take(ctx, s.cfg.Upload, size); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if s.cfg.Upload != nil {
		s.prepaid.set(size)
	}
	p := s.place.Load()
	err := p.topic.Publish(ctx, data)
	for errors.Is(err, pubsub.ErrTopicClosed) && p != s.place.Load() { // the node has moved meanwhile
		p = s.place.Load()
		err = p.topic.Publish(ctx, data)
	}
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
	p := s.place.Load()
	for {
		m, err := p.sub.Next(ctx)
		if err != nil {
			if next := s.place.Load(); next != p && ctx.Err() == nil {
				p = next // the node has moved
				continue
			}
			return nil // ctx is done or the swarm was closed
		}
		if from, ok := fromPeer(m.ReceivedFrom); ok {
			s.handlers.Deliver(ctx, from, m.Data)
		}
	}
}
