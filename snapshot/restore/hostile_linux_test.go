package restore_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// emptyTree returns the root of a tree without entries, stored beside what r has.
func emptyTree(t *testing.T, r *repo.Repository) repo.Pair {
	t.Helper()
	s, err := r.Begin(t.Context(), nil)
	require.NoError(t, err)
	p := emptyPair(t, s)
	_, err = s.Commit(t.Context(), p, nil)
	require.NoError(t, err)
	return p
}

// outside is a folder that no restore may touch.
func outside(t *testing.T) (path string, check func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "sub"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path, "file"), []byte("mine"), 0o600))
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return path, func() {
		t.Helper()
		require.Equal(t, []string{"file", "sub"}, namesBelow(t, path))
		requireFile(t, filepath.Join(path, "file"), []byte("mine"))
		now, err := os.Lstat(path)
		require.NoError(t, err)
		require.Equal(t, info.ModTime(), now.ModTime())
		require.Equal(t, info.Mode(), now.Mode())
		f, err := os.Stat(filepath.Join(path, "file"))
		require.NoError(t, err)
		require.EqualValues(t, 0o600, f.Mode().Perm())
	}
}

// TestSymlinksInTarget has symlinks to elsewhere in the place of all that is restored, at every level.
func TestSymlinksInTarget(t *testing.T) {
	items := []*item{dir("a", text("file", "stored"), dir("sub", text("x", "x"))), text("f", "stored"), symlink("s", "harmless"), {Node: common("p", tree.FIFO, 0o600)}}
	_, r, root := stored(t, items...)
	out, check := outside(t)
	for _, o := range []restore.TreeOptions{
		{}, {Overwrite: restore.OverwriteIfChanged}, {Overwrite: restore.OverwriteIfNewer}, {Overwrite: restore.OverwriteNever}, {Delete: true}, {DryRun: true, Delete: true},
	} {
		for _, level := range []string{"a", "a/file", "a/sub", "a/sub/x", "f", "s", "p", "other"} {
			path := t.TempDir()
			link := filepath.Join(path, level)
			require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o700))
			target := out
			if level == "f" || level == "a/file" || level == "p" {
				target = filepath.Join(out, "file")
			}
			require.NoError(t, os.Symlink(target, link))
			o.Verify = true
			_, err := restore.Tree(t.Context(), r, root, path, &o)
			require.NoError(t, err)
			check()
			if o.Overwrite < restore.OverwriteIfNewer && !o.DryRun && level != "other" {
				requireTree(t, path, items)
			}
		}
	}
}

// TestSymlinkThenFolder has a tree whose symlink is followed by a folder of the same name. No such directory can be built or read, so the two come
// from two snapshots.
func TestSymlinkThenFolder(t *testing.T) {
	out, check := outside(t)
	b := newBench(t, small)
	first := b.saveTree([]*item{symlink("a", out), symlink("b", filepath.Join(out, "file")), symlink("c", "..")})
	items := []*item{dir("a", text("file", "evil"), text("new", "evil")), text("b", "evil"), dir("c", text("evil", "evil"))}
	second := b.saveTree(items)
	r := b.commitTree(second)
	above := t.TempDir()
	path := filepath.Join(above, "target")
	restoreTree(t, r, first, path, nil)
	restoreTree(t, r, second, path, nil)
	check()
	requireTree(t, path, items)
	require.Equal(t, []string{"target"}, shallow(t, above))
}

