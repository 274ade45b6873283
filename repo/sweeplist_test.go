package repo

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/index"
)

// TestSweepList: a list has one form, whose bytes do not change.
func TestSweepList(t *testing.T) {
	one, two := index.Name{Session: [16]byte{1}, Hash: crypto.ID{9}}, index.Name{Session: [16]byte{2}, Hash: crypto.ID{3}}
	b := encodeList([]index.Name{one, two})
	require.Equal(t, "de85595c98b570a17d27ddfdeee9ce00c276cda90f12113be44eeb7d74edbea2", hashOf(b).String())
	packs, err := decodeList(b)
	require.NoError(t, err)
	require.Equal(t, []index.Name{one, two}, packs)
	for _, wrong := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), 0), encodeWrong(two, one), encodeWrong(one, one)} {
		_, err := decodeList(wrong)
		require.Error(t, err)
	}
}

func encodeWrong(packs ...index.Name) []byte {
	b := encodeList(nil)
	b[len(b)-1] = byte(len(packs))
	for i := range packs {
		b = append(append(b, packs[i].Session[:]...), packs[i].Hash[:]...)
	}
	return b
}

// FuzzSweepList: whatever decodes was in its only form, and decoding never panics.
func FuzzSweepList(f *testing.F) {
	f.Add(encodeList(nil))
	f.Add(encodeList([]index.Name{{Session: [16]byte{1}}, {Session: [16]byte{1}, Hash: crypto.ID{1}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if packs, err := decodeList(b); err == nil && !bytes.Equal(b, encodeList(packs)) {
			t.Fatal("a list has two forms")
		}
	})
}
