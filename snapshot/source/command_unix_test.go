//go:build unix

package source_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// family starts a command with a child, and returns its stream and the child's process id.
func family(t *testing.T, ctx context.Context, rest string) (source.Stream, *bufio.Reader, int) {
	t.Helper()
	s, err := source.Command(ctx, []string{"sh", "-c", "sleep 60 & echo $!; " + rest}, nil)
	require.NoError(t, err)
	r := bufio.NewReader(s)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0))
	return s, r, pid
}

func requireDead(t *testing.T, pid int) {
	t.Helper()
	for range 200 {
		if err := syscall.Kill(pid, 0); err != nil || zombie(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d still runs", pid)
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestCommandIsKilledWithItsGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(bg)
	s, r, pid := family(t, ctx, "wait")
	time.AfterFunc(20*time.Millisecond, cancel)
	start := time.Now()
	_, err := io.ReadAll(r)
	require.Equal(t, context.Canceled, err)
	require.Less(t, time.Since(start), 10*time.Second)
	requireDead(t, pid)
	require.NoError(t, s.Close())
}

func TestCommandClosedEarly(t *testing.T) {
	s, _, pid := family(t, bg, "wait")
	require.NoError(t, s.Close())
	requireDead(t, pid)
}

func TestCommandThatIgnoresSignals(t *testing.T) {
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	s, err := source.Command(ctx, []string{"sh", "-c", "trap '' TERM INT HUP; while :; do sleep 0.1; done"}, nil)
	require.NoError(t, err)
	defer s.Close()
	_, err = io.ReadAll(s)
	require.Equal(t, context.DeadlineExceeded, err)
}

// TestCommandLeavesItsGroup has a descendant that the kill does not reach, and that keeps the output open.
func TestCommandLeavesItsGroup(t *testing.T) {
	needTool(t, "setsid")
	ctx, cancel := context.WithCancel(bg)
	s, err := source.Command(ctx, []string{"sh", "-c", "setsid sleep 8 & echo ready; wait"}, nil)
	require.NoError(t, err)
	_, err = s.Read(make([]byte, 100))
	require.NoError(t, err)
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	_, err = s.Read(make([]byte, 1))
	require.Equal(t, context.Canceled, err)
	require.Less(t, time.Since(start), 6*time.Second)
	require.NoError(t, s.Close())
}

func TestCommandLeavesNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 20 {
		s, err := source.Command(bg, []string{"sh", "-c", "echo x; exit 1"}, &source.CommandOptions{Stderr: io.Discard})
		require.NoError(t, err)
		if i%2 == 0 {
			_, err = io.ReadAll(s)
			require.Error(t, err)
		}
		require.NoError(t, s.Close())
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}
