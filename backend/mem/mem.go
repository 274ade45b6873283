// Package mem is a store in memory, for tests and for repositories that live no longer than their process.
//
// It keeps the whole contract of package backend, and imitates a loss of power: [Store.Crash] returns a second store
// that holds only what was durable. Normally that is every object whose Put has returned; with Options.LazyDurability it
// is only what [Store.Sync] has made durable, which is how a disk behaves that acknowledges writes and loses them.
package mem

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-backup/holdfast/backend"
)

// Options are the options of [New]; nil means all fields zero.
type Options struct {
	// LazyDurability makes Put and Delete lasting only with the next [Store.Sync]: a breach of the contract, for tests
	// that need a store that lies.
	LazyDurability bool
}

// Store is a store in memory. It implements [backend.Store], [backend.Locker], [backend.Prober] and [backend.Locator].
type Store struct {
	lazy bool

	mu      sync.RWMutex
	closed  bool
	objects map[string][]byte // contents never change once they are here
	folders map[string]int    // how many objects lie below each "folder/"
	durable map[string][]byte // what a crash keeps; only with lazy
	locks   map[string]bool
}

// New returns an empty store.
func New(opts *Options) *Store {
	var o Options
	if opts != nil {
		o = *opts
	}
	return newStore(o.LazyDurability, nil)
}

func newStore(lazy bool, objects map[string][]byte) *Store {
	s := &Store{lazy: lazy, objects: map[string][]byte{}, folders: map[string]int{}, locks: map[string]bool{}}
	for key, b := range objects {
		s.set(key, b)
	}
	if lazy {
		s.durable = maps.Clone(s.objects)
	}
	return s
}

// Crash returns a new open store that holds what was durable in s at this moment, and no locks. Puts that have not
// returned are whole or absent. s itself goes on as if nothing had happened, so one run can be cut at many points.
func (s *Store) Crash() *Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.lazy {
		return newStore(true, s.durable)
	}
	return newStore(false, s.objects)
}

// Sync makes everything that s holds durable.
func (s *Store) Sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lazy {
		s.durable = maps.Clone(s.objects)
	}
}

// Put implements [backend.Store]. The store keeps a copy of the data.
func (s *Store) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	if err := s.put(ctx, key, src, size, opts != nil && opts.IfAbsent); err != nil {
		return fmt.Errorf("storing %s in memory: %w", key, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, key string, src io.ReaderAt, size int64, ifAbsent bool) error {
	if err := s.check(ctx, backend.CheckKey(key)); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("negative size %d: %w", size, fs.ErrInvalid)
	}
	b, err := read(ctx, src, size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, there := s.objects[key]; {
	case s.closed:
		return fs.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case there && ifAbsent:
		return fs.ErrExist
	case !there && s.conflicts(key):
		return backend.ErrConflict
	}
	s.set(key, b)
	return nil
}

// read returns a copy of the first size bytes of src, looking at ctx every so often.
func read(ctx context.Context, src io.ReaderAt, size int64) ([]byte, error) {
	const step = 1 << 20
	b := make([]byte, size)
	for off := int64(0); off < size; off += step {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := backend.ReadSource(src, b[off:min(off+step, size)], off); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Get implements [backend.Store].
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	b, err := s.object(ctx, key)
	if err == nil {
		n, err = backend.CheckRange(key, off, n, int64(len(b)))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s from memory: %w", key, err)
	}
	return &reader{ctx: ctx, b: b[off : off+n]}, nil
}

// Stat implements [backend.Store].
func (s *Store) Stat(ctx context.Context, key string) (backend.Info, error) {
	b, err := s.object(ctx, key)
	if err != nil {
		return backend.Info{}, fmt.Errorf("looking for %s in memory: %w", key, err)
	}
	return backend.Info{Key: key, Size: int64(len(b))}, nil
}

// List implements [backend.Store]. It shows the objects of the moment when the iteration begins.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		fail := func(err error) { yield(backend.Info{}, fmt.Errorf("listing %q in memory: %w", prefix, err)) }
		if err := s.check(ctx, backend.CheckPrefix(prefix)); err != nil {
			fail(err)
			return
		}
		for _, info := range s.list(prefix) {
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *Store) list(prefix string) []backend.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var infos []backend.Info
	for key, b := range s.objects {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, backend.Info{Key: key, Size: int64(len(b))})
		}
	}
	slices.SortFunc(infos, func(a, b backend.Info) int { return cmp.Compare(a.Key, b.Key) })
	return infos
}

// Delete implements [backend.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.object(ctx, key)
	if err == nil {
		err = s.remove(key)
	}
	if err != nil {
		return fmt.Errorf("deleting %s from memory: %w", key, err)
	}
	return nil
}

// Close implements [backend.Store]. The objects stay available to [Store.Crash].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// CreateIfAbsent implements [backend.Prober].
func (s *Store) CreateIfAbsent() backend.Primitive { return backend.PrimitiveAtomic }

// Location implements [backend.Locator].
func (s *Store) Location() string { return "memory" }

func (s *Store) check(ctx context.Context, keyErr error) error {
	if keyErr != nil {
		return keyErr
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fs.ErrClosed
	}
	return ctx.Err()
}

func (s *Store) object(ctx context.Context, key string) ([]byte, error) {
	if err := s.check(ctx, backend.CheckKey(key)); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.objects[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// set and remove keep the count of objects below each folder. The caller of set holds the lock.
func (s *Store) set(key string, b []byte) {
	if _, ok := s.objects[key]; !ok {
		for folder := range above(key) {
			s.folders[folder]++
		}
	}
	s.objects[key] = b
}

func (s *Store) remove(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; !ok {
		return fs.ErrNotExist
	}
	delete(s.objects, key)
	for folder := range above(key) {
		if s.folders[folder]--; s.folders[folder] == 0 {
			delete(s.folders, folder)
		}
	}
	return nil
}

// conflicts reports whether a folder could not hold a new object key beside the objects it has.
func (s *Store) conflicts(key string) bool {
	if s.folders[key] > 0 {
		return true
	}
	for folder := range above(key) {
		if _, ok := s.objects[folder]; ok {
			return true
		}
	}
	return false
}

// above yields the folders that key lies in: "a" and "a/b" for "a/b/c".
func above(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(key) {
			if key[i] == '/' && !yield(key[:i]) {
				return
			}
		}
	}
}
