package daemon

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"starling/node"
	"starling/storage"
)

func verified(t *testing.T, dir string) Verification {
	t.Helper()
	v, err := VerifyRecords(t.Context(), dir, Own{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// checked runs two daemons that check half of each other's records, until both have, and stops them. It returns the home of one, and the
// directory of the run in it.
func checked(t *testing.T) (home, dir string) {
	t.Helper()
	m := byScalars()
	m.Data.Split, m.Method.Check = "iid", 0.5
	home = t.TempDir()
	link, err := CreateRun(home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	a, stopA := serve(t, link.String(), local(home))
	link.Bootstrap = a.Addrs()
	b, stopB := serve(t, link.String(), local(t.TempDir()))
	for _, d := range []*Daemon{a, b} {
		r := reports(t, d, "checked records and a checkpoint", func(r Report) bool {
			return r.Records != nil && r.Records.Checks.Right >= 5 && r.Records.Own > 150 && r.Round > 4 && r.Work[jobCheck].Done >= r.Records.Checks.Right
		})
		c := r.Records.Checks
		if c.Wrong != 0 || c.Share != 0.5 || c.Asked < c.Right || len(r.Trouble) > 0 {
			t.Errorf("%+v, %+v", *c, r)
		}
		for _, l := range r.Records.Nodes {
			if l.Peer == d.self.String() != (l.Right == 0) || l.Wrong > 0 {
				t.Errorf("%+v", l)
			}
		}
		for range 3 { // while it trains
			if v := verified(t, d.dir); v.Problem != "" {
				t.Fatalf("%+v", v)
			}
		}
	}
	if err := errors.Join(stopA(), stopB()); err != nil {
		t.Fatal(err)
	}
	return home, a.dir
}

func TestWhatIsOnDiskIsVerifiedAndDifferencesAreNamed(t *testing.T) {
	home, run := checked(t)
	v := verified(t, run)
	var all []string
	for _, c := range v.Checked {
		all = append(all, c.What)
	}
	if want := []string{"base", "records", "sums", "model", "own log", "counter"}; v.Problem != "" || !slices.Equal(all, want) {
		t.Fatalf("%+v, want %v", v, want)
	}
	for _, c := range []struct {
		name   string
		edit   func(s *storage.Store, c *storage.Checkpoint, meta *stateMeta)
		want   string
		passed int
	}{
		{"a wrong base", func(_ *storage.Store, _ *storage.Checkpoint, meta *stateMeta) { meta.Base = "00" + meta.Base[2:] }, "was made from the base 00", 0},
		{"an older build", func(_ *storage.Store, _ *storage.Checkpoint, meta *stateMeta) { meta.Base = "" }, "an older build wrote it", 0},
		{"other sums", func(_ *storage.Store, _ *storage.Checkpoint, meta *stateMeta) { meta.Sums = "00" + meta.Sums[2:] }, "it was written with 00", 1},
		{"a record", func(_ *storage.Store, c *storage.Checkpoint, _ *stateMeta) {
			opaque := sectionNamed(c, sectionOpaque)
			opaque.Data = bytes.Clone(opaque.Data)
			opaque.Data[60] ^= 2 // among the first records
		}, "known and different|not those that it has signed", 1}, // as the log is of this node or not
		{"a weight", func(_ *storage.Store, c *storage.Checkpoint, _ *stateMeta) {
			params := sectionNamed(c, sectionParams)
			params.Data = bytes.Clone(params.Data)
			params.Data[40] ^= 1
		}, "base and sums make the model", 3},
		{"the counter", func(s *storage.Store, _ *storage.Checkpoint, _ *stateMeta) {
			if err := s.Put([]storage.Record{{Key: node.SeqKey, Value: binary.BigEndian.AppendUint64(nil, 1)}}); err != nil {
				t.Fatal(err)
			}
		}, "would repeat a number", 1},
	} {
		bad := t.TempDir()
		if err := os.CopyFS(bad, os.DirFS(home)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(bad, "key"), 0o600); err != nil { // CopyFS leaves all readable
			t.Fatal(err)
		}
		dir := filepath.Join(bad, "runs", filepath.Base(run))
		rewrite(t, dir, c.edit)
		v := verified(t, dir)
		if !regexp.MustCompile(c.want).MatchString(v.Problem) || strings.Contains(v.Problem, "\n") || len(v.Checked) != c.passed {
			t.Errorf("%s: %d things are said to be right, and then %q; want %d and %q", c.name, len(v.Checked), v.Problem, c.passed, c.want)
		}
	}
	tables, err := filepath.Glob(filepath.Join(run, storeDir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	if err := os.Truncate(tables[0], 100); err != nil {
		t.Fatal(err)
	}
	if v, err := VerifyRecords(t.Context(), run, Own{}); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("a file of the store is cut off: %+v, %v", v, err)
	}
}

func TestOtherMethodsHaveNoRecordsToVerify(t *testing.T) {
	home := t.TempDir()
	link, err := CreateRun(home, tiny(), []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, stop := serve(t, link.String(), local(home))
	reports(t, d, "a round", func(r Report) bool { return r.Round >= 1 })
	for range 2 { // running, then stopped
		if _, err := VerifyRecords(t.Context(), d.dir, Own{}); err == nil || !strings.Contains(err.Error(), "only with scalar") {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// rewrite saves the newest checkpoint of a run again, and changes it before.
func rewrite(t *testing.T, dir string, edit func(*storage.Store, *storage.Checkpoint, *stateMeta)) {
	t.Helper()
	s, err := storage.Open(filepath.Join(dir, storeDir), storage.Options{Keep: 10})
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := s.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	meta, err := readMeta(c)
	if err != nil {
		t.Fatal(err)
	}
	edit(s, &c, &meta)
	if c.Meta, err = json.Marshal(meta); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveCheckpoint(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func sectionNamed(c *storage.Checkpoint, name string) *storage.Section {
	return &c.Sections[slices.IndexFunc(c.Sections, func(s storage.Section) bool { return s.Name == name })]
}
