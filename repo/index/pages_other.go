//go:build !linux

package index

// largePages returns n bytes of zeros, and what gives them back.
func largePages(n int) ([]byte, func() error) { return make([]byte, n), nil }
