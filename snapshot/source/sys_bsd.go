//go:build darwin || freebsd

package source

import (
	"context"
	"errors"
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

// sysReadNames calls add with each name in the folder loc. The name is valid during the call.
func sysReadNames(ctx context.Context, loc location, _ *sync.Pool, add func(name []byte)) error {
	fd, err := openat(loc, ".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return readNames(ctx, os.NewFile(uintptr(fd), loc.path), add)
}
