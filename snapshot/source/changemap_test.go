package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
)

const (
	bitmapJSON = `[
{ "offset": 0, "length": 65536, "type": 0, "description": "clean"},
{ "offset": 65536, "length": 1, "type": 1, "description": "dirty"},
{ "offset": 65537, "length": 9, "type": 1, "description": "dirty"} ]
`
	allocationJSON = `[{"offset":0,"length":1,"type":0,"description":"data"},{"offset":1,"length":1,"type":1,"description":"hole"},
{"offset":2,"length":1,"type":2,"description":"zero"},{"offset":3,"length":1,"type":3,"description":"hole,zero"}]`
	layersJSON = `[{ "start": 0, "length": 10, "depth": 0, "present": true, "zero": false, "data": true, "compressed": false, "offset": 327680},
{ "start": 10, "length": 10, "depth": 1, "present": true, "zero": false, "data": true, "offset": 0},
{ "start": 20, "length": 10, "depth": 0, "present": true, "zero": true, "data": false},
{ "start": 30, "length": 10, "depth": 0, "present": true, "zero": false, "data": false},
{ "start": 40, "length": 10, "depth": 2, "present": false, "zero": true, "data": false}]`
)

func TestParseChangeMap(t *testing.T) {
	for text, want := range map[string]ChangeMap{
		bitmapJSON:     {kind: KindDirtyBitmap, extents: []Extent{{0, 65536, Unchanged}, {65536, 10, Data}}},
		allocationJSON: {kind: KindAllocation, extents: []Extent{{0, 2, Data}, {2, 2, Hole}}},
		layersJSON:     {kind: KindLayers, extents: []Extent{{0, 10, Data}, {10, 10, Unchanged}, {20, 10, Hole}, {30, 10, Data}, {40, 10, Unchanged}}},
		"[]":           {},
	} {
		want.hash = blake3.Sum256([]byte(text))
		got, err := ParseChangeMap(iotest.OneByteReader(strings.NewReader(text)))
		require.NoError(t, err)
		require.Equal(t, &want, got)
	}
}

func TestParseChangeMapRefuses(t *testing.T) {
	one := func(s string) string { return "[" + s + "]" }
	for text, want := range map[string]string{
		"": "it ends too early", "{}": "no array", "[": "ends too early", "[1]": "extent 0 is none", bitmapJSON + "[]": "something follows",
		`[{"offset":0`: "ends too early", "nonsense": "no array",
		one(`{"offset":0,"length":1}`):                                                   "are needed",
		one(`{"offset":0,"length":1,"type":0}`):                                          "are needed",
		one(`{"offset":0,"length":1,"type":1,"description":"clean"}`):                    `type 1 with the description "clean"`,
		one(`{"offset":0,"length":1,"type":0,"description":"local"}`):                    `"local"`,
		one(`{"offset":0,"length":0,"type":0,"description":"clean"}`):                    "0 bytes at offset 0",
		one(`{"offset":-1,"length":2,"type":0,"description":"clean"}`):                   "2 bytes at offset -1",
		one(`{"offset":4611686018427387904,"length":1,"type":1,"description":"dirty"}`):  "1 bytes at offset",
		one(`{"offset":0.5,"length":1,"type":1,"description":"dirty"}`):                  "extent 0 is none",
		one(`{"offset":99999999999999999999,"length":1,"type":1,"description":"dirty"}`): "extent 0 is none",
		one(`{"start":0,"length":1,"depth":0,"zero":true}`):                              "are needed",
		one(`{"start":0,"length":1,"depth":-1,"zero":true,"data":true}`):                 "depth -1",
		bitmapJSON[:len(bitmapJSON)-3] + "," + allocationJSON[1:]:                        "extent 3: it is one of a map of nbd allocation",
	} {
		_, err := ParseChangeMap(strings.NewReader(text))
		require.ErrorIs(t, err, ErrChangeMap, text)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := ParseChangeMap(iotest.ErrReader(errors.ErrUnsupported))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NotErrorIs(t, err, ErrChangeMap)
	_, err = ParseChangeMap(iotest.ErrReader(errors.ErrUnsupported))
	require.Error(t, err)
}

// endless gives white space, and never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestChangeMapLimits(t *testing.T) {
	spaces := &endless{}
	_, err := ParseChangeMap(spaces)
	require.ErrorIs(t, err, ErrChangeMap)
	require.ErrorContains(t, err, "more than 268435456 bytes")
	require.Less(t, spaces.read, MaxChangeMap+1<<20)

	m := &ChangeMap{extents: make([]Extent, MaxChangeExtents)}
	m.extents[MaxChangeExtents-1] = Extent{0, 5, Data}
	require.NoError(t, m.add(Extent{5, 5, Data}))
	require.ErrorContains(t, m.add(Extent{10, 5, Hole}), "coarser")
}

