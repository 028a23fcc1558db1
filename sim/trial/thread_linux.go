package trial

import "golang.org/x/sys/unix"

// threadTime is the processor time of the calling thread in nanoseconds. (That of getrusage is counted in ticks on some
// machines.)
func threadTime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}
