package source_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

var bg = context.Background()

func TestLstat(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "hello")
	require.NoError(t, os.Chmod(path, 0o640))
	when := time.Unix(1234567890, 123456700)
	require.NoError(t, os.Chtimes(path, when.Add(time.Hour), when))
	require.NoError(t, os.Symlink("no/where", filepath.Join(dir, "link")))

	tree := newTree(t, nil)
	e, err := tree.Lstat(bg, path)
	require.NoError(t, err)
	require.NoError(t, e.Warning)
	require.Equal(t, "file", e.Name)
	require.Equal(t, source.TypeFile, e.Type)
	require.EqualValues(t, 5, e.Size)
	require.Equal(t, when.UnixNano(), e.MTime)
	require.EqualValues(t, 1, e.Links)

	e, err = tree.Lstat(bg, filepath.Join(dir, "link"))
	require.NoError(t, err)
	require.Equal(t, source.TypeSymlink, e.Type)
	require.Equal(t, "no/where", filepath.ToSlash(e.Target))
	require.Zero(t, e.Size)
	_, err = tree.Stat(bg, filepath.Join(dir, "link"))
	requireProblem(t, err, source.Missing, fs.ErrNotExist)

	e, err = tree.Lstat(bg, dir+string(filepath.Separator))
	require.NoError(t, err)
	require.Equal(t, source.TypeDirectory, e.Type)
	require.Equal(t, filepath.Base(dir), e.Name)

	_, err = tree.Lstat(bg, filepath.Join(dir, "none"))
	requireProblem(t, err, source.Missing, fs.ErrNotExist)
	_, err = tree.Lstat(bg, "")
	require.Error(t, err)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = tree.Lstat(ctx, dir)
	require.Equal(t, context.Canceled, err)
}

func requireProblem(t *testing.T, err error, p source.Problem, cause error) {
	t.Helper()
	var ee *source.EntryError
	require.ErrorAs(t, err, &ee)
	require.Equal(t, p, ee.Problem, "%v", err)
	require.True(t, filepath.IsAbs(ee.Path), ee.Path)
	require.ErrorIs(t, err, cause)
}

func TestWalkOrder(t *testing.T) {
	root := t.TempDir()
	want := []string{"A", "a", "a/b", "a/b/c", "a-b", "ab", "b"}
	write(t, filepath.Join(root, "a/b/c"), "")
	for _, name := range []string{"A", "a-b", "ab", "b"} {
		write(t, filepath.Join(root, name), "")
	}
	got := list(t, root, nil)
	for i := range got {
		got[i] = filepath.ToSlash(got[i])
	}
	// Each folder is sorted by itself: a comes before a-b, with all that is in it.
	require.Equal(t, want, got)
}

