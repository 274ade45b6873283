package source_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1 // never zero
	}
	return b
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func needTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err = exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(needTool(t, name), args...).CombinedOutput()
	require.NoError(t, err, "%s %q: %s", name, args, out)
	return strings.TrimSpace(string(out))
}

// attach makes a loop device of an image, with losetup's other options, and detaches it in the end.
func attach(t testing.TB, image string, options ...string) string {
	t.Helper()
	needRoot(t)
	args := append(append([]string{"--find", "--show"}, options...), image)
	out, err := exec.Command(needTool(t, "losetup"), args...).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices here: %s", bytes.TrimSpace(out))
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "-d", dev) })
	return dev
}

// mount mounts dev, and unmounts it in the end.
func mount(t testing.TB, dev string, options ...string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	out, err := exec.Command(needTool(t, "mount"), append(options, dev, dir)...).CombinedOutput()
	if err != nil {
		t.Skipf("mounting is not possible here: %s", bytes.TrimSpace(out))
	}
	t.Cleanup(func() { run(t, "umount", dir) })
	return dir
}

// makeImage returns an image of size bytes with a file system made by tool.
func makeImage(t testing.TB, size int64, tool string, args ...string) string {
	t.Helper()
	needTool(t, tool)
	image := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, size))
	run(t, tool, append(args, image)...)
	return image
}

func newTree(t testing.TB, o *source.TreeOptions) *source.Tree {
	t.Helper()
	tree, err := source.NewTree(o)
	require.NoError(t, err)
	return tree
}

func openDir(t testing.TB, tree *source.Tree, path string) *source.Dir {
	t.Helper()
	d, err := tree.OpenDir(context.Background(), path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func write(t testing.TB, path string, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// list returns the paths below root that a walk with the filter meets.
func list(t testing.TB, root string, o *source.FilterOptions) []string {
	t.Helper()
	f, err := source.NewFilter(o)
	require.NoError(t, err)
	var got []string
	dir := openDir(t, newTree(t, &source.TreeOptions{Filter: f}), root)
	defer dir.Close()
	err = source.Walk(context.Background(), dir,
		func(d *source.Dir, e *source.Entry, err error) error {
			require.NoError(t, err)
			rel, err := filepath.Rel(root, d.Path())
			require.NoError(t, err)
			got = append(got, filepath.Join(rel, e.Name))
			return nil
		})
	require.NoError(t, err)
	return got
}
