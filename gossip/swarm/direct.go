package swarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
)

// Answers to a direct message, one byte.
const (
	answerTaken   = 0
	answerRefused = 1
)

// Send writes a direct message to a connected peer and waits until the peer took it: at most 20 seconds, less if ctx
// ends before. It refuses what is longer than MaxDirect. After an error the peer may or may not have the message.
func (s *Swarm) Send(ctx context.Context, to gossip.PeerID, data []byte) error {
	if len(data) > s.cfg.MaxDirect {
		return fmt.Errorf("send %d bytes, at most %d fit: %w", len(data), s.cfg.MaxDirect, ErrTooLarge)
	}
	err := s.send(ctx, ToPeer(to), data)
	outcome := "sent"
	if err != nil {
		outcome = "failed"
		err = fmt.Errorf("send to %s: %w", to.Short(), err)
	}
	s.metrics.directs.WithLabelValues(outcome).Inc()
	return err
}

func (s *Swarm) send(ctx context.Context, to peer.ID, data []byte) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	if err := take(ctx, s.cfg.Upload, len(data)); err != nil {
		return err
	}
	answer, err := s.call(ctx, to, protoDirect, data, 1)
	s.noteError(to, err)
	switch {
	case err != nil:
		return err
	case len(answer) != 1:
		return errors.New("the peer gave no answer")
	case answer[0] != answerTaken:
		return ErrRefused
	}
	return nil
}

func (s *Swarm) serveDirect() {
	s.serve(protoDirect, s.cfg.timing.stream, func(ctx context.Context, st network.Stream) error {
		from := st.Conn().RemotePeer()
		id, ok := fromPeer(from)
		if !ok || !s.waitUp(ctx, from) {
			return errors.New("no handshake")
		}
		if err := st.Scope().ReserveMemory(s.cfg.MaxDirect, network.ReservationPriorityMedium); err != nil {
			return err
		}
		defer st.Scope().ReleaseMemory(s.cfg.MaxDirect)
		data, err := readFrame(st, s.cfg.MaxDirect)
		if err != nil {
			s.metrics.directs.WithLabelValues("malformed").Inc()
			s.noteError(from, err)
			return err
		}
		if err := take(ctx, s.cfg.Download, len(data)); err != nil {
			return err
		}
		if !isClosed(s.joined) || s.handlers.Direct == nil {
			s.metrics.directs.WithLabelValues("refused").Inc()
			return writeFrame(st, []byte{answerRefused})
		}
		s.handlers.Direct(ctx, id, data)
		s.metrics.directs.WithLabelValues("received").Inc()
		return writeFrame(st, []byte{answerTaken})
	})
}

// SetManifest sets what peers are given that ask for the run's manifest, at most 64 KiB.
func (s *Swarm) SetManifest(data []byte) error {
	if len(data) > maxMessage {
		return fmt.Errorf("manifest of %d bytes, at most %d: %w", len(data), maxMessage, ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifest = append([]byte(nil), data...)
	return nil
}

func (s *Swarm) serveManifest() {
	s.serve(protoManifest, s.cfg.timing.stream, func(ctx context.Context, st network.Stream) error {
		if !s.waitUp(ctx, st.Conn().RemotePeer()) {
			return errors.New("no handshake")
		}
		if _, err := readFrame(st, 0); err != nil {
			return err
		}
		s.mu.Lock()
		data := s.manifest
		s.mu.Unlock()
		if err := take(ctx, s.cfg.Upload, len(data)); err != nil {
			return err
		}
		return writeFrame(st, data) // empty when this node has none
	})
}

// FetchManifest asks the given peers for the run's manifest, or, when none are given, any peer that is connected,
// waiting for peers to come until ctx ends. check must verify what arrived against the run's ID; what it turns down is
// the peer's fault, and the next peer is asked. Run must be running.
func (s *Swarm) FetchManifest(ctx context.Context, check func([]byte) error, from ...gossip.PeerID) ([]byte, error) {
	var last error
	wait := s.cfg.timing.retryFirst
	for {
		var peers []peer.ID
		for _, p := range from {
			peers = append(peers, ToPeer(p))
		}
		if len(from) == 0 {
			peers = s.upPeers()
			rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
		}
		for _, p := range peers {
			data, err := s.call(ctx, p, protoManifest, nil, maxMessage)
			if err == nil && len(data) == 0 {
				err = ErrNoManifest
			}
			if err == nil {
				if err = take(ctx, s.cfg.Download, len(data)); err == nil {
					err = check(data)
				}
			}
			if err == nil {
				return data, nil
			}
			last = fmt.Errorf("%s: %w", short(p), err)
			s.noteError(p, err)
			if ctx.Err() != nil {
				break
			}
		}
		if len(from) > 0 {
			return nil, fmt.Errorf("fetch manifest: %w", last)
		}
		if !pause(ctx, jitter(wait)) {
			if last == nil {
				last = errors.New("no peer could be reached")
			}
			return nil, fmt.Errorf("fetch manifest: %w (%w)", last, ctx.Err())
		}
		wait = min(2*wait, s.cfg.timing.retryCap)
	}
}
