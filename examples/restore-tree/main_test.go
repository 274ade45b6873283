package main

import (
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// newRepo makes a repository and returns the flags that name it.
func newRepo(t *testing.T) []string {
	t.Helper()
	dir, keyFile := filepath.Join(t.TempDir(), "repo"), filepath.Join(t.TempDir(), "key")
	text, key := crypto.NewKeyFile()
	require.NoError(t, os.WriteFile(keyFile, text, 0o600))
	store, err := local.Create(dir, nil)
	require.NoError(t, err)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Sealer: key})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, store.Close())
	return []string{"-repo", dir, "-key", keyFile}
}

// newFolder makes a folder with files, folders and a symlink.
func newFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o750))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o700))
	big := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(big)
	for name, content := range map[string][]byte{"small": []byte("hello"), "a/b/big": big, "a/zeros": make([]byte, 1<<20), "a/left.tmp": nil} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o640))
		when := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
		require.NoError(t, os.Chtimes(path, when, when))
	}
	require.NoError(t, os.Symlink("a/b/big", filepath.Join(dir, "link")))
	return dir
}

// list describes everything in a folder.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String() + " " + info.ModTime().String() + " "
		if d.Type().IsRegular() {
			b, err := os.ReadFile(filepath.Join(dir, path))
			require.NoError(t, err)
			what += string(b)
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(filepath.Join(dir, path))
			require.NoError(t, err)
			what += target
		}
		found[path] = what
		return nil
	}))
	return found
}

func TestRestoresWhatItBackedUp(t *testing.T) {
	folder, target := newFolder(t), filepath.Join(t.TempDir(), "restored")
	args := append(newRepo(t), folder, target)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), args, &out))
	require.Contains(t, out.String(), "restored 3 files, 4194309 bytes")
	want, got := list(t, folder), list(t, target)
	require.Contains(t, want, "a/left.tmp")
	delete(want, "a/left.tmp")
	require.Len(t, got, len(want))
	for path := range want {
		require.True(t, want[path] == got[path], path)
	}

	require.NoError(t, os.WriteFile(filepath.Join(target, "small"), []byte("changed"), 0o600))
	require.NoError(t, run(t.Context(), args, &out))
	require.True(t, want["small"] == list(t, target)["small"], "what differs is put right")
}

func TestMistakes(t *testing.T) {
	args := newRepo(t)
	require.Error(t, run(t.Context(), args, io.Discard), "no folder")
	require.Error(t, run(t.Context(), append(args, filepath.Join(t.TempDir(), "none"), t.TempDir()), io.Discard))
	require.ErrorIs(t, run(t.Context(), []string{"-key", "/does/not/exist", "x", "y"}, io.Discard), os.ErrNotExist)
}
