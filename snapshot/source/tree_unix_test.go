//go:build linux || darwin || freebsd

package source_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pkg/xattr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func TestAllTypes(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("file"), "x")
	require.NoError(t, os.Link(at("file"), at("hard")))
	require.NoError(t, os.Mkdir(at("dir"), 0o755))
	require.NoError(t, os.Chmod(at("dir"), 0o751|os.ModeSticky|os.ModeSetgid|os.ModeSetuid))
	require.NoError(t, unix.Mkfifo(at("fifo"), 0o600))
	long := strings.Repeat("t", 300)
	require.NoError(t, os.Symlink(long, at("link")))
	l, err := net.Listen("unix", at("sock"))
	require.NoError(t, err)
	defer l.Close()

	d := openDir(t, newTree(t, nil), dir)
	got := map[string]*source.Entry{}
	var sockets int
	for e, err := range d.Entries(bg) {
		if err != nil {
			requireProblem(t, err, source.Unsupported, source.ErrType)
			require.ErrorContains(t, err, "socket")
			sockets++
			continue
		}
		got[e.Name] = e
	}
	require.Equal(t, 1, sockets)
	require.Len(t, got, 5)
	require.Equal(t, source.TypeFile, got["file"].Type)
	require.EqualValues(t, 2, got["file"].Links)
	require.Equal(t, got["file"].Inode, got["hard"].Inode)
	require.Equal(t, got["file"].Device, got["hard"].Device)
	require.Equal(t, source.TypeDirectory, got["dir"].Type)
	require.EqualValues(t, 0o7751, got["dir"].Mode)
	require.Equal(t, source.TypeFifo, got["fifo"].Type)
	require.Equal(t, source.TypeSymlink, got["link"].Type)
	require.Equal(t, long, got["link"].Target)

	u, err := user.Current()
	require.NoError(t, err)
	require.Equal(t, u.Username, got["file"].User)
	require.Equal(t, u.Uid, strconv.Itoa(int(got["file"].UID)))
	g, err := user.LookupGroupId(strconv.Itoa(int(got["file"].GID)))
	require.NoError(t, err)
	require.Equal(t, g.Name, got["file"].Group)

	// A fifo where a file was does not stop us.
	require.NoError(t, os.Remove(at("file")))
	require.NoError(t, unix.Mkfifo(at("file"), 0o600))
	_, err = d.OpenFile(bg, got["file"])
	requireProblem(t, err, source.Replaced, source.ErrReplaced)
	_, err = newTree(t, nil).OpenFile(bg, at("fifo"), nil)
	requireProblem(t, err, source.Unsupported, source.ErrType)
}

func TestUnknownOwner(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "")
	require.NoError(t, os.Chown(path, 1999999999, 2000000000))
	tree := newTree(t, nil)
	for range 2 {
		e, err := tree.Lstat(bg, path)
		require.NoError(t, err)
		require.EqualValues(t, 1999999999, e.UID)
		require.EqualValues(t, 2000000000, e.GID)
		require.Empty(t, e.User)
		require.Empty(t, e.Group)
	}
}

func TestNamesThatAreNotText(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("names are UTF-8 here")
	}
	dir := t.TempDir()
	names := []string{"\x01\n\t", " ", "*?[", "\\", "\xff\xfe", "ä", strings.Repeat("\x80", 255)}
	for _, n := range names {
		write(t, dir+"/"+n+"/x", n)
	}
	var want []string
	for _, n := range []string{"\x01\n\t", " ", "*?[", "\\", strings.Repeat("\x80", 255), "ä", "\xff\xfe"} {
		want = append(want, n, n+"/x")
	}
	require.Equal(t, want, list(t, dir, nil), "in the order of the bytes")
	d := openDir(t, newTree(t, nil), dir)
	e, err := d.Lstat(bg, "\xff\xfe")
	require.NoError(t, err)
	sub, err := d.OpenDir(bg, e)
	require.NoError(t, err)
	defer sub.Close()
	e, err = sub.Lstat(bg, "x")
	require.NoError(t, err)
	f, err := sub.OpenFile(bg, e)
	require.NoError(t, err)
	defer f.Close()
	buf := make([]byte, 2)
	_, err = f.ReadAt(buf, 0)
	require.NoError(t, err)
	require.Equal(t, "\xff\xfe", string(buf))
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		runAsNobody(t, "TestUnreadable")
		return
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "closed/f"), "x")
	write(t, filepath.Join(dir, "secret"), "x")
	write(t, filepath.Join(dir, "open"), "x")
	require.NoError(t, os.Chmod(filepath.Join(dir, "secret"), 0))
	require.NoError(t, os.Chmod(filepath.Join(dir, "closed"), 0))
	defer os.Chmod(filepath.Join(dir, "closed"), 0o700)
	d := openDir(t, newTree(t, nil), dir)
	var names []string
	errs := 0
	err := source.Walk(bg, d, func(dir *source.Dir, e *source.Entry, err error) error {
		if err != nil {
			requireProblem(t, err, source.Unreadable, fs.ErrPermission)
			errs++
			return nil
		}
		names = append(names, e.Name)
		if e.Name == "secret" {
			_, err := dir.OpenFile(bg, e)
			requireProblem(t, err, source.Unreadable, fs.ErrPermission)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"closed", "open", "secret"}, names)
	require.Equal(t, 1, errs)

	// A folder that only lets us through is enough for what is in it.
	require.NoError(t, os.Chmod(filepath.Join(dir, "closed"), 0o100))
	if runtime.GOOS == "linux" {
		d = openDir(t, newTree(t, nil), filepath.Join(dir, "closed"))
		_, err = d.Lstat(bg, "f")
		require.NoError(t, err)
		_, err = d.Names(bg)
		requireProblem(t, err, source.Unreadable, fs.ErrPermission)
	}
}

