package restore_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/restore"
)

func TestFilters(t *testing.T) {
	items := []*item{
		dir("etc", text("hosts", "h"), text("passwd", "p"), dir("ssl", text("cert.pem", "c"), text("KEY.PEM", "k"))),
		dir("home", dir("bob", text("notes", "n"), dir(".cache", text("junk", "j")))), dir("empty"),
	}
	_, r, root := stored(t, items...)
	for _, c := range []struct {
		name string
		o    restore.TreeOptions
		want string
	}{
		{"all", restore.TreeOptions{}, "empty etc etc/hosts etc/passwd etc/ssl etc/ssl/KEY.PEM etc/ssl/cert.pem home home/bob home/bob/.cache home/bob/.cache/junk home/bob/notes"},
		{"include", restore.TreeOptions{Include: []string{"/etc/hosts"}}, "etc etc/hosts"},
		{"deep", restore.TreeOptions{Include: []string{"*.pem"}}, "etc etc/ssl etc/ssl/cert.pem"},
		{"case", restore.TreeOptions{IInclude: []string{"*.pem"}}, "etc etc/ssl etc/ssl/KEY.PEM etc/ssl/cert.pem"},
		{"folder", restore.TreeOptions{Include: []string{"ssl"}}, "etc etc/ssl etc/ssl/KEY.PEM etc/ssl/cert.pem"},
		{"exclude", restore.TreeOptions{Exclude: []string{".cache", "/etc"}}, "empty home home/bob home/bob/notes"},
		{"iexclude", restore.TreeOptions{IExclude: []string{"key.pem"}, Include: []string{"ssl"}}, "etc etc/ssl etc/ssl/cert.pem"},
		{"nothing", restore.TreeOptions{Include: []string{"/etc/nothing"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			restoreTree(t, r, root, path, &c.o)
			require.Equal(t, c.want, strings.Join(namesBelow(t, path), " "))
			if c.name != "nothing" && c.name != "exclude" {
				info, err := os.Stat(filepath.Join(path, "etc"))
				require.NoError(t, err)
				require.EqualValues(t, testTime, info.ModTime().UnixNano(), "a folder on the way that was made has its attributes")
			}
		})
	}
	_, err := restore.Tree(t.Context(), r, root, t.TempDir(), &restore.TreeOptions{Include: []string{"[x"}})
	require.Error(t, err)
}

// namesBelow returns all paths below a folder, sorted.
func namesBelow(t testing.TB, path string) (names []string) {
	require.NoError(t, filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(path, p); rel != "." {
			names = append(names, rel)
		}
		return err
	}))
	slices.Sort(names)
	return names
}

func TestDelete(t *testing.T) {
	items := []*item{text("a", "a"), dir("d", text("x", "x"), dir("sub")), dir("other", text("o", "o"))}
	_, r, root := stored(t, items...)
	fill := func(t *testing.T) string {
		path := t.TempDir()
		restoreTree(t, r, root, path, nil)
		for _, name := range []string{"A", "b", "d/extra", "d/z/deep", "d/z/keep.log", "d/sub/more", "other/odd"} {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(path, name)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte("extra"), 0o600))
		}
		require.NoError(t, os.Symlink("/etc", filepath.Join(path, "d", "z", "link")))
		return path
	}
	t.Run("dry", func(t *testing.T) {
		path := fill(t)
		before := namesBelow(t, path)
		var ev events
		stats := restoreTree(t, r, root, path, &restore.TreeOptions{Delete: true, DryRun: true, Options: restore.Options{Report: ev.report}})
		require.Equal(t, before, namesBelow(t, path))
		require.Equal(t, []string{"/A", "/b", "/d/extra", "/d/sub/more", "/d/z/", "/d/z/deep", "/d/z/keep.log", "/d/z/link", "/other/odd"}, ev.paths(restore.EventDeleted))
		require.EqualValues(t, 9, stats.Deleted)
	})
	t.Run("all", func(t *testing.T) {
		path := fill(t)
		stats := restoreTree(t, r, root, path, &restore.TreeOptions{Delete: true})
		requireTree(t, path, items)
		require.EqualValues(t, 9, stats.Deleted)
		require.DirExists(t, "/etc")
	})
	t.Run("exclude", func(t *testing.T) {
		path := fill(t)
		restoreTree(t, r, root, path, &restore.TreeOptions{Delete: true, Exclude: []string{"*.log", "/other"}})
		require.Equal(t, "a d d/sub d/x d/z d/z/keep.log other other/o other/odd", strings.Join(namesBelow(t, path), " "))
	})
	t.Run("include", func(t *testing.T) {
		path := fill(t)
		restoreTree(t, r, root, path, &restore.TreeOptions{Delete: true, Include: []string{"/d/e*", "/d/sub"}})
		require.Equal(t, "A a b d d/sub d/x d/z d/z/deep d/z/keep.log d/z/link other other/o other/odd", strings.Join(namesBelow(t, path), " "))
	})
}

func TestDryRun(t *testing.T) {
	items := sample(t)
	_, r, root := stored(t, items...)
	path := filepath.Join(t.TempDir(), "target")
	var ev events
	o := &restore.TreeOptions{DryRun: true, Options: restore.Options{Report: ev.report}}
	stats := restoreTree(t, r, root, path, o)
	require.NoDirExists(t, path)
	require.EqualValues(t, 312, stats.Files)
	require.Zero(t, stats.Written)
	require.Contains(t, ev.paths(restore.EventRestored), "/d/x")
	require.Contains(t, ev.paths(restore.EventRestored), "/many/")

	restoreTree(t, r, root, path, nil)
	require.NoError(t, os.Remove(filepath.Join(path, "a")))
	before := namesBelow(t, path)
	ev = events{}
	restoreTree(t, r, root, path, o)
	require.Equal(t, before, namesBelow(t, path))
	require.Equal(t, []restore.EventKind{restore.EventRestored}, ev.kinds("/a"))
	require.Equal(t, []restore.EventKind{restore.EventUpdated}, ev.kinds("/d/x"))
}
