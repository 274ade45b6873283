package restore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// TestOpenElsewhere has somebody hold a file open that he may not have when it is restored: what he has is not what is restored.
func TestOpenElsewhere(t *testing.T) {
	private := func(n *tree.Node) { n.Mode = 0o600 }
	items := []*item{text("wide", "secret").with(private), text("foreign", "secret").with(private), text("group", "secret").with(func(n *tree.Node) { n.Mode = 0o660 })}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	names := []string{"wide"}
	require.NoError(t, os.WriteFile(filepath.Join(path, "wide"), []byte("public"), 0o600))
	require.NoError(t, os.Chmod(filepath.Join(path, "wide"), 0o666))
	if os.Geteuid() == 0 {
		names = append(names, "foreign", "group")
		require.NoError(t, os.WriteFile(filepath.Join(path, "foreign"), []byte("theirs"), 0o600))
		require.NoError(t, os.Chown(filepath.Join(path, "foreign"), 1234, 0))
		require.NoError(t, os.WriteFile(filepath.Join(path, "group"), []byte("theirs"), 0o660))
		require.NoError(t, os.Chmod(filepath.Join(path, "group"), 0o660))
		require.NoError(t, os.Chown(filepath.Join(path, "group"), 0, 1234))
	}
	var held []*os.File
	for _, name := range names {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		held = append(held, f)
	}
	restoreTree(t, r, root, path, nil)
	for _, f := range held {
		p := make([]byte, 6)
		_, err := f.ReadAt(p, 0)
		require.NoError(t, err)
		require.NotEqual(t, "secret", string(p), f.Name())
		_, err = f.WriteAt([]byte("EVIL"), 0)
		require.NoError(t, err)
	}
	requireTree(t, path, items)
}

// TestInterruptedIsContinued has files as an interrupted restore leaves them: they are not taken for somebody else's.
func TestInterruptedIsContinued(t *testing.T) {
	needRoot(t, "to give files away")
	it := file("f", randomBytes(newRand(t), 1<<20)).with(func(n *tree.Node) { n.UID, n.GID = 1234, 1234 })
	_, r, root := stored(t, it)
	path := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(path, "f"), append(it.data[:1<<19:1<<19], make([]byte, 1<<19)...), 0o600))
	stats := restoreTree(t, r, root, path, nil)
	require.Less(t, stats.Written, int64(1<<19+64<<10), "what is there is not written again")
	requireTree(t, path, []*item{it})
}

// TestExecuting restores a program that runs.
func TestExecuting(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	program, err := os.ReadFile(sleep)
	require.NoError(t, err)
	it := file("sleep", []byte("another version")).with(func(n *tree.Node) { n.Mode = 0o755 })
	_, r, root := stored(t, it)
	path := t.TempDir()
	running := filepath.Join(path, "sleep")
	require.NoError(t, os.WriteFile(running, program, 0o755))
	cmd := exec.Command(running, "60")
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer func() { require.NoError(t, cmd.Process.Kill()) }()
	restoreTree(t, r, root, path, nil)
	requireTree(t, path, []*item{it})
}

// TestKeptIsReplaced has somebody exchange what keeps its content with a file from elsewhere, over and over, while it gets its attributes.
func TestKeptIsReplaced(t *testing.T) {
	fifo := &item{Node: common("f", tree.FIFO, 0o666)}
	for _, it := range []*item{text("f", "stored").with(func(n *tree.Node) { n.Mode = 0o666 }), fifo} {
		_, r, root := stored(t, it)
		path := t.TempDir()
		restoreTree(t, r, root, path, nil)
		out, check := outside(t)
		f, link := filepath.Join(path, "f"), filepath.Join(path, "link")
		require.NoError(t, os.Link(filepath.Join(out, "file"), link))
		for start := time.Now(); time.Since(start) < time.Second; {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 20 {
					_ = unix.Renameat2(unix.AT_FDCWD, f, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
				}
			}()
			_, _ = restore.Tree(t.Context(), r, root, path, &restore.TreeOptions{Overwrite: restore.OverwriteIfChanged})
			<-done
			check()
			if info, err := os.Stat(link); err != nil || info.Size() != 4 { // it was replaced, or is the other one
				_ = os.Remove(link)
				require.NoError(t, os.Link(filepath.Join(out, "file"), link))
			}
		}
	}
}

