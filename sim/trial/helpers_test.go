package trial

import (
	"context"
	"io"
	"testing"
	"time"

	"starling/node"
	"starling/sim"
)

func exampleContext() context.Context { return context.Background() }

func contextAfter(t *testing.T, milliseconds int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Duration(milliseconds)*time.Millisecond)
}

func observer(w *sim.World, out io.Writer) func(int, node.Instant, node.Event, *node.Batch) {
	return func(n int, now node.Instant, ev node.Event, b *node.Batch) {
		io.WriteString(out, Narrate(w, n, now, ev, b)+"\n")
	}
}
