package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTheBarFitsIntoOneRow has narrow and wide terminals: what does not fit goes on in the next row, which is not drawn over.
func TestTheBarFitsIntoOneRow(t *testing.T) {
	const line = " 50 %  round 3.0  0.4 virtual s  accuracy 39.6 %  50 online  3s"
	for columns := range 200 {
		bar := drawBar("12 of 14 ", line, 0.5, columns)
		if n := utf8.RuneCountInString(bar); n > max(0, columns-1) {
			t.Fatalf("%d columns: %q has %d", columns, bar, n)
		}
		if columns > 100 && (!strings.Contains(bar, "[████████████············]") || !strings.HasSuffix(bar, line)) {
			t.Fatalf("%d columns: %q", columns, bar)
		}
		if columns == 70 && !strings.HasPrefix(bar, "12 of 14 50 %  round 3.0") {
			t.Errorf("70 columns: %q", bar)
		}
	}
}
