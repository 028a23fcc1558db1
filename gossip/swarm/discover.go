package swarm

import (
	"context"
	"fmt"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	drouting "github.com/libp2p/go-libp2p/p2p/discovery/routing"
)

// serviceName is what nodes look for on the local network. It does not name the run: the handshake tells runs apart.
const serviceName = "_starling._udp"

type found func(peer.AddrInfo)

func (f found) HandlePeerFound(info peer.AddrInfo) { f(info) }

// runMDNS looks for peers on the local network until ctx ends. It often fails in containers and on VPN interfaces, which
// harms nothing: a warning.
func (s *Swarm) runMDNS(ctx context.Context) {
	service := mdns.NewMdnsService(s.host, serviceName, found(func(info peer.AddrInfo) { s.learn(fromMDNS, info) }))
	defer service.Close()
	if err := service.Start(); err != nil {
		s.cfg.Logger.Warn("no discovery on the local network", "err", err)
		return
	}
	<-ctx.Done()
}

// runDHT advertises this node in a DHT of the run's own and looks there for others while peers are few.
func (s *Swarm) runDHT(ctx context.Context) {
	prefix := fmt.Sprintf("/starling/%x", s.cfg.Run[:8])
	// In ModeAuto nodes behind NAT keep an empty routing table (go-libp2p-kad-dht#645).
	kad, err := dht.New(s.host, dht.ProtocolPrefix(protocol.ID(prefix)), dht.Mode(dht.ModeAutoServer),
		dht.BootstrapPeersFunc(s.bootstrapInfos))
	if err != nil {
		s.cfg.Logger.Warn("no discovery by DHT", "err", err)
		return
	}
	defer kad.Close()
	if err := kad.Bootstrap(ctx); err != nil {
		s.cfg.Logger.Warn("no discovery by DHT", "err", err)
		return
	}
	routing := drouting.NewRoutingDiscovery(kad)
	advertise := time.NewTimer(jitter(s.cfg.timing.exchange))
	defer advertise.Stop()
	find := time.NewTimer(jitter(s.cfg.timing.exchange))
	defer find.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-advertise.C:
			// Advertise is one-shot: who calls it once is forgotten when the record ends (MinaProtocol/mina#19385).
			ttl, err := routing.Advertise(ctx, prefix)
			if err != nil {
				s.cfg.Logger.Debug("not advertised in the DHT", "err", err)
				ttl = s.cfg.timing.find
			}
			advertise.Reset(jitter(ttl * 3 / 4))
		case <-find.C:
			if s.countUp() < s.cfg.low {
				s.findPeers(ctx, routing, prefix)
			}
			find.Reset(jitter(s.cfg.timing.find))
		}
	}
}

func (s *Swarm) findPeers(ctx context.Context, routing *drouting.RoutingDiscovery, prefix string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	peers, err := routing.FindPeers(ctx, prefix)
	if err != nil {
		s.cfg.Logger.Debug("no peers from the DHT", "err", err)
		return
	}
	for info := range peers {
		s.learn(fromDHT, info)
	}
}

func (s *Swarm) bootstrapInfos() []peer.AddrInfo {
	var out []peer.AddrInfo
	for _, b := range s.cfg.bootstrap {
		if b.info.ID != s.host.ID() {
			out = append(out, b.info)
		}
	}
	return out
}

// relayCandidates offers the bootstrap peers and then the connected ones as relays. A node that is not reachable asks
// for it, and libp2p finds out who does relay.
func (s *Swarm) relayCandidates(ctx context.Context, num int) <-chan peer.AddrInfo {
	select {
	case <-s.opened:
	case <-ctx.Done():
		none := make(chan peer.AddrInfo)
		close(none)
		return none
	}
	list := s.bootstrapInfos()
	for _, p := range s.upPeers() {
		if !s.bootIDs[p] {
			list = append(list, s.host.Peerstore().PeerInfo(p))
		}
	}
	list = list[:min(len(list), num)]
	out := make(chan peer.AddrInfo, len(list)) // room for all: no goroutine is needed
	for _, info := range list {
		out <- info
	}
	close(out)
	return out
}
