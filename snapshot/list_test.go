package snapshot_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// TestLatestAmongUnreadable: while a snapshot cannot be read nobody knows which is the latest, and an older one is not taken for it.
func TestLatestAmongUnreadable(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), []byte("x"))
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	s, err := r.Begin(t.Context(), nil)
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), m.Root, []byte("by a newer program"))
	require.NoError(t, err)

	list, err := snapshot.List(t.Context(), r, nil)
	require.Error(t, err)
	require.Len(t, list, 1)
	_, err = snapshot.Find(t.Context(), r, "latest", nil)
	require.ErrorContains(t, err, "give an id")
	found, err := snapshot.Find(t.Context(), r, m.ID.String()[:12], nil)
	require.NoError(t, err)
	require.Equal(t, m.ID, found.ID)
}

// TestParentGroup: a parent has what the grouping names in common with the new snapshot, and is not newer.
func TestParentGroup(t *testing.T) {
	r := newRepo(t)
	a, b := t.TempDir(), t.TempDir()
	now := time.Now()
	parent := func(dir, host, tag string, age time.Duration, by *snapshot.Grouping) (id, parent repo.ID) {
		m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)},
			&snapshot.BackupOptions{Host: host, Tags: []string{tag}, Time: now.Add(-age), GroupBy: by})
		require.NoError(t, err)
		return m.ID, m.Parent
	}
	first, none := parent(a, "one", "x", 9*time.Hour, nil)
	require.Zero(t, none)
	second, got := parent(a, "one", "y", 8*time.Hour, nil)
	require.Equal(t, first, got)
	_, got = parent(b, "one", "x", 7*time.Hour, nil)
	require.Zero(t, got)
	_, got = parent(a, "two", "z", 6*time.Hour, nil)
	require.Zero(t, got)
	third, got := parent(a, "three", "z", 5*time.Hour, &snapshot.Grouping{Paths: true, Tags: true})
	require.NotZero(t, got)
	_, got = parent(b, "three", "new", 4*time.Hour, &snapshot.Grouping{Host: true})
	require.Equal(t, third, got)
	_, got = parent(b, "four", "new", 7*time.Hour+time.Minute, &snapshot.Grouping{})
	require.Equal(t, second, got)
}

// TestParentBesideCollection: while something is condemned, a snapshot that was being made then is no parent, an older one is.
func TestParentBesideCollection(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), []byte("x"))
	backup := func(o *snapshot.BackupOptions) *snapshot.Manifest {
		m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, o)
		require.NoError(t, err)
		return m
	}
	other := t.TempDir()
	write(t, filepath.Join(other, "y"), []byte("y"))
	unneeded, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, other)}, nil)
	require.NoError(t, err)
	require.NoError(t, r.Forget(t.Context(), []repo.ID{unneeded.ID}, ""))
	old := backup(nil)
	var once sync.Once
	during := backup(&snapshot.BackupOptions{Report: func(snapshot.Event) {
		once.Do(func() {
			report, err := r.Collect(t.Context(), &repo.CollectOptions{MaxUnused: &repo.Limit{}})
			assert.NoError(t, err)
			assert.NotZero(t, report.Condemned)
		})
	}})
	require.Equal(t, old.ID, during.Parent)

	require.Equal(t, old.ID, backup(nil).Parent)
	var notes []string
	asked := backup(&snapshot.BackupOptions{Parent: during.ID, Report: func(e snapshot.Event) {
		if e.Kind == snapshot.EventNote {
			notes = append(notes, e.Err.Error())
		}
	}})
	require.Zero(t, asked.Parent)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "being collected")
}
