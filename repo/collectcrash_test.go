package repo_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// halfForgotten is a repository in which some packs are dead, some sparse, and one snapshot needs the rest.
func halfForgotten(t *testing.T) (*mem.Store, repo.Credential, int) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 30, 40<<10)
	dead := save(t, r, someChunks(2, 3, 40<<10))
	sparse := save(t, r, chunks)
	save(t, r, chunks[:5])
	require.NoError(t, r.Forget(t.Context(), []repo.ID{dead, sparse}, ""))
	require.NoError(t, r.Close())
	return store, key, 1
}

// stride is how many calls are passed over between two that fail; which ones is by chance.
const stride = 4

func phase(t *testing.T) int {
	n := rand.IntN(stride)
	t.Logf("phase %d of %d", n, stride)
	return n
}

// TestCollectCrash kills a collection at each of its calls to the store, before or after it is done, and makes sure that nothing is lost and that
// the next one finishes the work.
func TestCollectCrash(t *testing.T) {
	base, key, snapshots := halfForgotten(t)
	phase := phase(t)
	for _, after := range []bool{false, true} {
		runs := 0
		for n := phase; ; n += stride {
			store := base.Crash()
			faulty, err := fault.New(store, nil)
			require.NoError(t, err)
			r, err := repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
			require.NoError(t, err)
			if after {
				require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpPut, backend.OpDelete}, After: n, Times: 1, Kind: fault.After, Err: fault.ErrKilled}))
			} else {
				faulty.KillAfter(n)
			}
			_, err = r.Collect(t.Context(), everything())
			verifyCollected(t, store.Crash(), key, snapshots, fmt.Sprintf("after %v, call %d", after, n))
			if err == nil && (!after || n > 200) {
				break
			}
			runs++
		}
		require.Greater(t, runs, 30/stride, "there was something to interrupt")
	}
}

func verifyCollected(t *testing.T, store *mem.Store, key repo.Credential, snapshots int, what string) {
	t.Helper()
	r := openRepo(t, store, key)
	require.Len(t, requireWhole(t, r), snapshots, what)
	// The collection that died is open still, and holds up nothing but what is in its own folder.
	_, err := r.Collect(t.Context(), everything())
	require.NoError(t, err, what)
	require.Len(t, requireWhole(t, r), snapshots, what)
}

// TestCollectFaults lets each write, read or delete fail once: the collection fails or goes on, and nothing is lost.
func TestCollectFaults(t *testing.T) {
	base, key, snapshots := halfForgotten(t)
	broken := errors.New("broken")
	phase := phase(t)
	for _, op := range []backend.Op{backend.OpPut, backend.OpGet, backend.OpList, backend.OpDelete, backend.OpStat} {
		for n := phase; n < 400; n += stride {
			store := base.Crash()
			var seen atomic.Int64
			faulty, err := fault.New(store, &fault.Options{OnOp: func(o backend.Op, _ string) {
				if o == op {
					seen.Add(1)
				}
			}})
			require.NoError(t, err)
			r, err := repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
			require.NoError(t, err)
			require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{op}, After: n, Times: 1, Err: broken}))
			seen.Store(0)
			report, err := r.Collect(t.Context(), everything())
			if int(seen.Load()) <= n {
				require.NoError(t, err)
				break
			}
			what := fmt.Sprintf("%v %d", op, n)
			if op == backend.OpDelete {
				require.NoError(t, err, what)
				require.EqualValues(t, 1, report.Refused, what)
			} else {
				require.ErrorIs(t, err, broken, what)
			}
			require.NoError(t, r.Close())
			verifyCollected(t, store, key, snapshots, what)
		}
	}
}
