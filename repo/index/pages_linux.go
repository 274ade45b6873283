package index

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// largePage is the size of a large page, as far as it matters here; with others memory is only slower.
const largePage = 2 << 20

// largePages returns n bytes of zeros, aligned to a large page if they fill one, and what gives them back.
func largePages(n int) ([]byte, func() error) {
	if n < largePage {
		return make([]byte, n), nil
	}
	all, err := unix.Mmap(-1, 0, n+largePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n), nil
	}
	skip := -uintptr(unsafe.Pointer(&all[0])) % largePage
	mem := all[skip : int(skip)+n]
	_ = unix.Madvise(mem[:n/largePage*largePage], unix.MADV_HUGEPAGE) // a kernel without them refuses; then pages are small
	return mem, func() error { return unix.Munmap(all) }
}
