//go:build !linux

package source

import (
	"context"
	"io"
	"os"
)

// What only Linux has is left out here, or done in the one way that works everywhere.

func openDisk(path string) (*os.File, error) { return os.Open(path) }

func adviseSequential(*os.File)             {}
func advisePrefetch(*os.File, int64, int64) {}
func adviseDrop(*os.File, int64, int64)     {}

// readNames calls add with each name in the open folder, which it closes. The name is valid during the call.
func readNames(ctx context.Context, f *os.File, add func(name []byte)) error {
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

func madeUp(*os.File) bool { return false }

// diskUse has no way to find out here.
func diskUse(*os.File, string, bool, *Entry) string { return "" }

// deviceWrites has nothing to count here.
func deviceWrites(*os.File, uint64) []uint64 { return nil }
