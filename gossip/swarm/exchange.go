package swarm

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	maxEntries  = 64
	maxPeerList = 64 << 10
	freshLinks  = 2
	// maxTaught is how many unknown peers one peer may tell of during a connection: a quarter of the book, so that a
	// liar cannot fill it alone.
	maxTaught = maxBook / 4
)

// A peerList is what two peers tell each other: some of the peers they know. Both directions of an exchange carry one.
type peerList struct {
	Peers []peerEntry `cbor:"1,keyasint"`
}

type peerEntry struct {
	ID    []byte   `cbor:"1,keyasint"` // Ed25519 public key
	Addrs [][]byte `cbor:"2,keyasint"` // binary multiaddrs without /p2p/
	Up    bool     `cbor:"3,keyasint,omitempty"`
}

// dialable reports whether an address is of a kind that this node can dial or listen on.
func dialable(a ma.Multiaddr) bool {
	protos := a.Protocols()
	if len(protos) < 2 || (protos[0].Code != ma.P_IP4 && protos[0].Code != ma.P_IP6) {
		return false
	}
	switch protos[1].Code {
	case ma.P_TCP:
		return len(protos) == 2
	case ma.P_UDP:
		return len(protos) == 3 && protos[2].Code == ma.P_QUIC_V1
	}
	return false
}

// acceptable reports whether an address that came over a connection to remote is worth keeping. A stranger on the
// internet may not send this node to addresses of its own network or machine.
func (s *Swarm) acceptable(a, remote ma.Multiaddr) bool {
	if len(a.Bytes()) > 256 {
		return false
	}
	place := a
	if isRelayed(a) {
		if !s.cfg.Relay {
			return false
		}
		place, _ = ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_P2P })
	}
	if place == nil || !dialable(place) || manet.IsIPUnspecified(place) {
		return false
	}
	if port, err := place.ValueForProtocol(place.Protocols()[1].Code); err != nil || port == "0" {
		return false
	}
	ip, err := manet.ToIP(place)
	if err != nil || ip.IsMulticast() {
		return false
	}
	switch {
	case isRelayed(remote) || manet.IsPublicAddr(remote):
		return manet.IsPublicAddr(place)
	case manet.IsIPLoopback(remote):
		return true
	default: // a private network
		return !manet.IsIPLoopback(place)
	}
}

// roster is what this node tells about others: itself, the bootstraps, and a random sample of the peers that are up, mates of
// the other side first.
func (s *Swarm) roster(to peer.ID) peerList {
	peers := s.upPeers()
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	s.matesFirst(to, peers)
	up := make(map[peer.ID]bool, len(peers))
	for _, p := range peers {
		up[p] = true
	}
	var boots []peer.ID
	for _, b := range s.cfg.bootstrap {
		boots = append(boots, b.info.ID)
	}
	var list peerList
	seen := map[peer.ID]bool{to: true}
	add := func(p peer.ID, addrs []ma.Multiaddr, isUp bool) {
		id, ok := fromPeer(p)
		if !ok || seen[p] || len(list.Peers) >= maxEntries {
			return
		}
		seen[p] = true
		e := peerEntry{ID: id[:], Up: isUp}
		for _, a := range addrs {
			if a, _ = peer.SplitAddr(a); a == nil {
				continue
			}
			if b := a.Bytes(); len(b) <= 64 && len(e.Addrs) < maxAddrs {
				e.Addrs = append(e.Addrs, b)
			}
		}
		if len(e.Addrs) > 0 {
			list.Peers = append(list.Peers, e)
		}
	}
	add(s.host.ID(), s.host.Addrs(), true)
	for _, p := range boots {
		add(p, s.host.Peerstore().Addrs(p), up[p])
	}
	for _, p := range peers {
		add(p, s.host.Peerstore().Addrs(p), true)
	}
	return list
}

// hear takes what a peer tells of others. Anything it says may be a lie: addresses are filtered, entries bounded, and a
// peer that is not where it is said to be costs a few dials.
func (s *Swarm) hear(from peer.ID, list peerList, remote ma.Multiaddr) error {
	if len(list.Peers) > maxEntries {
		return errors.New("too many peers in a list")
	}
	for _, e := range list.Peers {
		if len(e.ID) != 32 || len(e.Addrs) > maxAddrs {
			return errors.New("malformed entry in a list of peers")
		}
		info := peer.AddrInfo{ID: peer.ID(idPrefix + string(e.ID))}
		for _, b := range e.Addrs {
			if a, err := ma.NewMultiaddrBytes(b); err == nil && s.acceptable(a, remote) {
				info.Addrs = append(info.Addrs, a)
			}
		}
		if s.mayTeach(from, info.ID) && s.learn(fromPeers, info) {
			s.mu.Lock()
			if m := s.peers[from]; m != nil {
				m.taught++
			}
			s.mu.Unlock()
		}
		if e.Up && s.bootIDs[info.ID] {
			s.retryBootstrap(info.ID)
		}
	}
	return nil
}

