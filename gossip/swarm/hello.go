package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"starling/gossip"
)

// wireVersion is the version of everything that this package and the messages above it put on the wire.
const wireVersion = 1

const (
	maxAgent = 128
	maxHello = 512
	// maxWelcome bounds the answer, which may carry a list of peers.
	maxWelcome = maxPeerList
)

// A hello is what both sides say first. Keys are numbers, and unknown ones are ignored, so that a later version can add
// to it and still be understood well enough to be refused politely.
type hello struct {
	Version uint   `cbor:"1,keyasint"`
	Run     []byte `cbor:"2,keyasint"`
	Agent   string `cbor:"3,keyasint"`
	// Full is set in an answer that sends the peer on: this node has as many peers as it can, and names some of them.
	Full  bool        `cbor:"4,keyasint,omitempty"`
	Peers []peerEntry `cbor:"5,keyasint,omitempty"`
	// Life is drawn when a node starts: a peer with another one is a new process, and what the old one opened is dead.
	Life uint64 `cbor:"6,keyasint,omitempty"`
}

// wireDec decodes what peers send.
var wireDec = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 5, MaxArrayElements: 1024, MaxMapPairs: 64,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
	}.DecMode()
	if err != nil {
		panic("swarm: internal error: " + err.Error())
	}
	return m
}()

func encode(v any) []byte {
	data, err := cbor.Marshal(v)
	if err != nil {
		panic("swarm: internal error: " + err.Error()) // only own types of plain fields are encoded
	}
	return data
}

func (s *Swarm) hello() hello {
	return hello{Version: wireVersion, Run: s.cfg.Run[:], Agent: s.cfg.UserAgent, Life: s.life}
}

// A refusal is why a peer cannot be a peer. kind is for metrics, text for people.
type refusal struct{ kind, text string }

func (r *refusal) Error() string { return r.text }

// judge reads the other side's hello.
func (s *Swarm) judge(data []byte) (h hello, err error) {
	if err := wireDec.Unmarshal(data, &h); err != nil {
		return h, &refusal{"malformed", "malformed hello: not a starling node?"}
	}
	if h.Version != wireVersion {
		return h, &refusal{"version", fmt.Sprintf("other version: it speaks version %d, this node %d: upgrade the older one", h.Version, wireVersion)}
	}
	if len(h.Run) != len(gossip.RunID{}) || gossip.RunID(h.Run) != s.cfg.Run {
		return h, &refusal{"run", fmt.Sprintf("other run: it trains %.16x, this node %.16x", h.Run[:min(len(h.Run), 8)], s.cfg.Run[:8])}
	}
	h.Agent = printable(h.Agent)
	return h, nil
}

// printable makes a peer's text safe to show.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > maxAgent {
		text = strings.ToValidUTF8(text[:maxAgent], "")
	}
	return text
}

func (s *Swarm) serveHello() {
	s.serve(protoHello, s.cfg.timing.hello, func(ctx context.Context, st network.Stream) error {
		from := st.Conn().RemotePeer()
		data, err := readFrame(st, maxHello)
		if err != nil {
			return err
		}
		theirs, refused := s.judge(data)
		ours := s.hello()
		if refused == nil && s.renewed(from, theirs.Life) {
			return errors.New("the peer has restarted: it will come again")
		}
		// up comes before the answer: the peer may use this node as soon as it has read it.
		if refused == nil && !s.up(from, theirs.Agent, 0, false) {
			ours.Full, ours.Peers = true, s.roster(from).Peers
		}
		if err := writeFrame(st, encode(ours)); err != nil {
			return err
		}
		if refused == nil && !ours.Full {
			return nil
		}
		// The other side reads the answer, sees for itself, and hangs up; wait for that a little.
		st.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, st, 1)
		if ours.Full {
			s.metrics.hellosRefused.WithLabelValues("full").Inc()
			s.host.Network().ClosePeer(from)
		} else {
			s.refuse(from, st.Conn().RemoteMultiaddr(), refused)
		}
		return nil
	})
}

// greet says hello on a new connection that this node opened.
func (s *Swarm) greet(p peer.ID, addr ma.Multiaddr) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.timing.hello)
	defer cancel()
	began := time.Now()
	data, err := s.call(ctx, p, protoHello, encode(s.hello()), maxWelcome)
	if err == nil {
		var h hello
		if h, err = s.judge(data); err == nil && h.Full {
			err = s.hear(p, peerList{h.Peers}, addr)
			s.noteFull(p, len(h.Peers))
			s.host.Network().ClosePeer(p)
			s.noteError(p, err)
			return
		}
		if err == nil {
			if s.renewed(p, h.Life) {
				return
			}
			s.host.Peerstore().RecordLatency(p, time.Since(began))
			if !s.up(p, h.Agent, time.Since(began), true) {
				s.noteCrowd(p) // others came while this dial ran
				s.host.Network().ClosePeer(p)
			}
			return
		}
	} else if strings.Contains(err.Error(), "protocols not supported") {
		err = &refusal{"protocol", "not a starling node: it does not know the handshake"}
	}
	if s.ctx.Err() == nil && !errors.Is(err, ErrNotConnected) {
		s.refuse(p, addr, err)
	}
}

// refuse hangs up on a peer and remembers why.
func (s *Swarm) refuse(p peer.ID, addr ma.Multiaddr, err error) {
	var r *refusal
	kind, text := "error", "no handshake: "+plain(err)
	if errors.As(err, &r) {
		kind, text = r.kind, r.text
	}
	s.metrics.hellosRefused.WithLabelValues(kind).Inc()
	s.cfg.Logger.Info("peer refused", "peer", short(p), "addr", addr, "reason", text)
	s.noteRefusal(p, addr, text, r != nil)
	s.host.Network().ClosePeer(p)
}
