package scalar

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDefaultsAreOneText(t *testing.T) {
	c, err := Parse("structured")
	if err != nil {
		t.Fatal(err)
	}
	long, err := Parse("structured:pool=4096,rotate=0,epoch=256,records=1048576,peers=256,m=1024,lr=0.001,g=-12,eps=0.001,clip=127,clock=seq,mode=open,combine=none,seeds=peer")
	if err != nil || !reflect.DeepEqual(c, long) {
		t.Errorf("the defaults are %v, written out %v, %v", c, long, err)
	}
	if want := "structured:pool=4096,rotate=0,epoch=256,records=1048576,peers=256,m=1024,unit=2.384185791015625e-10,g=-12,eps=0.001,clip=127,clock=seq,mode=open,combine=none,seeds=peer"; c.String() != want {
		t.Errorf("the text is %s, want %s", c, want)
	}
	if lr := c.LR(77); math.Abs(lr-1e-3) > 1e-18 {
		t.Errorf("the learning rate is %g, want 0.001", lr)
	}
}

func TestSettingsAreRead(t *testing.T) {
	c, err := Parse("binom32:pool=100,rotate=4,epoch=16,records=1000,peers=20,m=8x2:16..0/4,unit=2^-30,g=-10,eps=2^-10,clip=127x1:90,clock=run,mode=closed,combine=trimmed:0.25")
	want := Config{
		Family: Binom32, K: 100, Rotate: 4, PerEpoch: 16, Records: 1000, Peers: 20, Multipliers: Schedule{{8, 8, 2}, {16, 0, 4}}, Unit: 0x1p-30,
		Exponent: -10, Eps: 0x1p-10, Clips: Schedule{{127, 127, 1}, {90, 90, 0}}, RunClock: true, Closed: true, Combine: Combine{Kind: Trimmed, Trim: 2500}, Common: true,
	}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Fatalf("got %v, %v, want %v", c, err, want)
	}
	if back, err := Parse(c.String()); err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("%s is read as %v, %v", c, back, err)
	}
	for e, m := range []uint16{8, 8, 16, 12, 8, 4, 0, 0} {
		if c.Multipliers.At(uint32(e)) != m {
			t.Errorf("the multiplier of epoch %d is %d, want %d", e, c.Multipliers.At(uint32(e)), m)
		}
	}
	if c.Generation(3) != 0 || c.Generation(4) != 1 {
		t.Errorf("epochs 3 and 4 are of generations %d and %d, want 0 and 1", c.Generation(3), c.Generation(4))
	}
}

func TestBadSettingsAreRefusedWithTheReason(t *testing.T) {
	for text, want := range map[string]string{
		"":                                               "are not known",
		"rademacer":                                      `did you mean "rademacher"?`,
		"structured,pool=8":                              "come after a colon",
		"structured:":                                    "", // no settings
		"structured:pol=8":                               `did you mean "pool"?`,
		"structured:pool=8,pool=8":                       "set twice",
		"structured:pool=100":                            "power of two",
		"structured:pool=1":                              "from 2 to 32768",
		"structured:pool=65536":                          "from 2 to 32768",
		"rademacher:pool=65537":                          "from 1 to 65536",
		"rademacher:pool=0":                              "from 1 to 65536",
		"structured:epoch=0":                             "from 1 to",
		"structured:records=0":                           "from 1 to",
		"structured:g=x":                                 "from -40 to 40",
		"structured:g=-41":                               "from -40 to 40",
		"structured:m=0":                                 "nothing would ever be learnt",
		"structured:m=65536":                             "whole numbers up to 65535",
		"structured:m=5:6":                               "write 5x10",
		"structured:m=5..6":                              "whole numbers",
		"structured:m=5..6/0":                            "whole numbers",
		"structured:clip=128":                            "up to 127",
		"structured:clip=0":                              "not 0 all the time",
		"structured:lr=0.1,unit=2^-20":                   "give one of them",
		"structured:lr=0":                                "above 0",
		"structured:lr=NaN":                              "above 0",
		"structured:lr=inf":                              "above 0",
		"structured:lr=1e30":                             "learning rate of 1e+30",
		"structured:unit=2^x":                            "power of two",
		"structured:eps=2":                               "from 1e-9 to 1",
		"structured:mode=close":                          `did you mean "closed"?`,
		"structured:combine=median":                      "set mode=closed",
		"structured:combine=mom:4,mode=closed":           "odd number of groups",
		"structured:combine=mom:301,mode=closed":         "more groups than there are peers",
		"structured:combine=trimmed:0.5,mode=closed":     "below one half",
		"structured:combine=trimmed:0.00001,mode=closed": "0.0001",
		"structured:combine=median,mode=closed,seeds=peer,epoch=64":          "set seeds=common, or a smaller pool",
		"structured:combine=krum,mode=closed":                                "there are none, median",
		"structured:m=65535,epoch=1024,records=1099511627776,peers=1000":     "sums could overflow",
		"structured:m=65535,records=1048576,peers=80":                        "sums could overflow",
		"structured:m=1,epoch=1048576,records=1099511627776,peers=1048576":   "sums could overflow", // of 2^64 nothing is left
		"rademacher:m=65535,records=1048576,peers=64":                        "",
		"binom8:m=65535,records=1048576,peers=64":                            "sums could overflow", // entries are up to 4
		"structured:combine=median,mode=closed,seeds=peer,pool=16,epoch=256": "",
		"structured:records=1099511627776,epoch=1,m=1,clip=1,peers=1":        "more than 2^32 epochs",
	} {
		c, err := Parse(text)
		switch {
		case err == nil && want == "":
		case err == nil:
			t.Errorf("%q is read as %s, want an error with %q", text, c, want)
		case want == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%q: %v; want one line with %q", text, err, want)
		}
	}
}

func drawSchedule(most int) *rapid.Generator[Schedule] {
	return rapid.Custom(func(t *rapid.T) Schedule {
		n := rapid.IntRange(1, 5).Draw(t, "pieces")
		s := make(Schedule, n)
		for i := range s {
			s[i].From = uint16(rapid.IntRange(1, most).Draw(t, "from"))
			s[i].To = uint16(rapid.IntRange(0, most).Draw(t, "to"))
			s[i].Epochs = rapid.Uint32Range(1, 1<<28).Draw(t, "epochs")
		}
		return s
	})
}

func TestASchedulesTextIsTheSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchedule(65535).Draw(t, "schedule")
		back, err := ParseSchedule(s.String(), 65535)
		if err != nil || back.String() != s.String() {
			t.Fatalf("%s is read as %s, %v", s, back, err)
		}
		for range 20 {
			e := rapid.Uint32().Draw(t, "epoch")
			if s.At(e) != back.At(e) || s.At(e) > s.Most() {
				t.Fatalf("epoch %d of %s is %d, and %d after reading; the most is %d", e, s, s.At(e), back.At(e), s.Most())
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"structured", "rademacher:pool=8,epoch=2,m=4x1:2,unit=2^-20", "binom8:mode=closed,combine=trimmed:0.2", "binom32:m=1024..0/40,clip=127x1:90",
		"structured:mode=closed,combine=mom:5,seeds=common,clock=run,records=10,peers=10,rotate=3,g=4,eps=0.5,lr=1e-5",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("%q: the error has several lines: %v", text, err)
			}
			return
		}
		back, err := Parse(c.String())
		if err != nil || !reflect.DeepEqual(back, c) || back.String() != c.String() {
			t.Errorf("%q is %#v with the text %s, which is read as %#v, %v", text, c, c, back, err)
		}
	})
}
