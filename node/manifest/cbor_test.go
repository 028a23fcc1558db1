package manifest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"starling/gossip"
)

// A changed ID means that running networks and stored runs are not recognised any more: such a change needs a new
// format version, not a new golden value.
func TestIDsNeverChange(t *testing.T) {
	for name, test := range map[string]struct {
		m  Manifest
		id string
	}{
		"default": {Default(), "f1520896336b96f6bb1572e1b3ed910cc00ae22038d7a63a7824915075f2b208"},
		"full":    {full(), "4c0e15c81171966882eae6fa22a65b0fa2414c48835c522bbe964416af7f99ac"},
	} {
		t.Run(name, func(t *testing.T) {
			if have := hexID(test.m.ID()); have != test.id {
				t.Errorf("have %s, want %s", have, test.id)
			}
		})
	}
}

func hexID(id gossip.RunID) string { return hex.EncodeToString(id[:]) }

func TestBytesOfTheFormatAreDocumented(t *testing.T) {
	golden(t, "full.hex", hex.EncodeToString(full().Encode())+"\n")
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	for name, want := range map[string]Manifest{"default": Default(), "full": full(), "outer": outerRun(), "scalar": scalarRun(), "checked": checkedRun(), "copies": copiesRun()} {
		have, err := Decode(want.Encode())
		if err != nil || have != want {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(want, have))
		}
	}
}

func TestEverySettingChangesTheID(t *testing.T) {
	base := Default()
	other := full()
	other.Method.Public, other.Method.Check = copiesRun().Method.Public, checkedRun().Method.Check
	ids := map[gossip.RunID]string{base.ID(): "the default"}
	for i, s := range settings(&other) {
		m := Default()
		to := settings(&m)[i].to
		switch to := to.(type) {
		case *string:
			*to = *s.to.(*string) + "x"
		case *int:
			*to = *s.to.(*int) + 1000
		case *uint64:
			*to = *s.to.(*uint64)
		case *float64:
			*to = *s.to.(*float64)
		case *Size:
			*to = *s.to.(*Size)
		case *Steps:
			*to = *s.to.(*Steps)
		case *time.Duration:
			*to = *s.to.(*time.Duration)
		case *gossip.PeerID:
			*to = *s.to.(*gossip.PeerID)
		case *time.Time:
			*to = *s.to.(*time.Time)
		default:
			t.Fatalf("%s has type %T", s.path, to)
		}
		if before, ok := ids[m.ID()]; ok {
			t.Errorf("changing %s gives the ID of %s", s.path, before)
		}
		ids[m.ID()] = s.path
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := Default().Encode()
	change := func(edit func(*Manifest)) []byte {
		m := Default()
		edit(&m)
		return m.Encode()
	}
	replace := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%q is not in the encoding", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	tests := []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "EOF"},
		{"half", good[:len(good)/2], "EOF"},
		{"bytes after the end", append(bytes.Clone(good), 0), "extraneous"},
		{"an empty array", []byte{0x80}, "is empty"},
		{"a map", []byte{0xa0}, "cannot unmarshal"},
		{"an array of endless length", append([]byte{0x9f}, append(bytes.Clone(good[1:]), 0xff)...), "indefinite"},
		{"an array that announces more than there is", []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "too large"},
		{"deep nesting", bytes.Repeat([]byte{0x81}, 1000), "nest"},
		{"a newer version", append([]byte{0x82, 0x02}, 0x00), "install a newer starling"},
		{"version zero", []byte{0x81, 0x00}, "0 is not a version"},
		{"a version that is text", []byte{0x81, 0x61, 'x'}, "version: cbor"},
		{"too few elements", []byte{0x81, 0x01}, "different number of elements"},
		{"a longer encoding of a number", replace("\x01\x6amnist-demo", "\x18\x01\x6amnist-demo"), "canonical"},
		{"bytes for text", replace("\x6amnist-demo", "\x4amnist-demo"), "cannot unmarshal"},
		{"text that is not UTF-8", replace("mnist-demo", "mnist\xffdemo"), "UTF-8"},
		{"a tag", append([]byte{0xc1}, good...), "tag"},
		{"too many bytes", make([]byte, MaxBytes+1), "at most 65536"},
		{"settings that are not valid", change(func(m *Manifest) { m.Method.Steps.Count = -1; m.Name = "" }), "method.steps: is -1"},
		{"a long string", change(func(m *Manifest) { m.Data.Source = "csv:" + strings.Repeat("x", maxSpec) }), "has 260 bytes"},
		{"a target that is not a number", change(func(m *Manifest) { m.Evaluate.Target = math.NaN() }), "is NaN"},
		{"a target of negative zero", change(func(m *Manifest) { m.Evaluate.Target = math.Copysign(0, -1) }), "is -0"},
		{"a date before 1970", change(func(m *Manifest) { m.Created = time.Unix(-1, 0).UTC() }), "is not between"},
		{"a date after 9999", change(func(m *Manifest) { m.Created = time.Unix(1<<40, 0).UTC() }), "is not between"},
		{"the last second of time", change(func(m *Manifest) { m.Created = time.Unix(math.MaxInt64, 0).UTC() }), "created"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := Decode(test.in)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want an error with %q", err, test.want)
			}
			if m != (Manifest{}) {
				t.Error("a manifest comes with the error")
			}
		})
	}
}

