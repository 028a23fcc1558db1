package churn

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node"
)

const (
	seed   = 20261
	second = node.Second
	hour   = 3600 * node.Second
)

func sessions(t testing.TB, text string, n int) *Sessions {
	t.Helper()
	s, err := ParseSessions(text, n, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %g, want %g within %g of it", what, got, want, relative)
	}
}

// A life is what a node did: the times at which its state changed, the first of which is 0.
type life struct {
	online  bool // at first
	changes []node.Instant
}

// at reports whether the node was online at a time.
func (l life) at(t node.Instant) bool {
	i, found := slices.BinarySearch(l.changes, t)
	if found {
		i++
	}
	return l.online == (i%2 == 1)
}

func live(s *Sessions, n int, until node.Instant) life {
	l := life{online: s.Online(n), changes: []node.Instant{0}}
	online, now := l.online, node.Instant(0)
	for {
		at, ok := s.Next(n, now, online)
		if !ok || at > until {
			return l
		}
		now, online = at, !online
		l.changes = append(l.changes, at)
	}
}

// share returns the share of nodes that were online at a time.
func share(lives []life, t node.Instant) float64 {
	count := 0
	for _, l := range lives {
		if l.at(t) {
			count++
		}
	}
	return float64(count) / float64(len(lives))
}

// durations returns the whole sessions and absences, without the first and the last state.
func durations(lives []life) (online, offline []float64) {
	for _, l := range lives {
		for i := 1; i+1 < len(l.changes); i++ {
			d := (l.changes[i+1] - l.changes[i]).Seconds()
			if l.online == (i%2 == 0) {
				online = append(online, d)
			} else {
				offline = append(offline, d)
			}
		}
	}
	slices.Sort(online)
	slices.Sort(offline)
	return online, offline
}