// mayTeach reports whether what from tells of p is heard: always of a known peer and of itself.
func (s *Swarm) mayTeach(from, p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.peers[from]
	return from == p || s.book[p] != nil || m != nil && m.taught < maxTaught
}

// retryBootstrap dials a bootstrap peer soon of which another peer says that it is up.
func (s *Swarm) retryBootstrap(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.book[p]
	soon := time.Now().Add(s.cfg.timing.retryCap)
	if t != nil && t.state == StateFailed && t.next.After(soon) {
		t.next = soon
		wake(s.dialNow)
	}
}

func (s *Swarm) servePeers() {
	s.serve(protoPeers, s.cfg.timing.stream, func(ctx context.Context, st network.Stream) error {
		from := st.Conn().RemotePeer()
		if !s.waitUp(ctx, from) {
			return errors.New("no handshake")
		}
		data, err := readFrame(st, maxPeerList)
		if err != nil {
			return err
		}
		var list peerList
		if err := wireDec.Unmarshal(data, &list); err != nil {
			return err
		}
		if err := s.hear(from, list, st.Conn().RemoteMultiaddr()); err != nil {
			s.noteError(from, err)
			return err
		}
		return writeFrame(st, encode(s.roster(from)))
	})
}

// meet exchanges peers with one peer.
func (s *Swarm) meet(ctx context.Context, p peer.ID) {
	conns := s.host.Network().ConnsToPeer(p)
	if len(conns) == 0 {
		return
	}
	began := time.Now()
	data, err := s.call(ctx, p, protoPeers, encode(s.roster(p)), maxPeerList)
	if err == nil {
		s.host.Peerstore().RecordLatency(p, time.Since(began))
		var list peerList
		if err = wireDec.Unmarshal(data, &list); err == nil {
			err = s.hear(p, list, conns[0].RemoteMultiaddr())
		}
	}
	if ctx.Err() == nil {
		s.noteError(p, err)
	}
}

// exchangeLoop exchanges peers: with every peer that this node dialled as soon as it is up, then with a random one at
// every interval. It also keeps two links to randomly chosen peers, whatever the number of peers: so two groups that
// hardly know each other grow together.
func (s *Swarm) exchangeLoop(ctx context.Context) error {
	t := s.cfg.timing
	began := time.Now()
	timer := time.NewTimer(jitter(t.exchange))
	defer timer.Stop()
	for {
		var who []peer.ID
		select {
		case <-ctx.Done():
			return nil
		case <-s.exchangeNow:
			s.mu.Lock()
			for p := range s.toMeet {
				if len(who) == 16 {
					wake(s.exchangeNow)
					break
				}
				who = append(who, p)
				delete(s.toMeet, p)
			}
			s.mu.Unlock()
		case <-timer.C:
			if peers := s.upPeers(); len(peers) > 0 {
				who = append(who, peers[rand.IntN(len(peers))])
			}
			s.refresh(time.Now())
			interval := t.exchangeCap
			if time.Since(began) < t.exchangeFor {
				interval = t.exchange
			}
			timer.Reset(jitter(interval))
		}
		var wg sync.WaitGroup
		gate := make(chan struct{}, 4)
		for _, p := range who {
			gate <- struct{}{}
			wg.Go(func() {
				s.meet(ctx, p)
				<-gate
			})
		}
		wg.Wait()
	}
}

// refresh sees to it that there are links to peers chosen at random from all that are known, and that they change from
// time to time. These links are protected from the connection manager; what they displace is not.
func (s *Swarm) refresh(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.countUpLocked() < s.cfg.low {
		return // everybody known is being dialled anyway
	}
	var linked, strangers []peer.ID
	for p, t := range s.book {
		if m := s.peers[p]; m.live() {
			if m.up && t.source != fromBootstrap && !slices.Contains(s.fresh, p) {
				linked = append(linked, p)
			}
		} else if t.state == StateWaiting && !t.next.After(now) {
			strangers = append(strangers, p)
		}
	}
	if len(s.fresh) >= freshLinks {
		if now.Sub(s.rotated) < s.cfg.timing.rotate || len(strangers) == 0 {
			return
		}
		s.conns.Unprotect(s.fresh[0], "fresh")
		s.fresh = slices.Delete(s.fresh, 0, 1)
	}
	switch {
	case len(strangers) > 0 && s.countUpLocked() < s.cfg.MaxPeers:
		p := strangers[rand.IntN(len(strangers))]
		s.book[p].urgent = true
		s.freshLocked(p, now)
		wake(s.dialNow)
	case len(linked) > 0:
		s.freshLocked(linked[rand.IntN(len(linked))], now)
	}
}

func (s *Swarm) freshLocked(p peer.ID, now time.Time) {
	s.fresh = append(s.fresh, p)
	s.rotated = now
	s.conns.Protect(p, "fresh")
}
