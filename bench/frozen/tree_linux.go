package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"
)

// lines returns n bytes of text that compresses well and repeats nothing.
func lines(what string, n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s %08d: nothing of this line was there before\n", what, i)
	}
	return b.Bytes()[:n]
}

// noise returns n bytes that do not compress.
func noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// old is the time of change of most files.
var old = time.Unix(1_700_000_000, 123_456_789)

type builder struct {
	dir string
	err error
}

func (b *builder) do(err error) {
	b.err = errors.Join(b.err, err)
}

func (b *builder) path(name string) string { return filepath.Join(b.dir, name) }

func (b *builder) folder(name string) { b.do(os.MkdirAll(b.path(name), 0o755)) }

func (b *builder) file(name string, content []byte) {
	b.do(os.WriteFile(b.path(name), content, 0o644))
	b.do(os.Chtimes(b.path(name), old, old))
}

// makeTree fills a folder with everything that a tree may have.
func makeTree(dir string) error {
	b := &builder{dir: dir}
	b.folder("many")
	for i := range 230 {
		b.file(fmt.Sprintf("many/name-%03d", i), nil)
	}
	b.folder("nested/a/b/c")
	b.folder("void")
	b.file("nested/a/b/c/deep.txt", []byte("at the bottom\n"))
	b.file("nested/unchanged.bin", noise(1, 20_000))
	b.file("empty", nil)
	b.file("small.txt", []byte("hello\n"))
	b.file("not\xffutf8\n\x01", []byte("its name is no text\n"))
	b.file("läuft.txt", []byte("its name is not ASCII\n"))
	b.file("log.txt", lines("log", 1_500_000))
	b.file("constant.bin", bytes.Repeat([]byte{0xaa}, 1<<20))
	b.file("cycle.txt", bytes.Repeat(lines("cycle", 1<<20), 4))
	b.file("zeros.bin", make([]byte, 300_000))
	b.sparse("sparse.img")
	b.file("hard-1", []byte("one file, three names\n"))
	b.do(os.Link(b.path("hard-1"), b.path("hard-2")))
	b.do(os.Link(b.path("hard-1"), b.path("nested/hard-3")))
	b.do(os.Symlink("small.txt", b.path("link")))
	b.do(os.Symlink("/nowhere/\xfe/at all", b.path("dangling")))
	b.do(unix.Mkfifo(b.path("fifo"), 0o600))
	b.file("setuid", []byte("#!/bin/true\n"))
	b.do(os.Lchown(b.path("setuid"), 1234, 56789))
	b.do(unix.Chmod(b.path("setuid"), 0o6751))
	b.folder("sticky")
	b.do(unix.Chmod(b.path("sticky"), 0o1777))
	b.do(unix.Mknod(b.path("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	b.do(unix.Mknod(b.path("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 300))))
	b.file("attributes", []byte("it has two\n"))
	b.do(xattr.Set(b.path("attributes"), "user.colour", []byte("green")))
	b.do(xattr.Set(b.path("attributes"), "user.binary", []byte{0, 1, 254, 255}))
	b.do(xattr.Set(b.path("void"), "user.folder", nil))
	past := unix.Timespec{Sec: -5_000_000, Nsec: 999}
	b.do(unix.UtimesNanoAt(unix.AT_FDCWD, b.path("small.txt"), []unix.Timespec{past, past}, 0))
	return b.err
}

// sparse makes a file of 1 MiB with data at the start, in the middle and at the end.
func (b *builder) sparse(name string) {
	f, err := os.Create(b.path(name))
	if err != nil {
		b.do(err)
		return
	}
	b.do(f.Truncate(1<<20 + 100))
	for off, text := range map[int64]string{0: "start", 500_000: "middle", 1<<20 + 90: "the end..."} {
		_, err := f.WriteAt([]byte(text), off)
		b.do(err)
	}
	b.do(f.Close())
	b.do(os.Chtimes(b.path(name), old, old))
}

// changeTree changes the folder as a day's work would.
func changeTree(dir string) error {
	b := &builder{dir: dir}
	log := append(lines("log", 1_500_000), "one line more\n"...)
	copy(log[700_000:], "changed in the middle")
	b.file("log.txt", log)
	b.do(os.Remove(b.path("many/name-100")))
	b.file("many/name-100a", []byte("new\n"))
	b.do(os.Rename(b.path("small.txt"), b.path("renamed.txt")))
	b.do(os.Remove(b.path("dangling")))
	b.folder("nested/new")
	b.file("nested/new/file", noise(2, 5_000))
	b.file("empty", []byte("not any more\n"))
	b.do(unix.Chmod(b.path("nested/a"), 0o700))
	b.do(os.Remove(b.path("nested/hard-3")))
	return b.err
}
