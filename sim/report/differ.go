package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// settings are all settings of a run, one value a key: those of the experiment with what the command line changed, and the
// seeds. Resolved settings stand for the experiment if all runs that are compared have them.
func settings(r *Result, resolved bool) []Setting {
	var out []Setting
	at := map[string]int{}
	set := func(key, value string) {
		if k, ok := at[key]; ok {
			out[k].Value = value
			return
		}
		at[key] = len(out)
		out = append(out, Setting{key, value})
	}
	if resolved {
		for _, s := range r.Resolved {
			set(s.Key, s.Value)
		}
	} else {
		var file yaml.MapSlice
		if yaml.UnmarshalWithOptions([]byte(r.File), &file, yaml.UseOrderedMap()) == nil {
			flatten("", file, set)
		}
		for _, s := range r.Settings {
			set(s.Key, s.Value)
		}
	}
	set(seedKey, strconv.FormatUint(r.Seed, 10))
	set(dataSeedKey, strconv.FormatUint(r.DataSeed, 10))
	return out
}

// The settings that only make a run again with other chance, and those that only name it.
const (
	seedKey     = "seed"
	dataSeedKey = "data_seed"
	nameKey     = "name"
	aboutKey    = "about"
	baselineKey = "baseline"
)

// flatten names the values of nested YAML with dots between the keys; lists are one value.
func flatten(prefix string, v any, set func(key, value string)) {
	m, ok := v.(yaml.MapSlice)
	if !ok {
		if list, ok := v.([]any); ok {
			var parts []string
			for _, e := range list {
				parts = append(parts, fmt.Sprint(e))
			}
			v = "[" + strings.Join(parts, ", ") + "]"
		}
		if v == nil {
			v = missing
		}
		set(prefix, fmt.Sprint(v))
		return
	}
	for _, item := range m {
		key := fmt.Sprint(item.Key)
		if prefix != "" {
			key = prefix + "." + key
		}
		flatten(key, item.Value, set)
	}
}

// differences are the settings that differ among runs.
type differences struct {
	keys   []string            // all that differ, in order of appearance
	axes   []string            // those that are more than chance or a name
	values [][]string          // of each run, one for each key; "–" where it has none
	labels []string            // a short name for each run, all different
	all    []map[string]string // all settings of each run, without quotes
	tags   []string            // a shorter one, of values alone, where a name is too long for a figure
}

func compareSettings(runs []Run) differences {
	resolved := true
	for i := range runs {
		resolved = resolved && len(runs[i].Result.Resolved) > 0
	}
	var order []string
	of := make([]map[string]string, len(runs))
	seen := map[string]bool{}
	for i := range runs {
		of[i] = map[string]string{}
		for _, s := range settings(&runs[i].Result, resolved) {
			of[i][s.Key] = s.Value
			if !seen[s.Key] {
				seen[s.Key] = true
				order = append(order, s.Key)
			}
		}
	}
	d := differences{values: make([][]string, len(runs)), all: make([]map[string]string, len(runs))}
	for i := range of {
		d.all[i] = make(map[string]string)
		for key, value := range of[i] { // the order does not matter
			d.all[i][key] = strings.Trim(value, `"'`)
		}
	}
	for _, key := range order {
		differs := false
		for i := range runs {
			v, ok := of[i][key]
			w, first := of[0][key]
			differs = differs || v != w || ok != first
		}
		if !differs || key == nameKey || key == aboutKey || key == baselineKey {
			continue
		}
		d.keys = append(d.keys, key)
		if key != seedKey && key != dataSeedKey {
			d.axes = append(d.axes, key)
		}
		for i := range runs {
			v, ok := of[i][key]
			if !ok {
				v = missing
			}
			d.values[i] = append(d.values[i], v)
		}
	}
	d.name(runs)
	return d
}

// value is that of a run for a key that differs.
func (d *differences) value(run int, key string) string {
	return d.values[run][slices.Index(d.keys, key)]
}

// namedAxes is how many settings make a name; runs that differ in more are called by their own names.
const namedAxes = 3

// labelLength is how many letters of a label are shown.
const labelLength = 60

// name finds labels: by what differs if that is little, else by the name of the experiment or the directory.
func (d *differences) name(runs []Run) {
	names := map[string]bool{}
	for i := range runs {
		names[runs[i].Result.Name] = true
	}
	for i := range runs {
		var parts, values []string
		switch {
		case len(d.axes) == 0 && len(d.keys) > 0:
		case len(d.axes) == 0 || len(d.axes) > namedAxes:
			base := filepath.Base(runs[i].Dir)
			if len(names) == len(runs) || runs[i].Dir == "" {
				base = orElse(runs[i].Result.Name, "run")
			}
			parts = append(parts, base)
		case len(d.axes) == 1:
			parts = append(parts, d.value(i, d.axes[0]))
		default:
			for _, key := range d.axes {
				parts = append(parts, called(key)+" "+d.value(i, key))
				values = append(values, strings.Trim(d.value(i, key), `["]`))
			}
		}
		for _, key := range []string{seedKey, dataSeedKey} {
			if len(d.axes) <= namedAxes && slices.Contains(d.keys, key) {
				parts = append(parts, key+" "+d.value(i, key))
			}
		}
		d.labels = append(d.labels, strings.Join(parts, ", "))
		d.tags = append(d.tags, strings.Join(values, ", "))
	}
	taken := map[string]bool{}
	for i, l := range d.labels {
		l = clip(l, labelLength)
		d.labels[i] = l
		for n := 2; taken[d.labels[i]]; n++ {
			d.labels[i] = fmt.Sprintf("%s (%d)", l, n)
		}
		taken[d.labels[i]] = true
	}
}

// called is the last word of a key, or the one before where that only says "name".
func called(key string) string {
	key = strings.TrimSuffix(key, ".name")
	return key[strings.LastIndex(key, ".")+1:]
}

// group is the runs that differ in nothing but chance.
type group struct {
	label string
	runs  []int
}

// groups puts runs together by the values of some settings, in order of appearance.
func (d *differences) groups(keys []string) []group {
	var out []group
	at := map[string]int{}
	for i := range d.values {
		var parts []string
		for _, k := range keys {
			parts = append(parts, d.value(i, k))
		}
		id := strings.Join(parts, "\x00")
		k, ok := at[id]
		if !ok {
			k = len(out)
			at[id] = k
			label := orElse(strings.Join(parts, ", "), "all runs")
			if len(keys) > namedAxes {
				label = "like " + d.labels[i]
			}
			out = append(out, group{label: clip(label, labelLength)})
		}
		out[k].runs = append(out[k].runs, i)
	}
	return out
}

// levels are the values of a setting in the order to show: ascending if all are numbers, else as they appear.
func (d *differences) levels(key string) (names []string, numbers []float64) {
	for i := range d.values {
		if v := d.value(i, key); !slices.Contains(names, v) {
			names = append(names, v)
		}
	}
	for _, n := range names {
		f, err := strconv.ParseFloat(n, 64)
		if err != nil || !Real(f).Finite() {
			return names, nil
		}
		numbers = append(numbers, f)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		x, _ := strconv.ParseFloat(a, 64) // parsed above
		y, _ := strconv.ParseFloat(b, 64)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	slices.Sort(numbers)
	return names, numbers
}