func mean(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func all(s *Sessions, n int, until node.Instant) []life {
	lives := make([]life, n)
	for i := range lives {
		lives[i] = live(s, i, until)
	}
	return lives
}

func TestSessionsHaveTheirDistribution(t *testing.T) {
	for _, shape := range []float64{1, 0.5, 2} {
		text := fmt.Sprintf("weibull:shape=%g,online=1h,offline=20m", shape)
		if shape == 1 {
			text = "exponential:online=1h,offline=20m"
		}
		lives := all(sessions(t, text, 400), 400, 1000*hour)
		online, offline := durations(lives)
		near(t, text+": the mean session", mean(online), 3600, 0.02)
		near(t, text+": the mean absence", mean(offline), 1200, 0.02)
		scale := 3600 / math.Gamma(1+1/shape)
		for _, p := range []float64{0.1, 0.5, 0.9} {
			want := scale * math.Pow(-math.Log(1-p), 1/shape)
			near(t, fmt.Sprintf("%s: quantile %g", text, p), online[int(p*float64(len(online)))], want, 0.04)
		}
	}
}

func TestSessionsAreStationaryFromTheStart(t *testing.T) {
	for _, text := range []string{
		"exponential:online=1h,offline=20m", "weibull:shape=0.5,online=1h,offline=20m", "weibull:shape=3,online=1h,offline=20m",
	} {
		lives := all(sessions(t, text, 8000), 8000, 3*hour)
		for _, at := range []node.Instant{0, 60 * second, 600 * second, hour, 3 * hour} {
			near(t, fmt.Sprintf("%s: the share online after %v s", text, at.Seconds()), share(lives, at), 0.75, 0.03)
		}
	}
	for text, want := range map[string]float64{"online": 1, "offline": 0} {
		lives := all(sessions(t, "weibull:online=1h,offline=20m,start="+text, 100), 100, 0)
		if got := share(lives, 0); got != want {
			t.Errorf("start=%s: the share online is %g", text, got)
		}
	}
}

func TestWhoStayedLongStaysLongerOrNot(t *testing.T) {
	// The mean of what is left at a time is E d² / 2 E d.
	for shape, want := range map[float64]float64{0.5: 3 * 3600, 1: 3600, 2: 3600 * 2 / math.Pi} {
		s := sessions(t, fmt.Sprintf("weibull:shape=%g,online=1h,offline=1s", shape), 20_000)
		var left []float64
		for i := range 20_000 {
			if s.Online(i) {
				at, _ := s.Next(i, 0, true)
				left = append(left, at.Seconds())
			}
		}
		near(t, fmt.Sprintf("shape %g: what is left", shape), mean(left), want, 0.05)
	}
}

func TestDaysComeAndGo(t *testing.T) {
	const n = 4000
	text := "diurnal:low=0.2,high=0.8,session=2h,peak=20h,period=24h,spread=0s"
	lives := all(sessions(t, text, n), n, 72*hour)
	for h := node.Instant(0); h <= 72; h += 4 {
		want := 0.5 + 0.3*math.Cos(2*math.Pi*float64(h-20)/24)
		near(t, fmt.Sprintf("the share online at %d h", h), share(lives, h*hour), want, 0.08)
	}
	online, _ := durations(lives)
	near(t, "the mean session in hours", mean(online)/3600, 2, 0.25)

	// Time zones all around the world level the days out.
	lives = all(sessions(t, "diurnal:low=0.2,high=0.8,spread=24h", n), n, 48*hour)
	for h := node.Instant(0); h <= 48; h += 6 {
		near(t, fmt.Sprintf("around the world, the share online at %d h", h), share(lives, h*hour), 0.5, 0.08)
	}
	lives = all(sessions(t, "diurnal:low=0.6,high=0.6,session=1h", n), n, 48*hour)
	online, _ = durations(lives)
	near(t, "without days, the mean session in hours", mean(online)/3600, 1, 0.03)
}

func TestTracesAreFollowed(t *testing.T) {
	s := sessions(t, "trace:testdata/sessions.csv", 6)
	for n, want := range []life{
		{true, []node.Instant{0, 10 * second, 20 * second, 30*second + second/2}},
		{false, []node.Instant{0, 5 * second, 9 * second}},
		{false, []node.Instant{0}},
		{true, []node.Instant{0, 1000 * second}},
		{true, []node.Instant{0, 10 * second, 20 * second, 30*second + second/2}}, // node 0 again
	} {
		if got := live(s, n, hour); got.online != want.online || !slices.Equal(got.changes, want.changes) {
			t.Errorf("node %d lives %+v, want %+v", n, got, want)
		}
	}
}

func TestSomeEndingsAreCrashes(t *testing.T) {
	for _, text := range []string{"exponential:online=1h,offline=20m,crash=0.3", "trace:testdata/sessions.csv,crash=0.3"} {
		s := sessions(t, text, 10)
		crashes := 0
		for i := range 10_000 {
			if s.Ending(i%10) == Crash {
				crashes++
			}
		}
		near(t, text+": the share of crashes", float64(crashes)/10_000, 0.3, 0.05)
	}
	if sessions(t, "exponential:online=1h,offline=20m", 1).Ending(0) != Sleep || sessions(t, "exponential:online=1h,offline=20m,crash=1", 1).Ending(0) != Crash {
		t.Error("endings do not keep to crash=0 or crash=1")
	}
}

func TestNoneNeverEnds(t *testing.T) {
	s := sessions(t, "none", 5)
	if _, ok := s.Next(3, 0, true); ok || !s.Online(3) || s.Ending(3) != Sleep {
		t.Error("a session ends")
	}
}

func TestNodesHaveStreamsOfTheirOwn(t *testing.T) {
	for _, text := range []string{"exponential:online=1h,offline=20m", "weibull:online=1h,offline=20m", "diurnal"} {
		few, many := sessions(t, text, 3), sessions(t, text, 30)
		live(many, 7, 100*hour)
		a, b := live(few, 2, 100*hour), live(many, 2, 100*hour)
		if a.online != b.online || !slices.Equal(a.changes, b.changes) {
			t.Errorf("%s: node 2 lives differently among more nodes", text)
		}
		if c := live(many, 3, 100*hour); slices.Equal(b.changes, c.changes) {
			t.Errorf("%s: nodes 2 and 3 live alike", text)
		}
		for i := range b.changes[1:] {
			if b.changes[i] >= b.changes[i+1] {
				t.Fatalf("%s: changes at %d and %d", text, b.changes[i], b.changes[i+1])
			}
		}
	}
}

func speeds(t testing.TB, text string, n int) *Speeds {
	t.Helper()
	s, err := ParseSpeeds(text, n, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSpeedsHaveTheirDistribution(t *testing.T) {
	s := speeds(t, "lognormal:sigma=0.5", 10_001)
	var f []float64
	for i := range 10_001 {
		f = append(f, s.Factor(i, 0))
	}
	near(t, "the mean", mean(f), math.Exp(0.125), 0.02)
	slices.Sort(f)
	near(t, "the median", f[5000], 1, 0.02)
	near(t, "a quantile", f[9772], math.E, 0.05) // two sigma above
	s = speeds(t, "uniform:low=1,high=4", 10_000)
	f = f[:0]
	for i := range 10_000 {
		f = append(f, s.Factor(i, 0))
	}
	near(t, "the mean", mean(f), 2.5, 0.02)
	if slices.Min(f) < 1 || slices.Max(f) > 4 {
		t.Errorf("factors from %g to %g", slices.Min(f), slices.Max(f))
	}
	if d := speeds(t, "constant:2", 3).Duration(1, 5, 7); d != 14 {
		t.Errorf("twice 7 ns are %d", d)
	}
	if d := speeds(t, "constant", 3).Duration(1, 5, 7); d != 7 {
		t.Errorf("7 ns are %d", d)
	}
}

func TestSpeedsMayBeListed(t *testing.T) {
	for text, want := range map[string][]float64{
		"constant:1,1,2,4":   {1, 1, 2, 4, 1, 1, 2, 4},
		"constant:1*7,10":    {1, 1, 1, 1, 1, 1, 1, 10},
		"constant: 0.5 , 2*": nil,
		"constant:3*1":       {3, 3, 3, 3, 3, 3, 3, 3},
		"constant:2*100,5":   {2, 2, 2, 2, 2, 2, 2, 2},
	} {
		s, err := ParseSpeeds(text, 8, seed)
		if want == nil {
			if err == nil {
				t.Errorf("%q is read", text)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for n, f := range want {
			if got := s.Factor(n, 0); got != f || s.Duration(n, 3, 100) != node.Instant(100*f) {
				t.Errorf("%q: node %d has the factor %g, want %g", text, n, got, f)
			}
		}
	}
}

func TestSpeedsMayChangeInTheMiddleOfAJob(t *testing.T) {
	s := speeds(t, "trace:testdata/speeds.csv", 5)
	for _, c := range []struct {
		n              int
		at, normal, to node.Instant // in seconds
	}{
		{0, 0, 1, 2}, {0, 0, 5, 10}, {0, 0, 6, 14}, {0, 8, 2, 8 + 2 + 4}, {0, 10, 1, 14}, {0, 50, 1, 54}, {1, 7, 5, 22}, {2, 0, 6, 14}, {3, 0, 1, 3},
	} {
		if got := c.at*second + s.Duration(c.n, c.at*second, c.normal*second); got != c.to*second {
			t.Errorf("node %d at %d s: a job of %d s ends at %v s, want %d", c.n, c.at, c.normal, got.Seconds(), c.to)
		}
	}
	if s.Factor(0, 10*second-1) != 2 || s.Factor(0, 10*second) != 4 || s.Factor(4, 0) != 2 {
		t.Error("factors change at another time")
	}
}

func TestChurnIsTheSameOnEveryMachine(t *testing.T) {
	var got []int64
	for _, text := range []string{"exponential:online=1h,offline=10m", "weibull:shape=0.5,online=1h,offline=10m", "diurnal"} {
		s := sessions(t, text, 10)
		for n := range 2 {
			l := live(s, n, 100*hour)
			got = append(got, int64(l.changes[1]), int64(l.changes[9]))
		}
	}
	s := speeds(t, "lognormal:sigma=0.5", 10)
	for n := range 3 {
		got = append(got, int64(s.Duration(n, 0, 1e15)))
	}
	want := []int64{
		198288019678, 14316078010128, 104773171502, 7548909285754, 36034081848791, 47310498014246, 2467640216837, 6788565660955, 5564574520958,
		29909556386960, 3029427970027, 55743754754478, 1144889033369733, 535929244081397, 1273056359762620,
	}
	if !slices.Equal(got, want) {
		t.Errorf("have %d,\nwant %d", got, want)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `sessions "" is not known; use none, exponential:`},
		{"exponentiel", `did you mean "exponential"?`},
		{"none:1h", "there are no settings"},
		{"exponential", "online must be given"},
		{"exponential:online=1h", "offline must be given"},
		{"exponential:online=0s,offline=1h", "online wants a duration from 1ms"},
		{"exponential:online=1h,offline=1h,crash=2", `crash wants a number from 0 to 1, not "2"`},
		{"exponential:online=1h,offline=1h,crush=1", `did you mean "crash"?`},
		{"weibull:shape=0,online=1h,offline=1h", "shape wants a number from 0.1 to 100"},
		{"weibull:online=1h,offline=1h,start=onlin", `start wants one of stationary, online, offline; did you mean "online"?, not`},
		{"diurnal:low=0.9,high=0.1", "low is above high"},
		{"diurnal:low=0", "low wants a number from 0.01 to 0.99"},
		{"trace", "file must be given"},
		{"trace:no/such/file", "no/such/file"},
		{"trace:testdata/sessions.csv,start=online", `there is no setting "start"; there are file, crash`},
	} {
		if _, err := ParseSessions(c.text, 3, seed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in it", c.text, err, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", `speeds "" is not known; use constant:F, `}, {"constant:0", "factor wants a number from 1e-06"},
		{"constant:1,0", `wants factors from 1e-06 to 1e+06, such as constant:1,1,2,4, not "0"`}, {"constant:1*0", `such as 1*7, not "1*0"`}, {"lognormal:sigma=x", "sigma wants"},
		{"uniform:low=1", "high must be given"}, {"uniform:low=2,high=1", "low is above high"}, {"trace", "a file is missing"},
	} {
		if _, err := ParseSpeeds(c.text, 3, seed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in it", c.text, err, c.want)
		}
	}
	_, err := ParseSessions("none", 0, seed)
	_, err2 := ParseSpeeds("constant", 0, seed)
	if err == nil || err2 == nil {
		t.Error("no nodes are enough")
	}
}

func TestFilesSayWhereTheyAreWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.csv")
	sessions := func(text string) error { _, err := ParseSessions(text, 3, seed); return err }
	speeds := func(text string) error { _, err := ParseSpeeds(text, 3, seed); return err }
	for _, c := range []struct {
		parse         func(string) error
		content, want string
	}{
		{sessions, "", "x.csv: there are no sessions"},
		{sessions, "0,1\n", "x.csv:1:3: 2 fields; there must be 3"},
		{sessions, "0,1,2\na,1,2\n", `x.csv:2:1: the node is "a", not a whole number`},
		{sessions, "0,-1,2\n", `x.csv:1:3: the start is "-1"`},
		{sessions, "0,1,nan\n", `x.csv:1:5: the end is "nan"`},
		{sessions, "0,1, 1\n", "x.csv:1:6: the end is not after the start"},
		{sessions, "0,5,9\n1,0,9\n0,8,10\n", "x.csv:3: the session of node 0 overlaps with that of line 1"},
		{speeds, "", "x.csv: there are no factors"},
		{speeds, "0\n", "x.csv:1:1: 1 fields; there must be 2 or 3"},
		{speeds, "0,0\n", `x.csv:1:3: the factor is "0"`},
		{speeds, "0,x,2\n", `x.csv:1:3: the start is "x"`},
		{speeds, "1,2\n", "x.csv: node 0 has no line"},
		{speeds, "0,0,2\n0,3\n", "x.csv:2: node 0 has a factor from the same time on in line 1"},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.parse("trace:" + file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in it", c.content, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"none", "exponential:online=1h,offline=10m,crash=0.5", "weibull:shape=0.5,1h,10m", "diurnal:low=0.3,high=0.9,session=2h,period=1s", "lognormal:0.5", "uniform:1,4",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToLower(text), "trace") {
			return // reads a file
		}
		if s, err := ParseSessions(text, 3, seed); err == nil {
			online, now := s.Online(1), node.Instant(0)
			for range 3 {
				at, ok := s.Next(1, now, online)
				if !ok {
					break
				}
				if at <= now {
					t.Fatalf("sessions %q: after %d comes %d", text, now, at)
				}
				now, online = at, !online
			}
			s.Ending(2)
		}
		if s, err := ParseSpeeds(text, 3, seed); err == nil && s.Duration(2, 0, second) <= 0 {
			t.Errorf("speeds %q: a job of a second takes no time", text)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"exponential:online=1h,offline=10m", "weibull:online=1h,offline=10m", "diurnal"} {
		name, _, _ := strings.Cut(text, ":")
		b.Run(name, func(b *testing.B) {
			s := sessions(b, text, 1024)
			now, i := node.Instant(0), 0
			for b.Loop() {
				s.Next(i&1023, now, i&1 == 0)
				now += hour / 3600
				i++
			}
		})
	}
}

func TestASwarmComesTogetherAndStays(t *testing.T) {
	const n = 2000
	s := sessions(t, "arrive:from=1s,until=3s", n)
	sum := 0.0
	for i := range n {
		l := live(s, i, hour)
		switch {
		case i == 0 && (!l.online || len(l.changes) != 1):
			t.Errorf("the first node is not there from the beginning to the end: %v", l)
		case i > 0 && (l.online || len(l.changes) != 2 || l.changes[1] < second || l.changes[1] > 3*second):
			t.Fatalf("node %d: %v; want one arrival between 1 s and 3 s", i, l)
		case i > 0:
			sum += l.changes[1].Seconds() / (n - 1)
		}
	}
	near(t, "the mean arrival", sum, 2, 0.03)
	if _, err := ParseSessions("arrive:from=3s,until=1s", n, seed); err == nil {
		t.Error("who comes from 3 s until 1 s is taken")
	}
}
