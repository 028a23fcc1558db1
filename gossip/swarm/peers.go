package swarm

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"starling/gossip"
)

// A PeerInfo is what is known of a connected peer that passed the handshake.
type PeerInfo struct {
	ID        gossip.PeerID
	Agent     string   // what it calls itself; printable
	Addrs     []string // of its connections
	Outbound  bool     // this node dialled it
	Transport string   // "quic-v1", "tcp" or "p2p-circuit"
	// Relayed means that every connection goes through a relay: gossip does not reach such a peer, direct messages do.
	Relayed   bool
	Latency   time.Duration // round trip, smoothed; zero when not measured yet
	Score     float64       // of gossipsub, at the last inspection
	InMesh    bool
	Bootstrap bool
	Since     time.Time // of the connection
	BytesIn   int64     // on streams, since it was first connected
	BytesOut  int64
	LastError string // of the last exchange with it that failed; empty if none
}

// A member is a connected peer. Its fields are guarded by Swarm.mu.
type member struct {
	since   time.Time
	up      bool          // passed the handshake and still connected
	greeted chan struct{} // closed when up becomes true or the connection goes
	agent   string
	life    uint64 // of its process, as it said last; zero before
	lastErr string
	unseen  bool // at the last sweep gossipsub did not know what the peer had told it; see unseen
	taught  int  // peers that were unknown before this one told of them

	ups       uint64 // times it came up
	announced uint64 // ups at the last announced "up"; zero when "down" was announced last
}

// live reports whether the peer is connected, greeted or not. A member that is not live waits for its going to be
// announced.
func (m *member) live() bool { return m != nil && (m.up || !isClosed(m.greeted)) }

// connected and disconnected are called by libp2p in any order and must not block.
func (s *Swarm) connected(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	s.mu.Lock()
	m := s.peers[p]
	if m == nil {
		m = &member{since: time.Now(), greeted: make(chan struct{})}
		s.peers[p] = m
	} else if !m.live() {
		m.since, m.greeted, m.life, m.lastErr, m.taught = time.Now(), make(chan struct{}), 0, "", 0
	}
	s.mu.Unlock()
	// Every outbound connection greets, even to a peer that is up: the peer may have restarted meanwhile.
	if c.Stat().Direction == network.DirOutbound && s.enter() {
		go func() {
			defer s.work.Done()
			s.greet(p, c.RemoteMultiaddr())
		}()
	}
}

