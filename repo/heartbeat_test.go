package repo_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// lockless is a store that cannot tell whether a process is there.
type lockless struct{ backend.Store }

// TestHeartbeats: a session tells that it lives, leaves one heartbeat at most, and stops when it ends.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, key := mem.New(nil), keyFile(t)
		r := initRepo(t, store, key)
		s, err := r.Begin(t.Context(), nil)
		require.NoError(t, err)
		time.Sleep(14 * time.Second)
		require.Empty(t, objects(t, store, "heartbeats/"), "a short session writes none")
		time.Sleep(33 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"heartbeats/" + s.ID() + "/000000000002"}, objects(t, store, "heartbeats/"))
		require.NoError(t, s.Close(t.Context(), ""))
		time.Sleep(time.Minute)
		require.Len(t, objects(t, store, "heartbeats/"), 1)
		requireClean(t, r)
		collect(t, r, nil)
		require.Empty(t, objects(t, store, "heartbeats/"))
	})
}

// TestRevokedSessionNotices: it does not upload for hours what nobody will ever commit.
func TestRevokedSessionNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, key := mem.New(nil), keyFile(t)
		r := initRepo(t, store, key)
		s, err := openRepo(t, store, key).Begin(t.Context(), nil)
		require.NoError(t, err)
		id, err := ledger.ParseSessionID(s.ID())
		require.NoError(t, err)
		_, err = r.Revoke(t.Context(), []ledger.SessionID{id}, "")
		require.NoError(t, err)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		_, err = s.Save(t.Context(), repo.Data, []byte("x"))
		require.ErrorIs(t, err, repo.ErrSessionEnded)
		require.ErrorContains(t, err, "revoked by somebody else")
		require.NoError(t, s.Suspend(t.Context()))
	})
}

// TestRevokeAfter ends sessions that were not heard of for long enough, as seen by several runs with one cache, and no others.
func TestRevokeAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store, key, cache := lockless{mem.New(nil)}, keyFile(t), t.TempDir()
		r := initRepo(t, store, key)
		after := 10 * time.Minute
		id := save(t, r, someChunks(1, 10, 40<<10))
		ends, end := context.WithCancel(ctx)
		dead, err := openRepo(t, store, key).Begin(ends, nil) // its heartbeats stop, and nothing else happens
		require.NoError(t, err)
		alive, err := openRepo(t, store, key).Begin(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, r.Forget(ctx, []repo.ID{id}, ""))
		time.Sleep(time.Minute)
		end()
		run := func() *repo.CollectReport {
			c, err := repo.Open(ctx, store, &repo.Options{Credential: key, CacheDir: cache})
			require.NoError(t, err)
			o := everything()
			o.RevokeAfter = &after
			report := collect(t, c, o)
			require.NoError(t, c.Close())
			return report
		}
		require.Len(t, run().Waiting, 2)
		time.Sleep(9 * time.Minute)
		require.Empty(t, run().Revoked)
		time.Sleep(2 * time.Minute)
		report := run()
		require.Len(t, report.Revoked, 1)
		require.Equal(t, dead.ID(), report.Revoked[0].String())
		require.Len(t, report.Waiting, 1)
		require.Equal(t, alive.ID(), report.Waiting[0].String())

		open, err := r.OpenSessions(ctx)
		require.NoError(t, err)
		require.Len(t, open, 1)
		require.Equal(t, alive.ID(), open[0].ID.String())
		require.Greater(t, open[0].Beat, int64(40))
		require.NoError(t, alive.Close(ctx, ""))
		require.Zero(t, run().Condemned)
		require.NoError(t, dead.Suspend(ctx))
	})
}

// TestContinueWithoutLocks continues a dead session on a store without locks, once it was not heard of for long enough.
func TestContinueWithoutLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store, key := lockless{mem.New(nil)}, keyFile(t)
		r := initRepo(t, store, key)
		chunks := someChunks(1, 40, 40<<10)
		begin := func() *repo.Session {
			s, err := r.Begin(ctx, &repo.SessionOptions{Source: [][]byte{[]byte("source")}})
			require.NoError(t, err)
			return s
		}
		first := begin()
		_, err := saveAll(ctx, first, chunks)
		require.NoError(t, err)
		require.NoError(t, first.Flush(ctx))
		require.NoError(t, first.Suspend(ctx))

		second := begin() // sees it for the first time
		require.NoError(t, second.Close(ctx, ""))
		time.Sleep(16 * time.Minute)
		third := begin()
		root, err := saveAll(ctx, third, chunks)
		require.NoError(t, err)
		require.Less(t, third.Stats().Chunks, uint64(3), "what was recorded is not stored again")
		_, err = third.Commit(ctx, root, []byte("m"))
		require.NoError(t, err)
		require.Len(t, requireWhole(t, r), 1)
	})
}
