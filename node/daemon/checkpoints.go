package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"starling/mixing"
	"starling/node/model/safetensors"
	"starling/storage"
)

// A CheckpointInfo describes a checkpoint in a run's directory.
type CheckpointInfo struct {
	Number  uint64    `json:"number"`
	Round   uint64    `json:"round"`
	Age     uint64    `json:"age"`
	Size    int64     `json:"size"` // bytes of all sections
	Written time.Time `json:"written"`
}

// ErrNotJoined is what a run's checkpoints are asked for in vain with: there is no store. Joining makes one.
var ErrNotJoined = errors.New("the run has not been joined from this home")

// ListCheckpoints lists the checkpoints of a run, the newest first. If the run's daemon is running, the daemon is asked.
func ListCheckpoints(ctx context.Context, runDir string) (list []CheckpointInfo, err error) {
	err = useStore(runDir, func(s *storage.Store) error {
		list, err = listCheckpoints(s)
		return err
	}, func(c *Client) error { return c.fetch(ctx, pathCheckpoints, &list) })
	return list, err
}

// VerifyCheckpoints reads all checkpoints of a run and returns a line for each that is damaged. If the run's daemon is running, the
// daemon does it.
func VerifyCheckpoints(ctx context.Context, runDir string) (bad []string, err error) {
	err = useStore(runDir, func(s *storage.Store) error {
		bad, err = verifyCheckpoints(s)
		return err
	}, func(c *Client) error { return c.fetch(ctx, pathVerify, &bad) })
	return bad, err
}