// TestSwappedFolder has somebody exchange a folder of the target with a symlink to elsewhere, over and over, while a tree is restored into it and
// things in it are deleted. Much may fail; nothing elsewhere may change.
func TestSwappedFolder(t *testing.T) {
	items := []*item{dir("a", dir("sub", text("file", "evil"), text("x", "evil")), text("file", "evil"), symlink("s", "x"), &item{Node: common("p", tree.FIFO, 0o600)})}
	_, r, root := stored(t, items...)
	out, check := outside(t)
	path := t.TempDir()
	a, link := filepath.Join(path, "a"), filepath.Join(path, "link")
	require.NoError(t, os.Mkdir(a, 0o700))
	require.NoError(t, os.Symlink(out, link))
	stop, done := make(chan struct{}), make(chan struct{})
	swaps := 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE) == nil {
					swaps++
				}
			}
		}
	}()
	for i, start := 0, time.Now(); time.Since(start) < time.Second; i++ {
		o := &restore.TreeOptions{Delete: i%2 == 0, Options: restore.Options{Verify: i%3 == 0}, Exclude: []string{"/link"}}
		_, _ = restore.Tree(t.Context(), r, root, path, o)
		if _, err := os.Lstat(link); err != nil { // it took the place of the folder, and was replaced
			_ = os.Symlink(out, link)
		}
	}
	close(stop)
	<-done
	require.Positive(t, swaps)
	check()
}

// TestVerifyFollowsNothing exchanges a folder when it is complete with a symlink to one of the same contents.
func TestVerifyFollowsNothing(t *testing.T) {
	items := []*item{dir("a", text("file", "stored")), text("b", "stored")}
	_, r, root := stored(t, items...)
	path, other := t.TempDir(), t.TempDir()
	swap := func(name string) {
		require.NoError(t, os.Rename(filepath.Join(path, name), filepath.Join(other, name)))
		require.NoError(t, os.Symlink(filepath.Join(other, name), filepath.Join(path, name)))
	}
	var ev events
	o := restore.Options{Verify: true, Report: func(e restore.Event) {
		ev.report(e)
		switch {
		case e.Kind == restore.EventRestored && e.Path == "/a/":
			swap("a")
		case e.Kind == restore.EventRestored && e.Path == "/b":
			swap("b")
		}
	}}
	stats, err := restore.Tree(t.Context(), r, root, path, &restore.TreeOptions{Options: o})
	require.Error(t, err)
	require.Equal(t, []string{"/a/file", "/b"}, ev.paths(restore.EventError))
	require.Zero(t, stats.Verified)
}

func shallow(t *testing.T, path string) (names []string) {
	list, err := os.ReadDir(path)
	require.NoError(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestHostileNames stores directories that package tree would not build.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"..", ".", "", "a/b", "/etc", "../x", "a\x00b"} {
		b := newBench(t, small)
		ok := text("GOOD", "evil")
		good := b.saveTree([]*item{ok})
		p, err := b.session.Save(t.Context(), repo.Map, reftree.AppendReferenceNode(nil, ok.Content.AppendReferences(nil)))
		require.NoError(t, err)
		require.Equal(t, good.Map.ID, p, "a reference node has no names")
		// The same directory node with another name in place of GOOD.
		raw := rawDirectory(t, b, ok, name)
		bad := repo.Pair{Meta: raw, Map: good.Map}
		r := b.commitTree(good)
		above := t.TempDir()
		path := filepath.Join(above, "in", "target")
		_, err = restore.Tree(t.Context(), r, bad, path, nil)
		require.Error(t, err, "%q", name)
		require.Empty(t, namesBelow(t, path))
		require.Equal(t, []string{"in", "in/target"}, namesBelow(t, above))
		n := ok.Node
		n.Name = name
		_, err = restore.Node(t.Context(), r, &n, path, nil)
		require.Error(t, err)
		require.Equal(t, []string{"in", "in/target"}, namesBelow(t, above))
	}
}

// recorder keeps the last chunk of class META that is saved.
type recorder struct{ meta []byte }

func (r *recorder) Save(_ context.Context, c reftree.Class, p []byte) (reftree.ID, error) {
	if c == reftree.Meta {
		r.meta = bytes.Clone(p)
	}
	return reftree.ID{1}, nil
}

