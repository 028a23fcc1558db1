package swarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	lswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"starling/gossip"
)

// How a peer came to be known.
const (
	fromBootstrap = "bootstrap"
	fromMemory    = "remembered"
	fromPeers     = "learned"
	fromMDNS      = "mdns"
	fromDHT       = "dht"
	fromInbound   = "inbound" // it came by itself
)

// The states of a dial.
const (
	StateWaiting   = "waiting"   // known, not needed or not tried yet
	StateDialling  = "dialling"  // being dialled now
	StateConnected = "connected" // connected and greeted
	StateFailed    = "failed"    // the last attempt failed; see LastError and Next
	StateRefused   = "refused"   // reached, but it cannot be a peer; see LastError
	StateSelf      = "self"      // this node's own address
)

// A DialStatus says how it stands with one address.
type DialStatus struct {
	Addr      string // as it was given
	Peer      gossip.PeerID
	Source    string // bootstrap, remembered, learned, mdns, dht or inbound
	State     string
	LastError string    // in plain words; empty if nothing went wrong since it was last connected
	Next      time.Time // of the next attempt; zero if none is planned
	Attempts  int       // failed ones since it was last connected
}

// A target is a peer that may be dialled. Its fields are guarded by Swarm.mu.
type target struct {
	id       peer.ID
	source   string
	addrs    []ma.Multiaddr
	texts    []string // of a bootstrap, as they were given
	state    string
	err      string
	perAddr  map[string]string // what went wrong, by address
	attempts int
	failing  time.Time // since when; zero if it is not
	next     time.Time
	upSince  time.Time // when it last came up
	losses   int       // connections in a row that soon went again, while there were peers enough
	urgent   bool      // dial even though there are peers enough
	mate     bool      // belongs to this node's topic
}

const (
	maxBook     = 1024
	maxRefusals = 32
	maxDials    = 16 // at once
	maxAddrs    = 8  // of one peer
	// giveUp is how often a peer is tried that nobody wrote down.
	giveUp = 6
)

// seedBook writes down the bootstrap addresses; several may belong to one peer.
func (s *Swarm) seedBook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.cfg.bootstrap {
		t := s.book[b.info.ID]
		if t == nil {
			t = &target{id: b.info.ID, source: fromBootstrap, state: StateWaiting}
			s.book[b.info.ID] = t
		}
		if b.info.ID == s.host.ID() {
			t.state = StateSelf
		}
		t.addrs = append(t.addrs, b.info.Addrs...)
		t.texts = append(t.texts, b.text)
	}
}

// learn writes a peer down, or adds to its addresses; it reports whether the peer was unknown.
func (s *Swarm) learn(source string, info peer.AddrInfo) bool {
	if _, ok := fromPeer(info.ID); !ok || info.ID == s.host.ID() || len(info.Addrs) == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.book[info.ID]
	if t != nil {
		if t.source == fromBootstrap {
			return false // what the operator wrote stays
		}
		for _, a := range info.Addrs {
			if i := slices.IndexFunc(t.addrs, a.Equal); i >= 0 {
				t.addrs = slices.Delete(t.addrs, i, i+1)
			} else if !t.failing.IsZero() {
				t.next = time.Time{} // a new address: try at once
			}
			t.addrs = slices.Insert(t.addrs, 0, a) // newest first
		}
		t.addrs = t.addrs[:min(len(t.addrs), maxAddrs)]
		return false
	}
	if len(s.book) >= maxBook && !s.evictLocked() {
		return false
	}
	s.book[info.ID] = &target{
		id: info.ID, source: source, state: StateWaiting, addrs: slices.Clone(info.Addrs[:min(len(info.Addrs), maxAddrs)]),
		mate: s.mateLocked(info.ID),
	}
	wake(s.dialNow)
	return true
}

// evictLocked makes room: failing peers go first, then any that is neither a bootstrap nor connected, mates last.
func (s *Swarm) evictLocked() bool {
	var victim *target
	for _, t := range s.book {
		if t.source == fromBootstrap || t.state == StateDialling || s.peers[t.id].live() {
			continue
		}
		if victim == nil || t.attempts > victim.attempts || t.attempts == victim.attempts && victim.mate && !t.mate {
			victim = t
		}
	}
	if victim != nil {
		delete(s.book, victim.id)
	}
	return victim != nil
}

// dialLoop dials what is due.
func (s *Swarm) dialLoop(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		jobs, wait := s.due(time.Now())
		for _, j := range jobs {
			wg.Go(func() {
				s.dial(ctx, j)
				wake(s.dialNow)
			})
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.dialNow:
		}
	}
}

// A dialJob is a copy of what a dial needs.
type dialJob struct {
	id    peer.ID
	addrs []ma.Multiaddr
}

