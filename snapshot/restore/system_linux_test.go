package restore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, " + why)
	}
}

// blocks returns how many bytes of disk a file takes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return st.Blocks * 512
}

// TestSparse expects exactly the pages that are not zeros to take space.
func TestSparse(t *testing.T) {
	rng := newRand(t)
	data := make([]byte, 8<<20)
	for off := 0; off < len(data); off += 4096 {
		if rng.IntN(3) == 0 {
			data[off+rng.IntN(4096)] = 1
		}
	}
	clear(data[3<<20 : 5<<20])
	pages := int64(0)
	for off := 0; off < len(data); off += 4096 {
		if !bytes.Equal(data[off:off+4096], make([]byte, 4096)) {
			pages++
		}
	}
	b := newBench(t, small)
	c := b.save(data)
	r := b.commit(c)
	path := tempFile(t)
	_, err := restore.ImageFile(t.Context(), r, c, path, nil)
	require.NoError(t, err)
	requireFile(t, path, data)
	require.InDelta(t, pages*4096, blocks(t, path), 32<<10, "but for what the file system needs itself")

	// In place, holes come back where zeros are.
	require.NoError(t, os.WriteFile(path, randomBytes(rng, len(data)), 0o600))
	_, err = restore.ImageFile(t.Context(), r, c, path, &restore.ImageOptions{InPlace: true})
	require.NoError(t, err)
	requireFile(t, path, data)
	require.LessOrEqual(t, blocks(t, path), int64(len(data)-2<<20+64<<10))

	// Only what is there is taken out of a hole.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	for _, off := range []int64{3<<20 + 300_000, 4 << 20} {
		_, err = f.WriteAt([]byte{1}, off)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	stats, err := restore.ImageFile(t.Context(), r, c, path, &restore.ImageOptions{InPlace: true})
	require.NoError(t, err)
	requireFile(t, path, data)
	require.Positive(t, stats.Written)
	require.LessOrEqual(t, stats.Written, int64(512<<10), "two blocks, and not the hole they were in")

	_, err = restore.ImageFile(t.Context(), r, c, path, &restore.ImageOptions{Options: restore.Options{NoSparse: true}})
	require.NoError(t, err)
	requireFile(t, path, data)
	require.GreaterOrEqual(t, blocks(t, path), int64(len(data)))
}

// tmpfs mounts a small file system in memory, or skips the test.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	needRoot(t, "to mount a small file system")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "size=4m")
	rng := newRand(t)
	items := []*item{file("big", randomBytes(rng, 8<<20)), text("small", "s")}
	_, r, root := stored(t, items...)
	for _, o := range []restore.Options{{}, {NoSparse: true}} {
		_, err := restore.ImageFile(t.Context(), r, items[0].Content, filepath.Join(dir, "image"), &restore.ImageOptions{Options: o})
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "image")
		require.NoError(t, os.Remove(filepath.Join(dir, "image")))
		_, err = restore.Tree(t.Context(), r, root, dir, &restore.TreeOptions{Options: o})
		require.ErrorIs(t, err, syscall.ENOSPC)
		var inc *restore.IncompleteError
		require.False(t, errors.As(err, &inc), "a full disk ends the restore")
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "big")))
	}
}

// loop makes a loop device of a file of that size.
func loop(t *testing.T, size int) (device, backing string) {
	t.Helper()
	needRoot(t, "to make a loop device")
	backing = tempFile(t)
	require.NoError(t, os.WriteFile(backing, bytes.Repeat([]byte{0xee}, size), 0o600))
	out, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		t.Skipf("needs losetup: %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		out, err := exec.Command("losetup", "-d", device).CombinedOutput()
		require.NoError(t, err, string(out))
	})
	return device, backing
}

