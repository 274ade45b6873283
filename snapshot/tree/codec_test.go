package tree

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

func TestNodeRoundTrip(t *testing.T) {
	r := newRand(t)
	for range 2000 {
		n := stored(t, newStore(), randomNode(r, randomName(r)))
		p, err := AppendNode(nil, n)
		require.NoError(t, err)
		got, err := DecodeNode(p)
		require.NoError(t, err)
		require.Equal(t, n, got)
		_, err = DecodeNode(p[:r.IntN(len(p))])
		require.ErrorIs(t, err, reftree.ErrFormat)
		_, err = DecodeNode(append(p, 0))
		require.ErrorIs(t, err, reftree.ErrFormat)
	}
}

func TestNodeRefused(t *testing.T) {
	ref := reftree.Ref{Length: 100}
	full := reftree.Ref{Length: xattrChunk}
	for name, n := range map[string]*Node{
		"no name":            {Type: FIFO},
		"dot":                {Type: FIFO, Name: "."},
		"dot dot":            {Type: FIFO, Name: ".."},
		"slash":              {Type: FIFO, Name: "a/b"},
		"NUL":                {Type: FIFO, Name: "a\x00"},
		"long name":          {Type: FIFO, Name: strings.Repeat("n", MaxName+1)},
		"no type":            {Name: "a"},
		"unknown type":       {Type: 8, Name: "a"},
		"flags":              {Type: FIFO, Name: "a", Flags: 4},
		"mode":               {Type: FIFO, Name: "a", Mode: 0o10000},
		"user":               {Type: FIFO, Name: "a", User: strings.Repeat("u", MaxOwner+1)},
		"group":              {Type: FIFO, Name: "a", Group: strings.Repeat("u", MaxOwner+1)},
		"no target":          {Type: Symlink, Name: "a"},
		"long target":        {Type: Symlink, Name: "a", Target: strings.Repeat("t", MaxTarget+1)},
		"NUL in a target":    {Type: Symlink, Name: "a", Target: "a\x00"},
		"no directory":       {Type: Directory, Name: "a"},
		"no reference node":  {Type: Directory, Name: "a", Dir: reftree.Pair{Meta: ref}},
		"content":            {Type: File, Name: "a", Content: content.Content{Size: 1}},
		"xattr without name": {Type: FIFO, Name: "a", Xattrs: []Xattr{{}}},
		"long xattr name":    {Type: FIFO, Name: "a", Xattrs: []Xattr{{Name: strings.Repeat("n", MaxXattr+1)}}},
		"xattrs not sorted":  {Type: FIFO, Name: "a", Xattrs: []Xattr{{Name: "b"}, {Name: "a"}}},
		"xattrs twice":       {Type: FIFO, Name: "a", Xattrs: []Xattr{{Name: "a"}, {Name: "a"}}},
		"large xattrs":       {Type: FIFO, Name: "a", Xattrs: []Xattr{{Name: "a", Value: strings.Repeat("v", inlineXattr)}}},
		"small xattr chunk":  {Type: FIFO, Name: "a", XattrChunks: []reftree.Ref{ref}},
		"xattr chunk cut":    {Type: FIFO, Name: "a", XattrChunks: []reftree.Ref{{Length: xattrChunk - 1}, full}},
		"long xattr chunk":   {Type: FIFO, Name: "a", XattrChunks: []reftree.Ref{{Length: xattrChunk + 1}}},
		"many xattr chunks":  {Type: FIFO, Name: "a", XattrChunks: append(make([]reftree.Ref, 0), repeat(full, 65)...)},
	} {
		_, err := AppendNode(nil, n)
		require.ErrorIs(t, err, reftree.ErrFormat, name)
		_, err = DecodeNode(appendNode(nil, n))
		require.ErrorIs(t, err, reftree.ErrFormat, name)
	}
	both := &Node{Type: FIFO, Name: "a", Xattrs: []Xattr{{Name: "a"}}, XattrChunks: []reftree.Ref{full}}
	require.ErrorIs(t, both.Validate(), reftree.ErrFormat)
	p, err := AppendNode(nil, &Node{Type: FIFO, Name: "a"})
	require.NoError(t, err)
	for _, form := range []byte{1, 2} {
		p[len(p)-2] = form
		_, err = DecodeNode(p)
		require.ErrorIs(t, err, reftree.ErrFormat)
	}
}

func repeat(r reftree.Ref, n int) (out []reftree.Ref) {
	for range n {
		out = append(out, r)
	}
	return out
}

func TestTypeNames(t *testing.T) {
	require.Equal(t, "file", File.String())
	require.Equal(t, "image", Image.String())
	require.Equal(t, "type(0)", Type(0).String())
	require.Equal(t, "type(8)", Type(8).String())
	require.True(t, Image.HasContent())
	require.False(t, Directory.HasContent())
}

func TestDamagedXattrs(t *testing.T) {
	s := newStore()
	n := stored(t, s, &Node{Type: FIFO, Name: "a", Xattrs: []Xattr{{Name: "a", Value: strings.Repeat("v", 300<<10)}}})
	require.Len(t, n.XattrChunks, 2)
	list, err := LoadXattrs(t.Context(), s, n)
	require.NoError(t, err)
	require.Len(t, list[0].Value, 300<<10)
	for name, p := range map[string][]byte{
		"not sorted": appendXattrs(nil, []Xattr{{Name: "b", Value: strings.Repeat("v", 9000)}, {Name: "a"}}),
		"leftover":   append(appendXattrs(nil, []Xattr{{Name: "b", Value: strings.Repeat("v", 9000)}}), 0),
	} {
		n.XattrChunks = []reftree.Ref{s.put(t, reftree.Meta, p)}
		_, err = LoadXattrs(t.Context(), s, n)
		require.ErrorIs(t, err, reftree.ErrFormat, name)
	}
	n.XattrChunks = []reftree.Ref{{Length: 9000}}
	_, err = LoadXattrs(t.Context(), s, n)
	require.Error(t, err)
	n.XattrChunks = []reftree.Ref{{Length: 9}}
	_, err = LoadXattrs(t.Context(), s, n)
	require.ErrorIs(t, err, reftree.ErrFormat)
}
