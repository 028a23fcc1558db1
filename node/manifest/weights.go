package manifest

import (
	"encoding/hex"
	"strings"

	"starling/node/manifest/strictyaml"
	"starling/node/model/llama"
)

const weightsInit = "weights:"

// WeightsInit is the value of [Manifest.Init] of a run that starts from the weights of a base model: those of which this is the
// SHA-256, float32 and little-endian in the order of the model's tensors, which is what nodes call the hash of their model. A
// manifest names what the weights are, and not where: each site has them in a file of its own, and a node that was given others
// does not begin. Of a published model it is the digest of package hf, which is of its configuration, too.
func WeightsInit(digest [32]byte) string { return weightsInit + hex.EncodeToString(digest[:]) }

// Weights returns the digest of the weights that the run starts from; ok is false if it starts from weights that are drawn.
func (m Manifest) Weights() (digest [32]byte, ok bool) {
	text, ok := strings.CutPrefix(m.Init, weightsInit)
	if b, err := hex.DecodeString(text); ok && err == nil && len(b) == len(digest) && text == strings.ToLower(text) {
		return [32]byte(b), true
	}
	return digest, false
}

func checkInit(ps *Problems, model, have string) {
	if llama.Published(model) && !strings.HasPrefix(have, weightsInit) {
		ps.add("init", "is %s, and model hf starts from published weights; write weights: and their digest, which `starling model inspect` says", quote(have))
		return
	}
	if strings.HasPrefix(have, weightsInit) {
		if _, ok := (Manifest{Init: have}).Weights(); !ok {
			ps.add("init", "is %s; want weights: and the SHA-256 of the weights, 64 digits from 0 to 9 and a to f", quote(have))
		}
		return
	}
	if err := strictyaml.CheckWord(have, []string{"common", "independent", weightsInit + "SHA256"}); err != nil {
		ps.add("init", "%s", err)
	}
}
