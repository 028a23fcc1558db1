package blob

import (
	"context"
	"errors"

	"golang.org/x/time/rate"
)

// sliceOf returns how many bytes to send at a time: what takes 1/32 s, from 4 to 64 KiB. The streams that share a limiter
// take turns after each slice, so small ones make a slow link fair, and each of many streams shows progress.
func sliceOf(l *rate.Limiter) int {
	const least, most = 4 << 10, 64 << 10
	if l == nil || l.Limit() == rate.Inf {
		return most
	}
	return int(min(max(float64(l.Limit())/32, least), most))
}

// take takes n tokens from a limiter, in pieces that fit its burst; a nil limiter gives all.
func take(ctx context.Context, l *rate.Limiter, n int) error {
	if l == nil || l.Limit() == rate.Inf {
		return ctx.Err()
	}
	for n > 0 {
		k := min(n, l.Burst())
		if k < 1 {
			return errors.New("rate limiter has no burst: set it to at least 16 KiB")
		}
		if err := l.WaitN(ctx, k); err != nil {
			return err
		}
		n -= k
	}
	return nil
}