func TestNewChangeMap(t *testing.T) {
	a, err := NewChangeMap("volume manager", []Extent{{0, 5, Data}, {5, 5, Data}, {10, 1, Unchanged}})
	require.NoError(t, err)
	require.Equal(t, "volume manager", a.Kind())
	require.Equal(t, []Extent{{0, 10, Data}, {10, 1, Unchanged}}, a.extents)
	b, err := NewChangeMap("volume manager", []Extent{{0, 5, Data}, {5, 5, Data}, {10, 1, Data}})
	require.NoError(t, err)
	require.NotEqual(t, a.Hash(), b.Hash())
	for _, bad := range []Extent{{-1, 5, Data}, {0, 0, Data}, {0, -1, Data}, {5, maxChangeEnd, Data}, {0, 1, 3}} {
		_, err := NewChangeMap("", []Extent{bad})
		require.Error(t, err)
	}
	_, err = NewChangeMap(strings.Repeat("x", 65), nil)
	require.Error(t, err)
}

func TestChangeMapFit(t *testing.T) {
	for want, extents := range map[string][]Extent{
		"":                               {{0, 6, Data}, {6, 4, Unchanged}},
		"a gap of 1 bytes at offset 5":   {{0, 5, Data}, {6, 4, Unchanged}},
		"a gap of 1 bytes at offset 0":   {{1, 9, Unchanged}},
		"overlap":                        {{0, 7, Data}, {6, 4, Unchanged}},
		"not in order":                   {{0, 2, Data}, {0, 10, Hole}},
		"it is of 9 bytes, the image of": {{0, 9, Data}},
		"it is of 0 bytes, the image of": {},
	} {
		m, err := NewChangeMap("", extents)
		require.NoError(t, err)
		if want == "" {
			require.NoError(t, m.Fit(10))
		} else {
			require.ErrorContains(t, m.Fit(10), want)
		}
	}
}

// plainImage says of its even bytes that they are holes.
type plainImage struct{ *bytes.Reader }

func (plainImage) Changed() error { return nil }
func (plainImage) Close() error   { return nil }

func (p plainImage) Extents(_ context.Context, off, n int64) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		for i := off; i < min(off+n, p.Size()); i++ {
			if !yield(Extent{i, 1, Kind(1 - i%2)}, nil) {
				return
			}
		}
	}
}

func TestHolesOfChangeMap(t *testing.T) {
	img := plainImage{bytes.NewReader(make([]byte, 20))}
	none, err := NewChangeMap("", []Extent{{0, 20, Unchanged}})
	require.NoError(t, err)
	require.Equal(t, Image(img), none.Holes(img))
	m, err := NewChangeMap("", []Extent{{0, 5, Data}, {5, 6, Hole}, {11, 9, Unchanged}})
	require.NoError(t, err)
	both := m.Holes(img)
	for off := int64(0); off < 20; off++ {
		for n := range 25 - off {
			got := ""
			at := off
			for e, err := range both.Extents(t.Context(), off, n) {
				require.NoError(t, err)
				require.Equal(t, at, e.Off)
				got += strings.Repeat(fmt.Sprint(uint8(e.Kind)), int(e.Len))
				at += e.Len
			}
			require.Equal(t, "10101111111010101010"[off:min(off+n, 20)], got)
		}
	}
}

func FuzzChangeMap(f *testing.F) {
	for _, s := range []string{bitmapJSON, allocationJSON, layersJSON, "[]", `[{"start":0,"offset":1}]`, `[null]`, `[{"length":1e3}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseChangeMap(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrChangeMap) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatal("a map that is not JSON")
		}
		end := int64(0)
		for e := range m.Extents() {
			if e.Off < 0 || e.Len < 1 || e.Off+e.Len < e.Off || e.Kind > Unchanged {
				t.Fatalf("extent %+v", e)
			}
			end = max(end, e.Off+e.Len)
		}
		if err := m.Fit(end + 1); err == nil {
			t.Fatal("it fits what is longer")
		}
		if err := m.Fit(end); err != nil {
			return
		}
		img := m.Holes(plainImage{bytes.NewReader(make([]byte, min(end, 1000)))})
		at := int64(rand.IntN(1000))
		for e, err := range img.Extents(t.Context(), at, 100) {
			if err != nil || e.Off != at || e.Off+e.Len > 1000 {
				t.Fatalf("extent %+v at %d: %v", e, at, err)
			}
			at += e.Len
		}
	})
}
