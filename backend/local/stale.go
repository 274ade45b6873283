package local

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-backup/holdfast/internal/fsx"
)

// staleAge is how old a file in tmp/ must be to count as left by a crash.
const staleAge = 24 * time.Hour

// removeStale removes from tmp/ what crashed writers left. What cannot be removed does no harm but take up room.
func (s *Store) removeStale() {
	dir, err := s.root.Open(tmpFolder)
	if err != nil {
		return
	}
	entries, err := dir.ReadDir(-1)
	if errors.Join(err, dir.Close()) != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAge {
			s.removeUnlocked(filepath.Join(tmpFolder, e.Name()))
		}
	}
}

// removeUnlocked removes the file at name unless somebody has it locked.
func (s *Store) removeUnlocked(name string) {
	f, err := s.root.OpenFile(name, os.O_RDWR|fsx.NonBlock, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // nothing was written
	if err := fsx.TryLock(f); err == nil || errors.Is(err, errors.ErrUnsupported) {
		_ = s.root.Remove(name)
	}
}
