package pattern_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/pattern"
)

func compile(t testing.TB, patterns ...string) *pattern.List {
	t.Helper()
	l, err := pattern.Compile(patterns, nil)
	require.NoError(t, err)
	return l
}

func TestOnePattern(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		yes, no   []string
		insensive bool
	}{
		{pattern: "foo", yes: []string{"/dir1/foo/dir2/file", "/dir/foo", "/foo", "foo", "/foo/"}, no: []string{"/dir/foobar", "barfoo", "/", "/FOO"}},
		{pattern: "foo/", yes: []string{"/dir/foo"}, no: []string{"/dir/foobar"}},
		{pattern: "/bin", yes: []string{"/bin/bash", "/bin"}, no: []string{"/usr/bin/restic", "/binary"}},
		{pattern: "b*ash", yes: []string{"/bin/bash", "/x/b-ash"}, no: []string{"/bin/ash"}},
		{pattern: "foo/**/bar", yes: []string{"/dir1/foo/dir2/bar/file", "/foo/bar/file", "/tmp/foo/bar", "/foo/x/y/z/bar", "/foo/x/bar"}, no: []string{"/foo", "/bar/foo", "/foox/bar", "/foo/xbar"}},
		{pattern: "*.go", yes: []string{"/a/b.go", "/x.go/y", "/.go"}, no: []string{"/a/b.goo", "/go"}},
		{pattern: "*.c", yes: []string{"/a.c"}, no: []string{"/a.cc"}},
		{pattern: "/home/*/.cache", yes: []string{"/home/a/.cache/x"}, no: []string{"/home/.cache", "/home/a/b/.cache", "/x/home/a/.cache"}},
		{pattern: "/home/bob/**/*", yes: []string{"/home/bob/a", "/home/bob/a/b"}, no: []string{"/home/bob", "/home"}},
		{pattern: "foo/**", yes: []string{"/foo/x", "/foo", "/a/foo/x/y"}, no: []string{"/afoo/x"}},
		{pattern: "**/foo", yes: []string{"/foo", "/a/b/foo"}, no: []string{"/a/food"}},
		{pattern: "/**/foo", yes: []string{"/foo", "/a/b/foo"}, no: []string{"/a/food"}},
		{pattern: "/a/**/b/**/c", yes: []string{"/a/b/c", "/a/x/b/y/z/c/d", "/a/b/b/c/c"}, no: []string{"/a/c/b", "/x/a/b/c"}},
		{pattern: "a/**/**/b", yes: []string{"/a/b", "/a/x/b"}, no: []string{"/b/a"}},
		{pattern: "/**/a/**/a/**/a", yes: []string{"/a/a/a", "/a/x/a/x/a"}, no: []string{"/a/a", "/a/a/b"}},
		{pattern: "**", yes: []string{"/a", "/"}},
		{pattern: "/", yes: []string{"/a/b", "/"}},
		{pattern: "*", yes: []string{"/a/b", "/\xff"}, no: []string{"/"}},
		{pattern: "fo?", yes: []string{"/foo", "/fox", "/foä", "/fo\xff"}, no: []string{"/fo", "/fooo"}},
		{pattern: "[a-c]x", yes: []string{"/ax", "/cx"}, no: []string{"/dx"}},
		{pattern: "[^a-c]x", yes: []string{"/dx"}, no: []string{"/ax"}},
		{pattern: `\*x`, yes: []string{"/*x"}, no: []string{"/ax"}},
		{pattern: `\!x`, yes: []string{"/!x"}, no: []string{"/x"}},
		{pattern: "x{a,b}", yes: []string{"/x{a,b}"}, no: []string{"/xa", "/xb"}},
		{pattern: "pre*", yes: []string{"/prefix", "/pre"}, no: []string{"/apre"}},
		{pattern: "/a//b/../c/./d", yes: []string{"/a/c/d"}, no: []string{"/a/b"}},
		{pattern: "foo bar star.txt", yes: []string{"/x/foo bar star.txt"}, no: []string{"/foo"}},
		{pattern: "\xff\xfe", yes: []string{"/\xff\xfe"}, no: []string{"/\xfe\xff", "/\uFFFD\uFFFD"}},
		{pattern: "FOO/Bär*", insensive: true, yes: []string{"/foo/bär", "/Foo/BÄRen"}, no: []string{"/foo/bar"}},
		{pattern: "X\xff", insensive: true, yes: []string{"/x\xff"}, no: []string{"/x\xfe", "/x\uFFFD"}},
	} {
		l, err := pattern.Compile([]string{c.pattern}, &pattern.Options{FoldCase: c.insensive})
		require.NoError(t, err)
		for _, name := range c.yes {
			require.True(t, l.Match(name), "%q should match %q", c.pattern, name)
		}
		for _, name := range c.no {
			require.False(t, l.Match(name), "%q should not match %q", c.pattern, name)
		}
	}
}

