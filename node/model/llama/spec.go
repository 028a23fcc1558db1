package llama

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// A Spec says what is trained of a published model, and how: the model of a manifest.
type Spec struct {
	Context   int    // tokens of a row
	Int8      bool   // weights that are not trained are held as bytes, see [Options]
	Tokenizer string // the first digits of the digest of the model's tokenizer; empty is any
	Training  Training
}

const (
	specKind       = "hf"
	defaultContext = 512
	maxContext     = 1 << 15
	defaultTrained = "lora:r=8"
	tokenizerBytes = 8
)

// Published reports whether the model of a manifest is a published one, of which [ParseSpec] says more.
func Published(spec string) bool {
	kind, _, _ := strings.Cut(spec, ":")
	return kind == specKind
}

// ParseSpec reads the name of a published model in a manifest: hf, hf:context=512;int8;tokenizer=0123456789abcdef;lora:r=8
// or the like. Behind these settings stands what [ParseTraining] reads. What is left out is as written here, without int8 and for any
// tokenizer.
func ParseSpec(spec string) (Spec, error) {
	s := Spec{Context: defaultContext}
	kind, rest, more := strings.Cut(spec, ":")
	if kind != specKind {
		return s, fmt.Errorf("model %s is no published one, such as hf:lora:r=8", spelling.Quote(spec))
	}
	var training []string
	for _, part := range strings.Split(rest, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch {
		case part == "" && !more:
		case part == "":
			return s, fmt.Errorf("model %s: a setting is empty", spelling.Quote(spec))
		case part == "int8":
			s.Int8 = true
		case name == "tokenizer":
			if b, err := hex.DecodeString(value); err != nil || len(b) != tokenizerBytes || value != strings.ToLower(value) {
				return s, fmt.Errorf("model %s: tokenizer is %s, want the first %d digits of its digest, 0 to 9 and a to f", spelling.Quote(spec), spelling.Quote(value), 2*tokenizerBytes)
			}
			s.Tokenizer = value
		case name == "context":
			n, err := strconv.Atoi(value)
			if err != nil || n < 2 || n > maxContext {
				return s, fmt.Errorf("model %s: context is %s, want 2 to %d tokens", spelling.Quote(spec), spelling.Quote(value), maxContext)
			}
			s.Context = n
		default:
			training = append(training, part)
		}
	}
	if len(training) == 0 {
		training = []string{defaultTrained}
	}
	var err error
	if s.Training, err = ParseTraining(strings.Join(training, ";")); err != nil {
		return s, fmt.Errorf("model %s: %w", spelling.Quote(spec), err)
	}
	return s, nil
}

// TokenizerOf is what [Spec.Tokenizer] says of a tokenizer with a digest.
func TokenizerOf(digest [32]byte) string { return hex.EncodeToString(digest[:tokenizerBytes]) }

// String returns the specification that [ParseSpec] reads.
func (s Spec) String() string {
	text := fmt.Sprintf("%s:context=%d", specKind, s.Context)
	if s.Int8 {
		text += ";int8"
	}
	if s.Tokenizer != "" {
		text += ";tokenizer=" + s.Tokenizer
	}
	return text + ";" + s.Training.String()
}
