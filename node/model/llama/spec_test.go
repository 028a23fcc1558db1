package llama

import (
	"strings"
	"testing"
)

func TestSpecsAreReadAsTheyAreWritten(t *testing.T) {
	for spec, want := range map[string]string{
		"hf":                                 "hf:context=512;lora:r=8,alpha=16",
		"hf:context=64":                      "hf:context=64;lora:r=8,alpha=16",
		"hf:int8;tokenizer=0123456789abcdef": "hf:context=512;int8;tokenizer=0123456789abcdef;lora:r=8,alpha=16",
		"hf:int8;rslora:r=4":                 "hf:context=512;int8;rslora:r=4,alpha=8",
		"hf:lora:r=2,alpha=3,targets=q_proj+v_proj;context=2;full:norms": "hf:context=2;lora:r=2,alpha=3,targets=q_proj+v_proj;full:norms",
	} {
		s, err := ParseSpec(spec)
		if err != nil || s.String() != want {
			t.Errorf("%s: %s (%v), want %s", spec, s, err, want)
		}
		if again, err := ParseSpec(s.String()); err != nil || again.String() != want {
			t.Errorf("%s is read as %s (%v)", s, again, err)
		}
		if !Published(spec) {
			t.Errorf("%s is said to be no published model", spec)
		}
	}
	for spec, want := range map[string]string{
		"gpt":                "is no published one",
		"hf:":                "a setting is empty",
		"hf:context=1":       `context is "1"`,
		"hf:context=1000000": "want 2 to",
		"hf:lora:r=0":        "r is",
		"hf:lorra:r=1":       `did you mean "lora"`,
		"hf:tokenizer=01":    "want the first 16 digits",
		"hf:lora:share=b":    "share",
	} {
		if _, err := ParseSpec(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}
