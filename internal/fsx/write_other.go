//go:build !linux

package fsx

import (
	"errors"
	"os"
)

// DirectUnit is what memory, offset and length of writes past the page cache must be multiples of, in bytes.
const DirectUnit = 4096

// Preallocate does nothing on this system.
func Preallocate(*os.File, int64) error { return nil }

// SetDirect fails: it is not used on this system.
func SetDirect(*os.File, bool) error { return errors.ErrUnsupported }

// Aligned reports false: nothing can be written past the page cache here.
func Aligned([]byte) bool { return false }

// IsNotDirect reports false, since SetDirect fails.
func IsNotDirect(error) bool { return false }
