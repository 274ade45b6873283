// Package backendtest is the conformance suite of package backend: every driver and every wrapper passes [Run].
//
//	func TestConformance(t *testing.T) {
//		backendtest.Run(t, func(t *testing.T) backend.Store { return mem.New(nil) })
//	}
//
// [Benchmark] measures a store the same way for all.
package backendtest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

// Run tests that the stores made by open keep the contract of [backend.Store]. Each call of open returns a new, empty
// store, which Run closes; what it needs besides is cleaned up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) backend.Store) {
	tests := []struct {
		name string
		test func(t *testing.T, s backend.Store)
	}{
		{"RoundTrip", testRoundTrip},
		{"Large", testLarge},
		{"SourceUse", testSourceUse},
		{"SourceFails", testSourceFails},
		{"Replace", testReplace},
		{"ReplaceIsAtomic", testReplaceIsAtomic},
		{"IfAbsent", testIfAbsent},
		{"IfAbsentRace", testIfAbsentRace},
		{"Missing", testMissing},
		{"Conflict", testConflict},
		{"Keys", testKeys},
		{"Ranges", testRanges},
		{"Readers", testReaders},
		{"CancelledBefore", testCancelledBefore},
		{"CancelledPut", testCancelledPut},
		{"CancelledRead", testCancelledRead},
		{"List", testList},
		{"ListPrefixes", testListPrefixes},
		{"ListStops", testListStops},
		{"Delete", testDelete},
		{"DeleteRace", testDeleteRace},
		{"SharedFolders", testSharedFolders},
		{"Model", testModel},
		{"Optional", testOptional},
		{"Closed", testClosed},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			tc.test(t, s)
		})
	}
}

var ifAbsent = &backend.PutOptions{IfAbsent: true}

// seeded returns a source of chance and prints what repeats it.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// data returns n bytes that differ from those for another seed, unless n is 0.
func data(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	if n > 0 {
		b[0] = seed
	}
	return b
}

func put(t *testing.T, s backend.Store, key string, b []byte) {
	t.Helper()
	require.NoError(t, backend.PutBytes(t.Context(), s, key, b, nil))
}

func requireObject(t *testing.T, s backend.Store, key string, want []byte) {
	t.Helper()
	got, err := backend.ReadAll(t.Context(), s, key, int64(len(want)))
	require.NoError(t, err)
	require.True(t, string(want) == string(got), "object %s differs from what was stored", key)
	info, err := s.Stat(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, backend.Info{Key: key, Size: int64(len(want))}, info)
}

func requireMissing(t *testing.T, s backend.Store, key string) {
	t.Helper()
	_, err := s.Stat(t.Context(), key)
	require.ErrorIs(t, err, errMissing)
	_, err = s.Get(t.Context(), key, 0, -1)
	require.ErrorIs(t, err, errMissing)
}

func list(ctx context.Context, s backend.Store, prefix string) ([]string, error) {
	var keys []string
	for info, err := range s.List(ctx, prefix) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

func requireKeys(t *testing.T, s backend.Store, prefix string, want ...string) {
	t.Helper()
	keys, err := list(t.Context(), s, prefix)
	require.NoError(t, err)
	require.Equal(t, want, keys)
}

var errSource = errors.New("the source is broken")

// source is a source of which drivers know nothing; at, if not nil, is called before a read that covers offset trap.
type source struct {
	b    []byte
	trap int64
	at   func() error
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.at != nil && off <= s.trap && s.trap < off+int64(len(p)) {
		if err := s.at(); err != nil {
			return 0, err
		}
	}
	if off >= int64(len(s.b)) {
		return 0, io.EOF
	}
	n := copy(p, s.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
