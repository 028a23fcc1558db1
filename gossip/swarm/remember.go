package swarm

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// maxGood is how many good peers are remembered.
const maxGood = 100

// A goodPeer is one that was up once, and where.
type goodPeer struct {
	id    peer.ID
	addrs []ma.Multiaddr
}

// goodLocked writes down a peer that came up, newest first.
func (s *Swarm) goodLocked(p peer.ID, addrs []ma.Multiaddr) {
	i := slices.IndexFunc(s.good, func(g goodPeer) bool { return g.id == p })
	if i >= 0 {
		if len(addrs) == 0 {
			addrs = s.good[i].addrs
		}
		s.good = slices.Delete(s.good, i, i+1)
	}
	s.good = slices.Insert(s.good, 0, goodPeer{p, addrs})
	s.good = s.good[:min(len(s.good), maxGood)]
	s.goodDirty = true
}

// recall dials the peers of the last time.
func (s *Swarm) recall() {
	if s.cfg.Store == nil {
		return
	}
	data, err := s.cfg.Store.LoadPeers()
	if err != nil {
		s.cfg.Logger.Warn("remembered peers lost", "err", err)
		return
	}
	if len(data) == 0 {
		return
	}
	var list peerList
	if err := wireDec.Unmarshal(data, &list); err != nil {
		s.cfg.Logger.Warn("remembered peers lost", "err", err)
		return
	}
	for _, e := range slices.Backward(list.Peers) {
		if len(e.ID) != 32 {
			continue
		}
		info := peer.AddrInfo{ID: peer.ID(idPrefix + string(e.ID))}
		for _, b := range e.Addrs {
			if a, err := ma.NewMultiaddrBytes(b); err == nil {
				info.Addrs = append(info.Addrs, a)
			}
		}
		if len(info.Addrs) == 0 || info.ID == s.host.ID() {
			continue
		}
		s.learn(fromMemory, info)
		s.mu.Lock()
		s.goodLocked(info.ID, info.Addrs)
		s.mu.Unlock()
	}
}

// saveLoop saves the good peers when they changed.
func (s *Swarm) saveLoop(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.timing.save)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.save()
		}
	}
}

func (s *Swarm) save() {
	if s.cfg.Store == nil {
		return
	}
	s.mu.Lock()
	dirty, good := s.goodDirty, slices.Clone(s.good)
	s.goodDirty = false
	s.mu.Unlock()
	if !dirty {
		return
	}
	var list peerList
	for _, g := range good {
		id, _ := fromPeer(g.id)
		addrs := s.host.Peerstore().Addrs(g.id) // identify has told more since the peer came up
		if len(addrs) == 0 {
			addrs = g.addrs
		}
		e := peerEntry{ID: id[:]}
		for _, a := range addrs {
			if a, _ = peer.SplitAddr(a); a != nil && len(e.Addrs) < maxAddrs {
				e.Addrs = append(e.Addrs, a.Bytes())
			}
		}
		if len(e.Addrs) > 0 {
			list.Peers = append(list.Peers, e)
		}
	}
	if err := s.cfg.Store.SavePeers(encode(list)); err != nil {
		s.cfg.Logger.Warn("remembered peers not saved", "err", err)
		s.mu.Lock()
		s.goodDirty = true
		s.mu.Unlock()
	}
}
