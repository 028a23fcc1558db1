package daemon

import (
	"context"
	"log/slog"
	"os"

	"github.com/libp2p/go-libp2p/gologshim"
)

// QuietLibraries sends what libp2p logs to the handler, errors only, and silences a warning of quic-go about buffers that
// concerns nobody who does not look for throughput. It changes the whole process, so it is for a program's main, before
// [Open].
func QuietLibraries(h slog.Handler) {
	gologshim.SetDefaultHandler(errorsOnly{h})
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
}

// errorsOnly passes on errors.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

func (h errorsOnly) WithAttrs(a []slog.Attr) slog.Handler { return errorsOnly{h.Handler.WithAttrs(a)} }
func (h errorsOnly) WithGroup(g string) slog.Handler      { return errorsOnly{h.Handler.WithGroup(g)} }