func TestNegation(t *testing.T) {
	l := compile(t, "/home/bob/**/*", "!/home/bob/Documents", "!/home/bob/code", "node_modules", "*~", "*.o")
	for name, want := range map[string]bool{
		"/home/bob":                     false,
		"/home/bob/x":                   true,
		"/home/bob/Documents":           false,
		"/home/bob/Documents/a/b":       false,
		"/home/bob/Documents/a~":        true,
		"/home/bob/code/node_modules/x": true,
		"/home/bob/code/x.o":            true,
		"/home/bob/codex":               true,
		"/srv/x.o":                      true,
		"/srv/x":                        false,
	} {
		require.Equal(t, want, l.Match(name), name)
	}
	require.False(t, compile(t, "!foo").Match("/foo"), "taking back nothing excludes nothing")
	require.True(t, compile(t, "!foo", "foo").Match("/foo"), "the last pattern decides")
}

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		pattern, dir string
		want         bool
	}{
		{"/work/foo", "/", true},
		{"/work/foo", "/work", true},
		{"/work/foo", "/work/foo", true},
		{"/work/foo", "/work/foo/x", true},
		{"/work/foo", "/home", false},
		{"/work/foo", "/work/bar", false},
		{"/a/**/b", "/a/x/y", true},
		{"/a/**/b", "/c", false},
		{"/*/b", "/x", true},
		{"/*/b", "/x/c", false},
		{"foo", "/any/where", true},
		{"/", "/any", true},
		{"!/work", "/work", false},
	} {
		require.Equal(t, c.want, compile(t, c.pattern).Below(c.dir), "%q below %q", c.pattern, c.dir)
	}
	var none *pattern.List
	require.False(t, none.Below("/"))
	require.False(t, none.Match("/a"))
	require.Zero(t, none.Len())
	require.False(t, none.At("/a").Enter("b").Match("c"), "a nil list can be walked")
}

