package snapshot

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/repo"
)

// counters are what workers count. BytesScanned is for showing progress and may count some bytes twice.
type counters struct {
	read, scanned atomic.Uint64
}

// task is work for one goroutine of the pool, with its scanner.
type task func(ctx context.Context, s *scanner) error

// pool runs tasks on a number of workers. Each carries what it is given all the way from reading to sealed segments, so the work
// scales with the workers. The first error ends them all.
type pool struct {
	group *errgroup.Group
	ctx   context.Context
	stop  context.CancelCauseFunc // ends the work because of an error elsewhere
	tasks chan task
	done  chan struct{} // closed when there are no more tasks
}

func newPool(ctx context.Context, session *repo.Session, workers int, c *counters) (*pool, error) {
	var scanners []*scanner
	for range workers {
		w, err := session.NewWriter(repo.Data)
		if err != nil {
			return nil, err
		}
		scanners = append(scanners, &scanner{data: w, counters: c})
	}
	ctx, stop := context.WithCancelCause(ctx)
	group, ctx := errgroup.WithContext(ctx)
	p := &pool{group: group, ctx: ctx, stop: stop, tasks: make(chan task), done: make(chan struct{})}
	for _, s := range scanners {
		group.Go(func() error { return p.work(s) })
	}
	return p, nil
}

func (p *pool) work(s *scanner) error {
	// After an error tasks still run, to let go of what they hold; they end at once.
	for more := true; more; {
		select {
		case t := <-p.tasks:
			if err := t(p.ctx, s); err != nil {
				return err
			}
		case <-p.done:
			more = false
		}
	}
	if err := context.Cause(p.ctx); err != nil {
		return err
	}
	return s.data.Flush(p.ctx)
}

// submit waits for a free worker. It fails when the pool's context has ended.
func (p *pool) submit(t task) error {
	select {
	case p.tasks <- t:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// beside runs what hands out tasks on a goroutine of its own. It is for tasks: a worker that waited for another one might wait forever.
func (p *pool) beside(fn func(context.Context) error) {
	p.group.Go(func() error { return fn(p.ctx) })
}

// wait lets the workers finish what was submitted, and store what they gathered.
func (p *pool) wait() error {
	close(p.done)
	defer p.stop(nil)
	return p.group.Wait()
}
