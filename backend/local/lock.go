package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/fsx"
)

// TryLock implements [backend.Locker] with a lock of the kernel (flock) on a file below locks/. The file stays when the
// lock is released, since removing it would let two holders lock different files of one name. A lock is held until it is
// closed, even when the store is closed before.
func (s *Store) TryLock(ctx context.Context, name string) (io.Closer, error) {
	err := s.checkWrite(ctx, backend.CheckKey(name))
	var l *lock
	if err == nil {
		l, err = s.openLock(name)
	}
	if err != nil {
		return nil, s.failed("locking", name, err)
	}
	return l, nil
}

func (s *Store) openLock(name string) (*lock, error) {
	file := filepath.FromSlash(path.Join(locksFolder, name))
	if err := s.root.MkdirAll(filepath.Dir(file), folderPerm); err != nil {
		return nil, err
	}
	f, err := s.root.OpenFile(file, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := fsx.TryLock(f); err != nil {
		if errors.Is(err, fsx.ErrLocked) {
			err = backend.ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return &lock{close: sync.OnceValue(f.Close)}, nil
}

type lock struct{ close func() error }

// Close releases the lock.
func (l *lock) Close() error {
	if err := l.close(); err != nil {
		return fmt.Errorf("releasing a lock: %w", err)
	}
	return nil
}
