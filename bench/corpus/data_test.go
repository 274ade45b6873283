//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func TestRandomIsSeededAndIncompressible(t *testing.T) {
	random := func(seed uint64, label string, n int64) []byte {
		var buf bytes.Buffer
		require.NoError(t, writeRandom(context.Background(), &buf, source(seed, label), n))
		require.EqualValues(t, n, buf.Len())
		return buf.Bytes()
	}
	one := random(1, "a", 3<<20+5)
	require.Equal(t, one[:1<<20], random(1, "a", 1<<20), "a shorter file is a beginning of the longer one")
	require.NotEqual(t, one[:100], random(2, "a", 100))
	require.NotEqual(t, one[:100], random(1, "b", 100))
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	require.Greater(t, len(enc.EncodeAll(one, nil)), len(one))
}

func TestRandomStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, writeRandom(ctx, &bytes.Buffer{}, source(1, "a"), 1), context.Canceled)
}

func TestUUID(t *testing.T) {
	require.Regexp(t, regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`), uuid(1, "vm"))
	require.Equal(t, uuid(1, "vm"), uuid(1, "vm"))
	require.NotEqual(t, uuid(1, "vm"), uuid(1, "vm2"))
}

func TestEventRowsAreValid(t *testing.T) {
	rows := newRowMaker(dice(1, "t"))
	for id := 1; id < 200; id++ {
		f := strings.Split(strings.TrimSuffix(string(rows.appendEvent(nil, id, 1000)), "\n"), "\t")
		require.Len(t, f, 6)
		require.Equal(t, strconv.Itoa(id), f[0])
		dec := json.NewDecoder(strings.NewReader(f[4]))
		_, err := dec.Token()
		require.NoError(t, err)
		last := ""
		for dec.More() {
			key, err := dec.Token()
			require.NoError(t, err)
			k := key.(string)
			require.True(t, len(last) < len(k) || len(last) == len(k) && last < k, "jsonb order: %s before %s", last, k)
			last = k
			_, err = dec.Token()
			require.NoError(t, err)
		}
	}
}

func TestSyntheticDumps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shape := pgShape{branches: 1, events: 2000, transactions: 600}
	paths := make([]string, 3)
	texts := make([]string, 3)
	for i := range paths {
		paths[i] = filepath.Join(dir, strconv.Itoa(i))
	}
	require.NoError(t, writeSynthetic(context.Background(), 1, shape, paths[0], paths[1], paths[2]))
	for i, p := range paths {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		texts[i] = string(data)
	}
	require.Len(t, spaces84, 84)
	ids := func(text string) (ordered, changed int, seen map[string]bool) {
		seen = map[string]bool{}
		_, text, ok := strings.Cut(text, "COPY pgbench_accounts (aid, bid, abalance, filler) FROM stdin;\n")
		require.True(t, ok)
		text, _, ok = strings.Cut(text, "\\.")
		require.True(t, ok)
		last := 0
		for line := range strings.Lines(text) {
			f := strings.Split(line, "\t")
			if len(f) != 4 || f[3] != spaces84+"\n" || seen[f[0]] {
				t.Fatalf("malformed or repeated account: %q", line)
			}
			seen[f[0]] = true
			if id := atoi(f[0]); id > last {
				last = id
				ordered++
			}
			if f[2] != "0" {
				changed++
			}
		}
		return ordered, changed, seen
	}
	ordered, changed, seen := ids(texts[0])
	require.Equal(t, shape.accounts(), ordered)
	require.Zero(t, changed)
	require.Len(t, seen, shape.accounts())

	_, changed, seen = ids(texts[1])
	require.InDelta(t, 588, changed, 20)
	require.Len(t, seen, shape.accounts(), "a moved row is still there, once")

	_, changed, seen = ids(texts[2])
	require.Less(t, changed, 600*9/10, "hot rows change more than once")
	require.Len(t, seen, shape.accounts())
	require.Equal(t, 2000, strings.Count(texts[1], `"trace": `))
	require.Zero(t, strings.Count(texts[0], "\treviewed "))
	require.InDelta(t, 12, strings.Count(texts[1], "\treviewed "), 10)
}

func TestHotSpan(t *testing.T) {
	require.Equal(t, span{991, 1000}, hot(1000))
	require.Equal(t, span{5, 5}, hot(5))
}

func TestFindMirror(t *testing.T) {
	etc := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(etc, "sources.list.d"), 0o755))
	_, err := findMirror(etc, "bookworm")
	require.ErrorContains(t, err, "no Debian bookworm mirror")

	deb822 := "# comment\nTypes: deb-src\nURIs: http://src.example/\nSuites: bookworm\nComponents: main\n\n" +
		"Types: deb\n# in between\nURIs: http://a.example/debian\n http://b.example/debian\nSuites: bookworm-updates bookworm\nComponents: main contrib\nSigned-By: /keys.gpg\n"
	require.NoError(t, os.WriteFile(filepath.Join(etc, "sources.list.d", "d.sources"), []byte(deb822), 0o644))
	got, err := findMirror(etc, "bookworm")
	require.NoError(t, err)
	require.Equal(t, aptSource{uri: "http://a.example/debian", suite: "bookworm", components: []string{"main"}, signedBy: "/keys.gpg"}, got)
	require.Equal(t, "deb [signed-by=/keys.gpg] http://a.example/debian bookworm main\n", got.line())

	oneLine := "# deb http://no.example bookworm main\ndeb http://x.example other main\ndeb [arch=amd64 signed-by=/k] http://one.example bookworm main # c\n"
	require.NoError(t, os.WriteFile(filepath.Join(etc, "sources.list"), []byte(oneLine), 0o644))
	got, err = findMirror(etc, "bookworm")
	require.NoError(t, err)
	require.Equal(t, aptSource{uri: "http://one.example", suite: "bookworm", components: []string{"main"}, signedBy: "/k"}, got)
}

func TestDebFiles(t *testing.T) {
	dir := t.TempDir()
	plan := "Inst libc6 [2.36-9] (2.36-10 Debian:12 [amd64])\nInst vim (2:9.0-1+b1 Debian:12.1/stable [all])\nConf vim (2:9.0-1+b1 Debian:12 [all])\n"
	_, err := debFiles(plan, dir)
	require.ErrorContains(t, err, "did not download")
	for _, name := range []string{"libc6_2.36-10_amd64.deb", "vim_2%3a9.0-1+b1_all.deb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	got, err := debFiles(plan, dir)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "libc6_2.36-10_amd64.deb"), filepath.Join(dir, "vim_2%3a9.0-1+b1_all.deb")}, got)
	_, err = debFiles("nothing", dir)
	require.Error(t, err)
}

func TestUnescapeMount(t *testing.T) {
	require.Equal(t, "/a b\tc\\d", unescapeMount(`/a\040b\011c\134d`))
}
