package network

import (
	"fmt"
	"math"
	"slices"

	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// A Region is a part of the world that nodes are in.
type Region struct {
	Name   string
	Weight float64   // share of nodes, of 1
	Ways   []float64 // milliseconds one way to each region, in the order of the table
}

// Regions returns the built-in table. The latencies are halves of typical round trips between regions of public clouds as
// their operators publish them, rounded to a millisecond; inside a region, where nodes are at homes and not in one data
// center, 5 to 10 ms. Weights follow roughly where volunteers of public peer-to-peer networks are.
func Regions() []Region {
	return []Region{
		//                        us-east us-west sa-east eu-west eu-central ap-south ap-southeast ap-northeast
		{"us-east", 0.22, []float64{5, 33, 57, 34, 46, 95, 108, 75}},
		{"us-west", 0.14, []float64{33, 5, 88, 63, 73, 110, 83, 50}},
		{"sa-east", 0.08, []float64{57, 88, 8, 89, 102, 150, 163, 128}},
		{"eu-west", 0.16, []float64{34, 63, 89, 5, 13, 61, 88, 103}},
		{"eu-central", 0.18, []float64{46, 73, 102, 13, 5, 58, 80, 113}},
		{"ap-south", 0.08, []float64{95, 110, 150, 61, 58, 10, 30, 63}},
		{"ap-southeast", 0.06, []float64{108, 83, 163, 88, 80, 30, 10, 35}},
		{"ap-northeast", 0.08, []float64{75, 50, 128, 103, 113, 63, 35, 5}},
	}
}

func (l *Latency) regions(s *spec.Spec, n int, seed uint64) error {
	regions := Regions()
	switch {
	case s.Keyed():
		names := make([]string, len(regions))
		for i, r := range regions {
			names[i] = r.Name
		}
		for i, weight := range s.Mix(names) {
			regions[i].Weight = weight
		}
	case s.Settings() > 0:
		var err error
		if regions, err = readRegions(s.Rest()); err != nil {
			return fmt.Errorf("latency: %w", err)
		}
	}
	if err := s.Done(); err != nil {
		return err
	}
	weights, ways := make([]float64, len(regions)), make([][]float64, len(regions))
	var sum float64
	for i, r := range regions {
		sum += r.Weight
		ways[i] = r.Ways
		l.names = append(l.names, r.Name)
	}
	for i, r := range regions {
		weights[i] = r.Weight / sum
	}
	l.site = chance.Deal(chance.Stream(seed, chance.Region, 0), n, weights)
	l.between(ways)
	return nil
}

// between takes over latencies in milliseconds, the mean of both directions.
func (l *Latency) between(ways [][]float64) {
	l.kind, l.sites = siteLatency, len(ways)
	l.ways = make([]node.Instant, len(ways)*len(ways))
	for i := range ways {
		for j := range ways {
			ms := (ways[i][j] + ways[j][i]) / 2
			l.ways[i*l.sites+j] = node.Instant(chance.Nanoseconds(ms * float64(millisecond)))
		}
	}
}

const (
	maxSites   = 4096 // a matrix of 128 MiB
	maxMillis  = 3600e3
	maxRegions = 1000
)

func readRegions(file string) ([]Region, error) {
	var regions []Region
	var columns []string
	err := spec.ReadTable(file, func(r *spec.Row) error {
		if columns == nil {
			if r.Text(0) != "region" || r.Text(1) != "weight" || r.Len() < 3 {
				return r.Errorf(0, "the first line wants region,weight and the names of all regions")
			}
			for i := 2; i < r.Len(); i++ {
				if r.Text(i) == "" || slices.Contains(columns, r.Text(i)) {
					return r.Errorf(i, "region %s is named twice or has no name", spec.Brief(r.Text(i)))
				}
				columns = append(columns, r.Text(i))
			}
			if len(columns) > maxRegions {
				return r.Errorf(0, "%d regions are more than %d", len(columns), maxRegions)
			}
			return nil
		}
		at := len(regions)
		if at == len(columns) || r.Text(0) != columns[at] {
			return r.Errorf(0, "region %s is out of order: regions come in the order of the first line", spec.Brief(r.Text(0)))
		}
		if r.Len() != len(columns)+2 {
			return r.Errorf(r.Len(), "%d fields; there must be %d: name, weight and a latency to each of the regions", r.Len(), len(columns)+2)
		}
		region := Region{Name: columns[at]}
		var err error
		if region.Weight, err = r.Number(1, "the weight", 0, 1e9); err != nil {
			return err
		}
		region.Ways, err = millis(r, 2)
		regions = append(regions, region)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(regions) == 0 || len(regions) != len(columns) {
		return nil, fmt.Errorf("%s: %d regions have a line of their own; the first line names %d", file, len(regions), len(columns))
	}
	if !slices.ContainsFunc(regions, func(r Region) bool { return r.Weight > 0 }) {
		return nil, fmt.Errorf("%s: no region has a weight above 0", file)
	}
	return regions, nil
}

// millis reads latencies from a field to the end of the row.
func millis(r *spec.Row, from int) ([]float64, error) {
	ways := make([]float64, 0, r.Len()-from)
	for i := from; i < r.Len(); i++ {
		ms, err := r.Number(i, "the latency", 0, maxMillis)
		if err != nil {
			return nil, err
		}
		ways = append(ways, ms)
	}
	return ways, nil
}

func (l *Latency) matrix(file string, n int) error {
	var ways [][]float64
	width := 0
	err := spec.ReadTable(file, func(r *spec.Row) error {
		if len(ways) == 0 {
			if width = r.Len(); width > maxSites {
				return r.Errorf(0, "%d sites are more than %d", width, maxSites)
			}
		}
		if r.Len() != width {
			return r.Errorf(min(r.Len(), width), "%d fields; there must be as many as in the first line, %d", r.Len(), width)
		}
		if len(ways) == width {
			return r.Errorf(0, "there are more lines than columns, %d; the matrix must be square", width)
		}
		row, err := millis(r, 0)
		ways = append(ways, row)
		return err
	})
	if err != nil {
		return err
	}
	if len(ways) == 0 || len(ways) != width {
		return fmt.Errorf("%s: %d lines of %d columns; the matrix must be square", file, len(ways), width)
	}
	l.site = make([]int32, n)
	for i := range l.site {
		l.site[i] = int32(i % width)
	}
	l.between(ways)
	return nil
}

// Forever stands for a time that never comes.
const Forever node.Instant = math.MaxInt64