// TestLookalikeWithFurtherNames has a file in the way that looks like the stored one and has another name elsewhere.
func TestLookalikeWithFurtherNames(t *testing.T) {
	it := text("f", "stored")
	_, r, root := stored(t, it)
	path, other := t.TempDir(), filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(other, []byte("theirs"), 0o600))
	require.NoError(t, os.Chtimes(other, time.Unix(0, testTime), time.Unix(0, testTime)))
	require.NoError(t, os.Link(other, filepath.Join(path, "f")))
	restoreTree(t, r, root, path, &restore.TreeOptions{Overwrite: restore.OverwriteIfChanged})
	requireTree(t, path, []*item{it})
	info, err := os.Stat(other)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

// TestMounts deletes nothing in what is mounted in the target, unless the snapshot has something of it.
func TestMounts(t *testing.T) {
	needRoot(t, "to mount something")
	items := []*item{dir("empty"), dir("full", text("f", "f"))}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	mounted := map[string]string{"empty": "tmpfs", "full": "tmpfs", "unknown": "tmpfs", "bound": ""}
	for name, fs := range mounted {
		at := filepath.Join(path, name)
		require.NoError(t, os.Mkdir(at, 0o755))
		from, flags := "tmpfs", uintptr(0)
		if fs == "" {
			from, flags = t.TempDir(), unix.MS_BIND
		}
		if err := unix.Mount(from, at, fs, flags, ""); err != nil {
			t.Skipf("cannot mount: %v", err)
		}
		t.Cleanup(func() { require.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
		require.NoError(t, os.WriteFile(filepath.Join(at, "mine"), []byte("mine"), 0o600))
	}
	var ev events
	_, err := restore.Tree(t.Context(), r, root, path, &restore.TreeOptions{Delete: true, Options: restore.Options{Report: ev.report}})
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.Len(t, inc.Failures, 2)
	require.Equal(t, []string{"/bound/", "/unknown/"}, ev.paths(restore.EventError))
	require.Equal(t, []string{"/empty/"}, ev.paths(restore.EventNote))
	for name := range mounted {
		_, err := os.Stat(filepath.Join(path, name, "mine"))
		require.Equal(t, name == "full", os.IsNotExist(err), name)
	}
	requireFile(t, filepath.Join(path, "full", "f"), []byte("f"))
}

// TestDamagedTimes restores to a target that was restored before from a damaged repository: what is not whole must not pass for it.
func TestDamagedTimes(t *testing.T) {
	rng := newRand(t)
	items := []*item{file("f", randomBytes(rng, 1<<20))}
	b, r, root := stored(t, items...)
	keep := b.store
	pack := b.dataPacks()[0]
	path := t.TempDir()
	b.damage(pack, "flip")
	var inc *restore.IncompleteError
	_, err := restore.Tree(t.Context(), r, root, path, nil)
	require.ErrorAs(t, err, &inc)
	b.damage(pack, "flip")
	r = b.open(keep)
	restoreTree(t, r, root, path, &restore.TreeOptions{Overwrite: restore.OverwriteIfChanged})
	requireTree(t, path, items)

	b.damage(pack, "flip")
	when := time.Unix(1_600_000_000, 0)
	image := tempFile(t)
	_, err = restore.ImageFile(t.Context(), b.open(b.store), items[0].Content, image, &restore.ImageOptions{ModTime: when})
	require.ErrorAs(t, err, &inc)
	info, err := os.Stat(image)
	require.NoError(t, err)
	require.NotEqual(t, when, info.ModTime())
}
