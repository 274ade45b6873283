package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// xfs is a file system in a file that can be shut down as a loss of power does: what was not flushed is gone.
type xfs struct {
	t          *testing.T
	image, dir string
	mounted    bool
}

func newXFS(t *testing.T) *xfs {
	for _, tool := range []string{"mkfs.xfs", "xfs_io", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			t.Skipf("needs root and %s (packages xfsprogs, mount)", tool)
		}
	}
	base := t.TempDir()
	x := &xfs{t: t, image: filepath.Join(base, "image"), dir: filepath.Join(base, "mnt")}
	require.NoError(t, os.Mkdir(x.dir, 0o700))
	require.NoError(t, os.WriteFile(x.image, nil, 0o600))
	require.NoError(t, os.Truncate(x.image, 512<<20))
	x.run("mkfs.xfs", "-q", x.image)
	if out, err := exec.Command("mount", "-o", "loop", x.image, x.dir).CombinedOutput(); err != nil {
		t.Skipf("needs loop mounts of XFS: %v: %s", err, out)
	}
	x.mounted = true
	t.Cleanup(x.unmount)
	return x
}

func (x *xfs) run(name string, args ...string) {
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(x.t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

func (x *xfs) unmount() {
	if x.mounted {
		x.run("umount", x.dir)
		x.mounted = false
	}
}

// losePower stops the file system at once, waits for whoever uses it, and mounts it again.
func (x *xfs) losePower(ended <-chan error) {
	x.run("xfs_io", "-x", "-c", "shutdown", x.dir)
	<-ended // whatever it says of a file system that is gone
	x.unmount()
	x.run("mount", "-o", "loop", x.image, x.dir)
	x.mounted = true
}

// TestPowerLoss loses power at random moments of backups, forgets and prunes. After each time the repository is whole, what was reported is there, and the work
// goes on. POWERCUTS says how often; 8 if it is not set.
func TestPowerLoss(t *testing.T) {
	cuts, err := strconv.Atoi(cmp.Or(os.Getenv("POWERCUTS"), "8"))
	require.NoError(t, err)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	x := newXFS(t)
	text, _ := crypto.NewKeyFile()
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "key"), text, 0o600))
	x.run("sync", "-f", x.dir)
	init, _, stderr := holdfast(t, x.dir, "init", "--pack-size", "1M", "--segment-size", "256K", "--chunk-size", "16K")
	require.NoError(t, init.Run(), stderr)

	want := map[string][]byte{} // what was reported to be committed, and not forgotten
	data := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(data)
	for n := range cuts {
		x.work(rng, data, want)
		for range 6 {
			copy(data[rng.IntN(len(data)-64<<10):], data[rng.IntN(len(data)-64<<10):][:64<<10])
		}
		check, _, stderr := holdfast(t, x.dir, "check", "--read-data")
		require.NoError(t, check.Run(), "after cut %d: %s", n, stderr)
		for id, content := range want {
			dump, stdout, stderr := holdfast(t, x.dir, "dump", id, "stdin")
			require.NoError(t, dump.Run(), "after cut %d: %s", n, stderr)
			require.True(t, bytes.Equal(content, stdout.Bytes()), "snapshot %s is not what was backed up", id)
		}
	}
	require.NotEmpty(t, want)
}

// work backs up, forgets and prunes until the power goes.
func (x *xfs) work(rng *rand.Rand, data []byte, want map[string][]byte) {
	t := x.t
	cut := time.After(time.Duration(50+rng.IntN(1200)) * time.Millisecond)
	for {
		id, killed := x.until(cut, data, "backup", "--stdin", "--json", "-q")
		if id != "" {
			want[id] = bytes.Clone(data)
		}
		if killed {
			return
		}
		for old := range want {
			if len(want) < 3 {
				break
			}
			content := want[old]
			delete(want, old) // it may be forgotten from now on
			_, killed = x.until(cut, nil, "forget", old, "--prune", "--max-unused", "0")
			if killed {
				list, stdout, stderr := holdfast(t, x.dir, "snapshots", "--json")
				require.NoError(t, list.Run(), stderr)
				if strings.Contains(stdout.String(), `"id":"`+old) { // others name it as their parent
					want[old] = content
				}
				return
			}
		}
		data[rng.IntN(len(data))] ^= 1
	}
}

// until runs a command, and loses power if it is time to before it has ended. It returns the snapshot that the command reported.
func (x *xfs) until(cut <-chan time.Time, stdin []byte, args ...string) (id string, killed bool) {
	cmd, stdout, stderr := holdfast(x.t, x.dir, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	require.NoError(x.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		require.NoError(x.t, err, "%v: %s", args, stderr)
	case <-cut:
		x.losePower(ended)
		return "", true // whatever it printed, after its disk was gone
	}
	var sum struct {
		ID string `json:"snapshot_id"`
	}
	lines := bytes.Split(bytes.TrimSpace(stdout.Bytes()), []byte("\n"))
	if json.Unmarshal(lines[len(lines)-1], &sum) != nil {
		return "", false
	}
	return sum.ID, false
}
