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
)

// A hello is what both sides say first. Keys are numbers, and unknown ones are ignored, so that a later version can add
// to it and still be understood well enough to be refused politely.
type hello struct {
	Version uint   `cbor:"1,keyasint"`
	Run     []byte `cbor:"2,keyasint"`
	Agent   string `cbor:"3,keyasint"`
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

func (s *Swarm) hello() []byte {
	return encode(hello{Version: wireVersion, Run: s.cfg.Run[:], Agent: s.cfg.UserAgent})
}

// A refusal is why a peer cannot be a peer. kind is for metrics, text for people.
type refusal struct{ kind, text string }

func (r *refusal) Error() string { return r.text }

// judge reads the other side's hello.
func (s *Swarm) judge(data []byte) (agent string, err error) {
	var h hello
	if err := wireDec.Unmarshal(data, &h); err != nil {
		return "", &refusal{"malformed", "malformed hello: not a starling node?"}
	}
	if h.Version != wireVersion {
		return "", &refusal{"version", fmt.Sprintf("other version: it speaks version %d, this node %d: upgrade the older one", h.Version, wireVersion)}
	}
	if len(h.Run) != len(gossip.RunID{}) || gossip.RunID(h.Run) != s.cfg.Run {
		return "", &refusal{"run", fmt.Sprintf("other run: it trains %.16x, this node %.16x", h.Run[:min(len(h.Run), 8)], s.cfg.Run[:8])}
	}
	return printable(h.Agent), nil
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
		agent, refused := s.judge(data)
		if refused == nil {
			s.up(from, agent, 0, false) // before the answer: the peer may use this node as soon as it has read it
		}
		if err := writeFrame(st, s.hello()); err != nil {
			return err
		}
		if refused != nil {
			// The other side reads the answer, sees for itself, and hangs up; wait for that a little.
			st.CloseWrite()
			st.SetReadDeadline(time.Now().Add(time.Second))
			io.CopyN(io.Discard, st, 1)
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
	data, err := s.call(ctx, p, protoHello, s.hello(), maxHello)
	if err == nil {
		var agent string
		if agent, err = s.judge(data); err == nil {
			s.host.Peerstore().RecordLatency(p, time.Since(began))
			s.up(p, agent, time.Since(began), true)
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