// due picks the peers to dial now, marks them, and says when to look again. Bootstrap peers are always wanted, also
// when there are peers enough: that is what joins a swarm again that has split. Others are wanted until half of
// MaxPeers are connected, and mates until there are enough of these.
func (s *Swarm) due(now time.Time) (jobs []dialJob, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	up, dialling := s.countUpLocked(), 0
	var boots, rest []*target
	wait = time.Minute
	for _, t := range s.book {
		switch {
		case t.state == StateDialling:
			dialling++
		case t.state == StateSelf || s.peers[t.id].live():
		case t.next.After(now):
			wait = min(wait, t.next.Sub(now))
		case t.source == fromBootstrap:
			boots = append(boots, t)
		default:
			rest = append(rest, t)
		}
	}
	rand.Shuffle(len(boots), func(i, j int) { boots[i], boots[j] = boots[j], boots[i] })
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	rank := func(t *target) int {
		switch {
		case t.urgent:
			return 0
		case t.mate:
			return 1
		case t.source == fromMemory && t.attempts == 0:
			return 2 // good once: tried first
		}
		return 3
	}
	slices.SortStableFunc(rest, func(a, b *target) int { return rank(a) - rank(b) })
	want, mates := s.cfg.low-up-dialling, s.wantedMates()-s.matesLocked()
	for i, t := range append(boots, rest...) {
		if dialling >= maxDials {
			break
		}
		if i >= len(boots) && !t.urgent {
			if want <= 0 && (mates <= 0 || !t.mate) {
				break
			}
			want--
			mates--
		}
		dialling++
		t.state, t.urgent = StateDialling, false
		jobs = append(jobs, dialJob{t.id, t.turn()})
	}
	return jobs, max(wait, time.Millisecond)
}

// turn returns the addresses of the next attempt: no more than are tried at a time, others with each attempt, so that many dead ones do not
// take all of its time.
func (t *target) turn() []ma.Multiaddr {
	addrs := slices.Clone(t.addrs)
	if len(addrs) > dialsOfPeer {
		first := t.attempts * dialsOfPeer % len(addrs)
		addrs = slices.Concat(addrs[first:], addrs[:first])[:dialsOfPeer]
	}
	return addrs
}

