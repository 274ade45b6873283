package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	return []string{"-repo", dir, "-key", keyFile, "-listen", "localhost:0"}
}

// newDisk makes an image file of 8 MiB, data between zeros.
func newDisk(t *testing.T) (path string, content []byte) {
	t.Helper()
	content = make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content[1<<20 : 3<<20])
	path = filepath.Join(t.TempDir(), "vm.img")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path, content
}

func TestServesRanges(t *testing.T) {
	path, want := newDisk(t)
	args := append(newRepo(t), path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, out)
		out.CloseWithError(err)
		done <- err
	}()
	line, err := bufio.NewReader(in).ReadString('\n')
	require.NoError(t, err)
	url := strings.TrimSpace(line)

	get := func(header, value string) (*http.Response, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		req.Header.Set(header, value)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, b
	}
	const from, to = 3<<20 - 5000, 3<<20 + 5000 // from data into zeros
	resp, b := get("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(want)), resp.Header.Get("Content-Range"))
	require.True(t, bytes.Equal(want[from:to], b))
	resp, b = get("Range", "bytes=99999999-")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, resp.StatusCode, string(b))
	resp, b = get("Accept", "*/*")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, bytes.Equal(want, b))
	resp, _ = get("If-None-Match", resp.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, resp.StatusCode)

	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.NoError(t, <-done)
}

func TestMistakes(t *testing.T) {
	args := newRepo(t)
	require.Error(t, run(t.Context(), args, io.Discard), "no disk")
	require.ErrorIs(t, run(t.Context(), append(args, filepath.Join(t.TempDir(), "none")), io.Discard), os.ErrNotExist)
	require.ErrorIs(t, run(t.Context(), []string{"-key", "/does/not/exist", "x"}, io.Discard), os.ErrNotExist)
}
