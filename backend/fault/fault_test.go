package fault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Store { s, _ := open(t); return s })
}

func open(t *testing.T, rules ...fault.Rule) (*fault.Store, *mem.Store) {
	t.Helper()
	inner := mem.New(nil)
	s, err := fault.New(inner, &fault.Options{Seed: 1, Rules: rules})
	require.NoError(t, err)
	return s, inner
}

func put(t *testing.T, s backend.Store, key string, b []byte) {
	t.Helper()
	require.NoError(t, backend.PutBytes(t.Context(), s, key, b, nil))
}

func listing(ctx context.Context, s backend.Store) (keys []string, err error) {
	for info, e := range s.List(ctx, "") {
		if err = e; err == nil {
			keys = append(keys, info.Key)
		}
	}
	return keys, err
}

// calls does every operation once, on the objects a and b.
func calls(ctx context.Context, s backend.Store) map[backend.Op]error {
	_, stat := s.Stat(ctx, "a")
	_, get := backend.ReadAll(ctx, s, "a", 1000)
	_, list := listing(ctx, s)
	return map[backend.Op]error{
		backend.OpPut:    backend.PutBytes(ctx, s, "b", []byte("new"), nil),
		backend.OpGet:    get,
		backend.OpStat:   stat,
		backend.OpList:   list,
		backend.OpDelete: s.Delete(ctx, "a"),
	}
}

func TestBefore(t *testing.T) {
	s, inner := open(t, fault.Rule{Kind: fault.Before})
	put(t, inner, "a", []byte("x"))
	for op, err := range calls(t.Context(), s) {
		require.ErrorIs(t, err, fault.ErrInjected, op)
		require.False(t, backend.IsPermanent(err))
	}
	keys, err := listing(t.Context(), inner)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, keys)
}

func TestAfter(t *testing.T) {
	lost := errors.New("reply lost")
	s, inner := open(t, fault.Rule{Kind: fault.After, Err: lost})
	put(t, inner, "a", []byte("x"))
	for op, err := range calls(t.Context(), s) {
		require.ErrorIs(t, err, lost, op)
	}
	keys, err := listing(t.Context(), inner)
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, keys, "what was reported as failed was done")
}

func TestRulesFit(t *testing.T) {
	s, _ := open(t, fault.Rule{Ops: []backend.Op{backend.OpPut}, Prefix: "log/", After: 1, Times: 2})
	var failed []string
	for _, key := range []string{"log/0", "packs/0", "log/1", "log/2", "log/3"} {
		if err := backend.PutBytes(t.Context(), s, key, nil, nil); err != nil {
			failed = append(failed, key)
		}
		_, err := s.Stat(t.Context(), "log/0")
		require.NoError(t, err, "other operations are left alone")
	}
	require.Equal(t, []string{"log/1", "log/2"}, failed)
	s.Clear()
	require.NoError(t, s.Add(fault.Rule{Prefix: "packs/"}))
	require.Error(t, s.Delete(t.Context(), "packs/0"))
	s.Clear()
	require.NoError(t, s.Delete(t.Context(), "packs/0"))
}

func TestInvalidRules(t *testing.T) {
	for _, r := range []fault.Rule{{After: -1}, {Times: -1}, {Probability: 1.1}, {Probability: -1}, {Delay: -1}, {Kind: 99}} {
		_, err := fault.New(mem.New(nil), &fault.Options{Rules: []fault.Rule{r}})
		require.Error(t, err)
	}
	s, err := fault.New(mem.New(nil), nil)
	require.NoError(t, err)
	put(t, s, "a", nil)
}

func TestProbabilityFollowsTheSeed(t *testing.T) {
	pattern := func(seed uint64) (p uint64) {
		s, err := fault.New(mem.New(nil), &fault.Options{Seed: seed, Rules: []fault.Rule{{Probability: 0.5}}})
		require.NoError(t, err)
		for i := range 64 {
			if backend.PutBytes(t.Context(), s, "a", nil, nil) != nil {
				p |= 1 << i
			}
		}
		return p
	}
	require.Equal(t, pattern(1), pattern(1))
	require.NotEqual(t, pattern(1), pattern(2))
	require.InDelta(t, 32, bits.OnesCount64(pattern(3)), 20)
}

func TestBreak(t *testing.T) {
	s, inner := open(t, fault.Rule{Kind: fault.Break, Ops: []backend.Op{backend.OpGet, backend.OpList}})
	want := bytes.Repeat([]byte("abcdefgh"), 1000)
	for i := range 20 {
		put(t, inner, fmt.Sprintf("a/%02d", i), want)
	}
	lengths := map[int]bool{}
	for _, n := range []int64{-1, 8000, -1, 8000} {
		r, err := s.Get(t.Context(), "a/00", 0, n)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, fault.ErrInjected)
		require.True(t, bytes.HasPrefix(want, got))
		require.Less(t, len(got), len(want))
		lengths[len(got)] = true
		require.NoError(t, r.Close())
	}
	require.Greater(t, len(lengths), 1, "breaks at changing places")
	keys, err := listing(t.Context(), s)
	require.ErrorIs(t, err, fault.ErrInjected)
	require.Less(t, len(keys), 20)
}

