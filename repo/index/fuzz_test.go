package index

import (
	"bytes"
	"errors"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

// FuzzInventory feeds arbitrary bytes to what reads index files.
func FuzzInventory(f *testing.F) {
	r := newRand(f)
	ring, params := newParams(f, crypto.AES256GCM)
	_, b, err := Encode(params, fileOf(r, 20))
	require.NoError(f, err)
	f.Add(b)
	f.Add(b[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		var format *FormatError
		items, err := Inventory(b)
		if err != nil {
			require.ErrorAs(t, err, &format)
		}
		file, err := Decode(ring, b)
		var no *crypto.NoKeyError
		if err != nil && !errors.As(err, &format) && !errors.As(err, &no) {
			t.Fatal(err)
		}
		if err == nil {
			require.Len(t, file.Packs, len(items))
		}
	})
}

// FuzzContent seals arbitrary contents with the right key, as a writer gone wrong could.
func FuzzContent(f *testing.F) {
	r := newRand(f)
	ring, params := newParams(f, crypto.AES256GCM)
	file := &File{}
	keys := keyEntries(r, crypto.Map, 2)
	for range 2 {
		file.Packs = append(file.Packs, randomPack(r, keys, 5, func() crypto.ID { return randomID(r) }))
	}
	_, b, err := Encode(params, file)
	require.NoError(f, err)
	c, err := decodeClear(b)
	require.NoError(f, err)
	head := b[:c.length]
	content := []byte{}
	table := newKeyTable()
	for i := range file.Packs {
		content = file.Packs[i].append(content, table)
	}
	f.Add(padded(content))
	f.Add(content)
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, plain []byte) {
		aad := crypto.Hash(head)
		b := crypto.SealBox(bytes.Clone(head), params.Suite, params.MapKey, filePurpose, plain, aad[:])
		file, err := Decode(ring, b)
		if err != nil {
			var format *FormatError
			require.ErrorAs(t, err, &format)
			return
		}
		s := openSet(t, nil)
		require.NoError(t, s.AddFile(t.Context(), Name{}, file))
		require.NoError(t, s.Close())
	})
}
