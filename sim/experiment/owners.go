package experiment

import (
	"starling/node"
	"starling/sim/adversary"
	"starling/sim/churn"
	"starling/sim/network"
)

// Owners returns the hooks of the packages that own the specifications. They read the files that specifications name, such
// as traces.
func Owners() Hooks {
	return Hooks{
		Latency: func(spec string, nodes int, seed uint64) error {
			_, err := network.ParseLatency(spec, nodes, seed)
			return err
		},
		Jitter: func(spec string, _ int, _ uint64) error {
			_, err := network.ParseJitter(spec)
			return err
		},
		Bandwidth: func(spec string, nodes int, seed uint64) error {
			_, err := network.ParseBandwidth(spec, nodes, seed)
			return err
		},
		Loss: func(spec string, _ int, _ uint64) error {
			_, err := network.ParseLoss(spec)
			return err
		},
		NAT: func(spec string, nodes int, seed uint64) error {
			_, err := network.ParseNAT(spec, nodes, seed)
			return err
		},
		Sessions: func(spec string, nodes int, seed uint64) error {
			_, err := churn.ParseSessions(spec, nodes, seed)
			return err
		},
		Speeds: func(spec string, nodes int, seed uint64) error {
			_, err := churn.ParseSpeeds(spec, nodes, seed)
			return err
		},
		Groups: func(groups, latency string, nodes int, seed uint64) error {
			l, err := network.ParseLatency(latency, nodes, seed)
			if err != nil {
				return nil // that is the latency's problem, and is reported there
			}
			_, err = network.ParsePartitions([]network.Split{{Until: node.Second, Groups: groups}}, nodes, seed, l)
			return err
		},
		Adversaries: func(specs []string, nodes int, seed uint64, records bool) error {
			r, err := adversary.Parse(specs, nodes, seed)
			if err != nil {
				return err
			}
			return r.Fits(records)
		},
	}
}