func TestSignedManifestOpens(t *testing.T) {
	key := testKey(1)
	m := full()
	m.Creator = gossip.PeerID{}
	signed, err := Sign(m, key)
	if err != nil {
		t.Fatal(err)
	}
	have, err := Open(signed.Encode())
	if err != nil {
		t.Fatal(err)
	}
	copy(m.Creator[:], key.Public().(ed25519.PublicKey))
	if have != m {
		t.Error(cmp.Diff(m, have))
	}
	if err := have.CheckID(m.ID()); err != nil {
		t.Error(err)
	}
	if err := have.CheckID(Default().ID()); err == nil || !strings.Contains(err.Error(), "do not use it") {
		t.Errorf("the ID of another run: %v", err)
	}
}

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func TestSignRefuses(t *testing.T) {
	unsigned := full()
	unsigned.Creator = gossip.PeerID{}
	for name, test := range map[string]struct {
		edit func(*Manifest)
		key  ed25519.PrivateKey
		want string
	}{
		"a creator who has another key": {func(m *Manifest) { m.Creator[0] = 1 }, testKey(1), "the key is of"},
		"a manifest that is not valid":  {func(m *Manifest) { m.Method.Batch = 0 }, testKey(1), "method.batch: is 0"},
		"a manifest without date":       {func(m *Manifest) { m.Created = time.Time{} }, testKey(1), "created is not filled in"},
		"half a key":                    {func(m *Manifest) {}, testKey(1)[:32], "key has 32 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			m := unsigned
			test.edit(&m)
			if _, err := Sign(m, test.key); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	sign := func(key byte) Signed {
		m := full()
		m.Creator = gossip.PeerID{}
		s, err := Sign(m, testKey(key))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := sign(1)
	noDate := full()
	noDate.Created = time.Time{}
	tests := []struct {
		name string
		in   []byte
		want string
	}{
		{"the signature of somebody else", Signed{good.Manifest, sign(2).Signature}.Encode(), "not signed by its creator"},
		{"no signature", Signed{good.Manifest, nil}.Encode(), "not signed by its creator"},
		{"a short signature", Signed{good.Manifest, good.Signature[:63]}.Encode(), "not signed by its creator"},
		{"a signature over the bare ID", Signed{good.Manifest, func() []byte {
			m, err := Decode(good.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			id := m.ID()
			return ed25519.Sign(testKey(1), id[:])
		}()}.Encode(), "not signed by its creator"},
		{"a changed setting", Signed{bytes.Replace(good.Manifest, []byte("wide-run-7"), []byte("wide-run-8"), 1), good.Signature}.Encode(), "not signed by its creator"},
		{"no creator", Signed{Default().Encode(), good.Signature}.Encode(), "not filled in"},
		{"no date", Signed{noDate.Encode(), good.Signature}.Encode(), "not filled in"},
		{"a bare manifest", good.Manifest, "open manifest: cbor"},
		{"nothing", nil, "EOF"},
		{"bytes after the end", append(good.Encode(), 0), "extraneous"},
		{"too many bytes", make([]byte, MaxBytes+1), "at most 65536"},
		{"a newer envelope", append([]byte{0x83, 0x02}, good.Encode()[2:]...), "install a newer starling"},
		{"a longer encoding of the version", append([]byte{0x83, 0x18, 0x01}, good.Encode()[2:]...), "canonical"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := Open(test.in)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want an error with %q", err, test.want)
			}
			if strings.Contains(test.want, "not signed") != errors.Is(err, ErrSignature) {
				t.Errorf("%v: errors.Is ErrSignature is %v", err, errors.Is(err, ErrSignature))
			}
			if m != (Manifest{}) {
				t.Error("a manifest comes with the error")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Default().Encode())
	f.Add(full().Encode())
	f.Add([]byte{0x82, 0x02, 0x00})
	f.Add(bytes.Repeat([]byte{0x81}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Errorf("%x is read as a manifest that is written %x", b, m.Encode())
		}
		if again, err := ParseYAML(m.YAML(), "fuzz.yaml"); err != nil || again != m {
			t.Errorf("through YAML: %v\n%s\n%s", err, m.YAML(), cmp.Diff(m, again))
		}
	})
}

func FuzzOpen(f *testing.F) {
	m := full()
	m.Creator = gossip.PeerID{}
	signed, err := Sign(m, testKey(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Encode())
	f.Add(Signed{Default().Encode(), signed.Signature}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Open(b); err == nil && m.Validate() != nil {
			t.Errorf("opens a manifest that is not valid: %v", m.Validate())
		}
	})
}
