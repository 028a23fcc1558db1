package srrw

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestWalksAreReadWithTheirDefaults(t *testing.T) {
	for text, want := range map[string]string{
		"srrw":                                  "srrw:alpha=5,a=0.8,b=0.9,floor=false,base=metropolis,lazy=false,kernel=auto,limit=4096",
		"srrw:alpha=0":                          "srrw:alpha=0,a=0.8,b=0.9,floor=false,base=metropolis,lazy=false,kernel=auto,limit=4096",
		"srrw:limit=9,kernel=hdt,a=1,b=1":       "srrw:alpha=5,a=1,b=1,floor=false,base=metropolis,lazy=false,kernel=hdt,limit=9",
		"srrw:base=simple,lazy=true":            "srrw:alpha=5,a=0.8,b=0.9,floor=false,base=simple,lazy=true,kernel=auto,limit=4096",
		"srrw:floor=true,base=averaging":        "srrw:alpha=5,a=0.8,b=0.9,floor=true,base=averaging,lazy=false,kernel=auto,limit=4096",
		"srrw:kernel=srrw,base=nonbacktracking": "srrw:alpha=5,a=0.8,b=0.9,floor=false,base=nonbacktracking,lazy=false,kernel=srrw,limit=4096",
	} {
		if c, err := Parse(text); err != nil || c.String() != want {
			t.Errorf("%s is %v, %v, want %s", text, c, err, want)
		}
	}
}

func TestMistakesInWalksAreAnswered(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     `unknown walk ""`,
		"srw":                                  `did you mean "srrw"?`,
		"srrw:":                                `setting "" is not known`,
		"srrw:alpah=5":                         `setting "alpah" is not known: there are alpha, a, b, floor, base, lazy, kernel, limit; did you mean "alpha"?`,
		"srrw:alpha=5,alpha=6":                 "alpha is set twice",
		"srrw:alpha=21":                        "alpha is 21, must be from 0 to 20",
		"srrw:alpha=NaN":                       "alpha is NaN, must be from 0 to 20",
		"srrw:a=0.5":                           "a is 0.5, must be above 0.5 and at most 1",
		"srrw:b=1.1":                           "b is 1.1, must be above 0.5",
		"srrw:a=much":                          "a=much: want a number",
		"srrw:base=metropols":                  `base=metropols: want one of metropolis, averaging, simple, nonbacktracking; did you mean "metropolis"?`,
		"srrw:kernel=sw":                       "kernel=sw: want one of auto, srrw, hdt",
		"srrw:lazy=yes":                        "lazy=yes: want true or false",
		"srrw:limit=many":                      "limit=many: want a whole number from 1 to 65536",
		"srrw:limit=0":                         "limit is 0, must be from 1 to 65536",
		"srrw:lazy=true,kernel=hdt":            "lazy goes with kernel srrw or auto",
		"srrw:base=nonbacktracking,kernel=hdt": "proposals may go back",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if got := Base(9).String() + Form(9).String(); got != "99" {
		t.Errorf("unknown names are %s", got)
	}
	for _, c := range []Config{{}, {A: 1, B: 1, Base: 9, Limit: 1}, {A: 1, B: 1, Form: 9, Limit: 1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
}

func TestWalksAreReadBack(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		c := config(r)
		c.Alpha, c.A, c.B, c.Floor, c.Limit = 20*r.Float64(), 1-r.Float64()/2, 1-r.Float64()/2, r.IntN(2) == 0, 1+r.IntN(MaxLimit)
		if got, err := Parse(c.String()); err != nil || got != c {
			t.Errorf("%v is read back as %v, %v", c, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("srrw:alpha=5,a=0.8,b=0.9,floor=false,base=metropolis,lazy=false,kernel=auto,limit=4096")
	f.Add("srrw:kernel=hdt")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Fatalf("%q is %v, which is read as %v, %v", text, c, again, err)
		}
	})
}
