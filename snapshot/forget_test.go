package snapshot_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/retention"
)

func TestRetainJudgesGroupsAndClassesApart(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var list []*snapshot.Manifest
	for i := range 12 {
		ts := start.Add(time.Duration(i) * time.Hour)
		m := &snapshot.Manifest{Time: ts, Opened: ts, Order: uint64(i + 1), Host: []string{"a", "b"}[i%2], Complete: true}
		if i%4 < 2 {
			m.Class = "monthly"
		}
		list = append(list, m)
	}
	p := &snapshot.Policies{
		Default: retention.Policy{Last: 1},
		Classes: map[string]retention.Policy{"monthly": {Last: 2}},
	}
	got := p.Retain(list, snapshot.Grouping{Host: true}, start.AddDate(0, 0, 1))
	require.Len(t, got, 4)
	total := 0
	for _, r := range got {
		require.Len(t, r.Snapshots, 3)
		require.Len(t, r.Decisions, 3)
		want := 2
		if r.Class == "monthly" {
			want = 1
		}
		require.Len(t, r.Forgotten(), want)
		total += len(r.Snapshots)
	}
	require.Equal(t, len(list), total)
	require.False(t, p.Empty())
	require.True(t, (&snapshot.Policies{}).Empty())
}
