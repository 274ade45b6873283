package source_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// requireInUse opens a disk that is in use, and returns why it is.
func requireInUse(t *testing.T, path, why string) {
	t.Helper()
	_, err := source.OpenDisk(bg, path, nil)
	var in *source.InUseError
	require.ErrorAs(t, err, &in)
	require.Equal(t, path, in.Path)
	require.Contains(t, in.Why, why)
	disk, err := source.OpenDisk(bg, path, &source.DiskOptions{AllowInUse: true})
	require.NoError(t, err)
	require.Equal(t, in, disk.InUse())
	_, err = disk.ReadAt(make([]byte, 512), 0)
	require.NoError(t, err)
	require.NoError(t, disk.Close())
}

func requireFree(t *testing.T, path string) {
	t.Helper()
	disk, err := source.OpenDisk(bg, path, nil)
	require.NoError(t, err)
	require.NoError(t, disk.Close())
}

func blankImage(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, size))
	return image
}

func TestDevice(t *testing.T) {
	needRoot(t)
	data := randomBytes(newRand(t), 8<<20)
	image := blankImage(t, 0)
	require.NoError(t, os.WriteFile(image, data, 0o600))
	dev := attach(t, image)

	disk, err := source.OpenDisk(bg, dev, nil)
	require.NoError(t, err)
	defer disk.Close()
	require.True(t, disk.Device())
	require.EqualValues(t, len(data), disk.Size())
	require.Equal(t, []source.Extent{{Off: 100, Len: 8<<20 - 100, Kind: source.Data}}, extents(t, disk, 100, 1<<40))
	got := make([]byte, len(data))
	bad, err := source.ReadFull(bg, disk, got, 0)
	require.NoError(t, err)
	require.Empty(t, bad)
	require.True(t, bytes.Equal(data, got))
	_, err = disk.ReadAt(got, 1)
	require.Equal(t, io.EOF, err)
	require.NoError(t, disk.Changed(), "reading changes nothing")
	format, err := source.Sniff(disk, disk.Size(), disk.Device())
	require.NoError(t, err)
	require.Equal(t, source.BlockDevice, format)

	w, err := os.OpenFile(dev, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = w.WriteAt([]byte("written"), 5000)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	var changed *source.ChangedError
	require.ErrorAs(t, disk.Changed(), &changed)
	again, err := source.OpenDisk(bg, dev, nil)
	require.NoError(t, err)
	require.NoError(t, again.Changed(), "what was written before does not count")
	require.NoError(t, again.Close())
}

// TestDeviceWithBadBlocks has a loop device give EIO, by cutting off the file behind it.
func TestDeviceWithBadBlocks(t *testing.T) {
	needRoot(t)
	data := randomBytes(newRand(t), 4<<20)
	image := blankImage(t, 0)
	require.NoError(t, os.WriteFile(image, data, 0o600))
	dev := attach(t, image)
	const good = 1<<20 + 3*4096
	require.NoError(t, os.Truncate(image, good))
	disk, err := source.OpenDisk(bg, dev, &source.DiskOptions{AllowInUse: true})
	require.NoError(t, err)
	defer disk.Close()
	got := make([]byte, 2<<20)
	bad, err := source.ReadFull(bg, disk, got, 1<<19)
	require.NoError(t, err)
	require.Len(t, bad, 1)
	require.ErrorIs(t, bad[0].Err, unix.EIO)
	require.Equal(t, source.Range{Off: good, Len: 1<<19 + 2<<20 - good, Err: bad[0].Err}, bad[0])
	want := make([]byte, 2<<20)
	copy(want, data[1<<19:good])
	require.True(t, bytes.Equal(want, got), "all that is readable is read")
}

func TestMountedDevice(t *testing.T) {
	needRoot(t)
	for _, fs := range []struct {
		tool string
		args []string
		size int64
	}{{"mkfs.ext4", []string{"-q", "-F"}, 16 << 20}, {"mkfs.xfs", []string{"-q"}, 320 << 20}} {
		t.Run(fs.tool, func(t *testing.T) {
			image := makeImage(t, fs.size, fs.tool, fs.args...)
			requireFree(t, image)
			dev := attach(t, image)
			requireFree(t, dev)
			t.Run("mounted", func(t *testing.T) {
				dir := mount(t, dev)
				requireInUse(t, dev, "mounted on "+dir)
				requireInUse(t, image, "mounted on "+dir)
				sparse(t, dir, 8<<20, 1<<20, 4<<20)
				img, err := source.OpenDisk(bg, filepath.Join(dir, "sparse"), nil)
				require.NoError(t, err)
				require.Greater(t, checkExtents(t, img, 0, img.Size()), int64(6<<20))
				require.NoError(t, img.Close())
			})
			requireFree(t, dev)
		})
	}
}

func TestPartitionOfMountedDisk(t *testing.T) {
	needRoot(t)
	dev := attach(t, blankImage(t, 24<<20))
	part := dev + "p1"
	if out, err := exec.Command(needTool(t, "addpart"), dev, "1", "2048", "32768").CombinedOutput(); err != nil {
		t.Skipf("loop devices have no partitions here: %s", out)
	}
	defer run(t, "delpart", dev, "1")
	if _, err := os.Stat(part); err != nil {
		t.Skip("no device node for the partition here")
	}
	run(t, "mkfs.ext4", "-q", "-F", part)
	requireFree(t, part)
	t.Run("mounted", func(t *testing.T) {
		dir := mount(t, part)
		requireInUse(t, part, "mounted on "+dir)
		requireInUse(t, dev, "mounted on "+dir)
	})
	requireFree(t, dev)
}

func TestExclusivelyOpenDevice(t *testing.T) {
	needRoot(t)
	image := blankImage(t, 1<<20)
	dev := attach(t, image)
	f, err := os.OpenFile(dev, os.O_RDONLY|unix.O_EXCL, 0)
	require.NoError(t, err)
	requireInUse(t, dev, "exclusively")
	requireInUse(t, image, "attached to "+dev)
	require.NoError(t, f.Close())
	requireFree(t, dev)
}

func TestReadOnlyLoopDoesNotCount(t *testing.T) {
	needRoot(t)
	image := makeImage(t, 16<<20, "mkfs.ext4", "-q", "-F")
	dev := attach(t, image, "--read-only")
	mount(t, dev, "-o", "ro")
	requireFree(t, image)
}

func TestSwap(t *testing.T) {
	needRoot(t)
	image := blankImage(t, 0)
	require.NoError(t, os.WriteFile(image, make([]byte, 1<<20), 0o600))
	run(t, "mkswap", image)
	dev := attach(t, image)
	if out, err := exec.Command(needTool(t, "swapon"), dev).CombinedOutput(); err != nil {
		t.Skipf("no swap here: %s", out)
	}
	defer run(t, "swapoff", dev)
	requireInUse(t, dev, "used as swap")
	requireInUse(t, image, "used as swap")
}

func TestImageOpenForWriting(t *testing.T) {
	image := blankImage(t, 1<<20)
	w, err := os.OpenFile(image, os.O_RDWR, 0)
	require.NoError(t, err)
	requireInUse(t, image, "open for writing")
	require.NoError(t, w.Close())
	requireFree(t, image)
}

func TestLockedImage(t *testing.T) {
	image := blankImage(t, 1<<20)
	lock := func(flags int, l unix.Flock_t) *os.File {
		f, err := os.OpenFile(image, flags, 0)
		require.NoError(t, err)
		require.NoError(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l))
		return f
	}
	f := lock(os.O_RDWR, unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 1})
	requireInUse(t, image, "locked for writing")
	require.NoError(t, f.Close())

	f = lock(os.O_RDONLY, unix.Flock_t{Type: unix.F_RDLCK})
	requireFree(t, image) // a reader's lock on all of it, which covers QEMU's bytes too
	require.NoError(t, f.Close())

	f = lock(os.O_RDONLY, unix.Flock_t{Type: unix.F_RDLCK, Start: 103, Len: 1})
	requireInUse(t, image, "QEMU")
	require.NoError(t, f.Close())
}

