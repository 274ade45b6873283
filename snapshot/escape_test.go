package snapshot_test

import (
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
)

func TestEscapePath(t *testing.T) {
	for raw, want := range map[string]string{
		"plain": "plain", "": "", "100%": "100%", "a%20b": "a%20b", "%{": "%{", "%{e9}": "%{e9}", "%{E9": "%{E9", "ümläut/\uFFFD": "ümläut/\uFFFD",
		"caf\xe9.txt": "caf%{E9}.txt", `a\b`: "a%{5C}b", "%{E9}": "%{25}{E9}", "%%{00}": "%%{25}{00}", "%{E\xff}": "%{E%{FF}}",
		"\xed\xa0\x80": "%{ED}%{A0}%{80}", "%\xff/x": "%%{FF}/x",
	} {
		require.Equal(t, want, snapshot.EscapePath(raw), "%q", raw)
		back, err := snapshot.UnescapePath(want)
		require.NoError(t, err)
		require.Equal(t, raw, back)
	}
	for _, shown := range []string{"%{41}", "%{2F}", "%{00}", "%{2E}%{2E}", `a\b`, "\xff", "%{C3}%{BC}", "%{25}", "%{25}{e9}"} {
		_, err := snapshot.UnescapePath(shown)
		require.ErrorIs(t, err, fs.ErrNotExist, "%q", shown)
	}
}

func FuzzEscapePath(f *testing.F) {
	for _, name := range rawNames {
		f.Add(name)
	}
	f.Add("%{25}{E9}")
	f.Fuzz(func(t *testing.T, s string) {
		shown := snapshot.EscapePath(s)
		require.True(t, utf8.ValidString(shown))
		require.NotContains(t, shown, `\`)
		require.Equal(t, strings.Count(s, "/"), strings.Count(shown, "/"))
		back, err := snapshot.UnescapePath(shown)
		require.NoError(t, err)
		require.Equal(t, s, back)
		if raw, err := snapshot.UnescapePath(s); err == nil {
			require.Equal(t, s, snapshot.EscapePath(raw), "no two ways to write a name")
		}
	})
}
