package safetensors

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"starling/node/model/weights"
)

// Digest returns the SHA-256 of the numbers in a file that [Write] has made: that of the weights, float32 and little-endian, in the order
// of their layout.
func Digest(path string) (digest [32]byte, err error) {
	m, err := weights.Map(path)
	if err != nil {
		return digest, err
	}
	defer m.Close()
	if _, err := Parse(m.Data); err != nil {
		return digest, fmt.Errorf("%s: %w", path, err)
	}
	return sha256.Sum256(m.Data[8+binary.LittleEndian.Uint64(m.Data):]), nil
}
