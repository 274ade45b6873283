//go:build (amd64 || arm64) && !race

package zstdenc

import "unsafe"

// Bounds are not checked here, but for tests under the race detector (load_checked.go): that would cost a fifth of the time that finding matches takes. Callers make sure
// that eight or four bytes are there.

func load64(b []byte, i int) uint64 {
	return *(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}

func load32(b []byte, i int) uint32 {
	return *(*uint32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}