// dial makes one attempt and writes down what came of it.
func (s *Swarm) dial(ctx context.Context, j dialJob) {
	s.metrics.redials.Inc()
	if s.host.Network().Connectedness(j.id) != network.Connected {
		s.host.Peerstore().ClearAddrs(j.id) // libp2p would try what it knows besides
	}
	// libp2p's own back-off would swallow the attempt; the pauses between attempts are kept here.
	if n, ok := s.host.Network().(*lswarm.Swarm); ok {
		n.Backoff().Clear(j.id)
	}
	dctx, cancel := context.WithTimeout(ctx, s.cfg.timing.dial)
	defer cancel()
	err := s.host.Connect(network.WithDialPeerTimeout(dctx, s.cfg.timing.dial), peer.AddrInfo{ID: j.id, Addrs: j.addrs})
	if err == nil {
		// Connected; the handshake runs. It ends in up, refuse, or the connection's end.
		s.waitUp(dctx, j.id)
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.book[j.id]
	if t == nil || t.state != StateDialling {
		return // told otherwise meanwhile: connected, or refused
	}
	if err == nil {
		err = errors.New("the peer closed the connection during the handshake")
	}
	s.failedLocked(t, err, now)
}

// failedLocked plans the next attempt of a dial that failed.
func (s *Swarm) failedLocked(t *target, err error, now time.Time) {
	t.state, t.err, t.perAddr = StateFailed, plain(err), nil
	var de *lswarm.DialError
	if errors.As(err, &de) {
		t.perAddr = make(map[string]string, len(de.DialErrors))
		for i, e := range de.DialErrors {
			word := plain(&de.DialErrors[i])
			t.perAddr[e.Address.String()] = word
			if len(de.DialErrors) == 1 {
				t.err = word
			}
		}
	}
	if t.failing.IsZero() {
		t.failing = now
	}
	t.attempts++
	if t.attempts >= giveUp && t.source != fromBootstrap && (t.source != fromMemory || t.attempts >= 3*giveUp) {
		delete(s.book, t.id)
		return
	}
	t.next = now.Add(jitter(s.cfg.timing.retry(t.attempts, now.Sub(t.failing), t.source == fromBootstrap)))
}

// retry is the pause after the n-th failure (n from 1) of an address that has been failing for a while. It doubles from
// retryFirst to retryCap while the failing is young, and from there to calmCap. Peers that nobody wrote down are tried
// eight times as rarely.
func (t *timing) retry(n int, failing time.Duration, boot bool) time.Duration {
	first := t.retryFirst
	if !boot {
		return min(8*first<<min(n-1, 20), t.calmCap)
	}
	if failing < t.eager {
		return min(first<<min(n-1, 20), t.retryCap)
	}
	// Attempts before the calm came at every retryCap; only the age of the failure tells how calm to be.
	pause := t.retryCap
	for age := failing - t.eager; age > pause && pause < t.calmCap; pause *= 2 {
		age -= pause
	}
	return min(pause, t.calmCap)
}

// jitter spreads a pause over 80 to 120 % of itself, so that nodes that started together do not stay together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// foundLocked is told that a peer is up.
func (s *Swarm) foundLocked(p peer.ID) {
	if t := s.book[p]; t != nil {
		t.upSince = time.Now()
		t.state, t.err, t.perAddr, t.attempts, t.failing, t.next = StateConnected, "", nil, 0, time.Time{}, time.Time{}
	}
}

// lostLocked is told that a peer's last connection went. A node with few peers is in a hurry to come back. One with
// enough was probably sent away to make room: it comes back later and later, so that a bootstrap peer is not beset by
// a large swarm.
func (s *Swarm) lostLocked(p peer.ID, wasUp bool) {
	delete(s.toMeet, p)
	if i := slices.Index(s.fresh, p); i >= 0 {
		s.fresh = slices.Delete(s.fresh, i, i+1)
		s.conns.Unprotect(p, "fresh")
	}
	t := s.book[p]
	if t == nil || t.state != StateConnected || !wasUp {
		return
	}
	t.state = StateWaiting
	if time.Since(t.upSince) > s.cfg.timing.eager {
		t.losses = 0
	}
	s.comeBackLocked(t, s.cfg.timing.retryFirst)
}

// comeBackLocked plans the next attempt at a peer that is well but has no room.
func (s *Swarm) comeBackLocked(t *target, hurry time.Duration) {
	if s.countUpLocked() >= 3 {
		hurry = min(2*s.cfg.timing.retryCap<<min(t.losses, 20), s.cfg.timing.calmCap)
		t.losses++
	}
	t.next = time.Now().Add(jitter(hurry))
}

// noteCrowd writes down that this node itself had no room for a peer that it reached.
func (s *Swarm) noteCrowd(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.book[p]; t != nil && t.state != StateSelf {
		t.state = StateWaiting
		s.comeBackLocked(t, s.cfg.timing.retryCap)
	}
}

// noteFull writes down that a peer has no room and named others.
func (s *Swarm) noteFull(p peer.ID, named int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.book[p]; t != nil && t.state != StateSelf {
		t.state, t.perAddr, t.failing = StateFailed, nil, time.Time{}
		t.err = fmt.Sprintf("full: it has as many peers as it can, and named %d others", named)
		s.comeBackLocked(t, s.cfg.timing.retryCap)
	}
}

// noteRefusal writes down that a peer was reached and cannot be a peer. Such a peer is not dialled again for long; for
// lasting is false (the handshake was interrupted) it counts as a failure like others.
func (s *Swarm) noteRefusal(p peer.ID, addr ma.Multiaddr, text string, lasting bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.book[p]; t != nil && t.state != StateSelf {
		if !lasting {
			s.failedLocked(t, errors.New(text), now)
			return
		}
		t.state, t.err, t.perAddr = StateRefused, text, nil
		t.attempts++
		t.next = now.Add(jitter(s.cfg.timing.refused))
		return
	}
	id, ok := fromPeer(p)
	if !ok || !lasting {
		return
	}
	s.refusals = slices.DeleteFunc(s.refusals, func(d DialStatus) bool { return d.Peer == id })
	if len(s.refusals) >= maxRefusals {
		s.refusals = slices.Delete(s.refusals, 0, 1)
	}
	d := DialStatus{Peer: id, Source: fromInbound, State: StateRefused, LastError: text, Attempts: 1}
	if addr != nil {
		d.Addr = addr.String() + "/p2p/" + p.String()
	}
	s.refusals = append(s.refusals, d)
}

// Bootstraps returns how it stands with each bootstrap address, in the order of the configuration.
func (s *Swarm) Bootstraps() []DialStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []DialStatus
	for _, b := range s.cfg.bootstrap {
		t := s.book[b.info.ID]
		d := s.statusLocked(t)
		d.Addr = b.text
		for _, a := range b.info.Addrs {
			if word, ok := t.perAddr[a.String()]; ok && d.State != StateConnected {
				d.LastError = word
			}
		}
		out = append(out, d)
	}
	return out
}

// Dials returns how it stands with every address that is known: the bootstraps first, then other peers, ordered by ID,
// then those that came by themselves and were refused.
func (s *Swarm) Dials() []DialStatus {
	out := s.Bootstraps()
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []DialStatus
	for _, t := range s.book {
		if t.source != fromBootstrap {
			rest = append(rest, s.statusLocked(t))
		}
	}
	slices.SortFunc(rest, func(a, b DialStatus) int { return slices.Compare(a.Peer[:], b.Peer[:]) })
	return append(append(out, rest...), s.refusals...)
}

func (s *Swarm) statusLocked(t *target) DialStatus {
	d := DialStatus{Source: t.source, State: t.state, LastError: t.err, Next: t.next, Attempts: t.attempts}
	d.Peer, _ = fromPeer(t.id)
	if len(t.addrs) > 0 {
		d.Addr = t.addrs[0].String() + "/p2p/" + t.id.String()
	}
	if m := s.peers[t.id]; m != nil && m.up {
		d.State, d.LastError, d.Next = StateConnected, "", time.Time{}
	}
	return d
}
