package restore_test

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/pkg/xattr"
	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// requireAttributes compares what stat and the extended attributes tell with a node.
func requireAttributes(t testing.TB, path string, info fs.FileInfo, n *tree.Node) {
	t.Helper()
	st := info.Sys().(*syscall.Stat_t)
	if n.Type != tree.Symlink {
		require.Equal(t, n.Mode, st.Mode&0o7777, "mode of %s", path)
	}
	if os.Geteuid() == 0 {
		require.Equal(t, []uint32{n.UID, n.GID}, []uint32{st.Uid, st.Gid}, "owner of %s", path)
	}
	require.Equal(t, n.ModTime, st.Mtim.Nano(), "time of %s", path)
	names, err := xattr.LList(path)
	require.NoError(t, err)
	require.Len(t, names, len(n.Xattrs), "attributes of %s: %q", path, names)
	for _, x := range n.Xattrs {
		value, err := xattr.LGet(path, x.Name)
		require.NoError(t, err)
		require.Equal(t, x.Value, string(value))
	}
}
