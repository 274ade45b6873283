package mem

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/holdfast-backup/holdfast/backend"
)

// TryLock implements [backend.Locker]. The lock is one of this store: one made by [Store.Crash] does not have it.
func (s *Store) TryLock(ctx context.Context, name string) (io.Closer, error) {
	err := s.check(ctx, backend.CheckKey(name))
	if err == nil {
		err = s.lock(name)
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s in memory: %w", name, err)
	}
	return &lock{s: s, name: name}, nil
}

func (s *Store) lock(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[name] {
		return backend.ErrLocked
	}
	s.locks[name] = true
	return nil
}

type lock struct {
	s    *Store
	name string
	once sync.Once
}

// Close releases the lock.
func (l *lock) Close() error {
	l.once.Do(func() {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		delete(l.s.locks, l.name)
	})
	return nil
}