func TestNotTheOwner(t *testing.T) {
	if os.Geteuid() == 0 {
		runAsNobody(t, "TestNotTheOwner")
		return
	}
	// O_NOATIME is refused for files of others, which must be read anyway.
	f, err := newTree(t, nil).OpenFile(bg, "/etc/passwd", nil)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	disk, err := source.OpenDisk(bg, "/etc/passwd", nil)
	require.NoError(t, err)
	require.NoError(t, disk.Close())
}

// runAsNobody runs one test again, without the rights of root.
func runAsNobody(t *testing.T, name string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	bin, err := os.ReadFile(exe)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "nobody")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o777))
	test := filepath.Join(dir, "test")
	require.NoError(t, os.WriteFile(test, bin, 0o755))
	proc, err := os.StartProcess(test, []string{test, "-test.run=^" + name + "$"}, &os.ProcAttr{
		Dir: dir, Env: append(os.Environ(), "TMPDIR="+dir), Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
	})
	require.NoError(t, err)
	state, err := proc.Wait()
	require.NoError(t, err)
	require.True(t, state.Success(), "as nobody")
}

func TestXattrs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "x")
	big := bytes.Repeat([]byte{0, 1, 0xff}, 1000)
	if err := xattr.Set(path, "user.b", big); err != nil {
		t.Skipf("no extended attributes here: %v", err)
	}
	require.NoError(t, xattr.Set(path, "user.a", nil))
	want := []source.Xattr{{Name: "user.a", Value: []byte{}}, {Name: "user.b", Value: big}}
	e, err := newTree(t, nil).Lstat(bg, path)
	require.NoError(t, err)
	require.NoError(t, e.Warning)
	require.Equal(t, want, e.Xattrs)
	e, err = openDir(t, newTree(t, nil), filepath.Dir(path)).Lstat(bg, "f")
	require.NoError(t, err)
	require.Equal(t, want, e.Xattrs)
	e, err = newTree(t, &source.TreeOptions{NoXattrs: true}).Lstat(bg, path)
	require.NoError(t, err)
	require.Empty(t, e.Xattrs)
}

// TestSwappedFolder swaps a folder for a symlink to another one between the look and the opening.
func TestSwappedFolder(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "tree/a/b/f"), "good")
	write(t, filepath.Join(root, "other/b/secret"), "bad")
	d := openDir(t, newTree(t, &source.TreeOptions{MaxOpen: 2}), filepath.Join(root, "tree"))
	e, err := d.Lstat(bg, "a")
	require.NoError(t, err)
	a, err := d.OpenDir(bg, e)
	require.NoError(t, err)
	defer a.Close()
	require.NoError(t, os.Rename(filepath.Join(root, "tree/a"), filepath.Join(root, "moved")))
	require.NoError(t, os.Symlink(filepath.Join(root, "other"), filepath.Join(root, "tree/a")))

	names, err := a.Names(bg)
	require.NoError(t, err, "an open folder stays the one it is")
	require.Equal(t, "b", names.At(0))
	b, err := a.Lstat(bg, "b")
	require.NoError(t, err)
	sub, err := a.OpenDir(bg, b)
	require.NoError(t, err)
	defer sub.Close()
	_, err = sub.Lstat(bg, "f")
	require.NoError(t, err)
	_, err = sub.Lstat(bg, "secret")
	requireProblem(t, err, source.Missing, fs.ErrNotExist)

	_, err = d.OpenDir(bg, e)
	var ee *source.EntryError
	require.ErrorAs(t, err, &ee)
	require.Equal(t, source.Replaced, ee.Problem)
	_, err = newTree(t, nil).OpenDir(bg, filepath.Join(root, "tree/a"))
	require.ErrorAs(t, err, &ee, "a symlink is no folder to start from")
}

