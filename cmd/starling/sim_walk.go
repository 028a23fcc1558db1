package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"starling/node/daemon"
	"starling/sim/report"
	"starling/sim/walk"
)

// runWalks carries out a study of walks, which is what starling sim run finds in some files.
func runWalks(cmd *cobra.Command, text []byte, filename string, sets []string, out string, workers int) error {
	s, err := walk.Load(text, filename, sets)
	if err != nil {
		return err
	}
	if out == "" {
		out = s.Name
	}
	if err := makeOut(out); err != nil {
		return err
	}
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	began := time.Now()
	bar := newBar(cmd.OutOrStdout())
	w, err := s.Run(cmd.Context(), workers, func(done, all int) {
		bar.draw(float64(done)/float64(all), fmt.Sprintf("%d of %d walks  %s", done, all, time.Since(began).Round(time.Second)))
	})
	bar.clear()
	if err != nil {
		return err
	}
	w.Version, w.File = daemon.Version(), string(text)
	for _, set := range sets {
		key, value, _ := strings.Cut(set, "=")
		w.Settings = append(w.Settings, report.Setting{Key: key, Value: value})
	}
	if err := report.WriteWalks(out, w); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return summarizeWalks(cmd.OutOrStdout(), w, out)
}

func summarizeWalks(out io.Writer, w report.Walks, dir string) error {
	if err := report.WriteWalksTable(out, w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "report      %s\n", filepath.Join(dir, report.PageFile))
	return err
}
