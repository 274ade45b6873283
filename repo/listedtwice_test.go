package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// TestListedTwice: a collection comes to an end, and loses nothing, where two live index files list the same packs.
func TestListedTwice(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		store, key := mem.New(nil), keyFile(t)
		r := initRepo(t, store, key)
		chunks := someChunks(1, 30, 40<<10)
		id := save(t, r, chunks)
		save(t, r, append(someChunks(2, 30, 40<<10), chunks[:7]...))
		if forgets {
			require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
		}
		for range 2 {
			require.NoError(t, r.ListAgain(t.Context()))
		}
		for _, r := range []*repo.Repository{r, openRepo(t, store, key)} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			_, err := r.Collect(ctx, everything())
			cancel()
			require.NoError(t, err)
			requireWhole(t, openRepo(t, store, key))
		}
		requireClean(t, openRepo(t, store, key))
	}
}
