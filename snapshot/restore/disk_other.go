//go:build !linux

package restore

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// exclusiveDevice is nothing here: devices in use are not noticed.
const exclusiveDevice = 0

func punch(*os.File, int64, int64) error      { return errors.ErrUnsupported }
func zeroDevice(*os.File, int64, int64) error { return errors.ErrUnsupported }
func allocate(*os.File, int64) error          { return nil }
func holeAt(*os.File, int64, int64) int64     { return 0 }
func startFlush(*os.File, int64, int64)       {}
func dataAt(_ *os.File, _, n int64) int64     { return n }
func dropCache(any)                           {}

// deviceSize fails: this system does not tell the size of devices by seeking.
func deviceSize(*os.File) (int64, error) { return 0, errors.ErrUnsupported }

func isInvalid(err error) bool { return errors.Is(err, syscall.EINVAL) }

func setFileTimes(f *os.File, access, modified time.Time) error {
	return os.Chtimes(f.Name(), access, modified)
}
