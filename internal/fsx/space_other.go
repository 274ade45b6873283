//go:build !(linux || darwin || freebsd || windows)

package fsx

import (
	"errors"
	"fmt"
)

// Space fails: this system is not supported.
func (d *Dir) Space() (free, total int64, err error) {
	return 0, 0, fmt.Errorf("asking for the free space at %s: %w", d.Name(), errors.ErrUnsupported)
}
