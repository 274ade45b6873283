package index

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// TestMarks compares marks with a plain map: of chunks in several runs, in memory and in none, while the index changes.
func TestMarks(t *testing.T) {
	r := newRand(t)
	s := openSet(t, &Options{Dir: t.TempDir(), MaxRuns: 4})
	defer s.Close()
	var ids []crypto.ID
	for range 3 {
		f := fileOf(r, 700)
		ids = append(ids, f.ids()...)
		require.NoError(t, s.AddFile(t.Context(), randomName(r), f))
	}
	twice := fileOf(r, 1)
	require.NoError(t, s.AddFile(t.Context(), randomName(r), twice))
	again := fileOf(r, 1)
	again.Packs[0].Segments[0].Chunks[0].ID = twice.ids()[0]
	require.NoError(t, s.AddFile(t.Context(), randomName(r), again))
	added := fileOf(r, 100)
	require.NoError(t, s.Add(t.Context(), &added.Packs[0]))
	ids = append(append(append(ids, twice.ids()...), added.ids()...), strangers(r, 100)...)

	m := s.NewMarks()
	defer m.Close()
	plain := map[crypto.ID]bool{}
	for i := range 3 * len(ids) {
		id := ids[r.IntN(len(ids))]
		require.Equal(t, plain[id], m.Mark(id))
		plain[id] = true
		require.EqualValues(t, len(plain), m.Len())
		if i%1000 == 0 { // runs are merged, and the old ones stay as long as they are needed
			require.NoError(t, s.AddFile(t.Context(), randomName(r), fileOf(r, 100)))
		}
	}
}