// TestReopenedFolderMustBeTheSame takes the descriptor of a folder away and puts another folder in its place.
func TestReopenedFolderMustBeTheSame(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/f"), "")
	for i := range 5 {
		write(t, fmt.Sprintf("%s/x%d/f", root, i), "")
	}
	d := openDir(t, newTree(t, &source.TreeOptions{MaxOpen: 2}), root)
	open := func(name string) *source.Dir {
		e, err := d.Lstat(bg, name)
		require.NoError(t, err)
		sub, err := d.OpenDir(bg, e)
		require.NoError(t, err)
		t.Cleanup(func() { _ = sub.Close() })
		return sub
	}
	a := open("a")
	for i := range 5 {
		open(fmt.Sprintf("x%d", i))
	}
	_, err := a.Lstat(bg, "f")
	require.NoError(t, err, "opened again")
	for i := range 5 {
		open(fmt.Sprintf("x%d", i))
	}
	require.NoError(t, os.Rename(filepath.Join(root, "a"), filepath.Join(root, "moved")))
	write(t, filepath.Join(root, "a/f"), "")
	_, err = a.Lstat(bg, "f")
	requireProblem(t, err, source.Replaced, source.ErrReplaced)
}

func TestDeepTree(t *testing.T) {
	root, depth := t.TempDir(), 2000
	makeDeep(t, root, depth)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	tree := newTree(t, nil)
	before := openDescriptors(t)
	d := openDir(t, tree, root)
	level, open, longest := 0, 0, 0
	err := source.Walk(bg, d, func(dir *source.Dir, e *source.Entry, err error) error {
		if err != nil {
			return err
		}
		if e.Type == source.TypeDirectory {
			level++
			if level%100 == 0 {
				open = max(open, openDescriptors(t)-before)
			}
			return nil
		}
		require.Equal(t, "file", e.Name)
		require.Equal(t, depth, level, "the file is the last thing, at the bottom")
		longest = len(dir.Path())
		f, err := dir.OpenFile(bg, e)
		require.NoError(t, err)
		defer f.Close()
		buf := make([]byte, 6)
		_, err = f.ReadAt(buf, 0)
		require.NoError(t, err)
		require.Equal(t, "bottom", string(buf))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, depth, level)
	require.Greater(t, longest, 4096)
	require.LessOrEqual(t, open, 128+8, "folders kept open")
	require.NoError(t, d.Close())
	require.LessOrEqual(t, openDescriptors(t), before, "nothing is left open")
}

// makeDeep makes depth folders in each other, with a file in the last, by descriptors.
func makeDeep(t *testing.T, root string, depth int) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	require.NoError(t, err)
	for range depth {
		require.NoError(t, unix.Mkdirat(fd, "abcdef", 0o755))
		next, err := unix.Openat(fd, "abcdef", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Close(fd))
		fd = next
	}
	file, err := unix.Openat(fd, "file", unix.O_WRONLY|unix.O_CREAT, 0o644)
	require.NoError(t, err)
	_, err = unix.Write(file, []byte("bottom"))
	require.NoError(t, err)
	require.NoError(t, unix.Close(file))
	require.NoError(t, unix.Close(fd))
}

// TestDeepTreeComesBackUp has something to do in every folder after what is below it.
func TestDeepTreeComesBackUp(t *testing.T) {
	root := t.TempDir()
	path := root
	const depth = 60
	for range depth {
		path += "/a"
		write(t, path+"/z", "")
	}
	tree := newTree(t, &source.TreeOptions{MaxOpen: 3})
	n := 0
	err := source.Walk(context.Background(), openDir(t, tree, root), func(d *source.Dir, e *source.Entry, err error) error {
		require.NoError(t, err)
		if e.Type == source.TypeFile {
			f, err := d.OpenFile(bg, e)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			n++
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, depth, n)
}

func openDescriptors(t *testing.T) int {
	dir := "/proc/self/fd"
	if runtime.GOOS != "linux" {
		dir = "/dev/fd"
	}
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	return len(names)
}

func TestMadeUp(t *testing.T) {
	tree := newTree(t, nil)
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "")
	for name, want := range map[string]bool{path: false, "/proc/version": runtime.GOOS == "linux", "/sys/kernel/uevent_seqnum": runtime.GOOS == "linux"} {
		f, err := tree.OpenFile(bg, name, nil)
		if err != nil && name != path {
			t.Logf("not there: %v", err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, f.MadeUp(), name)
		buf := make([]byte, 4096)
		n, err := f.ReadPast(buf, 0)
		require.Equal(t, io.EOF, err)
		require.Equal(t, want, n > 0, name)
		require.NoError(t, f.Close())
	}
}
