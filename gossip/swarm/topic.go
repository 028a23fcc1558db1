package swarm

import (
	"context"
	"errors"
	"fmt"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

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