func TestDevice(t *testing.T) {
	rng := newRand(t)
	const size, extra = 6 << 20, 1 << 20
	device, _ := loop(t, size+extra)
	data := randomImage(rng, size)
	clear(data[1<<20 : 2<<20])
	b := newBench(t, small)
	c, larger := b.save(data), b.save(randomImage(rng, size+extra+1))
	r := b.commit(c, larger)
	read := func() []byte {
		f, err := os.Open(device)
		require.NoError(t, err)
		defer f.Close()
		p, err := io.ReadAll(f)
		require.NoError(t, err)
		return p
	}
	rest := bytes.Repeat([]byte{0xee}, extra)

	_, err := restore.ImageFile(t.Context(), r, larger, device, nil)
	var small *restore.SizeError
	require.ErrorAs(t, err, &small)
	require.Equal(t, restore.SizeError{Path: device, Have: size + extra, Need: size + extra + 1}, *small)
	requireBytes(t, bytes.Repeat([]byte{0xee}, size+extra), read())

	_, err = restore.ImageFile(t.Context(), r, c, device, &restore.ImageOptions{Options: restore.Options{Verify: true}})
	require.NoError(t, err)
	requireBytes(t, append(slices.Clone(data), rest...), read())

	stats, err := restore.ImageFile(t.Context(), r, c, device, &restore.ImageOptions{InPlace: true})
	require.NoError(t, err)
	require.Zero(t, stats.Written)
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	require.NoError(t, err)
	for _, off := range []int64{0, 1<<20 + 123_456, 4 << 20} {
		_, err = f.WriteAt([]byte{0x77}, off)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	stats, err = restore.ImageFile(t.Context(), r, c, device, &restore.ImageOptions{InPlace: true, Options: restore.Options{Verify: true}})
	require.NoError(t, err)
	require.Positive(t, stats.Written)
	require.Less(t, stats.Written, int64(200<<10))
	requireBytes(t, append(slices.Clone(data), rest...), read())

	held, err := os.OpenFile(device, os.O_RDONLY|unix.O_EXCL, 0)
	require.NoError(t, err)
	defer held.Close()
	_, err = restore.ImageFile(t.Context(), r, c, device, nil)
	require.ErrorIs(t, err, syscall.EBUSY, "it is in use")
	_, err = restore.ImageFile(t.Context(), r, c, device, &restore.ImageOptions{AllowInUse: true, InPlace: true})
	require.NoError(t, err)
}

// TestMetadata restores every type and attribute that Linux has.
func TestMetadata(t *testing.T) {
	needRoot(t, "to give files away and to make devices")
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x06\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x06\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	own := func(uid, gid, mode uint32, x ...tree.Xattr) func(n *tree.Node) {
		return func(n *tree.Node) { n.UID, n.GID, n.Mode, n.Xattrs = uid, gid, mode, x }
	}
	special := func(name string, typ tree.Type, rdev uint64) *item {
		it := &item{Node: common(name, typ, 0o640)}
		it.Rdev = rdev
		return it
	}
	items := []*item{
		text("owned", "x").with(own(1234, 4321, 0o604)), text("suid", "x").with(own(1000, 1000, 0o6755)),
		text("xattrs", "x").with(own(0, 0, 0o600, tree.Xattr{Name: "user.a", Value: "1"}, tree.Xattr{Name: "user.b", Value: "\x00\xff"})),
		text("acl", "x").with(own(1000, 100, 0o664, tree.Xattr{Name: "system.posix_acl_access", Value: acl})),
		text("ping", "x").with(own(1, 2, 0o755, tree.Xattr{Name: "security.capability", Value: capability})),
		file("none", nil).with(own(5, 6, 0)),
		dir("sticky", text("f", "f"), dir("below", text("g", "g"))).with(own(10, 20, 0o3777, tree.Xattr{Name: "system.posix_acl_default", Value: acl}, tree.Xattr{Name: "user.dir", Value: "d"})),
		symlink("link", "sticky/f").with(own(77, 88, 0o777, tree.Xattr{Name: "trusted.t", Value: "v"})),
		special("fifo", tree.FIFO, 0).with(own(3, 4, 0o620)),
		special("null", tree.CharDevice, 1<<32|3).with(own(0, 5, 0o666)), special("disk", tree.BlockDevice, 7<<32|200),
		{Node: common("image", tree.Image, 0o660), data: make([]byte, 200_000)},
	}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	require.NoError(t, unix.Setxattr(path, "system.posix_acl_default", []byte(acl), 0), "what is made here inherits something else")
	for range 2 {
		restoreTree(t, r, root, path, nil)
		requireTree(t, path, items)
		for _, it := range items {
			var st unix.Stat_t
			require.NoError(t, unix.Lstat(filepath.Join(path, it.Name), &st))
			want := map[tree.Type]uint32{
				tree.File: unix.S_IFREG, tree.Image: unix.S_IFREG, tree.Directory: unix.S_IFDIR, tree.Symlink: unix.S_IFLNK,
				tree.FIFO: unix.S_IFIFO, tree.CharDevice: unix.S_IFCHR, tree.BlockDevice: unix.S_IFBLK,
			}[it.Type]
			require.Equal(t, want, st.Mode&unix.S_IFMT, it.Name)
			require.Equal(t, uint64(it.Rdev), uint64(unix.Major(st.Rdev))<<32|uint64(unix.Minor(st.Rdev)), it.Name)
			if it.Type == tree.FIFO {
				require.Equal(t, it.AccessTime, st.Atim.Nano(), "nobody has read it since")
			}
		}
		// Things that must go again.
		require.NoError(t, unix.Setxattr(filepath.Join(path, "owned"), "user.stale", []byte("x"), 0))
		require.NoError(t, os.Chown(filepath.Join(path, "suid"), 9, 9))
	}
	restoreTree(t, r, root, filepath.Join(path, "plain"), &restore.TreeOptions{NoOwner: true, NoXattrs: true})
	var st unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(path, "plain", "suid"), &st))
	require.Equal(t, []uint32{0, 0, 0o755}, []uint32{st.Uid, st.Gid, st.Mode & 0o7777}, "no setuid for another user")
}

