package network

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starling/node"
)

// parse reads text as every kind of specification there is.
func parse(kind, text string, n int) error {
	var err error
	switch kind {
	case "latency":
		_, err = ParseLatency(text, n, seed)
	case "jitter":
		_, err = ParseJitter(text)
	case "bandwidth":
		_, err = ParseBandwidth(text, n, seed)
	case "loss":
		_, err = ParseLoss(text)
	case "nat":
		_, err = ParseNAT(text, n, seed)
	case "partition":
		_, err = ParsePartitions([]Split{{Groups: text}}, n, seed, nil)
	}
	return err
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ kind, text, want string }{
		{"latency", "", `latency "" is not known; use constant:DELAY, `},
		{"latency", "lognormel:median=1ms", `did you mean "lognormal"?`},
		{"latency", "lognormal", `latency "lognormal": median must be given`},
		{"latency", "lognormal:median=40", `median wants a duration from 0s to 1h0m0s, such as 20ms or 1h, not "40"`},
		{"latency", "lognormal:median=40ms,sigma=-1", `sigma wants a number from 0 to 5, not "-1"`},
		{"latency", "lognormal:median=40ms,sigma=nan", `sigma wants a number from 0 to 5, not "nan"`},
		{"latency", "lognormal:median=40ms,sima=1", `there is no setting "sima"; there are median, sigma; did you mean "sigma"?`},
		{"latency", "lognormal:median=40ms,median=40ms", "median is given twice"},
		{"latency", "lognormal:40ms,median=40ms", "median is given twice"},
		{"latency", "lognormal:median=,sigma=1", "is empty"},
		{"latency", "constant:-1ms", "delay wants a duration"},
		{"latency", "constant:2h", "delay wants a duration"},
		{"latency", "constant:", "is empty"},
		{"latency", "constant:1ms,2ms", `there is no setting "2ms"`},
		{"latency", "uniform:10ms-1ms", "low is above high"},
		{"latency", "uniform:10ms", "high must be given"},
		{"latency", "uniform:high=10ms-20ms", "high wants"},
		{"latency", "regions:us-east=0.5", "shares add up to 0.5, not 1"},
		{"latency", "regions:us-est=1", `did you mean "us-east"?`},
		{"latency", "regions:us-east=2", "us-east wants a share from 0 to 1"},
		{"latency", "regions:no/such/file", "no/such/file: no such file"},
		{"latency", "matrix", "a file is missing"},
		{"latency", "matrix:testdata", "testdata"},
		{"latency", strings.Repeat("x", 1<<20), "is longer than"},
		{"jitter", "normal:1ms", `jitter "normal:1ms" is not known; use none, `},
		{"jitter", "none:1ms", `there are no settings, and "1ms" is given`},
		{"bandwidth", "fibre:1", `bandwidth "fibre:1" is not known`},
		{"bandwidth", "fiber:0.5,cable:0.6", "shares add up to 1.1, not 1"},
		{"bandwidth", "fiber:0.5,fiber:0.5", "fiber is given twice"},
		{"bandwidth", "fiber:0.5,dls:0.5", `did you mean "dsl"?`},
		{"bandwidth", "classes:fiber=half", `fiber wants a share from 0 to 1, not "half"`},
		{"bandwidth", "constant", "up must be given"},
		{"bandwidth", "constant:down=3Mbit", "up must be given"},
		{"bandwidth", "constant:10", `up: "10" is not a rate`},
		{"bandwidth", "unlimited:10", "there are no settings"},
		{"loss", "2", "share wants a number from 0 to 1"},
		{"loss", "-0.1", "share wants a number from 0 to 1"},
		{"loss", "brust", `did you mean "burst"?`},
		{"loss", "burst:good=0s", "good wants a duration from 1ms"},
		{"nat", "pubic=1", `did you mean "public"?`},
		{"nat", "public=0.5,cone=0.4", "shares add up to 0.9, not 1"},
		{"nat", "public=1,relay=yes", "relay wants one of false, true"},
		{"nat", "cone", `nat "cone" is not known; use none, public=0.3`},
		{"partition", "half", `partition 1 "half" is not known; use halves, `},
		{"partition", "halves:2", "there are no settings"},
		{"partition", "shares:0.5", "two or more that add up to 1"},
		{"partition", "shares:0.5,half", `"half" is not a share`},
		{"partition", "nodes:", `"" is not a node`},
		{"partition", "nodes:3-1", `"3-1" is not a node or a range`},
		{"partition", "nodes:0-10", "node 10 is not there: nodes are from 0 to 9"},
		{"partition", "nodes:1,0-3", "node 1 is written twice"},
		{"partition", "nodes:4294967296", "is not a node"},
		{"partition", "regions", "there are no regions; set the latency to regions"},
	} {
		err := parse(c.kind, c.text, 10)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.60q: %v, want %q in it", c.kind, c.text, err, c.want)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s %.60q: the error has %d characters", c.kind, c.text, len(err.Error()))
		}
	}
	for _, kind := range []string{"latency", "bandwidth", "nat", "partition"} {
		if err := parse(kind, "none", 0); err == nil || !strings.Contains(err.Error(), "0 nodes") {
			t.Errorf("%s of no nodes: %v", kind, err)
		}
	}
	l := latency(t, "regions", 10)
	for _, c := range []struct {
		split Split
		want  string
	}{
		{Split{From: 2, Until: 1, Groups: "halves"}, "until must come after from"},
		{Split{From: -1, Groups: "halves"}, "until must come after from"},
		{Split{Groups: "regions:us-est"}, `there is no region "us-est"`},
		{Split{Groups: "regions:us-east|us-east"}, "region us-east is written twice"},
	} {
		if _, err := ParsePartitions([]Split{c.split}, 10, seed, l); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q in it", c.split, err, c.want)
		}
	}
}

func TestFilesSayWhereTheyAreWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.csv")
	for _, c := range []struct{ kind, spec, content, want string }{
		{"latency", "matrix:", "1,2\n3,x\n", `x.csv:2:3: the latency is "x", not a number from 0 to 3.6e+06`},
		{"latency", "matrix:", "1, 2\n\n3,  -4\n", `x.csv:3:5: the latency is "-4"`},
		{"latency", "matrix:", "1,2\n3\n", "x.csv:2:1: 1 fields; there must be as many as in the first line, 2"},
		{"latency", "matrix:", "1,2\n3,4\n5,6\n", "x.csv:3:1: there are more lines than columns"},
		{"latency", "matrix:", "1,2\n", "x.csv: 1 lines of 2 columns"},
		{"latency", "matrix:", "# nothing\n", "must be square"},
		{"latency", "matrix:", strings.Repeat("1,", 5000) + "1\n", "x.csv:1:1: 5001 sites are more than"},
		{"latency", "regions:", "a,1,2\n", "x.csv:1:1: the first line wants region,weight"},
		{"latency", "regions:", "region,weight,a,a\n", `x.csv:1:17: region "a" is named twice`},
		{"latency", "regions:", "region,weight,a,b\nb,1,1,1\n", `x.csv:2:1: region "b" is out of order`},
		{"latency", "regions:", "region,weight,a\na,1,1\na,1,1\n", `x.csv:3:1: region "a" is out of order`},
		{"latency", "regions:", "region,weight,a,b\na,1,1\n", "x.csv:2:5: 3 fields; there must be 4"},
		{"latency", "regions:", "region,weight,a\na,-1,1\n", `x.csv:2:3: the weight is "-1"`},
		{"latency", "regions:", "region,weight,a\na,0,1\n", "no region has a weight"},
		{"latency", "regions:", "region,weight,a,b\na,1,1,2\n", "1 regions have a line of their own; the first line names 2"},
		{"latency", "regions:", "", "x.csv: 0 regions"},
		{"bandwidth", "classes:", "a,1,10Mbit\n", "x.csv:1:5: 3 fields; there must be 4"},
		{"bandwidth", "classes:", "a,0.5,1bit,1bit\na,0.5,1bit,1bit\n", `x.csv:2:1: class "a" is there twice`},
		{"bandwidth", "classes:", "class,share,up,down\na,1,10,10Mbit\n", `x.csv:2:5: "10" is not a rate`},
		{"bandwidth", "classes:", "a,1,10Mbit,x\n", `x.csv:1:12: "x" is not a rate`},
		{"bandwidth", "classes:", "a,2,10Mbit,1bit\n", `x.csv:1:3: the share is "2"`},
		{"bandwidth", "classes:", "a,0.5,10Mbit,1bit\n", "x.csv: shares add up to 0.5, not 1"},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := parse(c.kind, c.spec+file, 10)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q in it", c.kind, c.content[:min(len(c.content), 60)], err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range []string{
		"uniform:0ms-10ms", "lognormal:median=40ms,sigma=0.5", "regions:us-east=0.5,eu-west=0.5", "fiber:0.3,cable:0.7", "lognormal:up=1Mbit,2GB",
		"burst:good=1s,bad=1s", "0.1", "public=0.3,cone=0.7,punch=0.5", "nodes:0-2|3", "shares:0.1,0.9", "halves",
	} {
		f.Add(kind)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if t := strings.ToLower(text); strings.Contains(t, "matrix") || strings.Contains(t, "regions") || strings.Contains(t, "classes") {
			return // these read files
		}
		const n = 5
		if l, err := ParseLatency(text, n, seed); err == nil {
			if d := l.Between(1, 2); d < 0 || d != l.Between(2, 1) {
				t.Errorf("latency %q is %d", text, d)
			}
		}
		if j, err := ParseJitter(text); err == nil && j.Draw(constantSource(12345)) < 0 {
			t.Errorf("jitter %q is negative", text)
		}
		if b, err := ParseBandwidth(text, n, seed); err == nil && b != nil && (b[4].Up < 0 || b[4].Down < 0 || b[4].Up > maxRate) {
			t.Errorf("bandwidth %q is %v", text, b)
		}
		if l, err := ParseLoss(text); err == nil {
			l.Lost(node.Second, 1, 2, constantSource(12345))
			if m := l.Mean(); !(m >= 0 && m <= 1) {
				t.Errorf("loss %q is %g", text, m)
			}
		}
		if x, err := ParseNAT(text, n, seed); err == nil && x.Class(1) == Public && x.Path(2, 1) != Direct {
			t.Errorf("nat %q does not dial public nodes", text)
		}
		if p, err := ParsePartitions([]Split{{From: 1, Until: 2, Groups: text}}, n, seed, nil); err == nil && p.Cut(1, 0, 1) == (p.Group(1, 0) == p.Group(1, 1)) {
			t.Errorf("partition %q cuts a group", text)
		}
		if r, err := ParseRate(text); err == nil {
			if again, err := ParseRate(r.String()); again != r || err != nil {
				t.Errorf("rate %q is written %q", text, r)
			}
		}
	})
}
