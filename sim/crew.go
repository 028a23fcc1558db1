package sim

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A crew does the arithmetic of jobs: the goroutine that runs the world, and helpers. Which of them does a job changes nothing
// but the time it takes, since the world waits for a job when its end comes up in the queue and not before.
type crew struct {
	mine    Worker
	jobs    chan *job // nil without helpers
	helpers sync.WaitGroup

	cpu         func() int64
	reading     int64        // what it takes to read the clock twice
	train, eval atomic.Int64 // nanoseconds of processor time
	skipped     uint32       // small jobs since the last one that was timed
}

// waiting bounds the jobs that are handed to helpers. What finds no room is done by whoever waits for it.
const waiting = 1 << 12

func newCrew(task Task, workers int, cpu func() int64) *crew {
	c := &crew{mine: task.Worker(), cpu: cpu}
	if cpu != nil {
		c.reading = readingTime(cpu)
	}
	if workers == 1 {
		return c
	}
	c.jobs = make(chan *job, waiting)
	for range workers - 1 {
		worker := task.Worker()
		c.helpers.Go(func() {
			for j := range c.jobs {
				if j.claim() {
					c.do(j, worker, 1)
					close(j.done)
				}
			}
		})
	}
	return c
}

// stop waits for the helpers to end. Jobs that nobody has begun are given up.
func (c *crew) stop() {
	if c.jobs != nil {
		close(c.jobs)
		c.helpers.Wait()
		c.jobs = nil
	}
}

// offer gives a job to the helpers, if there are any and they keep up.
func (c *crew) offer(j *job) {
	if c.jobs == nil {
		return
	}
	j.done = make(chan struct{})
	select {
	case c.jobs <- j:
	default:
	}
}

// join returns when the job is done. It does the job if nobody has begun, and other jobs while somebody is at it: who only waited
// would find the next job taken as well.
func (c *crew) join(j *job) {
	if j.claim() {
		c.mineDo(j)
		return
	}
	for j.done != nil {
		select {
		case <-j.done:
			return
		default:
		}
		select {
		case <-j.done:
			return
		case other := <-c.jobs:
			if other.claim() {
				c.do(other, c.mine, 1)
				close(other.done)
			}
		}
	}
}

// readingTime is the least that two readings of the clock are apart.
func readingTime(cpu func() int64) int64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := int64(1 << 62)
	for range 32 {
		least = min(least, -cpu()+cpu())
	}
	return max(0, least)
}

// sample is how many small jobs stand for one that is timed: to read the clock takes as long as such a job.
const sample = 64

// mineDo does a job in the goroutine of the world.
func (c *crew) mineDo(j *job) {
	times := int64(1)
	if j.small {
		if j.kind != trainJob && j.kind != probeJob && j.kind != evaluateJob {
			j.run(c.mine)
			return
		}
		if c.skipped++; c.skipped%sample != 0 {
			j.run(c.mine)
			return
		}
		times = sample
	}
	c.do(j, c.mine, times)
}

// do does a job and takes its cost, so many times, into the account.
func (c *crew) do(j *job, w Worker, times int64) {
	if c.cpu == nil {
		j.run(w)
		return
	}
	runtime.LockOSThread() // the clock is the thread's
	began := c.cpu()
	j.run(w)
	c.account(j, times*max(0, c.cpu()-began-c.reading))
	runtime.UnlockOSThread()
}

func (c *crew) account(j *job, cost int64) {
	switch j.kind {
	case trainJob, probeJob:
		c.train.Add(cost)
	case evaluateJob:
		c.eval.Add(cost)
	}
}

// A Cost is processor time in nanoseconds. That of small jobs is measured on
// every sixty-fourth of them.
type Cost struct {
	Train, Evaluate int64
}

// Cost returns what training and evaluation have cost so far, 0 without [Config.CPU].
func (w *World) Cost() Cost { return Cost{w.crew.train.Load(), w.crew.eval.Load()} }
