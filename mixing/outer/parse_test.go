package outer

import (
	"strings"
	"testing"
)

func TestSettingsAreReadAndMistakesAreNamed(t *testing.T) {
	for text, want := range map[string]Settings{
		"diloco": {Variant: DiLoCo, LR: 0.7, Momentum: 0.9, Fragments: 1, Shards: 8, Least: 5, Every: 10, Group: 2},
		"diloco:lr=0.4,heavy-ball,fragments=4,overlap=5,keep=0.5,shards=2": {
			Variant: DiLoCo, LR: 0.4, Momentum: 0.9, HeavyBall: true, Fragments: 4, Overlap: 5, Keep: 0.5, Shards: 2, Least: 5, Every: 10, Group: 2},
		"delayed-nesterov:momentum=0.9,window=4,spread=0.25,staleness=polynomial,dylu,min=7,consensus=0.5,every=3": {
			Variant: DelayedNesterov, LR: 0.7, Momentum: 0.9, Fragments: 1, Shards: 8, Window: 4, Spread: 0.25, Polynomial: true, Dynamic: true,
			Least: 7, Consensus: 0.5, Every: 3, Group: 2},
		"naive-nesterov:window=8": {Variant: NaiveNesterovPushes, LR: 0.7, Momentum: 0.9, Fragments: 1, Shards: 8, Window: 8, Least: 5, Every: 10, Group: 2},
		"noloco:gamma=0.3": {
			Variant: NoLoCoGroups, LR: 0.7, Momentum: 0.5, Fragments: 1, Shards: 8, Least: 5, Consensus: 0.3, Every: 10, Group: 2},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v\nwant %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                 "there are diloco",
		"dilco":                            `did you mean "diloco"`,
		"diloco,lr=0.7":                    "settings come after a colon, such as diloco:",
		"diloco:momentun=0.9":              `did you mean "momentum"`,
		"diloco:window=3":                  "is not known",
		"diloco:lr=0.7,lr=0.7":             "set twice",
		"diloco:lr=fast":                   "want a number",
		"diloco:heavy-ball=1":              "write heavy-ball alone",
		"diloco:dylu,fragments=2":          "leave out dylu",
		"diloco:lr=1.9,momentum=0.9":       "overshoots",
		"delayed-nesterov:spread=0.1":      "give window",
		"delayed-nesterov:consensus=1.9":   "drift apart",
		"delayed-nesterov:staleness=often": "want constant or polynomial",
		"noloco:alpha=0.9":                 "drift apart", // the momentum of DiLoCo with the gamma of NoLoCo: spec 03, 3.7
		"noloco:group=1":                   "from 2",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	s, _ := Parse("diloco:fragments=4,overlap=30")
	if err := s.Fits(100); err == nil {
		t.Error("a fragment is under way for longer than until the next one")
	}
	if err := s.Fits(200); err != nil {
		t.Error(err)
	}
	if s, _ := Parse("noloco:dylu,min=50"); s.Fits(40) == nil {
		t.Error("at least 50 of 40 steps")
	}
}
