package snapshot_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// TestFilesOfTheKernel: files that say to be empty, or to have a page, are stored with what they hold.
func TestFilesOfTheKernel(t *testing.T) {
	r := newRepo(t)
	for _, name := range []string{"/proc/version", "/proc/sys/kernel/ostype", "/proc/kallsyms", "/sys/kernel/mm/transparent_hugepage/enabled"} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Logf("%s cannot be read here: %v", name, err)
			continue
		}
		var events []snapshot.Event
		m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, name)}, &snapshot.BackupOptions{Report: func(e snapshot.Event) { events = append(events, e) }})
		require.NoError(t, err)
		require.True(t, m.Complete, "%v", events)
		require.True(t, bytes.Equal(want, read(t, r, m, name)), name)
		require.EqualValues(t, len(want), m.Stats.BytesProcessed)
	}

	// One that says to be empty and cannot be read is no empty file.
	var reported []error
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, "/proc/self/mem"), files(t, "/proc/version")}, &snapshot.BackupOptions{Report: func(e snapshot.Event) {
		if e.Kind == snapshot.EventError {
			reported = append(reported, e.Err)
		}
	}})
	require.NoError(t, err)
	require.False(t, m.Complete)
	require.Len(t, reported, 1)
	require.EqualError(t, reported[0], "what follows offset 0 cannot be read: input/output error")
}