// TestLargeXattrs restores attributes that are kept apart in the repository.
func TestLargeXattrs(t *testing.T) {
	var x []tree.Xattr
	for _, name := range []string{"trusted.a", "trusted.b", "trusted.c"} {
		x = append(x, tree.Xattr{Name: name, Value: strings.Repeat(name, 600)})
	}
	items := []*item{text("f", "f").with(func(n *tree.Node) { n.Xattrs = x }), dir("d").with(func(n *tree.Node) { n.Xattrs = x })}
	_, r, root := stored(t, items...)
	path := tmpfs(t, "size=4m")
	restoreTree(t, r, root, path, nil)
	requireTree(t, path, items)
}

func TestOwnerByName(t *testing.T) {
	needRoot(t, "to give files away")
	items := []*item{
		text("known", "x").with(func(n *tree.Node) { n.UID, n.GID, n.User, n.Group = 5555, 5556, "daemon", "bin" }),
		text("unknown", "x").with(func(n *tree.Node) { n.UID, n.GID, n.User, n.Group = 5555, 5556, "no such user", "" }),
	}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	restoreTree(t, r, root, path, &restore.TreeOptions{OwnerByName: true})
	daemon, bin := idOf(t, "passwd", "daemon"), idOf(t, "group", "bin")
	var st unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(path, "known"), &st))
	require.Equal(t, []uint32{daemon, bin}, []uint32{st.Uid, st.Gid})
	require.NoError(t, unix.Stat(filepath.Join(path, "unknown"), &st))
	require.Equal(t, []uint32{5555, 5556}, []uint32{st.Uid, st.Gid})
}

// idOf returns a number from /etc/passwd or /etc/group.
func idOf(t *testing.T, file, name string) (id uint32) {
	p, err := os.ReadFile("/etc/" + file)
	require.NoError(t, err)
	for line := range strings.Lines(string(p)) {
		if f := strings.Split(line, ":"); f[0] == name {
			_, err := fmt.Sscan(f[2], &id)
			require.NoError(t, err)
			return id
		}
	}
	t.Skipf("needs %s in /etc/%s", name, file)
	return 0
}

// TestDeepPaths restores and verifies a path longer than the system allows.
func TestDeepPaths(t *testing.T) {
	name := strings.Repeat("n", 200)
	it := text("leaf", "deep")
	for range 300 {
		it = dir(name, it)
	}
	_, r, root := stored(t, it)
	path := t.TempDir()
	for range 2 {
		stats := restoreTree(t, r, root, path, &restore.TreeOptions{Options: restore.Options{Verify: true}})
		require.EqualValues(t, 300, stats.Folders)
		require.EqualValues(t, 4, stats.Verified)
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	require.NoError(t, err)
	for range 300 {
		next, err := unix.Openat(fd, name, unix.O_RDONLY, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Close(fd))
		fd = next
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(fd, &st))
		require.EqualValues(t, testTime, st.Mtim.Nano())
	}
	leaf, err := unix.Openat(fd, "leaf", unix.O_RDONLY, 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(leaf), "leaf")
	p, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "deep", string(p))
	require.NoError(t, errors.Join(f.Close(), unix.Close(fd)))

	stats := restoreTree(t, r, emptyTree(t, r), path, &restore.TreeOptions{Delete: true})
	require.EqualValues(t, 301, stats.Deleted)
	require.Empty(t, namesBelow(t, path))
}

// TestRoundTrip backs up a real folder and compares what comes back.
func TestRoundTrip(t *testing.T) {
	items := sample(t)
	b, r, root := stored(t, items...)
	from, to := t.TempDir(), t.TempDir()
	restoreTree(t, r, root, from, nil)
	r = b.open(b.store)
	src, err := source.NewTree(nil)
	require.NoError(t, err)
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{snapshot.Files(src, from)}, nil)
	require.NoError(t, err)
	require.True(t, m.Complete)
	n, err := tree.Resolve(t.Context(), r, m.Root, from)
	require.NoError(t, err)
	r = b.open(b.store)
	restoreTree(t, r, n.Dir, to, &restore.TreeOptions{Options: restore.Options{Verify: true}})
	requireTree(t, to, items)

	all := t.TempDir()
	restoreTree(t, r, m.Root, all, nil)
	requireTree(t, filepath.Join(all, from), items)
}
