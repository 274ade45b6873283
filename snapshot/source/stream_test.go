package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func TestNewStream(t *testing.T) {
	s := source.NewStream(bg, strings.NewReader("hello"))
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Close(), fs.ErrClosed)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)

	broken := errors.New("broken")
	_, err = io.ReadAll(source.NewStream(bg, iotest.ErrReader(broken)))
	require.Equal(t, broken, err)

	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = source.NewStream(ctx, strings.NewReader("hello")).Read(make([]byte, 1))
	require.Equal(t, context.Canceled, err)
}

func TestStreamIsInterrupted(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(bg)
	s := source.NewStream(ctx, r)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = s.Read(make([]byte, 1))
	require.Equal(t, context.Canceled, err)
	require.NoError(t, s.Close())
}

// TestCloseInterrupts: whoever learns that a stream is not wanted any more need not wait for its data.
func TestCloseInterrupts(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	checkCloseInterrupts(t, r)
}

func checkCloseInterrupts(t *testing.T, r io.Reader) {
	t.Helper()
	s := source.NewStream(bg, r)
	time.AfterFunc(20*time.Millisecond, func() { _ = s.Close() })
	_, err := s.Read(make([]byte, 1))
	require.Equal(t, fs.ErrClosed, err)
	_, err = s.Read(make([]byte, 1))
	require.Equal(t, fs.ErrClosed, err)
}

func TestCommandNotFound(t *testing.T) {
	_, err := source.Command(bg, []string{"holdfast-no-such-command"}, nil)
	var ce *source.CommandError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, -1, ce.ExitCode)
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.ErrorContains(t, err, "holdfast-no-such-command")
	_, err = source.Command(bg, nil, nil)
	require.Error(t, err)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = source.Command(ctx, []string{"true"}, nil)
	require.Equal(t, context.Canceled, err)
}

func TestCommand(t *testing.T) {
	needTool(t, "sh")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		script      string
		stdin       string
		out, stderr string
		exit        int
	}{
		"output":                      {script: "echo hello", out: "hello\n"},
		"nothing":                     {script: "true"},
		"fails":                       {script: "echo part; echo why >&2; exit 3", out: "part\n", stderr: "why\n", exit: 3},
		"fails early":                 {script: "exit 1", exit: 1},
		"killed by a signal":          {script: "echo x; kill -9 $$", out: "x\n", exit: -1},
		"reads":                       {script: "cat; pwd; echo $VAR", stdin: "in\n", out: "in\n" + dir + "\nvalue\n"},
		"stops before its input does": {script: "exit 0", stdin: strings.Repeat("x", 1<<20)},
		"closes its output":           {script: "echo x; exec >&-; exit 5", out: "x\n", exit: 5},
		"much":                        {script: "head -c 3000000 /dev/zero", out: strings.Repeat("\x00", 3000000)},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			s, err := source.Command(bg, []string{"sh", "-c", c.script}, &source.CommandOptions{
				Dir: dir, Env: append(os.Environ(), "VAR=value"), Stdin: strings.NewReader(c.stdin), Stderr: &stderr,
			})
			require.NoError(t, err)
			got, err := io.ReadAll(s)
			require.True(t, c.out == string(got), "output")
			require.Equal(t, c.stderr, stderr.String())
			if c.exit == 0 {
				require.NoError(t, err)
			} else {
				var ce *source.CommandError
				require.ErrorAs(t, err, &ce)
				require.Equal(t, c.exit, ce.ExitCode)
				require.Equal(t, "sh", ce.Argv0)
				_, again := s.Read(make([]byte, 1))
				require.Equal(t, err, again, "the error stays")
			}
			require.NoError(t, s.Close())
			require.ErrorIs(t, s.Close(), fs.ErrClosed)
			_, err = s.Read(make([]byte, 1))
			require.ErrorIs(t, err, fs.ErrClosed)
		})
	}
}

func ExampleCommand() {
	s, err := source.Command(context.Background(), []string{"echo", "a dump"}, &source.CommandOptions{Stderr: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	dump, err := io.ReadAll(s)
	fmt.Printf("%q %v\n", dump, err)
	// Output: "a dump\n" <nil>
}
