package daemon

import (
	"strings"
	"testing"

	"starling/node"
	"starling/node/manifest"
)

// walking is a run of the method walk whose tokens take the optimizer's state along.
func walking() manifest.Manifest {
	m := tiny()
	m.Data.Shards = 3
	m.Method.Name, m.Method.Tokens, m.Method.Steps.Count = "walk", 2, 5
	m.Optimizer, m.Evaluate.Every = "sgd:lr=0.05,momentum=0.9", 4
	return m
}

// briskly has a walk begin soon, since all of its nodes are there.
func briskly(cfg *node.WalkConfig) { cfg.CreateAfter, cfg.BeatEvery = node.Second/2, node.Second/2 }

func TestTokensWalkAmongThreeDaemonsAndGoOnWhenOneLeaves(t *testing.T) {
	homes := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	link, err := CreateRun(homes[0], walking(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	var daemons []*Daemon
	var stops []func() error
	configs := make([]Config, 3)
	for i := range homes {
		configs[i] = local(homes[i])
		configs[i].Shard, configs[i].walk = i, briskly
		d, stop := serve(t, link.String(), configs[i])
		daemons, stops = append(daemons, d), append(stops, stop)
		link.Bootstrap = daemons[0].Addrs()
	}
	var moves uint64
	for _, d := range daemons {
		r := reports(t, d, "visits of both tokens", func(r Report) bool {
			return r.Walk != nil && r.Walk.Neighbours == 2 && len(r.Walk.Tokens) == 2 && r.Walk.Tokens[0].Moves > 5 && r.Walk.Tokens[1].Moves > 5 && r.Counted > 1 && r.Accuracy > 0.5
		})
		if !strings.HasPrefix(r.Counts(), "yes: ") || r.Method != "walk, srrw" || r.Walk.ShownHops == 0 || len(r.Rejected)+len(r.Trouble) > 0 {
			t.Errorf("%s; %s; %+v; not taken: %v, trouble: %v", r.Counts(), r.Method, r.Walk, r.Rejected, r.Trouble)
		}
		moves = max(moves, r.Walk.Tokens[0].Moves, r.Walk.Tokens[1].Moves)
	}
	if err := stops[2](); err != nil {
		t.Fatal(err)
	}
	// Whoever leaves hands over what it has, so nothing has to be revived.
	onward := func(r Report) bool {
		for _, k := range r.Walk.Tokens {
			if k.Moves < moves+20 || k.Generation != r.Walk.Tokens[0].Generation {
				return false
			}
		}
		return true
	}
	for _, d := range daemons[:2] {
		reports(t, d, "both tokens to go on", onward)
	}
	again, _ := serve(t, link.String(), configs[2])
	r := reports(t, again, "visits after the restart", func(r Report) bool { return r.Walk != nil && r.Round > r.Resumed && r.Counted > 0 })
	if r.Resumed == 0 || r.Walk.Resumed != 0 {
		t.Errorf("resumed after %d visits with %d tokens; it had handed over what it had", r.Resumed, r.Walk.Resumed)
	}
}

func TestTheTimesOfAWalkFollowTheSizeOfItsModel(t *testing.T) {
	var before node.WalkConfig
	for _, size := range []uint64{1 << 10, 100 << 10, 16 << 20, 1 << 30} {
		var c node.WalkConfig
		setPace(&c, size)
		if c.LostAfter < 4*c.NewsEvery || c.LostAfter < node.Instant(size>>20)*node.Second || c.ModelEvery < c.NewsEvery {
			t.Errorf("%d bytes: %+v", size, c)
		}
		if c.NewsEvery < before.NewsEvery || c.LostAfter < before.LostAfter || c.ModelEvery < before.ModelEvery {
			t.Errorf("%d bytes are given less time than fewer: %+v, %+v", size, c, before)
		}
		before = c
	}
}

func TestAStatusSaysWhetherVisitsCountAndWhereTokensAre(t *testing.T) {
	peers := []PeerReport{{Peer: "b"}}
	for _, c := range []struct {
		r    Report
		want string
	}{
		{Report{Walk: &WalkReport{}}, "no: nobody is connected from whom a token could come"},
		{Report{Walk: &WalkReport{}, Peers: peers}, "nothing yet: no token of the run has been heard of"},
		{Report{Walk: &WalkReport{Tokens: make([]TokenReport, 2), Neighbours: 1}, Peers: peers}, "nothing yet: no token has come by; 2 tokens of the run known, neighbours that may hand one over: 1"},
		{Report{Walk: &WalkReport{}, Round: 1}, "not yet: 1 visit, and nobody is connected to take the token over"},
		{Report{Walk: &WalkReport{}, Round: 2, Peers: peers}, "not yet: 2 visits, and no token handed over since the start"},
		{Report{Walk: &WalkReport{}, Round: 2, Published: 1, Peers: peers}, "not yet: a token was handed over once, and none of those who got one has said that it has it"},
		{Report{Walk: &WalkReport{}, Round: 5, Published: 4, Counted: 3, Peers: peers}, "yes: 5 visits, and of 4 hand-overs to others 3 arrived"},
	} {
		if got := c.r.Counts(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	for _, c := range []struct {
		token TokenReport
		want  string
	}{
		{TokenReport{Generation: 1}, "not known where"},
		{TokenReport{Generation: 1, Holder: "me", Here: "held"}, "here"},
		{TokenReport{Generation: 3, Holder: "b", Here: "kept"}, "at b; a copy is kept here in case it gets lost; revived 2 times"},
		{TokenReport{Generation: 2, Holder: "b", Here: "void"}, "at b; what this node had of it is void, and is merged into it; revived once"},
		{TokenReport{Generation: 1, Holder: "b", Here: "coming"}, "at b, on its way to this node"},
	} {
		if got := c.token.Where("me"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
