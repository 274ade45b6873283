//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseFlags(t *testing.T) {
	cfg, err := parseFlags([]string{"-out", "x", "--scale", "16", "--seed", "7", "--only", "vm2, rand"}, io.Discard)
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(cfg.out))
	require.Equal(t, 16, cfg.scale)
	require.EqualValues(t, 7, cfg.seed)
	require.Equal(t, []string{"rand", "vm", "vm2"}, cfg.only, "vm2 needs vm")

	for _, args := range [][]string{{}, {"-out", "x", "--scale", "0"}, {"-out", "x", "--scale", "65"}, {"-out", "x", "--only", "nothing"},
		{"-out", "x", "more"}, {"--no-such"}} {
		_, err := parseFlags(args, io.Discard)
		require.Error(t, err, args)
	}
}

func TestBuildTwice(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "c")
	args := []string{"-out", out, "--scale", "64", "--only", "rand,tree"}
	var stdout, stderr bytes.Buffer
	require.Zero(t, realMain(args, &stdout, &stderr), stderr.String())
	first, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	require.NoError(t, err)
	fi, err := os.Stat(filepath.Join(out, "rand.bin"))
	require.NoError(t, err)
	require.EqualValues(t, 16<<20, fi.Size())

	stderr.Reset()
	require.Zero(t, realMain(args, &stdout, &stderr), stderr.String())
	require.Contains(t, stderr.String(), "rand.bin kept")
	require.Contains(t, stderr.String(), "tree kept")
	again, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))

	require.Zero(t, realMain(append(args, "--force"), &stdout, &stderr), stderr.String())
	one, err := loadManifest(filepath.Join(out, "manifest.json"))
	require.NoError(t, err)
	for _, e := range one.Files {
		require.Contains(t, string(first), e.BLAKE3, "%s is not the same from the same seed", e.Name)
	}
}

func TestMissingToolsNamePackages(t *testing.T) {
	require.Empty(t, missingTools(tool{"sh", "dash"}))
	got := missingTools(tool{"sh", "dash"}, tool{"no-such-a", "pkg-a"}, tool{"no-such-b", "pkg-a"}, tool{"no-such-c", "pkg-c"})
	require.Equal(t, "missing no-such-a, no-such-b, no-such-c (apt-get install pkg-a pkg-c)", got)
}

func TestExecErrorsShowTheEnd(t *testing.T) {
	var log bytes.Buffer
	r := &runner{log: &log}
	err := r.simple(context.Background(), "sh", "-c", "echo what went wrong >&2; exit 3")
	require.ErrorContains(t, err, "what went wrong")
	require.Contains(t, log.String(), "what went wrong")
	require.ErrorContains(t, r.simple(context.Background(), "no-such-program"), "not found")
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	r := &runner{log: io.Discard}
	go func() {
		done <- r.simple(ctx, "sh", "-c", "sleep 600 & echo $! > "+pidFile+".tmp; mv "+pidFile+".tmp "+pidFile+"; wait")
	}()
	var pid int
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		pid = atoi(strings.TrimSpace(string(data)))
		return true
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 10*time.Millisecond)
}

// gone reports whether a process has ended; one that nobody has waited for yet counts as ended.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	data, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
	return err != nil || strings.Contains(string(data), ") Z ")
}

func TestCleanupsRunOnceInReverse(t *testing.T) {
	c := &cleanups{}
	var got []string
	note := func(s string) func() error {
		return func() error {
			got = append(got, s)
			return nil
		}
	}
	c.add(note("a"))
	early := c.add(note("b"))
	c.add(func() error { return io.ErrUnexpectedEOF })
	require.NoError(t, early())
	require.ErrorIs(t, c.runAll(), io.ErrUnexpectedEOF)
	require.NoError(t, early())
	require.NoError(t, c.runAll())
	require.Equal(t, []string{"b", "a"}, got)
}
