package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// TestSkipIfUnchanged: what counts is what was named, not the folders that lead there.
func TestSkipIfUnchanged(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	top := t.TempDir()
	a, b := filepath.Join(top, "way/a"), filepath.Join(top, "b")
	write(t, filepath.Join(a, "sub/x"), []byte("x"))
	write(t, b, []byte("b"))
	dump := "dump"
	time.Sleep(2100 * time.Millisecond) // until the files are not racy any more
	saved := func(o *snapshot.BackupOptions, paths ...string) bool {
		t.Helper()
		var items []snapshot.Item
		for _, p := range paths {
			items = append(items, files(t, p))
		}
		items = append(items, snapshot.Stream("/s", source.NewStream(t.Context(), strings.NewReader(dump))))
		if o == nil {
			o = &snapshot.BackupOptions{}
		}
		o.SkipIfUnchanged = true
		m, err := snapshot.Backup(t.Context(), r, items, o)
		require.NoError(t, err)
		require.True(t, m.Complete)
		return !m.ID.IsZero()
	}
	require.True(t, saved(nil, a, b), "there is no parent")
	require.False(t, saved(nil, a, b))
	write(t, filepath.Join(top, "way/other"), []byte("other"))
	write(t, filepath.Join(top, "other"), []byte("other"))
	require.NoError(t, os.Chmod(filepath.Join(top, "way"), 0o700))
	require.False(t, saved(nil, a, b), "only folders on the way changed")
	require.False(t, saved(&snapshot.BackupOptions{Force: true}, a, b), "read again, and the same")

	write(t, filepath.Join(a, "sub/x"), []byte("y"))
	require.True(t, saved(nil, a, b), "a file in a folder")
	require.NoError(t, os.Chmod(a, 0o711))
	require.True(t, saved(nil, a, b), "the folder itself")
	require.NoError(t, os.Remove(filepath.Join(a, "sub/x")))
	require.True(t, saved(nil, a, b), "a file is gone")
	require.NoError(t, os.Chmod(b, 0o600))
	require.True(t, saved(nil, a, b), "a file that was named")
	dump = "another"
	require.True(t, saved(nil, a, b), "a stream")
	require.False(t, saved(nil, a, b))

	parent, err := snapshot.Find(t.Context(), r, "latest", nil)
	require.NoError(t, err)
	require.True(t, saved(&snapshot.BackupOptions{Parent: parent.ID}, a), "fewer paths than the parent has")
}

// TestRefusedAmongGood: what was asked for and refused is not in the snapshot, which says so.
func TestRefusedAmongGood(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), []byte("x"))
	write(t, filepath.Join(dir, "disk"), []byte("disk"))
	inUse := errors.New("in use")
	items := []snapshot.Item{files(t, dir), snapshot.Refused(filepath.Join(dir, "disk"), inUse)}
	var events []snapshot.Event
	for range 2 {
		m, err := snapshot.Backup(t.Context(), r, items, &snapshot.BackupOptions{SkipIfUnchanged: true, Report: func(e snapshot.Event) {
			if e.Kind == snapshot.EventError {
				events = append(events, e)
			}
		}})
		require.NoError(t, err)
		require.False(t, m.Complete)
		require.False(t, m.ID.IsZero(), "an incomplete one is no reason to skip the next")
		require.EqualValues(t, 1, m.Stats.Errors)
		_, err = snapshot.OpenImage(t.Context(), r, m.ID, filepath.Join(dir, "disk"))
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Equal(t, "x", string(read(t, r, m, filepath.Join(dir, "x"))))
	}
	require.Equal(t, snapshot.Event{Kind: snapshot.EventError, Path: filepath.Join(dir, "disk"), Err: inUse}, events[0])
	_, err := snapshot.Backup(t.Context(), r, items[1:], nil)
	require.ErrorIs(t, err, snapshot.ErrNothing)
	_, _, err = snapshot.Measure(t.Context(), items)
	require.NoError(t, err)
}
