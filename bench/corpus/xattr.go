//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"golang.org/x/sys/unix"
)

// listXattrs returns the sorted names of a file's extended attributes; none where the file system has none.
func listXattrs(path string) ([]string, error) {
	n, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing attributes: %w", err)
	}
	buf := make([]byte, n)
	n, err = unix.Llistxattr(path, buf)
	if err != nil {
		return nil, fmt.Errorf("listing attributes: %w", err)
	}
	var names []string
	for _, name := range bytes.Split(bytes.TrimSuffix(buf[:n], []byte{0}), []byte{0}) {
		names = append(names, string(name))
	}
	sort.Strings(names)
	return names, nil
}

func getXattr(path, name string) ([]byte, error) {
	n, err := unix.Lgetxattr(path, name, nil)
	if err != nil {
		return nil, fmt.Errorf("reading attribute %s: %w", name, err)
	}
	buf := make([]byte, n)
	if n == 0 {
		return buf, nil
	}
	n, err = unix.Lgetxattr(path, name, buf)
	if err != nil {
		return nil, fmt.Errorf("reading attribute %s: %w", name, err)
	}
	return buf[:n], nil
}
