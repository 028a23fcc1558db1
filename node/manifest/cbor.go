package manifest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"starling/gossip"
)

// The wire forms are arrays in the order of the fields, so that the bytes depend on nothing but the values. A later
// version may have other elements; the first is always the version.
type wireManifest struct {
	_          struct{} `cbor:",toarray"`
	Version    int32
	Name       string
	Seed       uint64
	Model      string
	Init       string
	Data       wireData
	Method     wireMethod
	Cells      wireCells
	Optimizer  string
	Codec      string
	Checkpoint wireCheckpoint
	Evaluate   wireEvaluate
	Limits     wireLimits
	Admission  string
	Creator    [32]byte
	Created    int64 // seconds since 1970, 0 if not filled in
}

type wireData struct {
	_             struct{} `cbor:",toarray"`
	Source, Split string
	Shards        int32
}

type wireMethod struct {
	_                    struct{} `cbor:",toarray"`
	Name, Mix, Exchange  string
	Steps, Batch, Degree int32 // Steps 0 is one pass over the node's data
	Wake                 wireWake
	Public               wirePublic
	Settings             string // of the method: outer or scalar
}

type wireWake struct {
	_                 struct{} `cbor:",toarray"`
	Period, Deviation int64    // nanoseconds
}

type wirePublic struct {
	_           struct{} `cbor:",toarray"`
	Correct     string
	Gamma, Beta float64
}

type wireCells struct {
	_     struct{} `cbor:",toarray"`
	Count int32
	Epoch int64 // nanoseconds
}

type wireCheckpoint struct {
	_           struct{} `cbor:",toarray"`
	Every, Keep int32
}

type wireEvaluate struct {
	_      struct{} `cbor:",toarray"`
	Every  int32
	Target float64
}

type wireLimits struct {
	_            struct{} `cbor:",toarray"`
	Inline, Blob int64
	Peers        int32
}

var encMode, decMode = modes()

func modes() (cbor.EncMode, cbor.DecMode) {
	enc := cbor.CoreDetEncOptions()
	enc.ByteArray = cbor.ByteArrayToByteSlice
	em, err := enc.EncMode()
	if err != nil {
		panic("manifest: internal error: " + err.Error())
	}
	dm, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  4,
		MaxArrayElements: 64,
		MaxMapPairs:      16,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic("manifest: internal error: " + err.Error())
	}
	return em, dm
}

// Encode returns the canonical CBOR of a valid manifest: RFC 8949, core deterministic encoding. Equal manifests have
// equal bytes, and [Decode] accepts no other bytes for them.
func (m Manifest) Encode() []byte {
	var created int64
	if !m.Created.IsZero() {
		created = m.Created.Unix()
	}
	b, err := encMode.Marshal(wireManifest{
		Version: int32(m.Version), Name: m.Name, Seed: m.Seed, Model: m.Model, Init: m.Init,
		Data: wireData{Source: m.Data.Source, Split: m.Data.Split, Shards: int32(m.Data.Shards)},
		Method: wireMethod{
			Name: m.Method.Name, Mix: m.Method.Mix, Exchange: m.Method.Exchange,
			Steps: int32(m.Method.Steps.Count), Batch: int32(m.Method.Batch), Degree: int32(m.Method.Degree),
			Wake:     wireWake{Period: int64(m.Method.Wake.Period), Deviation: int64(m.Method.Wake.Deviation)},
			Public:   wirePublic{Correct: m.Method.Public.Correct, Gamma: m.Method.Public.Gamma, Beta: m.Method.Public.Beta},
			Settings: m.Method.settings(),
		},
		Cells:     wireCells{Count: int32(m.Cells.Count), Epoch: int64(m.Cells.Epoch)},
		Optimizer: m.Optimizer, Codec: m.Codec,
		Checkpoint: wireCheckpoint{Every: int32(m.Checkpoint.Every), Keep: int32(m.Checkpoint.Keep)},
		Evaluate:   wireEvaluate{Every: int32(m.Evaluate.Every), Target: m.Evaluate.Target},
		Limits:     wireLimits{Inline: int64(m.Limits.Inline), Blob: int64(m.Limits.Blob), Peers: int32(m.Limits.Peers)},
		Admission:  m.Admission, Creator: m.Creator, Created: created,
	})
	if err != nil {
		// The types above hold nothing that CBOR cannot carry.
		panic("manifest: internal error: " + err.Error())
	}
	return b
}

