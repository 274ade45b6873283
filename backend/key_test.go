package backend_test

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

func TestCheckKeyNamesTheRule(t *testing.T) {
	for key, want := range map[string]string{
		"a//b":                           "an empty segment",
		"a/.b":                           `begins with "."`,
		"a/B":                            "byte 0x42 at place 0",
		"tmp/x":                          `"tmp" is reserved`,
		strings.Repeat("a/", 8) + "a":    "more than 8 segments",
		strings.Repeat("a", 201):         "longer than 200 bytes",
		strings.Repeat("a/", 1000) + "a": "longer than 512 bytes",
	} {
		err := backend.CheckKey(key)
		require.ErrorContains(t, err, want)
		require.ErrorIs(t, err, fs.ErrInvalid)
		require.Less(t, len(err.Error()), 700)
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, prefix := range []string{"", "a/", "a/b.c/"} {
		require.NoError(t, backend.CheckPrefix(prefix))
	}
	for _, prefix := range []string{"a", "/", "a//", "tmp/", "A/", "a/b"} {
		require.ErrorIs(t, backend.CheckPrefix(prefix), fs.ErrInvalid, prefix)
	}
}

// FuzzCheckKey: a key that passes is a clean relative path that stays where it is, and a prefix once "/" follows it.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{
		"a", "packs/0a/ff", "a/b/c/d/e/f/g/h", "", "/", "..", "a/../b", "tmp/a", "locks", "a\x00", "ä", "A", ".a", "a.", "-", "a//b",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		err := backend.CheckKey(key)
		require.Equal(t, err == nil, backend.CheckPrefix(key+"/") == nil)
		if err != nil {
			require.ErrorIs(t, err, fs.ErrInvalid)
			return
		}
		require.Equal(t, key, path.Clean(key))
		require.True(t, filepath.IsLocal(key))
		require.True(t, fs.ValidPath(key))
		require.Equal(t, strings.ToLower(key), key)
		require.LessOrEqual(t, len(key), backend.MaxKeyLen)
		require.LessOrEqual(t, strings.Count(key, "/"), backend.MaxKeySegments-1)
	})
}
