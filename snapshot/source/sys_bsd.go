//go:build darwin || freebsd

package source

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	noatime  = 0
	pathOnly = 0

	seekData = unix.SEEK_DATA
	seekHole = unix.SEEK_HOLE
)

// isNoData reports the answer of SEEK_DATA where no data follows.
func isNoData(err error) bool { return errors.Is(err, unix.ENXIO) }

// isGone reports that the whole device is away, so that trying its other parts is no use.
func isGone(err error) bool { return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) }

func openDisk(path string) (*os.File, error) { return os.Open(path) }

// There are no such hints here.
func adviseSequential(*os.File)             {}
func advisePrefetch(*os.File, int64, int64) {}
func adviseDrop(*os.File, int64, int64)     {}

// sysReadNames calls add with each name in the folder loc. The name is valid during the call.
func sysReadNames(ctx context.Context, loc location, _ *sync.Pool, add func(name []byte)) error {
	fd, err := openat(loc, ".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), loc.path)
	defer f.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			add([]byte(name))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// attrPaths returns the path for calls on extended attributes of name at loc, twice.
func attrPaths(loc location, name string) (string, string) {
	p := loc.below(name)
	return p, p
}

func noXattrs(location, string, bool) bool { return false }
