//go:build !linux

package trial

import "time"

// threadTime is the time on the wall in nanoseconds, where the processor time of a thread is not to be had.
func threadTime() int64 { return int64(time.Since(origin)) }

var origin = time.Now()
