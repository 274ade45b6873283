package repo_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// overwriteAll replaces the contents of all files below a folder.
func overwriteAll(t *testing.T, dir string, b []byte) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		// A new file, as a crash or a restored cache would leave: files that are mapped are never shortened.
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	}))
}
