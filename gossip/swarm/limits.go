package swarm

import (
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	connrate "github.com/libp2p/go-libp2p/x/rate"
)

// trusted lists the prefixes whose addresses are exempt from limits for each IP: loopback, because replacing libp2p's
// list drops its own exemption; private networks, where many nodes share a machine or a cluster; the operator's.
func trusted(extra []netip.Prefix) []netip.Prefix {
	list := []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	}
	for _, p := range extra {
		list = append(list, p.Masked())
	}
	return list
}

// guests is how many peers above maxPeers may be connected for the moment it takes to send them on.
func guests(maxPeers int) int { return max(32, maxPeers/2) }

func ipNets(prefixes []netip.Prefix) []*net.IPNet {
	out := make([]*net.IPNet, 0, len(prefixes))
	for _, p := range prefixes {
		bits := p.Addr().BitLen()
		out = append(out, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), bits)})
	}
	return out
}

// dialsOfPeer is how many addresses of a peer libp2p tries at a time. Each counts as a connection while it is tried: were fewer allowed, the
// dead addresses of a peer would keep the living one from being tried.
const dialsOfPeer = 8

// resourceManager derives the hard limits from maxPeers. Memory and streams scale with the machine as libp2p's do;
// connections follow maxPeers, with room for guests, for a second connection to a peer while one replaces the other,
// and for handshakes. They lie above the connection manager's high mark, which would be useless otherwise
// (go-libp2p#2628).
func resourceManager(maxPeers int, extra []netip.Prefix, opts ...rcmgr.Option) (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	// Adding limits writes into these maps; the package variable's must stay as they are.
	scaling.ServiceLimits, scaling.ServicePeerLimits = nil, nil
	scaling.ProtocolLimits, scaling.ProtocolPeerLimits = nil, nil
	libp2p.SetDefaultServiceLimits(&scaling)
	for _, p := range protocols {
		scaling.AddProtocolLimit(p.id, rcmgr.BaseLimit{
			Streams: 2 * p.total, StreamsInbound: p.total, StreamsOutbound: 2 * p.total, Memory: 64 << 20,
		}, rcmgr.BaseLimitIncrease{})
		scaling.AddProtocolPeerLimit(p.id, rcmgr.BaseLimit{
			Streams: 4 * p.perPeer, StreamsInbound: 2 * p.perPeer, StreamsOutbound: 4 * p.perPeer, Memory: 16 << 20,
		}, rcmgr.BaseLimitIncrease{})
	}
	conns := rcmgr.LimitVal(maxPeers + maxPeers/2 + guests(maxPeers) + 32)
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: conns, ConnsInbound: conns, ConnsOutbound: conns, FD: conns + 32,
			Streams: conns * 64, StreamsInbound: conns * 32, StreamsOutbound: conns * 48,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: conns, ConnsInbound: conns, ConnsOutbound: conns, FD: conns,
			Streams: conns * 8, StreamsInbound: conns * 4, StreamsOutbound: conns * 8,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 4 + dialsOfPeer, ConnsInbound: 4, ConnsOutbound: 2 + dialsOfPeer, Streams: 256, StreamsInbound: 128, StreamsOutbound: 192,
		},
	}.Build(scaling.AutoScale())

	var v4, v6 []rcmgr.NetworkPrefixLimit
	var free []connrate.PrefixLimit
	for _, p := range trusted(extra) {
		l := rcmgr.NetworkPrefixLimit{Network: p, ConnCount: math.MaxInt}
		if p.Addr().Is4() {
			v4 = append(v4, l)
		} else {
			v6 = append(v6, l)
		}
		free = append(free, connrate.PrefixLimit{Prefix: p}) // no rate: unlimited
	}
	perIP := max(8, maxPeers/4) // several nodes behind one router
	opts = append(opts,
		rcmgr.WithNetworkPrefixLimit(v4, v6),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: perIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: perIP}, {PrefixLength: 48, ConnCount: 4 * perIP}}),
		rcmgr.WithConnRateLimiters(&connrate.Limiter{
			NetworkPrefixLimits: free,
			SubnetRateLimiter: connrate.SubnetLimiter{
				IPv4SubnetLimits: []connrate.SubnetLimit{{PrefixLength: 32, Limit: connrate.Limit{RPS: 1, Burst: 2 * perIP}}},
				IPv6SubnetLimits: []connrate.SubnetLimit{{PrefixLength: 56, Limit: connrate.Limit{RPS: 1, Burst: 2 * perIP}}},
				GracePeriod:      time.Minute,
			},
		}),
	)
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), opts...)
}
