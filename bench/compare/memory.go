//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	leastFree  = 1 << 30 // bytes of memory that fillMemory leaves free
	fillerSize = 1 << 40
)

// filler is where fillMemory goes on; the file is one hole.
type filler struct {
	path string
	at   int64
}

func newFiller(folder string) *filler { return &filler{path: filepath.Join(folder, "filler")} }

// fillMemory fills free memory with cached pages that nobody needs, by reading a hole. So is a machine that has run for some time, and what is
// written then goes to memory that had something else before. Free memory may be with the hypervisor, which brings a page when it is
// touched, for a third of a second for each gigabyte and more: whoever writes first would pay for that.
func (f *filler) fillMemory() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("filling memory: %w", err)
	}
	if err := file.Truncate(fillerSize); err != nil {
		return errors.Join(fmt.Errorf("filling memory: %w", err), file.Close())
	}
	buf := make([]byte, 64<<20)
	for begin := f.at; f.at-begin < fillerSize/2; f.at += int64(len(buf)) {
		free, err := freeMemory()
		if err != nil || free < leastFree {
			return errors.Join(err, file.Close())
		}
		if _, err := file.ReadAt(buf, f.at%fillerSize); err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(fmt.Errorf("filling memory: %w", err), file.Close())
		}
	}
	return file.Close()
}

func freeMemory() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("asking for free memory: %w", err)
	}
	return int64(info.Freeram) * int64(info.Unit), nil
}
