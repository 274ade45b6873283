// Package meter wraps a store and counts what passes: calls, failures and bytes, for each operation.
package meter

import (
	"context"
	"io"
	"iter"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/backend"
)

// Count says how much of one operation has passed.
type Count struct {
	// Calls is the number of calls begun.
	Calls int64
	// Failures is the number of calls that returned or yielded an error. One while reading what Get returned is not
	// counted.
	Failures int64
	// Bytes is the number of bytes stored by successful Puts, or read from what Get returned.
	Bytes int64
}

// Store is a store that counts. It implements [backend.Store].
type Store struct {
	inner backend.Store
	ops   [backend.NumOps]counter
}

type counter struct{ calls, failures, bytes atomic.Int64 }

func (c *counter) done(err error, bytes int64) {
	if err != nil {
		c.failures.Add(1)
		return
	}
	c.bytes.Add(bytes)
}

// New returns a store that counts what passes to inner. Closing it closes inner.
func New(inner backend.Store) *Store { return &Store{inner: inner} }

// Unwrap returns the store being counted, for [backend.As].
func (s *Store) Unwrap() backend.Store { return s.inner }

// Count returns the counts of op since New. Counts taken while operations run may be of slightly different moments. An
// op that is none has no counts.
func (s *Store) Count(op backend.Op) Count {
	if op >= backend.NumOps {
		return Count{}
	}
	c := &s.ops[op]
	return Count{Calls: c.calls.Load(), Failures: c.failures.Load(), Bytes: c.bytes.Load()}
}

// Total returns the sum of the counts of all operations.
func (s *Store) Total() Count {
	var t Count
	for op := range backend.NumOps {
		c := s.Count(op)
		t.Calls += c.Calls
		t.Failures += c.Failures
		t.Bytes += c.Bytes
	}
	return t
}

// Put implements [backend.Store].
func (s *Store) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	c := &s.ops[backend.OpPut]
	c.calls.Add(1)
	err := s.inner.Put(ctx, key, src, size, opts)
	c.done(err, size)
	return err
}

// Get implements [backend.Store].
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	c := &s.ops[backend.OpGet]
	c.calls.Add(1)
	r, err := s.inner.Get(ctx, key, off, n)
	c.done(err, 0)
	if err != nil {
		return nil, err
	}
	m := &reader{inner: r, c: c}
	if sized, ok := r.(backend.Sized); ok {
		return &sizedReader{m, sized}, nil
	}
	return m, nil
}

// Stat implements [backend.Store].
func (s *Store) Stat(ctx context.Context, key string) (backend.Info, error) {
	c := &s.ops[backend.OpStat]
	c.calls.Add(1)
	info, err := s.inner.Stat(ctx, key)
	c.done(err, 0)
	return info, err
}

// List implements [backend.Store].
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	c := &s.ops[backend.OpList]
	return func(yield func(backend.Info, error) bool) {
		c.calls.Add(1)
		for info, err := range s.inner.List(ctx, prefix) {
			c.done(err, 0)
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements [backend.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	c := &s.ops[backend.OpDelete]
	c.calls.Add(1)
	err := s.inner.Delete(ctx, key)
	c.done(err, 0)
	return err
}

// Close closes the inner store.
func (s *Store) Close() error { return s.inner.Close() }

type reader struct {
	inner io.ReadCloser
	c     *counter
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	r.c.bytes.Add(int64(n))
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.inner.Close() }

type sizedReader struct {
	*reader
	backend.Sized
}
