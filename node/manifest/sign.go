package manifest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"starling/gossip"
)

// ErrSignature is what [Open] returns for a manifest that its creator did not sign. Trying again does not help; asking
// another peer may.
var ErrSignature = errors.New("manifest is not signed by its creator")

// signDomain keeps a signature on a manifest from being taken for one on anything else.
const signDomain = "starling manifest 1\x00"

// signedVersion is the version of the envelope around a manifest and its signature.
const signedVersion = 1

// Signed is a manifest as it travels and is stored: canonical CBOR, and the creator's Ed25519 signature over a domain
// and the run ID.
type Signed struct {
	Manifest  []byte // see [Manifest.Encode]
	Signature []byte // 64 bytes
}

type wireSigned struct {
	_         struct{} `cbor:",toarray"`
	Version   uint32
	Manifest  []byte
	Signature []byte
}

// Sign signs m with the creator's key. A creator that is not filled in becomes the owner of the key; one that is
// somebody else is an error, as is a manifest that is not valid or has no date.
func Sign(m Manifest, key ed25519.PrivateKey) (Signed, error) {
	if len(key) != ed25519.PrivateKeySize {
		return Signed{}, fmt.Errorf("sign manifest: key has %d bytes, not %d", len(key), ed25519.PrivateKeySize)
	}
	var self gossip.PeerID
	copy(self[:], key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	if !hasCreator(m.Creator) {
		m.Creator = self
	}
	if m.Creator != self {
		return Signed{}, fmt.Errorf("sign manifest: its creator is %s, and the key is of %s", m.Creator, self)
	}
	if m.Created.IsZero() {
		return Signed{}, errors.New("sign manifest: created is not filled in")
	}
	if err := m.Validate(); err != nil {
		return Signed{}, fmt.Errorf("sign manifest: %w", err)
	}
	id := m.ID()
	return Signed{Manifest: m.Encode(), Signature: ed25519.Sign(key, signedBytes(id))}, nil
}

func signedBytes(id gossip.RunID) []byte { return append([]byte(signDomain), id[:]...) }

// Encode returns the canonical CBOR of the signed manifest, which [Open] reads.
func (s Signed) Encode() []byte {
	b, err := encMode.Marshal(wireSigned{Version: signedVersion, Manifest: s.Manifest, Signature: s.Signature})
	if err != nil {
		panic("manifest: internal error: " + err.Error())
	}
	return b
}

// Open reads a signed manifest from anywhere and verifies it: size, version, canonical form, every setting, and that
// the creator it names signed it. It does not say whether this is the manifest that was asked for: see
// [Manifest.CheckID].
func Open(b []byte) (Manifest, error) {
	if len(b) > MaxBytes {
		return Manifest{}, fmt.Errorf("open manifest: has %d bytes; at most %d are allowed", len(b), MaxBytes)
	}
	var w wireSigned
	if err := decMode.Unmarshal(b, &w); err != nil {
		return Manifest{}, fmt.Errorf("open manifest: %w", err)
	}
	if w.Version != signedVersion {
		return Manifest{}, fmt.Errorf("open manifest: its envelope has version %d, and this build reads %d; install a newer starling",
			w.Version, signedVersion)
	}
	m, err := Decode(w.Manifest)
	if err != nil {
		return Manifest{}, fmt.Errorf("open manifest: %w", err)
	}
	if !hasCreator(m.Creator) || m.Created.IsZero() {
		return Manifest{}, errors.New("open manifest: creator or date is not filled in")
	}
	if len(w.Signature) != ed25519.SignatureSize || !ed25519.Verify(m.Creator[:], signedBytes(m.ID()), w.Signature) {
		return Manifest{}, fmt.Errorf("open manifest: %w", ErrSignature)
	}
	if s := (Signed{Manifest: w.Manifest, Signature: w.Signature}); !bytes.Equal(s.Encode(), b) {
		return Manifest{}, errors.New("open manifest: is not in canonical form")
	}
	return m, nil
}
