package node

// maxTold is how many members are told something one by one at the most.
const maxTold = 64

// oneByOne lists the members to which a node may send what is for all, a message to each, in place of publishing it. That is what gossip
// begins with, too; but gossip goes on, and delivers each message some six times. There are none, and it has to be published, if the
// node is not connected to all that are active, or if they are many.
func (c *Core) oneByOne(active func(c *Core, m *member) bool) []PeerID {
	if c.cfg.Cells > 1 {
		return nil
	}
	var to []PeerID
	for _, m := range c.roster.sorted() {
		switch {
		case m.up:
			to = append(to, m.id)
		case active(c, m):
			return nil
		}
		if len(to) > maxTold {
			return nil
		}
	}
	return to
}
