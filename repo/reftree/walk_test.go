package reftree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// store keeps nodes of class MAP by their hash.
type store map[ID][]byte

func (s store) put(p []byte) Ref {
	id := crypto.Hash(p)
	s[id] = p
	return Ref{ID: id, Length: uint32(len(p))}
}

func (s store) load(_ context.Context, id ID, length uint32) ([]byte, error) {
	p, ok := s[id]
	if !ok || len(p) != int(length) {
		return nil, fmt.Errorf("node %s: %w", id, fs.ErrNotExist)
	}
	return p, nil
}

func meta(n uint64) Ref { return Ref{ID: testID(n), Length: uint32(n)} }

// sample is a directory with a small file, a mapped file, extended attributes and a subdirectory with one small file.
func sample(s store) Pair {
	leaf := s.put(spansNode(chunkSpan(testID(21), 5, 3), Span{Kind: Hole, Length: 9, Count: 1}, chunkSpan(testID(22), 6, 1)))
	top := s.put(childrenNode(1, Child{Ref: leaf, Covered: 30, Count: 4}))
	sub := s.put(AppendReferenceNode(nil, []Reference{{Kind: RefData, Ref: Ref{ID: testID(31), Length: 1}}}))
	root := s.put(AppendReferenceNode(nil, []Reference{
		{Kind: RefData, Ref: Ref{ID: testID(11), Length: 4}},
		{Kind: RefContent, Content: Root{Level: 1, Ref: top}},
		{Kind: RefMeta, Ref: meta(12)},
		{Kind: RefDirectory, Pair: Pair{Meta: meta(13), Map: sub}},
	}))
	return Pair{Meta: meta(10), Map: root}
}

func TestWalk(t *testing.T) {
	s := store{}
	root := sample(s)
	var got []string
	visit := func(class Class, id ID, length uint32) (bool, error) {
		if class == Map {
			require.Len(t, s[id], int(length))
			got = append(got, "MAP")
			return true, nil
		}
		got = append(got, fmt.Sprintf("%s %d:%d", class, id[15], length))
		return true, nil
	}
	require.NoError(t, Walk(t.Context(), s.load, root, visit))
	require.Equal(t, []string{
		"META 10:10", "MAP", "DATA 11:4", "MAP", "MAP", "DATA 21:5", "DATA 22:6", "META 12:12", "META 13:13", "MAP", "DATA 31:1",
	}, got)

	visits := 0
	require.NoError(t, Walk(t.Context(), s.load, root, func(Class, ID, uint32) (bool, error) { visits++; return false, nil }))
	require.Equal(t, 2, visits)

	stop := errors.New("stop")
	require.ErrorIs(t, Walk(t.Context(), s.load, root, func(Class, ID, uint32) (bool, error) { return true, stop }), stop)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, Walk(ctx, s.load, root, visit), context.Canceled)
	delete(s, root.Map.ID)
	require.ErrorIs(t, Walk(t.Context(), s.load, root, always), fs.ErrNotExist)
}

func always(Class, ID, uint32) (bool, error) { return true, nil }

func TestWalkRefusesLies(t *testing.T) {
	s := store{}
	leaf := s.put(spansNode(chunkSpan(testID(1), 5, 3)))
	empty := s.put(AppendReferenceNode(nil, nil))
	wrongSize := s.put(childrenNode(1, Child{Ref: leaf, Covered: 16, Count: 1}))
	skips := s.put(childrenNode(2, Child{Ref: leaf, Covered: 15, Count: 1}))
	for name, root := range map[string]Root{
		"a leaf called level 1":    {Level: 1, Ref: leaf},
		"covers less than claimed": {Level: 1, Ref: wrongSize},
		"a level left out":         {Level: 2, Ref: skips},
		"a reference node":         {Level: 0, Ref: empty},
	} {
		top := s.put(AppendReferenceNode(nil, []Reference{{Kind: RefContent, Content: root}}))
		require.ErrorIs(t, Walk(t.Context(), s.load, Pair{Meta: meta(1), Map: top}, always), ErrFormat, name)
	}
	err := Walk(t.Context(), s.load, Pair{Meta: meta(1), Map: leaf}, always)
	require.ErrorIs(t, err, ErrFormat, "a map node where a reference node should be")
}

func TestWalkDepthIsBounded(t *testing.T) {
	s := store{}
	d := Reference{Kind: RefData, Ref: Ref{ID: testID(1), Length: 1}}
	next := s.put(AppendReferenceNode(nil, nil))
	for range 99 {
		sub := Reference{Kind: RefDirectory, Pair: Pair{Meta: meta(1), Map: next}}
		next = s.put(AppendReferenceNode(nil, []Reference{d, sub, d}))
	}
	root := Pair{Meta: meta(1), Map: next}
	require.NoError(t, Walk(t.Context(), s.load, root, always))
	require.NoError(t, walk(t.Context(), s.load, root, always, 2+99*4))
	require.ErrorIs(t, walk(t.Context(), s.load, root, always, 2+98*4), ErrTooDeep)
}

func TestSeenNodesKeepAHostileTreeSmall(t *testing.T) {
	s := store{}
	next := s.put(AppendReferenceNode(nil, nil))
	for range 60 { // 2^60 paths
		d := Reference{Kind: RefDirectory, Pair: Pair{Meta: meta(1), Map: next}}
		next = s.put(AppendReferenceNode(nil, []Reference{d, d}))
	}
	seen := map[ID]bool{}
	require.NoError(t, Walk(t.Context(), s.load, Pair{Meta: meta(1), Map: next}, func(c Class, id ID, _ uint32) (bool, error) {
		first := !seen[id]
		seen[id] = true
		return first, nil
	}))
	require.Len(t, seen, 62)
}
