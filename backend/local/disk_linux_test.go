package local_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
)

var ifAbsent = &backend.PutOptions{IfAbsent: true}

// tmpfs mounts a small file system in memory, or skips the test.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "size=8m")
	s := create(t, dir)
	big := make([]byte, 5<<20)
	require.NoError(t, backend.PutBytes(t.Context(), s, "packs/0", big, ifAbsent))
	requireFull := func(key string, src io.ReaderAt, size int64) {
		t.Helper()
		for _, opts := range []*backend.PutOptions{nil, ifAbsent} {
			err := s.Put(t.Context(), key, src, size, opts)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.True(t, backend.IsPermanent(err))
			require.ErrorContains(t, err, key)
			require.ErrorContains(t, err, dir)
			_, err = s.Stat(t.Context(), key)
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		requireEmptyFolder(t, filepath.Join(dir, "tmp"))
	}
	requireFull("packs/1", backend.Bytes(big), int64(len(big)))
	requireFull("packs/1", bytes.NewReader(big), int64(len(big)))
	for i := range 2 {
		require.NoError(t, backend.PutBytes(t.Context(), s, fmt.Sprintf("packs/1m-%d", i), big[:1<<20], ifAbsent))
	}
	require.NoError(t, backend.PutBytes(t.Context(), s, "packs/half", big[:1<<19], ifAbsent))
	requireFull("packs/1", backend.Bytes(big), 1<<20) // small enough not to be reserved beforehand
	requireFull("packs/1", bytes.NewReader(big), 1<<20)

	again, err := local.Open(dir, nil)
	require.NoError(t, err, "a full store must open, or nobody could make room")
	require.NoError(t, again.Delete(t.Context(), "packs/0"))
	require.NoError(t, again.Close())
	require.NoError(t, backend.PutBytes(t.Context(), s, "packs/1", big, ifAbsent))
	require.Equal(t, []string{"packs/1", "packs/1m-0", "packs/1m-1", "packs/half"}, keys(t, s))
}

// TestNoInodes runs out of names rather than of bytes.
func TestNoInodes(t *testing.T) {
	dir := tmpfs(t, "size=8m,nr_inodes=12")
	s := create(t, dir)
	var err error
	stored := 0
	for ; stored < 20; stored++ {
		if err = backend.PutBytes(t.Context(), s, fmt.Sprintf("a/%02d", stored), []byte("x"), ifAbsent); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.True(t, backend.IsPermanent(err))
	require.Len(t, keys(t, s), stored)
	require.NotZero(t, stored)
	requireEmptyFolder(t, filepath.Join(dir, "tmp"))
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := tmpfs(t, "size=8m")
	put(t, create(t, dir), "a/b", "1")
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	s := create(t, dir)
	requireValue(t, s, "a/b", "1")
	require.Equal(t, []string{"a/b"}, keys(t, s))
	require.Equal(t, backend.PrimitiveNone, s.CreateIfAbsent())
	_, lockErr := s.TryLock(t.Context(), "l")
	for _, err := range []error{
		backend.PutBytes(t.Context(), s, "a/c", nil, nil), backend.PutBytes(t.Context(), s, "a/c", nil, ifAbsent),
		backend.PutBytes(t.Context(), s, "new/c", nil, ifAbsent), s.Delete(t.Context(), "a/b"), lockErr,
	} {
		require.ErrorIs(t, err, syscall.EROFS)
		require.True(t, backend.IsPermanent(err))
		require.ErrorContains(t, err, dir)
	}
}

func TestCapacity(t *testing.T) {
	s := create(t, tmpfs(t, "size=8m"))
	free, total, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 8<<20, total)
	require.Greater(t, free, int64(7<<20))
	require.NoError(t, backend.PutBytes(t.Context(), s, "a", make([]byte, 2<<20), nil))
	after, _, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, free-after)
}

// TestPowerLoss cuts off a file system in the middle of many Puts and mounts it again: what was stored is there, what
// was not is whole or absent.
func TestPowerLoss(t *testing.T) {
	disk := newDisk(t)
	disk.mount()
	dir := filepath.Join(disk.dir, "store")
	s, err := local.Create(dir, nil)
	require.NoError(t, err)
	unflushed := func(n int) string { return filepath.Join(disk.dir, fmt.Sprintf("unflushed-%d", n)) }
	written := 0
	stored := putUntil(t, s, func(enough func()) {
		time.Sleep(500 * time.Millisecond)
		// What nobody flushed has to be lost, or this test shows nothing. It is written until the end, since a busy system soon flushes it by itself.
		for ; written < 16; written++ {
			require.NoError(t, os.WriteFile(unflushed(written), contentOf("unflushed"), 0o600))
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for os.WriteFile(unflushed(written), contentOf("unflushed"), 0o600) == nil {
				written++
			}
		}()
		enough() // a process does not outlive a loss of power, and what XFS says to one that does is not always true
		disk.cut()
		<-ended
	})
	require.NoError(t, s.Close())
	disk.unmount()
	disk.mount()
	lost := 0
	for n := range written {
		if b, err := os.ReadFile(unflushed(n)); err != nil || !bytes.Equal(b, contentOf("unflushed")) {
			lost++
		}
	}
	require.NotZero(t, lost, "the disk lost nothing of %d files", written)
	s = create(t, dir)
	requireWholeObjects(t, s, stored)
	put(t, s, "after", "1")
	require.NoError(t, s.Close())
}

