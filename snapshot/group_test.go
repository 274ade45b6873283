package snapshot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
)

func TestGroup(t *testing.T) {
	a := &snapshot.Manifest{Host: "b", Paths: []string{"/y", "/x"}, Tags: []string{"t"}}
	b := &snapshot.Manifest{Host: "a", Paths: []string{"/x"}}
	c := &snapshot.Manifest{Host: "b", Paths: []string{"/x", "/y"}}
	list := []*snapshot.Manifest{a, b, c}

	all := snapshot.Grouping{}.Group(list)
	require.Len(t, all, 1)
	require.Equal(t, list, all[0].Snapshots)
	require.Empty(t, all[0].Host)

	g, err := snapshot.ParseGrouping("host, paths")
	require.NoError(t, err)
	groups := g.Group(list)
	require.Len(t, groups, 2)
	require.Equal(t, []*snapshot.Manifest{b}, groups[0].Snapshots)
	require.Equal(t, []*snapshot.Manifest{a, c}, groups[1].Snapshots)
	require.Equal(t, []string{"/x", "/y"}, groups[1].Paths)
	require.Equal(t, []string{"/y", "/x"}, a.Paths)

	require.Len(t, snapshot.Grouping{Tags: true}.Group(list), 2)
	require.Empty(t, g.Group(nil))
	_, err = snapshot.ParseGrouping("host,user")
	require.ErrorIs(t, err, snapshot.ErrGrouping)
}
