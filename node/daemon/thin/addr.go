package thin

import "net/netip"

// The addresses: node i is 10.77.i.2, and the hub's end of its link 10.77.i.1.
func nodeAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, byte(i), 2}) }
func hubAddr(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 77, byte(i), 1}) }

// pair returns the nodes that an IPv4 packet goes from and to; ok is false if it is none between two of n nodes.
func pair(p []byte, n int) (from, to int, ok bool) {
	const header = 20
	if len(p) < header || p[0]>>4 != 4 {
		return 0, 0, false
	}
	src, dst := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	from, to = int(p[14]), int(p[18])
	return from, to, from < n && to < n && src == nodeAddr(from) && dst == nodeAddr(to)
}