func TestWalkStops(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/b/c"), "")
	write(t, filepath.Join(root, "d"), "")
	d := openDir(t, newTree(t, nil), root)
	stop := errors.New("stop")
	err := source.Walk(bg, d, func(_ *source.Dir, e *source.Entry, err error) error {
		if e.Name == "c" {
			return stop
		}
		require.NotEqual(t, "d", e.Name)
		return err
	})
	require.Equal(t, stop, err)
	var names []string
	err = source.Walk(bg, d, func(_ *source.Dir, e *source.Entry, err error) error {
		names = append(names, e.Name)
		if e.Name == "a" {
			return source.ErrSkip
		}
		return err
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "d"}, names)
	ctx, cancel := context.WithCancel(bg)
	err = source.Walk(ctx, d, func(_ *source.Dir, _ *source.Entry, err error) error {
		cancel()
		return err
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpenFile(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "f"), "hello")
	tree := newTree(t, nil)
	d := openDir(t, tree, root)
	e, err := d.Lstat(bg, "f")
	require.NoError(t, err)
	f, err := d.OpenFile(bg, e)
	require.NoError(t, err)
	buf := make([]byte, 5)
	_, err = f.ReadAt(buf, 0)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf))
	require.NoError(t, f.Close())

	// Written to after it was looked at: the entry follows.
	write(t, filepath.Join(root, "f"), "hello world")
	f, err = d.OpenFile(bg, e)
	require.NoError(t, err)
	require.EqualValues(t, 11, e.Size)
	require.EqualValues(t, 11, f.Size())
	require.NoError(t, f.Close())

	f, err = tree.OpenFile(bg, filepath.Join(root, "f"), nil)
	require.NoError(t, err)
	require.NoError(t, f.Changed())
	require.NoError(t, f.Close())

	// Another file of the same name.
	write(t, filepath.Join(root, "g"), "hello")
	require.NoError(t, os.Rename(filepath.Join(root, "g"), filepath.Join(root, "f")))
	_, err = d.OpenFile(bg, e)
	if e.Inode != 0 {
		requireProblem(t, err, source.Replaced, source.ErrReplaced)
	}
	require.NoError(t, os.Remove(filepath.Join(root, "f")))
	_, err = d.OpenFile(bg, e)
	requireProblem(t, err, source.Missing, fs.ErrNotExist)
	e.Type = source.TypeFifo
	_, err = d.OpenFile(bg, e)
	requireProblem(t, err, source.Unsupported, source.ErrType)
}

func TestDirClosed(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/b/f"), "x")
	tree := newTree(t, nil)
	d, err := tree.OpenDir(bg, root)
	require.NoError(t, err)
	e, err := d.Lstat(bg, "a")
	require.NoError(t, err)
	a, err := d.OpenDir(bg, e)
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.ErrorIs(t, d.Close(), fs.ErrClosed)
	_, err = d.Lstat(bg, "a")
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = a.Lstat(bg, "b/f")
	require.Error(t, err, "not a name")

	// A folder outlives the one it was opened from.
	e, err = a.Lstat(bg, "b")
	require.NoError(t, err)
	b, err := a.OpenDir(bg, e)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "a", "b"), b.Path())
	require.NoError(t, a.Close())
	names, err := b.Names(bg)
	require.NoError(t, err)
	require.Equal(t, []string{"f"}, slices.Collect(names.All()))
	require.NoError(t, b.Close())
}

func TestVanishedFolder(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/f"), "x")
	write(t, filepath.Join(root, "z"), "x")
	d := openDir(t, newTree(t, nil), root)
	var problems []source.Problem
	var names []string
	err := source.Walk(bg, d, func(_ *source.Dir, e *source.Entry, err error) error {
		var ee *source.EntryError
		if errors.As(err, &ee) {
			problems = append(problems, ee.Problem)
			return nil
		}
		names = append(names, e.Name)
		if e.Name == "a" {
			require.NoError(t, os.RemoveAll(filepath.Join(root, "a")))
		}
		return err
	})
	require.NoError(t, err)
	require.Equal(t, []source.Problem{source.Missing}, problems)
	require.Equal(t, []string{"a", "z"}, names, "the walk goes on")
}