func TestShort(t *testing.T) {
	s, inner := open(t, fault.Rule{Kind: fault.Short})
	want := bytes.Repeat([]byte("abcdefgh"), 1000)
	for i := range 20 {
		put(t, inner, fmt.Sprintf("a/%02d", i), want)
	}
	r, err := s.Get(t.Context(), "a/00", 0, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Less(t, len(got), len(want))
	require.NoError(t, r.Close())
	_, err = backend.ReadAll(t.Context(), s, "a/00", 8000)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, backend.ReadFull(t.Context(), s, "a/00", 0, make([]byte, 8000)), io.ErrUnexpectedEOF)
	keys, err := listing(t.Context(), s)
	require.NoError(t, err)
	require.Less(t, len(keys), 20)
}

func TestFlip(t *testing.T) {
	want := bytes.Repeat([]byte("abcdefgh"), 1000)
	t.Run("Get", func(t *testing.T) {
		s, inner := open(t, fault.Rule{Kind: fault.Flip})
		put(t, inner, "a", want)
		for range 5 {
			got := make([]byte, 500)
			require.NoError(t, backend.ReadFull(t.Context(), s, "a", 96, got))
			require.Equal(t, 1, differingBits(want[96:596], got))
		}
		clean, err := backend.ReadAll(t.Context(), inner, "a", 8000)
		require.NoError(t, err)
		require.Equal(t, want, clean)
	})
	t.Run("Put", func(t *testing.T) {
		s, inner := open(t, fault.Rule{Kind: fault.Flip})
		put(t, s, "a", want)
		put(t, s, "empty", nil)
		stored, err := backend.ReadAll(t.Context(), inner, "a", 8000)
		require.NoError(t, err)
		require.Equal(t, 1, differingBits(want, stored))
		require.Equal(t, bytes.Repeat([]byte("abcdefgh"), 1000), want, "the caller's bytes are left alone")
		_, err = backend.ReadAll(t.Context(), s, "empty", 10)
		require.NoError(t, err)
	})
}

func differingBits(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, fault.Rule{Kind: fault.Delay, Delay: time.Minute, Times: 2}, fault.Rule{After: 1})
		start := time.Now()
		put(t, s, "a", nil)
		require.Equal(t, time.Minute, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Stat(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = s.Stat(t.Context(), "a")
		require.ErrorIs(t, err, fault.ErrInjected, "delays leave other rules their turn")
	})
}

func TestKillAfter(t *testing.T) {
	for n := range 5 {
		s, inner := open(t)
		put(t, s, "before", []byte("x"))
		r, err := s.Get(t.Context(), "before", 0, -1)
		require.NoError(t, err)
		s.KillAfter(n)
		stored := 0
		for i := range 10 {
			err := backend.PutBytes(t.Context(), s, fmt.Sprintf("a/%d", i), nil, nil)
			if err == nil {
				stored++
				continue
			}
			require.ErrorIs(t, err, fault.ErrKilled)
			require.True(t, backend.IsPermanent(err))
		}
		require.Equal(t, n, stored)
		require.Equal(t, n+2, s.Ops())
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, fault.ErrKilled, "reading on")
		for op, err := range calls(t.Context(), s) {
			require.ErrorIs(t, err, fault.ErrKilled, op)
		}
		keys, err := listing(t.Context(), inner)
		require.NoError(t, err)
		require.Len(t, keys, n+1)
		s.KillAfter(-1)
		put(t, s, "after", nil)
	}
}

func TestKillDuringList(t *testing.T) {
	s, inner := open(t)
	for i := range 10 {
		put(t, inner, fmt.Sprintf("a/%d", i), nil)
	}
	seen := 0
	for _, err := range s.List(t.Context(), "") {
		if err != nil {
			require.ErrorIs(t, err, fault.ErrKilled)
			break
		}
		if seen++; seen == 3 {
			s.KillAfter(0)
		}
	}
	require.Equal(t, 3, seen)
}

func TestOnOp(t *testing.T) {
	var seen []string
	var s *fault.Store
	s, err := fault.New(mem.New(nil), &fault.Options{OnOp: func(op backend.Op, key string) {
		seen = append(seen, fmt.Sprintf("%d %s %s", s.Ops(), op, key))
	}})
	require.NoError(t, err)
	put(t, s, "a", nil)
	_, err = s.Stat(t.Context(), "b")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Delete(t.Context(), "a"))
	require.Equal(t, []string{"1 put a", "2 stat b", "3 delete a"}, seen)
}
