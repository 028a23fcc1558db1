package main_test

import (
	"strings"
	"testing"
)

// floors is the plan of the house: what each package may import of the project. Every arrow runs down.
var floors = []floor{
	{"cmd/starling/...", []string{"cmd/starling/...", "sim/...", "node/...", "gossip/...", "mixing/...", "storage/..."}},

	{"sim/...", []string{
		"sim/...", "node", "node/model/...", "node/optim/...", "node/data/...", "node/manifest/...", "node/compute/...",
		"gossip", "gossip/codec/...", "mixing/...",
	}},
	{"sim/chance", []string{"mixing/..."}},
	{"sim/spec", []string{"node", "mixing/..."}},
	{"sim/network", []string{"node", "mixing/...", "sim/spec", "sim/chance"}},
	{"sim/churn", []string{"node", "mixing/...", "sim/spec", "sim/chance"}},
	{"sim/mesh/...", []string{"node"}},
	{"sim/adversary/...", []string{"gossip", "gossip/codec", "mixing/..."}},
	{"sim/experiment", []string{"node", "node/manifest/...", "mixing/...", "sim/adversary", "sim/churn", "sim/network"}},
	{"sim/experiments", []string{"mixing/spelling"}},

	{"sim/walk", []string{"sim/chance", "sim/experiment", "sim/report", "node/manifest/strictyaml", "mixing/..."}},
	{"sim/report", []string{"mixing/kernel", "mixing/topology", "mixing/philox"}},

	{"node", []string{"gossip", "mixing/..."}},
	{"node/daemon/...", []string{"node/...", "gossip/...", "mixing/...", "storage/..."}},
	{"node/compute/...", []string{
		"node", "node/compute/...", "node/manifest/...", "node/model/...", "node/optim/...", "node/data/...", "gossip", "gossip/codec/...", "mixing/...",
	}},
	{"node/manifest/...", []string{
		"node/manifest/...", "node/model/...", "node/optim/...", "node/data/...", "gossip", "gossip/codec/...", "mixing/...",
	}},
	{"node/manifest/strictyaml", []string{"mixing/spelling"}},
	{"node/model/...", []string{"node/model/...", "node/data/...", "mixing/..."}},
	{"node/optim/...", []string{"node/optim/...", "mixing/..."}},
	{"node/data/...", []string{"node/data/...", "mixing/..."}},

	{"gossip", []string{"mixing/..."}},
	{"gossip/codec/...", []string{"gossip/codec/...", "mixing/..."}},
	{"gossip/swarm/...", []string{"gossip", "gossip/codec/...", "gossip/swarm/...", "mixing/...", "storage/..."}},

	{"mixing/...", []string{"mixing/..."}},
	{"mixing/kernel/...", []string{"mixing/kernel/...", "mixing/philox"}},
	{"mixing/outer", []string{"mixing", "mixing/kernel", "mixing/philox", "mixing/spelling", "mixing/topology"}},
	{"mixing/scalar", []string{"mixing", "mixing/kernel", "mixing/philox", "mixing/spelling"}},
	{"mixing/track", []string{}},
	{"storage/...", []string{"storage/..."}},
}

// pureSim are the packages of the simulator that are functions of what they are given.
var pureSim = []string{"sim/adversary", "sim/chance", "sim/churn", "sim/mesh", "sim/network"}

func TestEveryArrowRunsDown(t *testing.T) {
	for _, p := range project(t) {
		report(t, arrows(floors, p))
	}
}

func TestOnlyTheEdgesKnowTheWorld(t *testing.T) {
	for _, p := range project(t) {
		report(t, only(p, "github.com/libp2p/...", "gossip/swarm/...", "node/daemon/...", "cmd/starling/..."))
		report(t, only(p, "github.com/dgraph-io/...", "storage/..."))
		report(t, only(p, "github.com/spf13/...", "cmd/starling/..."))
	}
	// What a package never imports itself may still come in through what it imports.
	pure := []string{
		"node", "node/compute/...", "node/manifest/...", "node/model/...", "node/optim/...", "node/data/...",
		"sim/...", "gossip", "gossip/codec/...", "mixing/...",
	}
	for _, p := range project(t, pure...) {
		report(t, unreachable(p,
			"github.com/libp2p/...", "github.com/dgraph-io/...", modulePath+"/gossip/swarm/...", modulePath+"/node/daemon/...", modulePath+"/storage/..."))
	}
	for _, p := range project(t, "storage/...") {
		report(t, unreachable(p, "github.com/libp2p/..."))
	}
}

func TestCoreAndMathematicsAreDeterministic(t *testing.T) {
	for _, p := range project(t, "node") {
		report(t, purity(p, "sync/atomic"))
	}
	for _, p := range project(t, pureSim...) {
		report(t, purity(p))
	}
	for _, p := range project(t, "mixing/...") {
		report(t, purity(p))
		report(t, only(p, "time"))
	}
}

func TestSumsOfProductsRoundAlikeEverywhere(t *testing.T) {
	for _, p := range project(t, "node", "mixing/...", "gossip/codec/...", "node/model/...", "node/optim/...", "sim/report", "sim/walk") {
		report(t, fusible(p))
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range project(t) {
		report(t, comments(p))
	}
}

// shared are package-level variables that may change, each with its reason.
var shared = map[string]string{}

func TestNothingHappensAtImport(t *testing.T) {
	for _, p := range project(t) {
		report(t, effects(p, shared))
	}
	for name := range shared {
		path, variable, _ := strings.Cut(name, ".")
		if project(t, path)[0].types.Scope().Lookup(variable) == nil {
			t.Errorf("the exception for %s is not needed any more", name)
		}
	}
}