func TestManyNames(t *testing.T) {
	root := t.TempDir()
	const n = 1500
	var want []string
	for i := range n {
		name := fmt.Sprintf("%d-%s", i*7919%n, strings.Repeat("x", i%100))
		want = append(want, name)
		f, err := os.Create(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	slices.Sort(want)
	d := openDir(t, newTree(t, nil), root)
	names, err := d.Names(bg)
	require.NoError(t, err)
	require.Equal(t, want, slices.Collect(names.All()))
	require.Equal(t, n, names.Len())
	require.Equal(t, want[17], names.At(17))
	for range names.All() {
		break // stopping early is allowed
	}
}

func TestConcurrentFolders(t *testing.T) {
	root := t.TempDir()
	for i := range 20 {
		write(t, filepath.Join(root, fmt.Sprintf("d%d/e/f/g", i)), "x")
	}
	tree := newTree(t, &source.TreeOptions{MaxOpen: 2})
	d := openDir(t, tree, root)
	names, err := d.Names(bg)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for name := range names.All() {
		wg.Go(func() {
			e, err := d.Lstat(bg, name)
			if err != nil {
				t.Error(err)
				return
			}
			sub, err := d.OpenDir(bg, e)
			if err != nil {
				t.Error(err)
				return
			}
			var inner sync.WaitGroup
			for range 3 {
				inner.Go(func() {
					found := 0
					err := source.Walk(bg, sub, func(_ *source.Dir, _ *source.Entry, err error) error { found++; return err })
					if err != nil || found != 3 {
						t.Errorf("%s: %d entries, %v", sub.Path(), found, err)
					}
				})
			}
			inner.Wait()
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestRacy(t *testing.T) {
	now := time.Unix(1e9, 0)
	for age, want := range map[time.Duration]bool{0: true, time.Second: true, 2 * time.Second: true, 2*time.Second + 1: false, -time.Hour: true} {
		e := source.Entry{MTime: now.Add(-age).UnixNano()}
		require.Equal(t, want, e.Racy(now), "mtime %v ago", age)
		e = source.Entry{CTime: now.Add(-age).UnixNano()}
		require.Equal(t, want, e.Racy(now), "ctime %v ago", age)
	}
}

func TestNewTreeRefuses(t *testing.T) {
	_, err := source.NewTree(&source.TreeOptions{MaxOpen: 1})
	require.Error(t, err)
}

func TestStrings(t *testing.T) {
	require.Equal(t, "symlink", source.TypeSymlink.String())
	require.Equal(t, "type(0)", source.Type(0).String())
	require.Equal(t, "type(99)", source.Type(99).String())
	require.Equal(t, "hole", source.Hole.String())
	require.Equal(t, "data", source.Data.String())
	require.Equal(t, "kind(9)", source.Kind(9).String())
	require.Equal(t, "replaced", source.Replaced.String())
	require.Equal(t, "problem(9)", source.Problem(9).String())
	require.Equal(t, "VHDX", source.VHDX.String())
	require.Equal(t, "format(200)", source.Format(200).String())
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	cause := errors.New("cause")
	for want, err := range map[string]error{
		"open /a: cause":                     &source.EntryError{Op: "open", Path: "/a", Err: cause},
		"/a changed while it was read: size": &source.ChangedError{Path: "/a", Why: "size"},
		"/a is in use: mounted":              &source.InUseError{Path: "/a", Why: "mounted"},
		"command dump: cause":                &source.CommandError{Argv0: "dump", ExitCode: 1, Err: cause},
	} {
		require.EqualError(t, err, want)
	}
	var names []string
	for p := source.Unreadable; p <= source.Unsupported; p++ {
		names = append(names, p.String())
	}
	require.Equal(t, []string{"unreadable", "replaced", "missing", "unsupported"}, names)
}

func ExampleWalk() {
	root, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(root)
	_ = os.MkdirAll(filepath.Join(root, "src"), 0o755)
	_ = os.WriteFile(filepath.Join(root, "src", "main.go"), []byte("package main"), 0o644)
	_ = os.WriteFile(filepath.Join(root, "src", "main.o"), nil, 0o644)

	filter, err := source.NewFilter(&source.FilterOptions{Exclude: []string{"*.o"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	tree, _ := source.NewTree(&source.TreeOptions{Filter: filter})
	dir, err := tree.OpenDir(context.Background(), root)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer dir.Close()
	err = source.Walk(context.Background(), dir, func(d *source.Dir, e *source.Entry, err error) error {
		if err != nil {
			return err // or count it, and go on
		}
		fmt.Println(e.Type, e.Name, e.Size)
		return nil
	})
	fmt.Println(err)
	// Output:
	// directory src 0
	// file main.go 12
	// <nil>
}
