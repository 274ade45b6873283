package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo"
)

func TestStream(t *testing.T) {
	dir := t.TempDir()
	call := func(verb string, in io.Reader) ([]byte, error) {
		var out bytes.Buffer
		args := []string{"-repo", filepath.Join(dir, "repo"), "-key", filepath.Join(dir, "key"), verb}
		err := run(t.Context(), args, in, &out)
		return out.Bytes(), err
	}
	_, err := call("init", nil)
	require.NoError(t, err)
	_, err = call("load", nil)
	require.ErrorIs(t, err, repo.ErrNotFound)

	want := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
	_, err = call("save", bytes.NewReader(want))
	require.NoError(t, err)
	got, err := call("load", nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))

	bad := errors.New("the dump failed")
	_, err = call("save", io.MultiReader(bytes.NewReader(want[:100]), iotest.ErrReader(bad)))
	require.ErrorIs(t, err, bad)
	got, err = call("load", nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the failed dump has left no snapshot")
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	args := []string{"-repo", filepath.Join(dir, "repo"), "-key", key}
	require.Error(t, run(t.Context(), args, nil, io.Discard))
	require.ErrorIs(t, run(t.Context(), append(args, "load"), nil, io.Discard), os.ErrNotExist)
	require.NoError(t, run(t.Context(), append(args, "init"), nil, io.Discard))
	require.ErrorIs(t, run(t.Context(), append(args, "init"), nil, io.Discard), os.ErrExist, "a key is never overwritten")
	require.NoError(t, os.Remove(key))
	require.ErrorIs(t, run(t.Context(), append(args, "init"), nil, io.Discard), repo.ErrRepositoryExists)
	require.ErrorIs(t, run(t.Context(), append(args, "load"), nil, io.Discard), repo.ErrWrongCredential)
}