func TestBadPatterns(t *testing.T) {
	for _, bad := range []string{"", "!", "[", "a[", "/x/[a-", `a\`, "[]a]", "[-]", "a/[/b"} {
		_, err := pattern.Compile([]string{"ok", bad}, nil)
		require.ErrorIs(t, err, pattern.ErrPattern, "%q", bad)
		require.ErrorContains(t, err, fmt.Sprintf("%q", bad))
	}
}

var words = []string{"a", "b", "c", "ab", "ba", "abc"}

func randomPattern(rng *rand.Rand) string {
	globs := append([]string{"*", "**", "a*", "*b", "?", "[ab]", "a?", "**"}, words...)
	var s []string
	for range 1 + rng.IntN(4) {
		s = append(s, globs[rng.IntN(len(globs))])
	}
	p := strings.Join(s, "/")
	if rng.IntN(3) == 0 {
		p = "/" + p
	}
	if rng.IntN(5) == 0 {
		p = "!" + p
	}
	return p
}

func randomPath(rng *rand.Rand) string {
	var s []string
	for range 1 + rng.IntN(6) {
		s = append(s, words[rng.IntN(len(words))])
	}
	return "/" + strings.Join(s, "/")
}

// naive is the definition of one pattern matching a path or a folder above it, by trying everything.
func naive(p string, comps []string) bool {
	parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for end := 0; end <= len(comps); end++ {
		for start := 0; start <= end; start++ {
			if naiveParts(parts, comps[start:end]) {
				return true
			}
			if p[0] == '/' {
				break
			}
		}
	}
	return false
}

func naiveParts(parts, comps []string) bool {
	if len(parts) == 0 {
		return len(comps) == 0
	}
	if parts[0] == "**" {
		return naiveParts(parts[1:], comps) || len(comps) > 0 && naiveParts(parts, comps[1:])
	}
	if len(comps) == 0 {
		return false
	}
	ok, err := filepath.Match(parts[0], comps[0])
	return err == nil && ok && naiveParts(parts[1:], comps[1:])
}

func TestAgainstDefinition(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		var patterns []string
		for range 1 + rng.IntN(4) {
			patterns = append(patterns, randomPattern(rng))
		}
		name := randomPath(rng)
		comps := strings.Split(name[1:], "/")
		want := false
		for _, p := range patterns {
			if q, neg := strings.CutPrefix(p, "!"); naive(q, comps) {
				want = !neg
			}
		}
		l := compile(t, patterns...)
		require.Equal(t, want, l.Match(name), "%q against %q", patterns, name)

		cur := l.At("/")
		for _, comp := range comps[:len(comps)-1] {
			cur = cur.Enter(comp)
		}
		require.Equal(t, want, cur.Match(comps[len(comps)-1]), "cursor: %q against %q", patterns, name)
		if want {
			for dir := name; dir != "/"; {
				dir = filepath.Dir(dir)
				require.True(t, l.Below(dir), "%q below %q, for %q", patterns, dir, name)
			}
		}
	}
}

// TestSoakAgainstRestic asks restic what it leaves out of a tree. It is slow, since restic derives a key on every start.
func TestSoakAgainstRestic(t *testing.T) {
	if os.Getenv("SOAKTIME") == "" {
		t.Skip("SOAKTIME is not set: make soak")
	}
	restic, err := exec.LookPath("restic")
	if err != nil {
		t.Skip("restic is not installed")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	root, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	run := func(args ...string) string {
		cmd := exec.Command(restic, append([]string{"-r", repo, "--no-cache", "-q"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	run("init")
	for range 150 {
		p := filepath.Join(root, randomPath(rng))
		_ = os.MkdirAll(filepath.Dir(p), 0o755)
		_ = os.WriteFile(p, nil, 0o644) // it may be a folder already
	}
	for range 60 {
		patterns := []string{}
		for range 1 + rng.IntN(3) {
			p := randomPattern(rng)
			for strings.Count(p, "**") > 1 { // there restic 0.14 misses paths with fewer components than the pattern
				p = randomPattern(rng)
			}
			if strings.HasPrefix(p, "/") {
				p = root + p
			} else if strings.HasPrefix(p, "!/") {
				p = "!" + root + p[1:]
			}
			patterns = append(patterns, p)
		}
		args := []string{"backup", "--dry-run", "-vv", root}
		for _, p := range patterns {
			args = append(args, "--exclude", p)
		}
		cmd := exec.Command(restic, append([]string{"-r", repo, "--no-cache"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x")
		out, _ := cmd.CombinedOutput() // it fails when everything is excluded
		kept := map[string]bool{}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(strings.ReplaceAll(line, ",", " ")); len(f) > 1 && strings.HasPrefix(f[1], root+"/") {
				kept[strings.TrimRight(f[1], "/")] = true
			}
		}
		l := compile(t, patterns...)
		require.NoError(t, filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
			if l.Match(p) {
				require.False(t, kept[p], "%q: restic keeps %s", patterns, p)
				if d.IsDir() {
					return filepath.SkipDir
				}
			} else if p != root {
				require.True(t, kept[p], "%q: restic drops %s\n%s", patterns, p, out)
			}
			return nil
		}))
	}
}

func TestRead(t *testing.T) {
	env := map[string]string{"USER": "bob", "EMPTY": ""}
	const text = "# comment\n\n  *.go  \r\n/home/$USER/foo\n/${USER}x\n$$literal\n$EMPTY\nfoo bar star.txt\n!keep\n#x\nlast"
	want := []string{"*.go", "/home/bob/foo", "/bobx", "$literal", "foo bar star.txt", "!keep", "last"}
	utf16 := func(big bool) []byte {
		b := []byte{0xff, 0xfe}
		for _, c := range []byte(text) {
			b = append(b, c, 0)
		}
		if big {
			for i := 0; i < len(b); i += 2 {
				b[i], b[i+1] = b[i+1], b[i]
			}
		}
		return b
	}
	for name, in := range map[string][]byte{
		"plain": []byte(text), "utf-8 with mark": []byte("\xef\xbb\xbf" + text), "utf-16 le": utf16(false), "utf-16 be": utf16(true),
	} {
		got, err := pattern.Read(bytes.NewReader(in), func(s string) string { return env[s] })
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	_, err := pattern.Read(strings.NewReader("\xff\xfea"), nil)
	require.ErrorIs(t, err, pattern.ErrText)
	_, err = pattern.Read(io.MultiReader(strings.NewReader("x"), failing{}), nil)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	t.Setenv("HOLDFAST_PATTERN_TEST", "from-env")
	got, err := pattern.Read(strings.NewReader("$HOLDFAST_PATTERN_TEST\n"), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"from-env"}, got)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"foo", "/a/**/b", "!x", "[a-z]*?", `\[`, "**", "a/../b", "*.go", "[", "\xff*", "/"} {
		f.Add(s, "/a/b/foo.go", true)
	}
	f.Fuzz(func(t *testing.T, p, name string, fold bool) {
		l, err := pattern.Compile([]string{p}, &pattern.Options{FoldCase: fold})
		if err != nil {
			require.ErrorIs(t, err, pattern.ErrPattern)
			return
		}
		matched := l.Match(name)
		require.Equal(t, matched, l.At(name).Matched())
		if matched {
			require.True(t, l.Match(name+"/below"), "what is below a match is matched")
			require.True(t, l.Below(name))
		}
		if neg, err := pattern.Compile([]string{"**", "!" + p}, &pattern.Options{FoldCase: fold}); err == nil && !strings.HasPrefix(p, "!") {
			require.Equal(t, !matched, neg.Match(name))
		}
	})
}

func BenchmarkCursorMatch(b *testing.B) {
	var patterns []string
	for i := range 30 {
		patterns = append(patterns, fmt.Sprintf("*.ext%d", i), fmt.Sprintf("/home/*/dir%d/**/tmp", i), fmt.Sprintf("name%d", i))
	}
	cur := compile(b, patterns...).At("/home/user/src/project/module/package")
	b.ReportAllocs()
	for b.Loop() {
		if cur.Match("source.go") {
			b.Fatal("matched")
		}
	}
}