func TestImageOpenInQEMU(t *testing.T) {
	qemuIO := needTool(t, "qemu-io")
	for _, format := range []string{"raw", "qcow2"} {
		for _, mode := range []string{"write", "read"} {
			t.Run(format+" "+mode, func(t *testing.T) {
				image := filepath.Join(t.TempDir(), "image")
				run(t, "qemu-img", "create", "-q", "-f", format, image, "10M")
				args := []string{"-f", format, image}
				if mode == "read" {
					args = append([]string{"-r"}, args...)
				}
				cmd := exec.Command(qemuIO, args...)
				in, err := cmd.StdinPipe()
				require.NoError(t, err)
				out, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				defer cmd.Wait()
				defer in.Close()
				_, err = fmt.Fprintln(in, "length")
				require.NoError(t, err)
				_, err = out.Read(make([]byte, 1)) // the prompt: the image is open
				require.NoError(t, err)
				if mode == "write" {
					requireInUse(t, image, "QEMU has it open for writing")
				} else {
					requireFree(t, image)
				}
			})
		}
	}
}

func TestImageServedByQEMU(t *testing.T) {
	nbd := needTool(t, "qemu-nbd")
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", image, "10M")
	cmd := exec.Command(nbd, "--persistent", "--socket="+filepath.Join(dir, "s"), "-f", "qcow2", image)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for range 200 {
		if _, err := os.Stat(filepath.Join(dir, "s")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	requireInUse(t, image, "QEMU has it open for writing")
}

func TestOneFileSystem(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	for _, name := range []string{"a/f", "b/f", "mnt/hidden"} {
		write(t, filepath.Join(root, name), "x")
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "none", filepath.Join(root, "mnt")).CombinedOutput()
	if err != nil {
		t.Skipf("mounting is not possible here: %s", out)
	}
	defer run(t, "umount", filepath.Join(root, "mnt"))
	write(t, filepath.Join(root, "mnt/sub/f"), "x")
	run(t, "mount", "--bind", filepath.Join(root, "mnt/sub/f"), filepath.Join(root, "b/f"))
	defer run(t, "umount", filepath.Join(root, "b/f"))

	require.Equal(t, "a a/f b b/f mnt mnt/sub mnt/sub/f", strings.Join(list(t, root, nil), " "))
	require.Equal(t, "a a/f b mnt", strings.Join(list(t, root, &source.FilterOptions{OneFileSystem: true}), " "),
		"a mount point is an empty folder, and a file of another file system is left out")
	require.Equal(t, "sub sub/f", strings.Join(list(t, filepath.Join(root, "mnt"), &source.FilterOptions{OneFileSystem: true}), " "),
		"a walk may start on any file system")
}

func TestDeviceNodes(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	dev := unix.Mkdev(300, 70000)
	if err := unix.Mknod(filepath.Join(dir, "blk"), unix.S_IFBLK|0o600, int(dev)); err != nil {
		t.Skipf("no device nodes here: %v", err)
	}
	require.NoError(t, unix.Mknod(filepath.Join(dir, "chr"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	tree := newTree(t, nil)
	e, err := tree.Lstat(bg, filepath.Join(dir, "blk"))
	require.NoError(t, err)
	require.Equal(t, source.TypeBlockDevice, e.Type)
	require.Equal(t, uint64(300<<32|70000), e.RDev)
	e, err = tree.Lstat(bg, filepath.Join(dir, "chr"))
	require.NoError(t, err)
	require.Equal(t, source.TypeCharDevice, e.Type)
	require.Equal(t, uint64(1<<32|3), e.RDev)
}

func TestAccessControlListsAndCapabilities(t *testing.T) {
	needRoot(t)
	image := makeImage(t, 16<<20, "mkfs.ext4", "-q", "-F")
	dir := mount(t, attach(t, image))
	path := filepath.Join(dir, "f")
	write(t, path, "x")
	run(t, "setfacl", "-m", "u:12345:rw", path)
	run(t, "setfacl", "-d", "-m", "g:54321:rx", dir)
	run(t, "setcap", "cap_net_raw+ep", path)
	tree := newTree(t, nil)
	e, err := tree.Lstat(bg, path)
	require.NoError(t, err)
	require.NoError(t, e.Warning)
	var names []string
	for _, x := range e.Xattrs {
		names = append(names, x.Name)
		require.NotEmpty(t, x.Value)
	}
	require.Equal(t, []string{"security.capability", "system.posix_acl_access"}, names)
	e, err = openDir(t, tree, filepath.Dir(dir)).Lstat(bg, filepath.Base(dir))
	require.NoError(t, err)
	require.Len(t, e.Xattrs, 1)
	require.Equal(t, "system.posix_acl_default", e.Xattrs[0].Name)
}

func TestFileSystemWithoutAttributes(t *testing.T) {
	for _, path := range []string{"/proc/self/status", "/proc/self", "/proc"} {
		e, err := newTree(t, nil).Lstat(bg, path)
		require.NoError(t, err)
		require.NoError(t, e.Warning)
		require.Empty(t, e.Xattrs)
	}
}

func TestAccessTimeIsLeftAlone(t *testing.T) {
	needRoot(t)
	dir := mount(t, attach(t, makeImage(t, 16<<20, "mkfs.ext4", "-q", "-F")), "-o", "strictatime")
	old := time.Unix(1e9, 0)
	write(t, filepath.Join(dir, "d/f"), "x")
	for _, p := range []string{"d/f", "d"} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, p), old, time.Time{}))
	}
	tree := newTree(t, nil)
	require.NoError(t, source.Walk(bg, openDir(t, tree, dir), func(d *source.Dir, e *source.Entry, err error) error {
		require.NoError(t, err)
		if e.Type == source.TypeFile {
			f, err := d.OpenFile(bg, e)
			require.NoError(t, err)
			_, err = f.ReadAt(make([]byte, 1), 0)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		return nil
	}))
	for _, p := range []string{"d/f", "d"} {
		e, err := tree.Lstat(bg, filepath.Join(dir, p))
		require.NoError(t, err)
		require.Equal(t, old.UnixNano(), e.ATime, p)
	}
}