// Decode reads what [Manifest.Encode] wrote, and nothing else: it refuses other versions, more than [MaxBytes], any
// encoding that is not the canonical one, and manifests that [Manifest.Validate] refuses.
func Decode(b []byte) (Manifest, error) {
	if len(b) > MaxBytes {
		return Manifest{}, fmt.Errorf("decode manifest: has %d bytes; at most %d are allowed", len(b), MaxBytes)
	}
	var elements []cbor.RawMessage
	if err := decMode.Unmarshal(b, &elements); err != nil {
		return Manifest{}, fmt.Errorf("decode manifest: %w", err)
	}
	if len(elements) == 0 {
		return Manifest{}, fmt.Errorf("decode manifest: is empty")
	}
	var version uint32
	if err := decMode.Unmarshal(elements[0], &version); err != nil {
		return Manifest{}, fmt.Errorf("decode manifest: version: %w", err)
	}
	if version != Version {
		return Manifest{}, fmt.Errorf("decode manifest: %s", versionProblem(int64(version)))
	}
	var w wireManifest
	if err := decMode.Unmarshal(b, &w); err != nil {
		return Manifest{}, fmt.Errorf("decode manifest: %w", err)
	}
	m := w.manifest()
	if err := m.Validate(); err != nil {
		return Manifest{}, fmt.Errorf("decode manifest: %w", err)
	}
	// Two encodings of one manifest would be two runs that look the same.
	if !bytes.Equal(m.Encode(), b) {
		return Manifest{}, fmt.Errorf("decode manifest: is not in canonical form")
	}
	return m, nil
}

func (w wireManifest) manifest() Manifest {
	m := Manifest{
		Version: int(w.Version), Name: w.Name, Seed: w.Seed, Model: w.Model, Init: w.Init,
		Data: Data{Source: w.Data.Source, Split: w.Data.Split, Shards: int(w.Data.Shards)},
		Method: Method{
			Name: w.Method.Name, Mix: w.Method.Mix, Exchange: w.Method.Exchange,
			Steps: Steps{Count: int(w.Method.Steps), Epoch: w.Method.Steps == 0}, Batch: int(w.Method.Batch), Degree: int(w.Method.Degree),
			Wake:   Wake{Period: time.Duration(w.Method.Wake.Period), Deviation: time.Duration(w.Method.Wake.Deviation)},
			Public: Public{Correct: w.Method.Public.Correct, Gamma: w.Method.Public.Gamma, Beta: w.Method.Public.Beta},
			Outer:  w.Method.Settings, Scalar: Default().Method.Scalar,
		},
		Cells:     Cells{Count: int(w.Cells.Count), Epoch: time.Duration(w.Cells.Epoch)},
		Optimizer: w.Optimizer, Codec: w.Codec,
		Checkpoint: Checkpoint{Every: int(w.Checkpoint.Every), Keep: int(w.Checkpoint.Keep)},
		Evaluate:   Evaluate{Every: int(w.Evaluate.Every), Target: w.Evaluate.Target},
		Limits:     Limits{Inline: Size(w.Limits.Inline), Blob: Size(w.Limits.Blob), Peers: int(w.Limits.Peers)},
		Admission:  w.Admission, Creator: w.Creator,
	}
	if text, share, ok := strings.Cut(w.Method.Settings, checkMark); ok {
		// What does not come back in the same form is refused with the rest that is not canonical.
		m.Method.Check, _ = strconv.ParseFloat(share, 64)
		m.Method.Outer, w.Method.Settings = text, text
	}
	if m.Method.Name == "scalar" && m.Method.Outer != Default().Method.Outer {
		m.Method.Outer, m.Method.Scalar = Default().Method.Outer, w.Method.Settings
	}
	if w.Created != 0 {
		m.Created = time.Unix(w.Created, 0).UTC()
	}
	return m
}

// checkMark stands between the settings of a method and [Method.Check].
const checkMark = " check="

// settings returns what Outer, Scalar and Check say together: no valid manifest has both of the former, and those of before there were the
// latter keep their bytes.
func (m Method) settings() string {
	text := m.Outer
	if m.Scalar != Default().Method.Scalar {
		text = m.Scalar
	}
	if m.Check != 0 {
		text += checkMark + strconv.FormatFloat(m.Check, 'g', -1, 64)
	}
	return text
}

// ID returns the ID of the run: the SHA-256 of [Manifest.Encode].
func (m Manifest) ID() gossip.RunID { return sha256.Sum256(m.Encode()) }

// CheckID returns an error unless the manifest is that of the run with ID want, which is how a node verifies that
// what a stranger served is what the link named.
func (m Manifest) CheckID(want gossip.RunID) error {
	if have := m.ID(); have != want {
		return fmt.Errorf("manifest is of run %x, not of run %x; do not use it", have[:8], want[:8])
	}
	return nil
}
