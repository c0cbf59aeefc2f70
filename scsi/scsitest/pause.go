package scsitest

import (
	"context"
	"time"
)

// Pause lets time pass in a synctest bubble; it ends early, with its cause, when
// ctx is done. It is a deadline and no timer with a channel: under the race detector
// several of those that end at once share its one state of the bubble, and crash it
// (Go 1.26).
func Pause(ctx context.Context, d time.Duration) error {
	waited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-waited.Done()
	return context.Cause(ctx)
}
