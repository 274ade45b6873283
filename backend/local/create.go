package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/fsx"
)

// method is a way to give a file a name that nobody has.
type method uint8

const (
	methodUnknown method = iota
	methodLink
	methodRename
	methodLockFile
)

// createLock is the lock file of methodLockFile; it is no valid name for TryLock.
const createLock = "+create"

// CreateIfAbsent implements [backend.Prober]. The first call tries it out in tmp/.
func (s *Store) CreateIfAbsent() backend.Primitive {
	if s.checkWrite(context.Background(), nil) != nil {
		return backend.PrimitiveNone
	}
	switch m, _ := s.createMethod(); m {
	case methodLink, methodRename:
		return backend.PrimitiveAtomic
	case methodLockFile:
		return backend.PrimitiveSingleWriter
	}
	return backend.PrimitiveNone
}

// create gives the file called name in tmp the name base in d, unless that is taken: fs.ErrExist.
func (s *Store) create(ctx context.Context, tmp *fsx.Dir, name string, d *fsx.Dir, base string) error {
	m, err := s.createMethod()
	if err != nil {
		return err
	}
	switch m {
	case methodLink:
		err := fsx.Link(tmp, name, d, base)
		if errors.Is(err, fs.ErrExist) && fsx.Same(tmp, name, d, base) {
			return nil // a network file system did it twice: the name is ours
		}
		return err
	case methodRename:
		return fsx.RenameNoReplace(tmp, name, d, base)
	}
	return s.createAlone(ctx, tmp, name, d, base)
}

// createAlone does what create does while it holds a lock that all its callers need.
func (s *Store) createAlone(ctx context.Context, tmp *fsx.Dir, name string, d *fsx.Dir, base string) error {
	for {
		lock, err := s.openLock(createLock)
		if err == nil {
			err = renameChecked(tmp, name, d, base)
			return errors.Join(err, lock.Close())
		}
		if !errors.Is(err, backend.ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func renameChecked(tmp *fsx.Dir, name string, d *fsx.Dir, base string) error {
	taken, err := d.Has(base)
	if err != nil {
		return err
	}
	if taken {
		return fs.ErrExist
	}
	return fsx.Rename(tmp, name, d, base)
}

// createMethod returns the method for this store, found out by trying. Writers whose methods were a mixture of
// methodLockFile and the others would not see one another, so a method is only passed over when it is known not to work
// here, not when some file was refused.
func (s *Store) createMethod() (method, error) {
	s.probing.Lock()
	defer s.probing.Unlock()
	if s.method != methodUnknown {
		return s.method, nil
	}
	var m method
	err := s.folders.use(tmpFolder, func(tmp *fsx.Dir) (err error) {
		m, err = tryMethods(tmp)
		return err
	})
	if err != nil {
		return methodUnknown, fmt.Errorf("trying how files can be created safely: %w", err)
	}
	s.method = m
	return m, nil
}

// tryMethods returns the first method that works in tmp.
func tryMethods(tmp *fsx.Dir) (method, error) {
	if ok, err := works(fsx.Link, tmp); ok || err != nil {
		return methodLink, err
	}
	if ok, err := works(fsx.RenameNoReplace, tmp); ok || err != nil {
		return methodRename, err
	}
	name := randomName()
	f, err := tmp.Create(name, filePerm)
	if err != nil {
		return methodUnknown, err
	}
	err = errors.Join(fsx.TryLock(f), f.Close(), tmp.Remove(name))
	return methodLockFile, err
}

// works reports whether create gives a file in tmp a new name and refuses one that is taken. Its error means that this
// could not be found out.
func works(create func(*fsx.Dir, string, *fsx.Dir, string) error, tmp *fsx.Dir) (bool, error) {
	first, second, target := randomName(), randomName(), randomName()
	for _, name := range []string{first, second, target} {
		defer func() { _ = tmp.Remove(name) }() // which of them exist differs
	}
	for _, name := range []string{first, second} {
		f, err := tmp.Create(name, filePerm)
		if err != nil {
			return false, err
		}
		if err := f.Close(); err != nil {
			return false, err
		}
	}
	switch err := create(tmp, first, tmp, target); {
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission):
		return false, nil
	case err != nil:
		return false, err
	}
	return errors.Is(create(tmp, second, tmp, target), fs.ErrExist), nil
}

func randomName() string { return strings.ToLower(rand.Text()) }