// rawDirectory stores the directory node of one entry under another name.
func rawDirectory(t *testing.T, b *bench, it *item, name string) repo.Ref {
	t.Helper()
	r := recorder{}
	d := tree.NewDirBuilder(&r)
	require.NoError(t, d.Add(t.Context(), &it.Node))
	_, err := d.Finish(t.Context())
	require.NoError(t, err)
	old := string(append([]byte{byte(len(it.Name))}, it.Name...))
	require.Equal(t, 1, strings.Count(string(r.meta), old))
	p := []byte(strings.Replace(string(r.meta), old, string(append([]byte{byte(len(name))}, name...)), 1))
	id, err := b.session.Save(t.Context(), repo.Meta, p)
	require.NoError(t, err)
	return repo.Ref{ID: id, Length: uint32(len(p))}
}

// TestUnprivileged runs the tests below as a user who owns nothing.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else; TestAsUser runs by itself for others")
	}
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "restore-test")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	bin := filepath.Join(dir, "test")
	require.NoError(t, os.WriteFile(bin, self, 0o755))
	work := filepath.Join(dir, "work")
	require.NoError(t, os.Mkdir(work, 0o700))
	require.NoError(t, os.Chown(work, 65534, 65534))
	cmd := exec.Command(bin, "-test.run=^(TestAsUser|TestTree|TestDelete|TestHardLinks|TestOverwrite|TestSymlinksInTarget|TestDeepPaths)$", "-test.v")
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "TMPDIR="+work, "HOME="+work)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestAsUser")
}

// TestAsUser restores what only root can restore in full.
func TestAsUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("is about users other than root; TestUnprivileged runs it as one")
	}
	closed := dir("closed", dir("deeper", text("f", "f")), symlink("s", "f"), text("f", "f")).with(func(n *tree.Node) { n.Mode = 0o500 })
	sealed := dir("sealed", text("f", "f")).with(func(n *tree.Node) { n.Mode = 0 })
	items := []*item{
		text("foreign", "x").with(func(n *tree.Node) { n.UID, n.GID, n.Mode = 0, 0, 0o6755 }),
		(&item{Node: common("dev", tree.CharDevice, 0o600)}).with(func(n *tree.Node) { n.Rdev = 1<<32 | 3 }),
		text("cap", "x").with(func(n *tree.Node) {
			n.Xattrs = []tree.Xattr{{Name: "security.capability", Value: "\x01\x00\x00\x02" + strings.Repeat("\x00", 16)}}
		}),
		closed, sealed, text("unreadable", "u").with(func(n *tree.Node) { n.Mode = 0 }),
	}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	t.Cleanup(func() { makeWritable(path) })
	for range 2 {
		var ev events
		stats := restoreTree(t, r, root, path, &restore.TreeOptions{Options: restore.Options{Report: ev.report}})
		require.Equal(t, []string{"/cap", "/dev"}, ev.paths(restore.EventNote))
		require.EqualValues(t, 1, stats.Skipped)
		info, err := os.Lstat(filepath.Join(path, "foreign"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o755), info.Mode(), "no setuid for whoever restores")
		requireItem(t, filepath.Join(path, "closed"), closed)
		info, err = os.Lstat(filepath.Join(path, "sealed"))
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm())
		require.EqualValues(t, testTime, info.ModTime().UnixNano())
		info, err = os.Lstat(filepath.Join(path, "unreadable"))
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm())
	}
	locked := t.TempDir()
	t.Cleanup(func() { makeWritable(locked) })
	require.NoError(t, os.Mkdir(filepath.Join(locked, "closed"), 0o755))
	require.NoError(t, os.Chmod(locked, 0o500))
	_, err := restore.Tree(t.Context(), r, root, locked, nil)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.ErrorIs(t, err, os.ErrPermission)
	require.NoError(t, os.Chmod(locked, 0o700))
	requireItem(t, filepath.Join(locked, "closed"), closed)
}