// ExportCheckpoint writes the model of a checkpoint, or of the newest whole one if number is 0, as safetensors. If the run's
// daemon is running, the daemon is asked for it. The file appears only when it is whole, and replaces one of its name.
func ExportCheckpoint(ctx context.Context, runDir string, number uint64, path string) (info CheckpointInfo, err error) {
	if stat, err := os.Stat(path); err == nil && stat.IsDir() {
		return info, fmt.Errorf("%s is a directory: name a file in it", path)
	}
	if other, err := isOther(path); err != nil {
		return info, err
	} else if other {
		return info, fmt.Errorf("%s exists, and is no safetensors file: name another one, or remove it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".starling-*")
	if errors.Is(err, fs.ErrNotExist) {
		return info, fmt.Errorf("there is no directory %s: make it first", filepath.Dir(path))
	}
	if err != nil {
		return info, fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	err = useStore(runDir, func(s *storage.Store) error {
		m, err := loadModel(ctx, runDir, s, number)
		if err != nil {
			return err
		}
		info = m.info
		return m.write(f)
	}, func(c *Client) error {
		info, err = c.export(ctx, number, f)
		return err
	})
	if err != nil {
		f.Close()
		return info, err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return info, fmt.Errorf("write %s: %w", path, err)
	}
	return info, os.Rename(f.Name(), path)
}

// isOther reports whether there is a file, and it is not one that an export would have written: those are replaced.
func isOther(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	var head [9]byte // the length of the header, which is below 4 GiB, and its first character
	n, err := io.ReadFull(f, head[:])
	if n == 0 && err == io.EOF {
		return false, nil // made to be written to
	}
	return n < len(head) || head[8] != '{' || [4]byte(head[4:8]) != [4]byte{}, nil
}

// useStore opens the store of a run, or turns to the daemon that holds it.
func useStore(runDir string, stopped func(*storage.Store) error, running func(*Client) error) error {
	path := filepath.Join(runDir, storeDir)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("no checkpoints in %s: %w", runDir, ErrNotJoined)
	}
	s, err := storage.Open(path, storage.Options{})
	if errors.Is(err, storage.ErrLocked) {
		c, dialErr := Dial(runDir)
		if dialErr != nil {
			return err
		}
		if runErr := running(c); !errors.Is(runErr, ErrNotRunning) {
			return runErr
		}
		return err
	}
	if err != nil {
		return err
	}
	return errors.Join(stopped(s), s.Close())
}

func listCheckpoints(s *storage.Store) ([]CheckpointInfo, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []CheckpointInfo
	for _, c := range list {
		info := CheckpointInfo{Number: c.Seq, Size: c.Size}
		if meta, err := readMeta(storage.Checkpoint{Seq: c.Seq, Meta: c.Meta}); err == nil {
			info.Round, info.Age, info.Written = meta.Round, meta.Age, meta.Written
		}
		out = append(out, info)
	}
	return out, nil
}

func verifyCheckpoints(s *storage.Store) ([]string, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, c := range list {
		damage, err := s.Verify(c.Seq)
		if errors.Is(err, storage.ErrNotFound) {
			continue // removed in the meantime, as it was too old
		}
		if err != nil {
			return nil, err
		}
		if len(damage) > 0 {
			bad = append(bad, damageText(damage))
		}
	}
	return bad, nil
}

// damageText says what is damaged of a checkpoint.
func damageText(damage []storage.Damaged) string {
	text := "checkpoint " + damage[0].String()
	if more := len(damage) - 1; more > 0 {
		text += fmt.Sprintf("; and %s more", plural(uint64(more), "chunk"))
	}
	return text
}

// savedModel is what an export writes.
type savedModel struct {
	info   CheckpointInfo
	layout *mixing.Layout
	params []float32
	notes  map[string]string
}

func loadModel(ctx context.Context, runDir string, s *storage.Store, number uint64) (savedModel, error) {
	m, err := LoadManifest(runDir)
	if err != nil {
		return savedModel{}, err
	}
	var c storage.Checkpoint
	var damaged []storage.Damaged
	if number != 0 {
		c, err = s.Load(number)
	} else {
		c, damaged, err = s.Latest(ctx)
	}
	if errors.Is(err, storage.ErrNotFound) && len(damaged) > 0 {
		return savedModel{}, errors.New("no checkpoint is whole: see `starling checkpoint verify`")
	}
	if errors.Is(err, storage.ErrNotFound) {
		return savedModel{}, errors.New("there is no such checkpoint: see `starling checkpoint list`")
	}
	if err != nil {
		return savedModel{}, err
	}
	meta, err := readMeta(c)
	if err != nil {
		return savedModel{}, err
	}
	layout, params, err := meta.model(c)
	if err != nil {
		return savedModel{}, err
	}
	return savedModel{
		info:   CheckpointInfo{Number: c.Seq, Round: meta.Round, Age: meta.Age, Written: meta.Written},
		layout: layout, params: params,
		notes: map[string]string{"format": "pt", "run": meta.Run, "model": m.Model, "round": fmt.Sprint(meta.Round)},
	}, nil
}

func (m savedModel) write(w io.Writer) error {
	return safetensors.Write(w, m.layout, m.params, m.notes)
}

// The paths of a running daemon's control server that give what is in its store.
const (
	pathCheckpoints = "/checkpoints"
	pathVerify      = "/checkpoints/verify"
	pathExport      = "/checkpoints/export" // ?number=
)

// infoHeader carries the CheckpointInfo of an export, in JSON.
const infoHeader = "Starling-Checkpoint"

func (d *Daemon) serveCheckpoints(w http.ResponseWriter, _ *http.Request) error {
	list, err := listCheckpoints(d.store)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(list)
}

func (d *Daemon) serveVerify(w http.ResponseWriter, _ *http.Request) error {
	bad, err := verifyCheckpoints(d.store)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(bad)
}

func (d *Daemon) serveExport(w http.ResponseWriter, r *http.Request) error {
	number, err := strconv.ParseUint(r.URL.Query().Get("number"), 10, 64)
	if err != nil {
		return fmt.Errorf("number: %w", err)
	}
	m, err := loadModel(r.Context(), d.dir, d.store, number)
	if err != nil {
		return err
	}
	info, err := json.Marshal(m.info)
	if err != nil {
		return err
	}
	w.Header().Set(infoHeader, string(info))
	w.Header().Set("Content-Type", "application/octet-stream")
	if m.write(w) != nil {
		panic(http.ErrAbortHandler) // so that the other side does not take a part for all of it
	}
	return nil
}

// export asks the daemon for a model and copies it to w.
func (c *Client) export(ctx context.Context, number uint64, w io.Writer) (CheckpointInfo, error) {
	var info CheckpointInfo
	res, err := c.do(ctx, http.MethodGet, fmt.Sprintf("%s?number=%d", pathExport, number))
	if err != nil {
		return info, err
	}
	defer res.Body.Close()
	if err := json.Unmarshal([]byte(res.Header.Get(infoHeader)), &info); err != nil {
		return info, fmt.Errorf("daemon's answer: %w: are both of the same version?", err)
	}
	_, err = io.Copy(w, res.Body)
	return info, err
}
