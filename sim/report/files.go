package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a run in its directory. The result is written last: where it is, the others are complete.
const (
	ResultFile     = "result.json"
	SeriesFile     = "series.csv"
	TopologyFile   = "topology.json" // only of a run that had one graph
	ExperimentFile = "experiment.yaml"
	PageFile       = "report.html"
)

// A Run is all that is kept of a simulation.
type Run struct {
	Dir      string // where it was read from; not written
	Result   Result
	Series   Series
	Topology *Picture // nil if there is no one graph to draw
}

// Write makes the directory if need be and puts all files of a run into it: those named above and the figures of the page as
// SVG. Each file is replaced as a whole or not at all, and what a former run left under these names is gone.
func Write(dir string, run Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := files(run)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	// Until the new result is there, there is none: nobody takes the old one for that of the new files.
	for _, name := range append(figureFiles(), ResultFile, TopologyFile) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, f := range files {
		if err := WriteFile(filepath.Join(dir, f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

type file struct {
	name string
	text []byte
}

// files are all files of a run, the result last.
func files(run Run) ([]file, error) {
	var series, page bytes.Buffer
	run.Series.WriteTo(&series) // a buffer takes everything
	out := []file{{SeriesFile, series.Bytes()}, {ExperimentFile, []byte(run.Result.File)}}
	if run.Topology != nil {
		text, err := json.Marshal(run.Topology)
		if err != nil {
			return nil, err
		}
		out = append(out, file{TopologyFile, append(text, '\n')})
	}
	drawings, err := figures(run)
	if err != nil {
		return nil, err
	}
	for _, f := range drawings {
		out = append(out, file{f.name + ".svg", []byte(f.alone())})
	}
	if err := Page(&page, run); err != nil {
		return nil, err
	}
	result, err := run.Result.Marshal()
	if err != nil {
		return nil, err
	}
	return append(out, file{PageFile, page.Bytes()}, file{ResultFile, result}), nil
}

// Read takes a run back from its directory.
func Read(dir string) (Run, error) {
	run := Run{Dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, ResultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Run{}, fmt.Errorf("%s has no %s: not the directory of a simulation that ended", dir, ResultFile)
	}
	if err != nil {
		return Run{}, err
	}
	if run.Result, err = ParseResult(text); err != nil {
		return Run{}, fmt.Errorf("%s: %w", filepath.Join(dir, ResultFile), err)
	}
	path := filepath.Join(dir, SeriesFile)
	if text, err = os.ReadFile(path); err != nil {
		return Run{}, err
	}
	if run.Series, err = ParseSeries(bytes.NewReader(text)); err != nil {
		return Run{}, fmt.Errorf("%s: %w", path, err)
	}
	path = filepath.Join(dir, TopologyFile)
	if text, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
		return run, nil
	}
	if err == nil {
		run.Topology = new(Picture)
		err = json.Unmarshal(text, run.Topology)
	}
	if err != nil {
		return Run{}, fmt.Errorf("%s: %w", path, err)
	}
	return run, nil
}

// WriteFile replaces a file so that whoever reads it finds the old or the new one, never half of it.
func WriteFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
