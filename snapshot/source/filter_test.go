package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/pattern"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

const cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"

// work makes the tree that the filters are tried on.
func work(t *testing.T) string {
	root := t.TempDir()
	for name, content := range map[string]string{
		"a.c": "x", "a.go": "x", "foo/bar/f": "x", "foo/x/y/bar": "x", "foo/x/keep": "x", "README": "x",
		"cache/CACHEDIR.TAG": cacheSignature + "\n# more", "cache/data/f": "x",
		"fake/CACHEDIR.TAG": "Signature: 0", "fake/f": "x",
		"tagged/.nobackup": "", "tagged/f": "x", "tagged/sub/f": "x",
		"head/.tag": "yes it is", "head/f": "x", "other/.tag": "no", "other/f": "x",
		"big": strings.Repeat("x", 2000),
	} {
		write(t, filepath.Join(root, name), content)
	}
	return root
}

func TestFilter(t *testing.T) {
	root := work(t)
	excludes := filepath.Join(t.TempDir(), "excludes.txt")
	write(t, excludes, "# exclude go-files\n*.go\n# exclude foo/x/y/z/bar foo/x/bar foo/bar\nfoo/**/bar\n$ROOT/fake\n")
	all := list(t, root, nil)
	for name, c := range map[string]struct {
		o    source.FilterOptions
		gone []string // with all below
	}{
		"nothing":         {},
		"names":           {source.FilterOptions{Exclude: []string{"*.c", "foo"}}, []string{"a.c", "foo"}},
		"anchored":        {source.FilterOptions{Exclude: []string{root + "/foo/x", "/foo"}}, []string{"foo/x"}},
		"case":            {source.FilterOptions{IExclude: []string{"readme", "FOO/BAR"}, Exclude: []string{"A.C"}}, []string{"README", "foo/bar"}},
		"taken back":      {source.FilterOptions{Exclude: []string{root + "/*", "!" + root + "/foo", "keep"}}, append(without(all, "foo"), "foo/x/keep")},
		"file":            {source.FilterOptions{ExcludeFiles: []string{excludes}, Getenv: func(string) string { return root }}, []string{"a.go", "foo/bar", "foo/x/y/bar", "fake"}},
		"file, any case":  {source.FilterOptions{IExcludeFiles: []string{excludes}}, []string{"a.go", "foo/bar", "foo/x/y/bar"}},
		"caches":          {source.FilterOptions{ExcludeCaches: true}, []string{"cache/data"}},
		"if present":      {source.FilterOptions{ExcludeIfPresent: []string{".nobackup"}}, []string{"tagged/f", "tagged/sub"}},
		"with header":     {source.FilterOptions{ExcludeIfPresent: []string{".tag:yes"}}, []string{"head/f"}},
		"with any header": {source.FilterOptions{ExcludeIfPresent: []string{".tag:"}}, []string{"head/f", "other/f"}},
		"larger":          {source.FilterOptions{LargerThan: 1999}, []string{"big"}},
		"not larger":      {source.FilterOptions{LargerThan: 2000}, nil},
		"all at once": {source.FilterOptions{LargerThan: 1, Exclude: []string{"*.go"}, ExcludeCaches: true, IExclude: []string{"A.C"}},
			[]string{"big", "a.go", "a.c", "cache/CACHEDIR.TAG", "cache/data", "fake/CACHEDIR.TAG", "head/.tag", "other/.tag"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, without(all, c.gone...), list(t, root, &c.o))
		})
	}
}

// without returns the paths but the ones given and those below them.
func without(paths []string, gone ...string) []string {
	var kept []string
	for _, p := range paths {
		keep := true
		for _, g := range gone {
			keep = keep && p != filepath.FromSlash(g) && !strings.HasPrefix(filepath.ToSlash(p), g+"/")
		}
		if keep {
			kept = append(kept, p)
		}
	}
	return kept
}

func TestFilterTagMustBeAFile(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "real"), cacheSignature)
	write(t, filepath.Join(root, "a/f"), "")
	write(t, filepath.Join(root, "b/CACHEDIR.TAG/f"), "")
	require.NoError(t, os.Symlink("../real", filepath.Join(root, "a/CACHEDIR.TAG")))
	require.Equal(t, list(t, root, nil), list(t, root, &source.FilterOptions{ExcludeCaches: true}))
}

func TestFilterOfStarts(t *testing.T) {
	f, err := source.NewFilter(&source.FilterOptions{Exclude: []string{"*.o", "!keep.o"}, LargerThan: 10})
	require.NoError(t, err)
	file := func(size int64) *source.Entry { return &source.Entry{Type: source.TypeFile, Size: size} }
	require.False(t, f.Keep("/a/b.o", file(1)))
	require.False(t, f.Keep("/a.o/b", file(1)))
	require.True(t, f.Keep("/a/keep.o", file(1)))
	require.True(t, f.Keep("/a/b.c", file(10)))
	require.False(t, f.Keep("/a/b.c", file(11)))
	require.True(t, f.Keep("/a/b.c", &source.Entry{Type: source.TypeDirectory, Size: 11}))
	var none *source.Filter
	require.True(t, none.Keep("/a", file(1)))
	f, err = source.NewFilter(nil)
	require.NoError(t, err)
	require.Nil(t, f)
}

