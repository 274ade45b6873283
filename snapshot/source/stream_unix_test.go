//go:build linux || darwin || freebsd

package source_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// inherited returns a pipe as a process finds it that was started with it: it blocks, and the runtime cannot interrupt its reads.
func inherited(t *testing.T) (r, w *os.File) {
	t.Helper()
	var p [2]int
	require.NoError(t, unix.Pipe(p[:]))
	r, w = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	require.ErrorIs(t, r.SetReadDeadline(time.Now()), os.ErrNoDeadline)
	return r, w
}

func TestInheritedPipe(t *testing.T) {
	r, w := inherited(t)
	want := make([]byte, 1<<20)
	_, _ = rand.Read(want)
	go func() {
		_, _ = w.Write(want)
		_ = w.Close()
	}()
	s := source.NewStream(bg, r)
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.NoError(t, s.Close())
	_, err = r.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err, "the file itself stays open")
}

func TestInheritedPipeIsInterrupted(t *testing.T) {
	r, _ := inherited(t)
	ctx, cancel := context.WithCancel(bg)
	s := source.NewStream(ctx, r)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := s.Read(make([]byte, 1))
	require.Equal(t, context.Canceled, err)
	require.NoError(t, s.Close())

	r, _ = inherited(t)
	checkCloseInterrupts(t, r)
}

// TestFileAsStream: what is redirected into standard input is read like anything else.
func TestFileAsStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "hello")
	for name, want := range map[string]string{path: "hello", os.DevNull: ""} {
		f, err := os.Open(name)
		require.NoError(t, err)
		s := source.NewStream(bg, f)
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.NoError(t, s.Close())
		require.NoError(t, f.Close())
	}
}
