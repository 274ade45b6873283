package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/backend"
)

// List implements [backend.Store]. It reads one folder at a time.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		err := s.check(ctx, backend.CheckPrefix(prefix))
		if err == nil {
			w := walker{s: s, ctx: ctx, yield: yield}
			err = w.walk(prefix)
		}
		if err != nil && err != errStopped {
			yield(backend.Info{}, fmt.Errorf("listing %q in %s: %w", prefix, s.path, err))
		}
	}
}

var errStopped = errors.New("the caller wants no more")

type walker struct {
	s     *Store
	ctx   context.Context
	yield func(backend.Info, error) bool
}

// walk yields what lies in the folder whose keys begin with prefix: empty, or ending with "/".
func (w *walker) walk(prefix string) error {
	entries, err := w.s.entries(strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		key := prefix + e.name
		if e.dir {
			if err := w.walk(key + "/"); err != nil {
				return err
			}
		} else if !w.yield(backend.Info{Key: key, Size: e.size}, nil) {
			return errStopped
		}
	}
	return nil
}

type entry struct {
	name string
	size int64
	dir  bool
}

// entries returns the objects and folders in the folder at dir, in the order of the keys they stand for. A folder that
// is not there, or that is none, holds nothing.
func (s *Store) entries(dir string) ([]entry, error) {
	name := filepath.FromSlash(dir)
	if dir == "" {
		name = "."
	} else if info, err := s.root.Lstat(name); err == nil && !info.IsDir() {
		return nil, nil
	}
	f, err := s.root.Open(name)
	if err != nil {
		if errors.Is(missing(err), fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	if dir == "" {
		return choose(f, "")
	}
	entries, err := choose(f, dir+"/")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it was empty, and removed since it was opened
	}
	return entries, err
}

// choose returns those of a folder's entries that are objects or may hold some, sorted.
func choose(folder fs.ReadDirFile, prefix string) ([]entry, error) {
	all, err := folder.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(all))
	for _, e := range all {
		if !(e.IsDir() || e.Type().IsRegular()) || backend.CheckKey(prefix+e.Name()) != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: e.Name(), size: info.Size(), dir: e.IsDir()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return compare(a, b) })
	return entries, nil
}

// compare orders entries as their keys are: those in a folder all begin with its name and "/".
func compare(a, b entry) int {
	x, y := a.name, b.name
	if a.dir {
		x += "/"
	}
	if b.dir {
		y += "/"
	}
	return strings.Compare(x, y)
}
