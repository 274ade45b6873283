package snapshot_test

import (
	"path/filepath"
	"testing"
	"time"

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