// TestPastThePageCache stores sources in memory of sizes and at addresses that can be written past the page cache as a whole, in part, or
// not at all.
func TestPastThePageCache(t *testing.T) {
	for name, dir := range map[string]string{"disk": t.TempDir(), "tmpfs": tmpfs(t, "size=64m")} {
		t.Run(name, func(t *testing.T) {
			s := create(t, dir)
			memory := make([]byte, 10<<20)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(memory)
			for _, size := range []int{1<<20 - 1, 1 << 20, 1<<20 + 1, 1<<20 + 4095, 9<<20 + 512} {
				for _, at := range []int{0, 1, 512, 4096} {
					b := memory[at : at+size]
					require.NoError(t, backend.PutBytes(t.Context(), s, "a", b, nil))
					got, err := backend.ReadAll(t.Context(), s, "a", int64(size))
					require.NoError(t, err)
					require.True(t, bytes.Equal(b, got), "%d bytes at %d", size, at)
				}
			}
		})
	}
}

// putUntil stores objects in parallel until that fails after end has returned, and returns the keys of those stored before
// end calls enough.
func putUntil(t *testing.T, s backend.Store, end func(enough func())) []string {
	var mu sync.Mutex
	counts := true
	var stored []string
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("packs/%d-%d/%d", w, i/5, i)
				if backend.PutBytes(t.Context(), s, key, contentOf(key), &backend.PutOptions{IfAbsent: i%2 == 0}) != nil {
					return
				}
				mu.Lock()
				if counts {
					stored = append(stored, key)
				}
				mu.Unlock()
			}
		})
	}
	end(func() {
		mu.Lock()
		defer mu.Unlock()
		counts = false
	})
	wg.Wait()
	return stored
}

// disk is a file system in a file, which can lose power.
type disk struct {
	t          *testing.T
	image, dir string
	mounted    bool
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system")
	}
	for _, tool := range []string{"mkfs.xfs", "xfs_io", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (packages xfsprogs, mount)", tool)
		}
	}
	base := t.TempDir()
	d := &disk{t: t, image: filepath.Join(base, "image"), dir: filepath.Join(base, "mnt")}
	require.NoError(t, os.Mkdir(d.dir, 0o700))
	f, err := os.Create(d.image)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(512<<20))
	require.NoError(t, f.Close())
	d.run("mkfs.xfs", "-q", d.image)
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		t.Skipf("needs loop mounts of XFS: %v: %s", err, out)
	}
	d.mounted = true
	d.unmount()
	t.Cleanup(func() {
		if d.mounted {
			d.unmount()
		}
	})
	return d
}

func (d *disk) mount() {
	d.run("mount", "-o", "loop", d.image, d.dir)
	d.mounted = true
}

func (d *disk) unmount() {
	d.run("umount", d.dir)
	d.mounted = false
}

// cut stops the file system at once, without flushing its log.
func (d *disk) cut() { d.run("xfs_io", "-x", "-c", "shutdown", d.dir) }

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(d.t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

// TestBadSectors reads what is on blocks that a disk cannot read any more: the error says so, and that trying again is of no use. The disk is a loop device of which the
// file behind it was cut off.
func TestBadSectors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (packages e2fsprogs, mount)", tool)
		}
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
	}
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 64<<20))
	run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", image)
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("needs loop devices: %s", out)
	}
	t.Cleanup(func() { run("umount", "-l", dir) })
	s := create(t, dir)
	large := make([]byte, 40<<20) // more than stays
	require.NoError(t, backend.PutBytes(t.Context(), s, "packs/large", large, nil))
	unix.Sync()
	require.NoError(t, os.Truncate(image, 32<<20))
	f, err := os.Open(filepath.Join(dir, "packs", "large"))
	require.NoError(t, err)
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	require.NoError(t, f.Close())
	_, err = backend.ReadAll(t.Context(), s, "packs/large", 1<<30)
	damaged := new(backend.DamagedError)
	require.ErrorAs(t, err, &damaged)
	require.Equal(t, "packs/large", damaged.Key)
	require.ErrorIs(t, err, syscall.EIO)
	require.True(t, backend.IsPermanent(err))
	require.ErrorContains(t, err, dir)
}
