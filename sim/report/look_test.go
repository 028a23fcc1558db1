package report_test

import (
	"os"
	"testing"

	"starling/sim/report"
)

func TestLook(t *testing.T) {
	dir := os.Getenv("LOOK")
	if dir == "" {
		t.Skip()
	}
	if err := report.Write(dir+"/large", largeRun()); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(dir+"/small", smallRun()); err != nil {
		t.Fatal(err)
	}
}
