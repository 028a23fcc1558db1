package node

import "fmt"

func (w *walkWorld) dump(token uint32) (s string) {
	for _, n := range w.nodes {
		if n.core == nil {
			s += fmt.Sprintf("node %d down\n", n.number)
			continue
		}
		v := n.method().find(token)
		if v == nil {
			continue
		}
		s += fmt.Sprintf("node %d at %.1f: fence %d/%x/%d hop %d heard %.1f jitter %.1f lost %.1f hop time %.1f made %d gave %+v took %x/%d own %v coming %v giving %v revive %.1f\n", n.number, w.now.Seconds(), v.fence.Generation, v.fence.Maker, v.fence.Base, v.hop, v.heard.Seconds(), v.jitter.Seconds(), n.method().lostAfter().Seconds(), n.method().rates.hop.Seconds(), v.made, v.gave, v.took.from[:2], v.took.seq, v.own != nil, v.coming != nil, v.giving != nil, n.method().reviveAt(v).Seconds())
		if v.own != nil {
			s += fmt.Sprintf("     own %+v life %d stage %d wait %.1f\n", v.own.spot, v.own.life, v.own.stage, v.own.waitUntil.Seconds())
		}
		if v.coming != nil {
			s += fmt.Sprintf("     coming %+v ready %v\n", v.coming.spot(), v.coming.ready)
		}
	}
	return s
}
