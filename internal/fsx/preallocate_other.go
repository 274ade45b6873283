//go:build !linux

package fsx

import "os"

// Preallocate does nothing on this system.
func Preallocate(*os.File, int64) error { return nil }
