package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/crypto"
)

// soakMemory is the most private memory that a command may take, in bytes, however many files there are.
const soakMemory = 300_000_000

// TestSoakManyFiles backs up a tree of SOAKFILES files (a million if that is not set), twice, then lists and checks it, and looks at the
// private memory of each command. It works in the folder SOAKDIR, if that is set, and leaves the tree there for the next run.
func TestSoakManyFiles(t *testing.T) {
	if os.Getenv("SOAKTIME") == "" {
		t.Skip("SOAKTIME is not set: make soak")
	}
	files, err := strconv.Atoi(cmp.Or(os.Getenv("SOAKFILES"), "1000000"))
	require.NoError(t, err)
	base := os.Getenv("SOAKDIR")
	if base == "" {
		base = t.TempDir()
	}
	root := filepath.Join(base, "tree")
	start := time.Now()
	folders := makeManyFiles(t, root, files)
	t.Logf("%d files in %d folders: %.0f s", files, folders, time.Since(start).Seconds())
	time.Sleep(2100 * time.Millisecond) // until the last ones are old enough to be taken for unchanged

	dir, err := os.MkdirTemp(base, "run")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text, _ := crypto.NewKeyFile()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), text, 0o600))
	soak(t, dir, io.Discard, "init")

	var out bytes.Buffer
	soak(t, dir, &out, "backup", root, "--json", "-q")
	first := lastSummary(t, &out)
	require.EqualValues(t, files, first.FilesNew)
	out.Reset()
	soak(t, dir, &out, "backup", root, "--json", "-q")
	second := lastSummary(t, &out)
	require.EqualValues(t, files, second.FilesUnmodified)
	require.Zero(t, second.BytesRead)
	lines := &lineCounter{}
	soak(t, dir, lines, "ls", "--recursive", "latest:"+root)
	require.Equal(t, files+folders, lines.n)
	soak(t, dir, io.Discard, "check")
}

// makeManyFiles makes folders of 1000 files, of which each tenth is not empty, unless they are there already, and returns how many folders.
func makeManyFiles(t *testing.T, root string, files int) int {
	t.Helper()
	const perFolder = 1000
	folders := (files + perFolder - 1) / perFolder
	var g errgroup.Group
	g.SetLimit(4)
	for d := range folders {
		g.Go(func() error {
			dir := filepath.Join(root, fmt.Sprintf("folder-%05d", d))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			end := min(files, (d+1)*perFolder)
			path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("file-%08d.dat", i)) }
			if _, err := os.Lstat(path(end - 1)); err == nil {
				return nil
			}
			for i := d * perFolder; i < end; i++ {
				var content []byte
				if i%10 == 0 {
					content = fmt.Appendf(nil, "file %d\n", i)
				}
				if err := os.WriteFile(path(i), content, 0o644); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	return folders
}

// soak runs a command to its end, and fails if it takes too much memory.
func soak(t *testing.T, dir string, stdout io.Writer, args ...string) {
	t.Helper()
	cmd, _, stderr := holdfast(t, dir, args...)
	cmd.Stdout = stdout
	start := time.Now()
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	most := uint64(0)
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, stderr)
			t.Logf("%s: %.1f s, %.1f MB of private memory", args[0], time.Since(start).Seconds(), float64(most)/1e6)
			assert.Less(t, most, uint64(soakMemory), args[0])
			return
		case <-time.After(20 * time.Millisecond):
			most = max(most, privateMemory(cmd))
		}
	}
}

var rssAnon = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB$`)

// privateMemory returns the bytes that a process has for itself now, 0 if it has ended.
func privateMemory(cmd *exec.Cmd) uint64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	m := rssAnon.FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(m[1]), 10, 64)
	return n << 10
}

func lastSummary(t *testing.T, out *bytes.Buffer) (sum summaryJSON) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	require.NoError(t, json.Unmarshal(lines[len(lines)-1], &sum))
	return sum
}

type lineCounter struct{ n int }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += bytes.Count(p, []byte("\n"))
	return len(p), nil
}
