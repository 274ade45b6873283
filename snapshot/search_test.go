package snapshot_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
)

func TestSearch(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	for _, name := range []string{"foo", "a/foo", "a/foo.d/foo", "a/b/Foo", "a/b/bar.txt", "a/b/caf\xff", "a/[x]"} {
		write(t, filepath.Join(dir, name), []byte("x"))
	}
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	search := func(o *snapshot.SearchOptions) []string {
		list := []string{}
		for f, err := range snapshot.Search(t.Context(), r, m, o) {
			require.NoError(t, err)
			if rest, ok := strings.CutPrefix(f.Path, dir+"/"); ok {
				list = append(list, rest)
			}
		}
		return list
	}
	for _, c := range []struct {
		patterns []string
		fold     bool
		want     []string
	}{
		{nil, false, []string{"a", "a/[x]", "a/b", "a/b/Foo", "a/b/bar.txt", "a/b/caf\xff", "a/foo", "a/foo.d", "a/foo.d/foo", "foo"}},
		{[]string{"foo"}, false, []string{"a/foo", "a/foo.d/foo", "foo"}},
		{[]string{"foo"}, true, []string{"a/b/Foo", "a/foo", "a/foo.d/foo", "foo"}},
		{[]string{"foo*"}, false, []string{"a/foo", "a/foo.d", "a/foo.d/foo", "foo"}},
		{[]string{"*.d/foo", "*.txt"}, false, []string{"a/b/bar.txt", "a/foo.d/foo"}},
		{[]string{"a/**/foo"}, false, []string{"a/foo", "a/foo.d/foo"}},
		{[]string{dir + "/*"}, false, []string{"a", "foo"}},
		{[]string{"/foo"}, false, []string{}},
		{[]string{"caf*"}, false, []string{"a/b/caf\xff"}},
		{[]string{"caf?"}, false, []string{"a/b/caf\xff"}},
		{[]string{`\[x]`}, false, []string{"a/[x]"}},
	} {
		require.Equal(t, c.want, search(&snapshot.SearchOptions{Patterns: c.patterns, IgnoreCase: c.fold}), "%q", c.patterns)
	}
	now := time.Now()
	require.NotContains(t, search(&snapshot.SearchOptions{Since: now.Add(-time.Minute)}), "foo")
	require.Contains(t, search(&snapshot.SearchOptions{Until: now.Add(-time.Minute)}), "foo")
}

func TestSearchErrors(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), nil)
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.NoError(t, (&snapshot.SearchOptions{Patterns: []string{"*"}}).Validate())
	for _, p := range []string{"", "[", "a/[b"} {
		require.ErrorIs(t, (&snapshot.SearchOptions{Patterns: []string{p}}).Validate(), snapshot.ErrPattern, p)
		for _, err := range snapshot.Search(t.Context(), r, m, &snapshot.SearchOptions{Patterns: []string{p}}) {
			require.ErrorIs(t, err, snapshot.ErrPattern, p)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range snapshot.Search(ctx, r, m, nil) {
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	n := 0
	for range snapshot.Search(t.Context(), r, m, nil) {
		n++
		break
	}
	require.Equal(t, 1, n)
}