func TestFilterRefuses(t *testing.T) {
	for _, o := range []source.FilterOptions{
		{Exclude: []string{"["}}, {IExclude: []string{""}},
	} {
		_, err := source.NewFilter(&o)
		require.ErrorIs(t, err, pattern.ErrPattern)
	}
	for _, o := range []source.FilterOptions{
		{ExcludeFiles: []string{"/no/such/file"}}, {IExcludeFiles: []string{"/no/such/file"}}, {LargerThan: -1},
		{ExcludeIfPresent: []string{""}}, {ExcludeIfPresent: []string{":x"}}, {ExcludeIfPresent: []string{"a/b"}}, {ExcludeIfPresent: []string{".."}},
	} {
		_, err := source.NewFilter(&o)
		require.Error(t, err, "%+v", o)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	write(t, bad, "ok\n[\n")
	_, err := source.NewFilter(&source.FilterOptions{ExcludeFiles: []string{bad}})
	require.ErrorIs(t, err, pattern.ErrPattern)
}

func TestOneFileSystemNeedsDeviceNumbers(t *testing.T) {
	e, err := newTree(t, nil).Lstat(bg, t.TempDir())
	require.NoError(t, err)
	_, err = source.NewFilter(&source.FilterOptions{OneFileSystem: true})
	if e.Device == 0 && e.Inode == 0 {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	} else {
		require.NoError(t, err)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "2048": 2048, "1k": 1 << 10, "10K": 10 << 10, "20m": 20 << 20, "20M": 20 << 20, "30g": 30 << 30, "30G": 30 << 30,
		"2t": 2 << 40, "2T": 2 << 40, "8388607t": 8388607 << 40, "9223372036854775807": 1<<63 - 1,
	} {
		got, err := source.ParseSize(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, bad := range []string{"", "k", "-1", "+1", "1.5M", "1kb", "1 k", "8388608t", "9223372036854775808", "1x", "0x10"} {
		_, err := source.ParseSize(bad)
		require.Error(t, err, bad)
	}
}

func TestReadPaths(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt", "c"} {
		write(t, filepath.Join(root, name), "")
	}
	read := func(text string, form source.ListForm) *source.PathList {
		t.Helper()
		l, err := source.ReadPaths(strings.NewReader(text), form)
		require.NoError(t, err)
		return l
	}
	l := read("# comment\n\n  "+root+"/*.txt  \n"+root+"/c\n"+root+"/none*\r\n", source.ListPatterns)
	require.Equal(t, []string{root + "/a.txt", root + "/b.txt", root + "/c"}, l.Paths)
	require.Equal(t, []string{root + "/none*"}, l.Unmatched)

	require.Equal(t, []string{" a ", "# b", "*", "c"}, read(" a \n# b\n\n*\nc", source.ListVerbatim).Paths)
	require.Empty(t, read("", source.ListVerbatim).Paths)
	require.Empty(t, read("\n\n", source.ListVerbatim).Paths)
	require.Equal(t, []string{"a\nb", "\xff", " "}, read("a\nb\x00\xff\x00 \x00", source.ListRaw).Paths)
	require.Empty(t, read("", source.ListRaw).Paths)

	for text, form := range map[string]source.ListForm{
		"a\x00b": source.ListRaw, "a\x00\x00b\x00": source.ListRaw, "\x00": source.ListRaw, "a\x00\n": source.ListVerbatim, "[": source.ListPatterns,
	} {
		_, err := source.ReadPaths(strings.NewReader(text), form)
		require.ErrorIs(t, err, source.ErrList, "%q", text)
	}
	_, err := source.ReadPaths(strings.NewReader("x"), 99)
	require.Error(t, err)
	_, err = source.ReadPaths(strings.NewReader("\xff\xfex"), source.ListPatterns)
	require.ErrorIs(t, err, pattern.ErrText)
}

func FuzzReadPaths(f *testing.F) {
	f.Add("a\nb\n", byte(1))
	f.Add("a\x00b\x00", byte(2))
	f.Add("# x\n[a-b]\n", byte(0))
	f.Fuzz(func(t *testing.T, text string, form byte) {
		if form == 0 {
			text = strings.ReplaceAll(text, "/", "") // stay in this folder
		}
		l, err := source.ReadPaths(strings.NewReader(text), source.ListForm(form%3))
		if err != nil {
			return
		}
		for _, p := range l.Paths {
			require.NotEmpty(t, p)
		}
		if form%3 == 2 {
			require.Equal(t, text, strings.Join(append(l.Paths, ""), "\x00"))
		}
	})
}
