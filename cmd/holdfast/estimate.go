package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// estimate is how much there is to do, counted while the work goes on.
type estimate struct {
	measured atomic.Pointer[snapshot.Measured]
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// newEstimate begins to measure what is backed up, if anybody looks at the progress.
func (a *app) newEstimate(ctx context.Context, set *sourceSet) *estimate {
	e := &estimate{}
	ctx, e.cancel = context.WithCancel(ctx)
	if a.out.quiet || !a.out.json && !a.out.errTerm {
		return e
	}
	e.running.Go(func() {
		if m, known, err := snapshot.Measure(ctx, set.measurable()); err == nil && known {
			e.measured.Store(&m)
		}
	})
	return e
}

// get returns files and bytes, zero until all are counted.
func (e *estimate) get() (files, bytes uint64) {
	if m := e.measured.Load(); m != nil {
		return m.Files, m.Bytes
	}
	return 0, 0
}

// stop ends the measuring and waits for that.
func (e *estimate) stop() {
	e.cancel()
	e.running.Wait()
}
