package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
)

// ResultFile is the file of a point's directory that says what came out, JSON with at least [HashKey].
const ResultFile = "result.json"

// HashKey is the key of a result whose value is the hash of the settings, [Point.Hash].
const HashKey = "settings_hash"

// ErrorFile is the file of a point's directory that tells why it has no result.
const ErrorFile = "error.txt"

// maxResult bounds the result files that are looked into.
const maxResult = 64 << 20

// A Sweep carries points out, several at a time. Each has a directory in Out, which is there, complete, once the point is
// finished; a sweep that is interrupted leaves no half results, and one that is started again goes on. A process that is killed
// leaves directories .unfinished-…, which may be removed when no sweep is at work there.
type Sweep struct {
	Points []Point
	Out    string // directory; made if it is not there
	// Parallel is how many points are carried out at a time. Default 1.
	Parallel int
	// Run carries out one point and writes its files, [ResultFile] among them, into dir, which is empty and becomes the
	// point's directory when Run returns nil. It is called concurrently if Parallel is above 1, and should return soon when
	// the context is done.
	Run func(ctx context.Context, p Point, dir string) error
	// Done, if set, is told of each point when it is over. Calls come one at a time.
	Done func(o Outcome)
}

// An Outcome is what became of a point.
type Outcome struct {
	Point   Point
	Dir     string // the point's directory
	Skipped bool   // it was finished before
	Err     error  // why it has no result; the same is in [ErrorFile] of Dir, unless the sweep was interrupted
}

// Go carries out what is not finished yet. A point that fails does not stop the others. The outcomes are in the order of
// the points; those that the context left no time for have its error. The error is about the sweep as a whole: its
// directory, or the context.
func (s Sweep) Go(ctx context.Context) ([]Outcome, error) {
	if err := os.MkdirAll(s.Out, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the sweep: %w", err)
	}
	outcomes := make([]Outcome, len(s.Points))
	work := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex // around calls of Done
	for range max(1, min(s.Parallel, len(s.Points))) {
		workers.Go(func() {
			for i := range work {
				outcomes[i] = s.point(ctx, s.Points[i])
				if s.Done != nil {
					mu.Lock()
					s.Done(outcomes[i])
					mu.Unlock()
				}
			}
		})
	}
	for i := range s.Points {
		work <- i
	}
	close(work)
	workers.Wait()
	return outcomes, ctx.Err()
}

// point carries out one point unless it is finished or time is over.
func (s Sweep) point(ctx context.Context, p Point) Outcome {
	o := Outcome{Point: p, Dir: filepath.Join(s.Out, p.Dir())}
	if Finished(o.Dir, p.Hash) {
		o.Skipped = true
		return o
	}
	if o.Err = ctx.Err(); o.Err != nil {
		return o
	}
	// A name of its own for each try: another sweep may be at work in the same directory.
	dir, err := os.MkdirTemp(s.Out, ".unfinished-")
	if err != nil {
		o.Err = err
		return o
	}
	defer os.RemoveAll(dir)
	o.Err = s.try(ctx, p, dir)
	if o.Err == nil && !Finished(dir, p.Hash) {
		o.Err = fmt.Errorf("internal error: the point was carried out, but there is no %s with its %s", ResultFile, HashKey)
	}
	if o.Err != nil {
		if ctx.Err() != nil {
			return o
		}
		if err := recordFailure(dir, o.Err); err != nil {
			o.Err = errors.Join(o.Err, err)
			return o
		}
	}
	if err := replace(dir, o.Dir); err != nil {
		o.Err = errors.Join(o.Err, err)
	}
	return o
}

// try makes an error of a panic, so that one point does not take the others with it.
func (s Sweep) try(ctx context.Context, p Point, dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v\n%s", r, debug.Stack())
		}
	}()
	return s.Run(ctx, p, dir)
}

// recordFailure leaves nothing in the directory but the reason.
func recordFailure(dir string, why error) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ErrorFile), []byte(why.Error()+"\n"), 0o644)
}

// replace makes dir the directory called name, whatever was there before.
func replace(dir, name string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	return os.Rename(dir, name)
}

// Finished reports whether a directory holds the result of settings with that hash.
func Finished(dir, hash string) bool {
	path := filepath.Join(dir, ResultFile)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxResult {
		return false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var result map[string]json.RawMessage
	if json.Unmarshal(text, &result) != nil {
		return false
	}
	want, err := json.Marshal(hash)
	return err == nil && bytes.Equal(result[HashKey], want)
}
