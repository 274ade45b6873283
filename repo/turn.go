package repo

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// turn is a mutex that is held over calls to the store: who waits for it can give up.
type turn struct{ s *semaphore.Weighted }

func newTurn() turn { return turn{semaphore.NewWeighted(1)} }

// take waits for the turn, no longer than the context lasts.
func (t turn) take(ctx context.Context) error {
	if t.s.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (t turn) pass() { t.s.Release(1) }
