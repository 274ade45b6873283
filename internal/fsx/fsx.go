// Package fsx holds the file system calls that crash-safe, race-safe storage needs and package os does not offer: files
// handled relative to an open folder, folders flushed to disk, names created only where none was, locks held by the
// kernel.
//
// Calls that a system lacks fail with an error that is errors.ErrUnsupported, except where a comment says that they do
// nothing.
package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked is returned by [TryLock] when somebody else has the lock.
var ErrLocked = errors.New("file is locked")

// SyncFolder opens the folder at path and flushes it as [Dir.Sync] does.
func SyncFolder(path string) error {
	d, err := OpenDir(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// MkdirAll makes the folder path and those above it with permissions perm, and makes the entries of all new ones
// durable. A folder that is already there is left as it is; anything else there is an error.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("making folder %s: a file is in the way: %w", path, fs.ErrExist)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil {
		if info, serr := os.Stat(path); serr == nil && info.IsDir() {
			return nil
		}
		return err
	}
	return SyncFolder(parent)
}
