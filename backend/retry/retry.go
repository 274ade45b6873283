// Package retry wraps a store and tries failed operations again, for stores behind networks.
//
// Errors that trying again cannot cure ([backend.IsPermanent]) and the end of the caller's context are returned at once;
// all others lead to another try after a pause that grows and is partly random. The data to store can be read again
// ([io.ReaderAt]), so every Put can be repeated; a reader that breaks goes on where it stopped; a listing goes on after
// the last key it gave.
//
// A try that fails may still have been carried out. Two results of a later try are therefore taken for success: that
// the object of a Put with IfAbsent exists, if it holds the very bytes that were to be stored, and that the object of a
// Delete is missing. If another writer stored equal bytes under the same key at the same moment, both succeed; what
// must have a single winner has to differ from writer to writer. And a reader that goes on takes the object to be the
// same as before: one that is replaced while it is read gives a mixture.
package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
)

// Options are the options of [New]; nil means the defaults, and so does each zero field.
type Options struct {
	// Attempts is how often an operation is tried in all; the default is 8. For reading and listing it counts the
	// tries since something was last received.
	Attempts int
	// MinDelay is the pause after the first failure; it doubles with each further one. The default is 250 ms. Of
	// every pause up to one half is taken off at random.
	MinDelay time.Duration
	// MaxDelay is the longest pause; the default is 30 s.
	MaxDelay time.Duration
	// OnRetry, if not nil, is told of each failure that is followed by another try, by the goroutine it happened in.
	OnRetry func(Event)
}

// Event describes a failure that will be tried again.
type Event struct {
	// Op is the operation that failed.
	Op backend.Op
	// Key is the key or prefix it was for.
	Key string
	// Attempt is the number of the try that failed, from 1.
	Attempt int
	// Pause is how long the next try will wait.
	Pause time.Duration
	// Err is why it failed.
	Err error
}

func (o *Options) validate() error {
	if o.Attempts == 0 {
		o.Attempts = 8
	}
	if o.MinDelay == 0 {
		o.MinDelay = 250 * time.Millisecond
	}
	if o.MaxDelay == 0 {
		o.MaxDelay = max(30*time.Second, o.MinDelay)
	}
	if o.Attempts < 1 || o.MinDelay < 0 || o.MaxDelay < o.MinDelay {
		return fmt.Errorf("invalid retry options: %d attempts, pauses from %v to %v", o.Attempts, o.MinDelay, o.MaxDelay)
	}
	return nil
}

// Store is a store that tries again. It implements [backend.Store].
type Store struct {
	inner backend.Store
	opts  Options
}

// New returns a store that tries the operations of inner again. Closing it closes inner. Negative options, and a
// MaxDelay below MinDelay, are errors.
func New(inner backend.Store, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Store{inner: inner, opts: o}, nil
}

// Unwrap returns the store whose operations are tried again, for [backend.As].
func (s *Store) Unwrap() backend.Store { return s.inner }

// Stat implements [backend.Store].
func (s *Store) Stat(ctx context.Context, key string) (info backend.Info, err error) {
	err = s.do(ctx, backend.OpStat, key, func(int) error {
		info, err = s.inner.Stat(ctx, key)
		return err
	})
	return info, err
}

// Close closes the inner store.
func (s *Store) Close() error { return s.inner.Close() }

// do calls try with 0, 1, 2... until it succeeds or trying again is no use, and returns its last error.
func (s *Store) do(ctx context.Context, op backend.Op, key string, try func(failures int) error) error {
	for failures := 0; ; {
		err := try(failures)
		if err == nil {
			return nil
		}
		failures++
		if err := s.pause(ctx, op, key, failures, err); err != nil {
			return err
		}
	}
}

// pause waits after the given number of failures in a row, the last of which was err. It returns an error, err itself if
// there is no better one, when there is to be no other try.
func (s *Store) pause(ctx context.Context, op backend.Op, key string, failures int, err error) error {
	switch cerr := ctx.Err(); {
	case backend.IsPermanent(err) || errors.Is(err, cerr):
		return err
	case cerr != nil:
		return fmt.Errorf("%w after: %w", cerr, err)
	}
	if failures >= s.opts.Attempts {
		return fmt.Errorf("gave up after %d tries: %w", failures, err)
	}
	d := s.delay(failures)
	if s.opts.OnRetry != nil {
		s.opts.OnRetry(Event{Op: op, Key: key, Attempt: failures, Pause: d, Err: err})
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w while waiting to try again after: %w", ctx.Err(), err)
	case <-timer.C:
		return nil
	}
}

// delay returns the pause after the given number of failures, at least 1.
func (s *Store) delay(failures int) time.Duration {
	d := s.opts.MaxDelay
	if shift := failures - 1; shift < 62 && s.opts.MinDelay <= s.opts.MaxDelay>>shift {
		d = s.opts.MinDelay << shift
	}
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

// closeAfter closes r and returns its error if err is nil, else err.
func closeAfter(r io.Closer, err error) error {
	if cerr := r.Close(); err == nil {
		return cerr
	}
	return err
}
