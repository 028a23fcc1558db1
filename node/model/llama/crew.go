package llama

import (
	"sync"
	"sync/atomic"
)

// rowsTask is about how many rows of the stream a worker takes through products at a time. It does not change results.
const rowsTask = 256

// each calls f for all tasks, by several workers, and returns when all are done. Tasks write to different places, so that it does not
// matter who does one, and when.
func (m *Model) each(tasks int, f func(b *bench, task int)) {
	workers := min(m.workers, tasks)
	if workers <= 1 {
		for i := range tasks {
			f(m.bench(0), i)
		}
		return
	}
	var next atomic.Int64
	work := func(b *bench) {
		for i := int(next.Add(1)) - 1; i < tasks; i = int(next.Add(1)) - 1 {
			f(b, i)
		}
	}
	var all sync.WaitGroup
	for w := 1; w < workers; w++ {
		b := m.bench(w)
		all.Go(func() { work(b) })
	}
	work(m.bench(0))
	all.Wait()
}

// rows calls f for pieces of n rows.
func (m *Model) rows(n int, f func(b *bench, from, rows int)) {
	size := m.piece(n)
	m.each((n+size-1)/size, func(b *bench, task int) {
		from := task * size
		f(b, from, min(size, n-from))
	})
}

// piece returns how many rows are taken at a time, such that pieces are about even and so are the numbers of them of workers.
func (m *Model) piece(n int) int {
	tasks := (n + rowsTask - 1) / rowsTask
	tasks = max(1, (tasks+m.workers-1)/m.workers*m.workers)
	return max(1, (n+tasks-1)/tasks)
}