func (s *Swarm) disconnected(n network.Network, c network.Conn) {
	p := c.RemotePeer()
	s.mu.Lock()
	m := s.peers[p]
	if m == nil || len(n.ConnsToPeer(p)) > 0 { // looked at under mu: a newer connection may greet meanwhile
		s.mu.Unlock()
		return
	}
	was := m.up
	m.up = false
	if !isClosed(m.greeted) {
		close(m.greeted)
	}
	if m.announced == 0 && (m.ups == 0 || !s.ran.Load()) {
		delete(s.peers, p)
	}
	s.lostLocked(p, was)
	s.mu.Unlock()
	s.filter.drop(p)
	if was {
		s.cfg.Logger.Debug("peer down", "peer", short(p))
		wake(s.changed)
	}
	wake(s.dialNow)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// up marks a peer as having passed the handshake; false means that there is no room for it.
func (s *Swarm) up(p peer.ID, agent string, rtt time.Duration, outbound bool) bool {
	addrs := s.host.Peerstore().Addrs(p)
	s.mu.Lock()
	m := s.peers[p]
	if m == nil { // gone already
		s.mu.Unlock()
		return true
	}
	first := !m.up
	if first && !s.bootIDs[p] && s.countUpLocked() >= s.cfg.MaxPeers {
		s.mu.Unlock()
		return false
	}
	m.up, m.agent = true, agent
	if !isClosed(m.greeted) {
		close(m.greeted)
	}
	if first {
		m.ups++
		s.foundLocked(p)
		s.goodLocked(p, addrs)
	}
	if outbound {
		s.toMeet[p] = struct{}{}
	}
	untold := m.announced != m.ups
	s.mu.Unlock()
	if first {
		s.metrics.peersGreeted.Inc()
		s.cfg.Logger.Debug("peer up", "peer", short(p), "agent", agent, "rtt", rtt)
	}
	if untold {
		wake(s.changed)
	}
	wake(s.exchangeNow)
	return true
}

// renewed is told which life of a peer said hello, and reports whether it is another one than before. When a process is killed,
// its system closes its TCP connections, but nobody its QUIC connections: the other end believes in them until they time
// out after half a minute, and meanwhile gossipsub sends into the void and does not tell the new process which topics this node
// is in. Then all connections are closed, the new one too, for both to begin anew: when gossipsub loses one of two, it forgets
// which topics the peer is in, and is not told again.
func (s *Swarm) renewed(p peer.ID, life uint64) bool {
	s.mu.Lock()
	m := s.peers[p]
	if m == nil || life == 0 || m.life == life {
		s.mu.Unlock()
		return false
	}
	first := m.life == 0
	m.life = life
	if !first && m.up {
		m.ups++ // announced as gone and come back, even if the next connection is there before the last one is closed
	}
	s.mu.Unlock()
	if first {
		return false
	}
	s.cfg.Logger.Debug("peer restarted", "peer", short(p))
	s.host.Network().ClosePeer(p)
	return true
}

// waitUp waits for a peer to pass the handshake. The side that answered it is ready before the side that asked.
func (s *Swarm) waitUp(ctx context.Context, p peer.ID) bool {
	s.mu.Lock()
	m := s.peers[p]
	if m == nil || m.up {
		s.mu.Unlock()
		return m != nil
	}
	greeted := m.greeted
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return false
	case <-greeted:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.up
}

// announce calls PeerEvent from one goroutine, in order for each peer.
func (s *Swarm) announce(ctx context.Context) error {
	type event struct {
		p  peer.ID
		up bool
	}
	for {
		var events []event
		s.mu.Lock()
		for p, m := range s.peers {
			if m.announced != 0 && (!m.up || m.announced != m.ups) {
				events = append(events, event{p, false})
				m.announced = 0
			}
			if m.up && m.announced == 0 {
				events = append(events, event{p, true})
				m.announced = m.ups
			}
			if !m.live() && m.announced == 0 {
				delete(s.peers, p)
			}
		}
		s.mu.Unlock()
		for _, e := range events {
			if id, ok := fromPeer(e.p); ok && s.cfg.PeerEvent != nil {
				s.cfg.PeerEvent(id, e.up)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
	}
}

// upPeers returns the peers that are up, in random map order.
func (s *Swarm) upPeers() []peer.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]peer.ID, 0, len(s.peers))
	for p, m := range s.peers {
		if m.up {
			out = append(out, p)
		}
	}
	return out
}

func (s *Swarm) countUp() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countUpLocked()
}

func (s *Swarm) countUpLocked() int {
	n := 0
	for _, m := range s.peers {
		if m.up {
			n++
		}
	}
	return n
}

// noteError keeps what went wrong with a connected peer, for Peers.
func (s *Swarm) noteError(p peer.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.peers[p]; m != nil {
		m.lastErr = ""
		if err != nil {
			m.lastErr = plain(err)
		}
	}
}

// Peers returns the peers that are connected and passed the handshake, ordered by ID.
func (s *Swarm) Peers() []PeerInfo {
	mesh := s.metrics.mesh()
	var out []PeerInfo
	for _, p := range s.upPeers() {
		conns := s.host.Network().ConnsToPeer(p)
		id, ok := fromPeer(p)
		if len(conns) == 0 || !ok {
			continue
		}
		info := PeerInfo{ID: id, Relayed: true, Bootstrap: s.bootIDs[p], Latency: s.host.Peerstore().LatencyEWMA(p)}
		_, info.InMesh = mesh[p]
		for _, c := range conns {
			info.Addrs = append(info.Addrs, c.RemoteMultiaddr().String())
			info.Outbound = info.Outbound || c.Stat().Direction == network.DirOutbound
			relayed := isRelayed(c.RemoteMultiaddr())
			if info.Transport == "" || info.Relayed && !relayed {
				info.Transport = transportOf(c.RemoteMultiaddr())
			}
			info.Relayed = info.Relayed && relayed
		}
		slices.Sort(info.Addrs)
		f := s.traffic.of(p)
		info.BytesIn, info.BytesOut = f.in.Load(), f.out.Load()
		s.mu.Lock()
		info.Score = s.scores[p]
		if m := s.peers[p]; m != nil {
			info.Since, info.Agent, info.LastError = m.since, m.agent, m.lastErr
		}
		s.mu.Unlock()
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b PeerInfo) int { return cmp.Compare(string(a.ID[:]), string(b.ID[:])) })
	return out
}

func isRelayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

func transportOf(a ma.Multiaddr) string {
	for _, p := range []struct {
		code int
		name string
	}{{ma.P_CIRCUIT, "p2p-circuit"}, {ma.P_QUIC_V1, "quic-v1"}, {ma.P_TCP, "tcp"}} {
		if _, err := a.ValueForProtocol(p.code); err == nil {
			return p.name
		}
	}
	return "unknown"
}

// sweepLoop looks at connections every so often.
func (s *Swarm) sweepLoop(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.timing.sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

// makeRoom sends peers away while more than three quarters of MaxPeers are up: what is above is the lobby, where a
// newcomer learns of other peers. Whom somebody protects stays: bootstraps, peers of the mesh, the links chosen at
// random, peers with a transfer. Mates go last. The connection manager does the same by the minute and with no regard to learning.
func (s *Swarm) makeRoom(now time.Time) {
	s.mu.Lock()
	over := s.countUpLocked() - s.cfg.high
	var guests []peer.ID
	if over > 0 {
		for p, m := range s.peers {
			if m.up && now.Sub(m.since) > s.cfg.timing.lobby && !s.conns.IsProtected(p, "") {
				guests = append(guests, p)
			}
		}
	}
	s.mu.Unlock()
	rand.Shuffle(len(guests), func(i, j int) { guests[i], guests[j] = guests[j], guests[i] })
	s.matesFirst(s.host.ID(), guests)
	for _, p := range guests[len(guests)-max(0, min(over, len(guests))):] {
		s.cfg.Logger.Debug("peer sent away", "peer", short(p), "reason", "too many peers")
		s.host.Network().ClosePeer(p)
	}
}

// unseen returns the peers that told of this node's topic, at two sweeps one after the other, and that gossipsub does not know to be
// in it. It forgets a peer's topics when one of two connections to the peer goes, or when its own attempts at a stream are used up,
// and nobody tells it again while the peer is connected.
func (s *Swarm) unseen() (twice []peer.ID) {
	here := s.place.Load()
	if here == nil {
		return nil
	}
	seen := here.topic.ListPeers()
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, m := range s.peers {
		now := m.up && s.filter.told(p, here.topic.String()) && !slices.Contains(seen, p)
		if now && m.unseen {
			twice = append(twice, p)
		}
		m.unseen = now
	}
	return twice
}

// sweep hangs up on peers that never greeted, on those that stay graylisted, and on those that gossipsub lost sight of, makes room
// for newcomers, and forgets what is over.
func (s *Swarm) sweep(now time.Time) {
	s.makeRoom(now)
	t := s.cfg.timing
	var silent, gray []peer.ID
	unseen := s.unseen()
	s.mu.Lock()
	for p, m := range s.peers {
		if !m.up && now.Sub(m.since) > t.hello+t.sweep && len(s.host.Network().ConnsToPeer(p)) > 0 {
			silent = append(silent, p)
		}
	}
	for p, since := range s.graySince {
		if now.Sub(since) > t.banAfter && s.peers[p].live() {
			gray = append(gray, p)
			s.banned[p] = now.Add(t.banFor)
			delete(s.graySince, p)
		}
	}
	for p, until := range s.banned {
		if now.After(until) {
			delete(s.banned, p)
		}
	}
	s.mu.Unlock()
	for _, p := range silent {
		s.refuse(p, nil, &refusal{"silent", "no handshake: the peer did not say hello in time"})
	}
	for _, p := range gray {
		s.cfg.Logger.Info("peer banned", "peer", short(p), "for", t.banFor, "reason", "its score stayed below the graylist threshold")
		s.noteRefusal(p, nil, "banned: its score stayed below the graylist threshold", true)
		s.host.Network().ClosePeer(p)
	}
	for _, p := range unseen {
		s.cfg.Logger.Debug("peer met anew", "peer", short(p), "reason", "gossipsub lost sight of it")
		s.host.Network().ClosePeer(p)
	}
	known := func(p peer.ID) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.peers[p] != nil
	}
	s.traffic.forget(known)
	s.filter.forget(known)
}

// Traffic returns the bytes received and sent on all streams since the start, framing of libp2p's own protocols
// included, that of the transports not.
func (s *Swarm) Traffic() (in, out int64) {
	t := s.traffic.GetBandwidthTotals()
	return t.TotalIn, t.TotalOut
}
