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

// TestPoorNetwork backs up and restores through a link of 50 ms that breaks every connection now and then: everything arrives.
func TestPoorNetwork(t *testing.T) {
	t.Parallel()
	server, err := s3server.Start("../../.tools")
	if errors.Is(err, s3server.ErrNotInstalled) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop()) }()
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
	run := func(args ...string) {
		t.Helper()
		cmd, stdout, stderr := holdfast(t, dir, append(args, "-r", "s3:"+link.URL+"/bucket/repo")...)
		cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+s3server.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3server.SecretKey)
		require.NoError(t, cmd.Run(), "%v: %s", args, stderr)
		t.Logf("%v: %s", args, stdout)
	}
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
	server, err := s3server.Start("../../.tools")
	if errors.Is(err, s3server.ErrNotInstalled) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop()) }()
	dir := newDir(t)
	data := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	source := filepath.Join(dir, "disk.img")
	require.NoError(t, os.WriteFile(source, data, 0o600))
	run := func(args ...string) (requests int) {
		t.Helper()
		cmd, stdout, stderr := holdfast(t, dir, append(args, "--json", "-r", "s3:"+server.URL+"/bucket/repo")...)
		cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+s3server.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3server.SecretKey)
		require.NoError(t, cmd.Run(), "%v: %s", args, stderr)
		if m := regexp.MustCompile(`"requests":([0-9]+)`).FindStringSubmatch(stdout.String()); m != nil {
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
