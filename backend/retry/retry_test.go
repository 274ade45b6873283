package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/backend/retry"
)

var ifAbsent = &backend.PutOptions{IfAbsent: true}

func TestConformance(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Store { return wrap(t, mem.New(nil), nil) })
}

// TestConformanceOverFaults: a store that fails often, but passes in the end, is a store without faults. Left out is what
// trying again cannot hide: that a Delete of nothing fails, that equal bytes are somebody else's, and that an object is
// replaced while it is being read.
func TestConformanceOverFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rules := []fault.Rule{
		{Kind: fault.Before, Probability: 0.2, Ops: []backend.Op{backend.OpGet, backend.OpStat, backend.OpList}},
		{Kind: fault.After, Probability: 0.1, Ops: []backend.Op{backend.OpStat}},
		{Kind: fault.Break, Probability: 0.3, Ops: []backend.Op{backend.OpList}},
	}
	for _, prefix := range []string{"a/", "b/", "log/", "large/", "sizes/", "r/"} {
		rules = append(rules, fault.Rule{Kind: fault.Before, Probability: 0.2, Ops: []backend.Op{backend.OpPut}, Prefix: prefix},
			fault.Rule{Kind: fault.After, Probability: 0.2, Ops: []backend.Op{backend.OpPut}, Prefix: prefix})
	}
	for _, prefix := range []string{"b/", "large/", "sizes/", "r/", "log/"} {
		rules = append(rules, fault.Rule{Kind: fault.Break, Probability: 0.4, Ops: []backend.Op{backend.OpGet}, Prefix: prefix})
	}
	backendtest.Run(t, func(t *testing.T) backend.Store {
		f, err := fault.New(mem.New(nil), &fault.Options{Seed: seed, Rules: rules})
		require.NoError(t, err)
		return wrap(t, f, &retry.Options{Attempts: 60, MinDelay: time.Microsecond, MaxDelay: time.Microsecond})
	})
}

func wrap(t *testing.T, inner backend.Store, opts *retry.Options) *retry.Store {
	t.Helper()
	s, err := retry.New(inner, opts)
	require.NoError(t, err)
	return s
}

// faulty returns a store in memory behind faults behind retries, and the first two.
func faulty(t *testing.T, opts *retry.Options, rules ...fault.Rule) (*retry.Store, *fault.Store, *mem.Store) {
	t.Helper()
	m := mem.New(nil)
	f, err := fault.New(m, &fault.Options{Seed: 1, Rules: rules})
	require.NoError(t, err)
	return wrap(t, f, opts), f, m
}

func put(t *testing.T, s backend.Store, key string, b []byte) {
	t.Helper()
	require.NoError(t, backend.PutBytes(t.Context(), s, key, b, nil))
}

func TestOptions(t *testing.T) {
	for _, o := range []retry.Options{{Attempts: -1}, {MinDelay: -1}, {MaxDelay: -1}, {MinDelay: 2, MaxDelay: 1}} {
		_, err := retry.New(mem.New(nil), &o)
		require.Error(t, err)
	}
	wrap(t, mem.New(nil), &retry.Options{MinDelay: time.Hour})
}

func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []retry.Event
		s, f, _ := faulty(t, &retry.Options{
			Attempts: 8, MinDelay: time.Second, MaxDelay: 10 * time.Second,
			OnRetry: func(e retry.Event) { events = append(events, e) },
		}, fault.Rule{Kind: fault.Before})
		start := time.Now()
		_, err := s.Stat(t.Context(), "a")
		require.ErrorIs(t, err, fault.ErrInjected)
		require.ErrorContains(t, err, "8 tries")
		require.Equal(t, 8, f.Ops())
		require.Len(t, events, 7)
		var sum time.Duration
		for i, e := range events {
			full := min(10*time.Second, time.Second<<i)
			require.LessOrEqual(t, e.Pause, full)
			require.GreaterOrEqual(t, e.Pause, full/2)
			require.Equal(t, retry.Event{Op: backend.OpStat, Key: "a", Attempt: i + 1, Pause: e.Pause, Err: e.Err}, e)
			require.ErrorIs(t, e.Err, fault.ErrInjected)
			sum += e.Pause
		}
		require.Equal(t, sum, time.Since(start))
	})
}

func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := faulty(t, nil, fault.Rule{Kind: fault.Before, Times: 7})
		start := time.Now()
		put(t, s, "a", nil)
		require.Equal(t, 8, f.Ops())
		require.InDelta(t, 24, time.Since(start).Seconds(), 9)
	})
}

func TestPermanentErrorsAreReturnedAtOnce(t *testing.T) {
	for _, err := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, backend.Permanent(errors.New("no")), fault.ErrKilled} {
		s, f, _ := faulty(t, nil, fault.Rule{Kind: fault.Before, Err: err})
		require.ErrorIs(t, backend.PutBytes(t.Context(), s, "a", nil, nil), err)
		_, got := s.Get(t.Context(), "a", 0, -1)
		require.ErrorIs(t, got, err)
		require.ErrorIs(t, s.Delete(t.Context(), "a"), err)
		for _, got := range s.List(t.Context(), "") {
			require.ErrorIs(t, got, err)
		}
		require.Equal(t, 4, f.Ops())
	}
}

func TestContextEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := faulty(t, &retry.Options{MinDelay: time.Hour, MaxDelay: time.Hour}, fault.Rule{Kind: fault.Before})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := backend.PutBytes(ctx, s, "a", nil, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, fault.ErrInjected)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 1, f.Ops())
	})
}

