package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/s3server"
)

// startS3 starts a server for one test.
func startS3(t *testing.T) *s3server.Server {
	t.Helper()
	server, err := s3server.Start("../../.tools")
	if errors.Is(err, s3server.ErrNotInstalled) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// runS3 runs the command on a repository of a server, and returns what it printed.
func runS3(t *testing.T, dir, url string, args ...string) string {
	t.Helper()
	cmd, stdout, stderr := holdfast(t, dir, append(args, "-r", "s3:"+url+"/bucket/repo")...)
	cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+s3server.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3server.SecretKey)
	require.NoError(t, cmd.Run(), "%v: %s", args, stderr)
	return stdout.String()
}

// TestPoorNetwork backs up and restores through a link of 50 ms that breaks every connection now and then: everything arrives.
func TestPoorNetwork(t *testing.T) {
	t.Parallel()
	server := startS3(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	link, err := server.NewLink(50*time.Millisecond, 8<<20, seed)
	require.NoError(t, err)
	defer link.Close()

	dir := newDir(t)
	data := make([]byte, 32<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	source := filepath.Join(dir, "data")
	require.NoError(t, os.WriteFile(source, data, 0o600))
	run := func(args ...string) { t.Logf("%v: %s", args, runS3(t, dir, link.URL, args...)) }
	run("init", "--pack-size", "4M", "--segment-size", "256K")
	run("backup", source)
	run("restore", "latest:"+source, "--to-file", filepath.Join(dir, "back"))
	back, err := os.ReadFile(filepath.Join(dir, "back"))
	require.NoError(t, err)
	require.Equal(t, data, back)
	run("check", "--read-data")
	require.Positive(t, link.Broken.Load())
}

// TestRequests: a backup of an unchanged disk takes few requests, also when the ledger has grown.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := startS3(t)
	dir := newDir(t)
	data := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	source := filepath.Join(dir, "disk.img")
	require.NoError(t, os.WriteFile(source, data, 0o600))
	run := func(args ...string) (requests int) {
		t.Helper()
		out := runS3(t, dir, server.URL, append(args, "--json")...)
		if m := regexp.MustCompile(`"requests":([0-9]+)`).FindStringSubmatch(out); m != nil {
			var err error
			requests, err = strconv.Atoi(m[1])
			require.NoError(t, err)
		}
		return requests
	}
	run("init")
	run("backup", "--force", source)
	least := 1000 // a busy machine may have some repeated
	for range 30 {
		requests := run("backup", "--force", source)
		require.Positive(t, requests)
		least = min(least, requests)
	}
	require.Less(t, least, 20)
}
