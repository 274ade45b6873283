//go:build !linux

package restore_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// requireAttributes compares what every system knows with a node.
func requireAttributes(t testing.TB, path string, info fs.FileInfo, n *tree.Node) {
	t.Helper()
	require.Equal(t, n.ModTime, info.ModTime().UnixNano(), "time of %s", path)
}