// TestTimeoutsOfTheStoreAreRetried: a time limit inside a driver is not the caller's.
func TestTimeoutsOfTheStoreAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := faulty(t, nil, fault.Rule{Kind: fault.Before, Err: context.DeadlineExceeded, Times: 3})
		put(t, s, "a", nil)
	})
}

func TestLostReplyIsNoLostRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{0, 10, 3<<20 + 1} {
			s, _, _ := faulty(t, nil, fault.Rule{Kind: fault.After, Times: 1})
			require.NoError(t, backend.PutBytes(t.Context(), s, "log/1", bytes.Repeat([]byte{1}, size), ifAbsent))
		}
	})
}

func TestLostRaceAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine := bytes.Repeat([]byte{1}, 2<<20)
		for _, other := range [][]byte{nil, []byte("short"), append(bytes.Clone(mine[1:]), 2)} {
			s, _, m := faulty(t, nil, fault.Rule{Kind: fault.Before, Times: 1})
			put(t, m, "log/1", other)
			require.ErrorIs(t, backend.PutBytes(t.Context(), s, "log/1", mine, ifAbsent), fs.ErrExist)
		}
		s, _, m := faulty(t, nil)
		put(t, m, "log/1", mine)
		err := backend.PutBytes(t.Context(), s, "log/1", mine, ifAbsent)
		require.ErrorIs(t, err, fs.ErrExist, "nothing failed: equal bytes are somebody else's")
	})
}

// TestUnreadableAfterLostReply: the comparison that a lost reply needs fails for good; the Put must not claim either.
func TestUnreadableAfterLostReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := faulty(t, &retry.Options{Attempts: 3}, fault.Rule{Kind: fault.After, Times: 1},
			fault.Rule{Ops: []backend.Op{backend.OpStat}})
		err := backend.PutBytes(t.Context(), s, "log/1", []byte("x"), ifAbsent)
		require.ErrorIs(t, err, fault.ErrInjected)
		require.NotErrorIs(t, err, fs.ErrExist)
		require.Equal(t, 5, f.Ops(), "two Puts, three looks")
	})
}

func TestDeleteAfterLostReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, m := faulty(t, nil, fault.Rule{Kind: fault.After, Times: 1})
		put(t, m, "a", nil)
		require.NoError(t, s.Delete(t.Context(), "a"))
		require.ErrorIs(t, s.Delete(t.Context(), "a"), fs.ErrNotExist)
	})
}

func TestReadingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := make([]byte, 100_000)
		for i := range want {
			want[i] = byte(i * 7 / 3)
		}
		for _, kind := range []fault.Kind{fault.Break, fault.Short} {
			s, f, m := faulty(t, nil, fault.Rule{Kind: kind, Probability: 0.7})
			put(t, m, "a", want)
			for _, n := range []int64{-1, 90_000} {
				r, err := s.Get(t.Context(), "a", 10_000, n)
				require.NoError(t, err)
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want[10_000:], got))
				require.NoError(t, r.Close())
			}
			require.Greater(t, f.Ops(), 3)
		}
	})
}

// unsized hides how many bytes its readers have.
type unsized struct{ backend.Store }

func (u unsized) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := u.Store.Get(ctx, key, off, n)
	return struct{ io.ReadCloser }{r}, err
}

func TestReadingGoesOnWithoutSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := bytes.Repeat([]byte("abcdefg"), 10_000)
		_, f, m := faulty(t, nil, fault.Rule{Kind: fault.Break, Probability: 0.7})
		put(t, m, "a", want)
		got, err := backend.ReadAll(t.Context(), wrap(t, unsized{f}, nil), "a", 100_000)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	})
}

func TestReadingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, m := faulty(t, &retry.Options{Attempts: 3})
		put(t, m, "a", make([]byte, 1000))
		r, err := s.Get(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 100))
		require.NoError(t, err)
		f.KillAfter(0)
		_, err = r.Read(make([]byte, 100))
		require.ErrorIs(t, err, fault.ErrKilled, "permanent")
		_, err = r.Read(make([]byte, 100))
		require.ErrorIs(t, err, fault.ErrKilled, "and stays so")
		require.NoError(t, r.Close())
		f.KillAfter(-1)

		require.NoError(t, f.Add(fault.Rule{Kind: fault.Before, After: 1}))
		require.NoError(t, f.Add(fault.Rule{Kind: fault.Break}))
		r, err = s.Get(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, fault.ErrInjected)
		require.ErrorContains(t, err, "3 tries")
		require.NoError(t, r.Close())
	})
}

func TestObjectGoesWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, m := faulty(t, nil, fault.Rule{Kind: fault.Break, Times: 1})
		put(t, m, "a", make([]byte, 1000))
		r, err := s.Get(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		require.NoError(t, m.Delete(t.Context(), "a"))
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, r.Close())
	})
}

func TestListingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, m := faulty(t, nil, fault.Rule{Kind: fault.Break, Probability: 0.9})
		for i := range 100 {
			put(t, m, fmt.Sprintf("a/%03d", i), nil)
		}
		var keys []string
		for info, err := range s.List(t.Context(), "a/") {
			require.NoError(t, err)
			keys = append(keys, info.Key)
		}
		require.Len(t, keys, 100)
		require.Equal(t, "a/000", keys[0])
		require.IsIncreasing(t, keys)
		require.Greater(t, f.Ops(), 1)
	})
}

func TestListingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := faulty(t, &retry.Options{Attempts: 4}, fault.Rule{Kind: fault.Before})
		n := 0
		for _, err := range s.List(t.Context(), "") {
			require.ErrorIs(t, err, fault.ErrInjected)
			n++
		}
		require.Equal(t, 1, n)
		require.Equal(t, 4, f.Ops())
	})
}
