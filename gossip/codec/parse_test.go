package codec

import (
	"strings"
	"testing"
)

func TestNamesHaveOneCanonicalForm(t *testing.T) {
	for spec, want := range map[string]string{
		"none,int8":                    "int8",
		"topk:0.01,int4":               "topk:0.01,int4,rice",
		"topk:1e-2,int4,rice":          "topk:0.01,int4,rice",
		"topk:0.010,int4,huff0":        "topk:0.01,int4,huff0",
		"dct:k=08,sign":                "dct:k=8,sign,rice",
		"randk:5e-2,bf16":              "randk:0.05,bf16",
		"randk:0.05,int4,unbiased,fse": "randk:0.05,int4,unbiased,fse",
	} {
		c, err := Parse(spec)
		if err != nil || c.Name() != want {
			t.Errorf("%q is %v, want %q: %v", spec, c, want, err)
			continue
		}
		again, err := Parse(c.Name())
		if err != nil || again.Name() != want {
			t.Errorf("%q is not its own name: %v", want, err)
		}
		if len(want) > 64 {
			t.Errorf("%q does not fit into a message", want)
		}
	}
	if c := must(t, "topk:0.012345678901234567,ternary,huff0"); len(c.Name()) > 64 {
		t.Errorf("%q does not fit into a message", c.Name())
	}
}

func TestNamesThatMakeNoSenseAreExplained(t *testing.T) {
	for spec, want := range map[string]string{
		"":                         "unknown stage",
		"bf15":                     `did you mean "bf16"`,
		"int9,huff0":               `did you mean "int8"`,
		"topl:0.1,int4":            `did you mean "topk"`,
		"bf16,":                    "unknown stage",
		"bf16,zip":                 "huff0",
		"bf16,huf0":                `did you mean "huff0"`,
		"int4,unbias":              `did you mean "unbiased"`,
		"bf16,huff0,huff0":         "comes after",
		"huff0":                    "needs a quantizer",
		"unbiased":                 "needs a quantizer",
		"none":                     "unknown stage",
		"topk:0.01":                "add a quantizer",
		"topk:0.01,randk:0.1,int4": "second choice",
		"topk:0.01,rice":           "needs a quantizer",
		"topk:0.01,bf17":           `did you mean "bf16"`,
		"topk,int4":                "topk:0.01",
		"topk:0,int4":              "between 0 and 1",
		"topk:1,int4":              "leave it out",
		"topk:2,int4":              "between 0 and 1",
		"topk:NaN,int4":            "between 0 and 1",
		"randk:x,int4":             "between 0 and 1",
		"dct,sign":                 "dct:k=8",
		"dct:8,sign":               "dct:k=8",
		"dct:k=0,sign":             "dct:k=8",
		"dct:k=4097,sign":          "dct:k=8",
		"topk:0.1,int4,unbiased":   "biased however",
		"dct:k=8,int4,unbiased":    "biased however",
		"fp32,unbiased":            "loses nothing",
		"sign,unbiased":            "ternary,unbiased",
		"e3m0,unbiased":            "int4,unbiased",
		"e4m0":                     `did you mean "e3m0"`,
		"randk:0.1,sign,unbiased":  "ternary,unbiased",
		"int4,huff0,unbiased":      "comes after",
		"sign,huff0":               "already one bit",
		"dct:k=8,sign,auto":        "already one bit",
		"int4,rice":                "no places are sent",
		"randk:0.1,int4,rice":      "no places are sent",
		"int4,unbiased,unbiased":   "behind the quantizer",
	} {
		if _, err := Parse(spec); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want something with %q", spec, err, want)
		}
	}
}

func TestPropertiesOfCodecs(t *testing.T) {
	for name, want := range map[string]struct{ lossy, unbiased, coarse bool }{
		"fp32":                    {false, true, false},
		"fp32,auto":               {false, true, false},
		"bf16":                    {true, false, false},
		"int8,unbiased":           {true, true, false},
		"ternary":                 {true, false, true},
		"e3m0":                    {true, false, true},
		"sign":                    {true, false, true},
		"topk:0.1,fp32":           {true, false, true},
		"randk:0.1,fp32":          {true, false, true},
		"randk:0.1,fp32,unbiased": {true, true, true},
		"randk:0.1,int4":          {true, false, true},
		"dct:k=8,sign":            {true, false, true},
	} {
		c := must(t, name)
		if c.Lossy() != want.lossy || c.Unbiased() != want.unbiased || c.Coarse() != want.coarse {
			t.Errorf("%s: lossy %v, unbiased %v, coarse %v; want %v", name, c.Lossy(), c.Unbiased(), c.Coarse(), want)
		}
	}
}
