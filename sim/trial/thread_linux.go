package trial

import "syscall"

// threadTime is the processor time of the calling thread in nanoseconds.
func threadTime() int64 { return int64(rusage(syscall.RUSAGE_THREAD)) }
