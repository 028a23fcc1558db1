//go:build !unix

package trial

import "time"

// processTime is 0 where the system does not tell.
func processTime() time.Duration { return 0 }

// peakMemory is 0 where the system does not tell.
func peakMemory() uint64 { return 0 }
