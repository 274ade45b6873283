package source

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fakeKernel writes files of /proc and /sys.
func fakeKernel(t *testing.T, files map[string]string) kernel {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return kernel{filepath.Join(root, "proc"), filepath.Join(root, "sys")}
}

func TestHolders(t *testing.T) {
	k := fakeKernel(t, map[string]string{
		"sys/dev/block/8:0/sda2/partition":     "2\n",
		"sys/dev/block/8:0/sda2/dev":           "8:2\n",
		"sys/dev/block/8:0/sda2/holders/dm-0":  "",
		"sys/dev/block/8:0/sda1/partition":     "1\n",
		"sys/dev/block/8:0/sda1/dev":           "8:1\n",
		"sys/dev/block/8:0/queue/dev":          "9:9\n",
		"sys/dev/block/8:16/holders/md0":       "",
		"sys/dev/block/8:32/holders/.ignore/x": "",
	})
	require.Equal(t, []device{{8, 0}, {8, 1}, {8, 2}}, k.parts(device{8, 0}).devices)
	require.Equal(t, "it belongs to dm-0", k.deviceUse(device{8, 0}, "/nowhere"), "of a partition")
	require.Equal(t, "it belongs to md0", k.deviceUse(device{8, 16}, "/nowhere"))
	require.Empty(t, k.deviceUse(device{8, 48}, "/nowhere"), "nothing known")
}

func TestMountTable(t *testing.T) {
	k := fakeKernel(t, map[string]string{"proc/self/mountinfo": strings.Join([]string{
		`22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw`,
		`30 22 8:1 / /mnt/with\040space\134 rw - xfs /dev/sda1 rw,attr2`,
		`31 22 0:40 /sub /srv rw - btrfs /dev/null rw`,
		`32 22 0:41 / /proc rw - proc proc rw`,
		`33 broken`,
		``,
		`34 22 8:9 / /x rw`,
		`35 22 8:10 / /y rw -`,
	}, "\n")})
	require.Equal(t, `mounted on /mnt/with space\`, k.mounted([]device{{8, 0}, {8, 1}}))
	require.Equal(t, "mounted on /", k.mounted([]device{{254, 0}}))
	for _, d := range []device{{8, 2}, {8, 9}, {8, 10}, {1, 3}} {
		require.Empty(t, k.mounted([]device{d}), "%v", d)
	}
	require.Empty(t, kernel{"/nowhere", "/nowhere"}.mounted([]device{{8, 1}}))
}

func FuzzMountTable(f *testing.F) {
	f.Add(`30 22 8:1 / /mnt/with\040space rw - xfs /dev/sda1 rw`)
	f.Add(`1 2 3:4 / / rw - ` + "\n" + `a b c d e f g - h \ \0 \777 i`)
	dir := f.TempDir()
	require.NoError(f, os.Mkdir(filepath.Join(dir, "self"), 0o755))
	f.Fuzz(func(t *testing.T, table string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "self/mountinfo"), []byte(table), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "swaps"), []byte(table), 0o644))
		k := kernel{dir, dir}
		k.mounted([]device{{8, 1}})
		k.swapped(func(*unix.Stat_t) bool { return false })
	})
}

// dirents is a buffer as the kernel fills it.
func dirents(names ...string) []byte {
	var b []byte
	for _, name := range names {
		n := (direntName + len(name) + 1 + 7) &^ 7
		d := make([]byte, n)
		binary.NativeEndian.PutUint16(d[direntLen:], uint16(n))
		copy(d[direntName:], name)
		b = append(b, d...)
	}
	return b
}

func TestParseDirents(t *testing.T) {
	var got []string
	add := func(name []byte) { got = append(got, string(name)) }
	require.NoError(t, parseDirents(dirents(".", "a", "..", "...", "\xff", ""), add))
	require.Equal(t, []string{"a", "...", "\xff", ""}, got)
	for cut := 1; cut < 24; cut++ {
		require.Error(t, parseDirents(dirents("x")[:cut], add))
	}
	require.Error(t, checkName(""))
	require.Error(t, checkName([]byte("a/b")))
	require.Error(t, checkName([]byte("a\x00")))
	require.Error(t, checkName(make([]byte, maxName)))
	require.NoError(t, checkName([]byte("\xff ")))
}

func FuzzParseDirents(f *testing.F) {
	f.Add(dirents("a", "bb", strings.Repeat("c", 255)))
	f.Add([]byte{16: 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		_ = parseDirents(b, func(name []byte) { total += len(name) })
		require.LessOrEqual(t, total, len(b))
	})
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{"a": "a", `\040`: " ", `a\134b`: `a\b`, `\`: `\`, `\04`: `\04`, `\xyz`: `\xyz`, `\011x`: "\tx"} {
		require.Equal(t, want, unescape(in))
	}
}
