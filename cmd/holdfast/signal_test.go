//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// holdfast returns the command with a key file and repository in dir.
func holdfast(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = exec.Command(self)
	cmd.Args = append([]string{"holdfast"}, args...) // TestMain goes by this name
	cmd.Env = append(os.Environ(), "HOLDFAST_REPOSITORY="+filepath.Join(dir, "repo"), "HOLDFAST_KEY_FILE="+filepath.Join(dir, "key"),
		"HOLDFAST_CACHE_DIR="+filepath.Join(dir, "cache"), "GORACE="+noRaceWait)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

func newDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, _ := crypto.NewKeyFile()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), text, 0o600))
	cmd, _, stderr := holdfast(t, dir, "init", "--pack-size", "1M", "--segment-size", "256K")
	require.NoError(t, cmd.Run(), stderr)
	return dir
}

// TestInterrupted interrupts a backup whose source has stalled. It ends at once and cleanly, and the next run does not upload again
// what the first one had.
func TestInterrupted(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			if signal.Ignored(sig) {
				t.Skip("this signal is ignored here, as hangups are under nohup")
			}
			t.Parallel()
			dir := newDir(t)
			data := make([]byte, 24<<20)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(data)

			cmd, _, stderr := holdfast(t, dir, "backup", "--stdin")
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = in.Write(data[:20<<20])
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				packs, err := filepath.Glob(filepath.Join(dir, "repo/packs/*/*"))
				return err == nil && len(packs) >= 8
			}, 20*time.Second, 10*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(sig))
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				require.NoError(t, cmd.Process.Kill())
				t.Fatal("it did not stop")
			}
			require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), stderr)
			require.Equal(t, "holdfast: interrupted: what was uploaded is kept, and the next run of this backup uses it\n", stderr.String())

			cmd, stdout, stderr := holdfast(t, dir, "snapshots", "--json")
			require.NoError(t, cmd.Run(), stderr)
			require.Equal(t, "[]\n", stdout.String())

			cmd, stdout, stderr = holdfast(t, dir, "backup", "--stdin", "--json")
			cmd.Stdin = bytes.NewReader(data)
			require.NoError(t, cmd.Run(), stderr)
			var sum struct {
				Added uint64 `json:"data_added"`
				Total uint64 `json:"total_bytes_processed"`
			}
			lines := bytes.Split(bytes.TrimSpace(stdout.Bytes()), []byte("\n"))
			require.NoError(t, json.Unmarshal(lines[len(lines)-1], &sum))
			require.EqualValues(t, len(data), sum.Total)
			require.Less(t, sum.Added, sum.Total*3/4)

			cmd, stdout, stderr = holdfast(t, dir, "dump", "latest")
			require.NoError(t, cmd.Run(), stderr)
			require.True(t, bytes.Equal(data, stdout.Bytes()))
		})
	}
}

// TestSecondInterruptKills: a program that does not get to its end after the first signal, here because it waits for a password, is
// killed by the second.
func TestSecondInterruptKills(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	pipe := filepath.Join(dir, "password")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	cmd, _, stderr := holdfast(t, dir, "snapshots", "--password-file", pipe)
	require.NoError(t, cmd.Start())
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the program opens it too
	require.NoError(t, err)
	defer w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for signals := 0; ; signals++ {
		select {
		case <-ended:
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			require.True(t, status.Signaled(), "%v %s", cmd.ProcessState, stderr)
			require.Equal(t, syscall.SIGINT, status.Signal())
			require.GreaterOrEqual(t, signals, 2, "the first one kills nothing")
			return
		case <-time.After(300 * time.Millisecond):
			require.Less(t, signals, 20, "it cannot be killed")
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
}

// TestInterruptedPasswordCommand interrupts a password command whose child goes on: it is not waited for.
func TestInterruptedPasswordCommand(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	cmd, _, stderr := holdfast(t, dir, "snapshots", "--password-command", `sh -c "exec 2>&1; echo $$ >`+filepath.Join(dir, "pid")+`; sleep 30; true"`)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		return err == nil && len(b) > 0
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		require.NoError(t, cmd.Process.Kill())
		t.Fatal("it did not stop")
	}
	require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), stderr)
}

// TestSlowBackupTellsProgress looks at the status lines of a backup that takes a while.
func TestSlowBackupTellsProgress(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	cmd, stdout, stderr := holdfast(t, dir, "backup", "--stdin", "--json")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for range 5 {
		_, err = in.Write(make([]byte, 5<<20))
		require.NoError(t, err)
		time.Sleep(500 * time.Millisecond)
	}
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait(), stderr)
	dec := json.NewDecoder(stdout)
	types := map[string]int{}
	for {
		var line statusJSON
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		types[line.Type]++
		if line.Type == "status" {
			require.Positive(t, line.BytesDone)
			require.Positive(t, line.SecondsElapsed)
		}
	}
	require.GreaterOrEqual(t, types["status"], 1)
	require.LessOrEqual(t, types["status"], 4)
	require.Equal(t, 1, types["summary"])
	require.Len(t, types, 2)
}

// TestSleeper stops a backup, lets a prune end its session and delete what the backup counted on, and wakes it: it says that it must be run again,
// and the next run is whole.
func TestSleeper(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	run := func(args ...string) string {
		cmd, stdout, stderr := holdfast(t, dir, args...)
		require.NoError(t, cmd.Run(), "%v: %s", args, stderr)
		return stdout.String()
	}
	data := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(data)
	file := filepath.Join(dir, "old")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	run("backup", file)

	sleeper, _, stderr := holdfast(t, dir, "backup", "--stdin")
	in, err := sleeper.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, sleeper.Start())
	_, err = in.Write(data) // all of it is known
	require.NoError(t, err)
	require.Eventually(t, func() bool { return bytes.Contains([]byte(run("sessions")), []byte("1 open session")) }, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, sleeper.Process.Signal(syscall.SIGSTOP))
	out := run("forget", "latest", "--unsafe-allow-remove-all", "--prune", "--revoke-after", "0s", "--json")
	require.Contains(t, out, `"sessions_revoked":["`)
	require.NoError(t, sleeper.Process.Signal(syscall.SIGCONT))
	require.NoError(t, in.Close())
	require.Error(t, sleeper.Wait())
	require.Equal(t, exitFailed, sleeper.ProcessState.ExitCode())
	require.Contains(t, stderr.String(), "it was revoked by somebody else; run it again")
	require.Equal(t, 1, bytes.Count(stderr.Bytes(), []byte("\n")), stderr)

	again, _, stderr := holdfast(t, dir, "backup", "--stdin")
	again.Stdin = bytes.NewReader(data)
	require.NoError(t, again.Run(), stderr)
	run("check", "--read-data")
	require.Equal(t, data, []byte(run("dump", "latest", "stdin")))
}
