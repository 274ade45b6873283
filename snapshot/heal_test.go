package snapshot_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// TestHeal loses each pack in turn, directories and content maps included, and makes the snapshot whole from the disk it was made of.
func TestHeal(t *testing.T) {
	base := mem.New(nil)
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), base, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	d := &disk{data: random(rand.New(rand.NewPCG(1, 1)), 3<<20)}
	clear(d.data[1<<20 : 2<<20])
	items := []snapshot.Item{snapshot.Disk("/vm/disk", d, &source.Entry{Type: source.TypeFile, Size: d.Size(), Mode: 0o600, MTime: 1e9}, false)}
	m, err := snapshot.Backup(t.Context(), r, items, nil)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	packs := 0
	for info, err := range base.List(t.Context(), index.PackPrefix) {
		require.NoError(t, err)
		packs++
		store := base.Crash()
		require.NoError(t, store.Delete(t.Context(), info.Key))
		r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key})
		require.NoError(t, err)
		_, err = r.RepairPacks(t.Context(), nil)
		require.NoError(t, err)
		report, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{snapshot.Heal(r, items, nil)}})
		require.NoError(t, err)
		require.NotZero(t, report.Healed)
		require.Empty(t, report.Lost)
		for err := range tree.Check(t.Context(), r, m.Root, nil) {
			require.NoError(t, err)
		}
		checked, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
		require.NoError(t, err)
		require.Empty(t, checked.Errors)
		require.NoError(t, r.Close())
	}
	require.Greater(t, packs, 2)
}
