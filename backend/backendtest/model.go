package backendtest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

// testModel does random things and compares each answer with that of a map.
func testModel(t *testing.T, s backend.Store) {
	m := model{s: s, rand: seeded(t), want: map[string][]byte{}}
	for range 400 {
		m.step(t)
	}
	requireKeys(t, s, "", slices.Sorted(maps.Keys(m.want))...)
	for key, b := range m.want {
		requireObject(t, s, key, b)
	}
}

type model struct {
	s    backend.Store
	rand *rand.Rand
	want map[string][]byte
}

func (m *model) step(t *testing.T) {
	key := fmt.Sprintf("%c/%c/%c", 'a'+m.rand.IntN(2), 'a'+m.rand.IntN(2), 'a'+m.rand.IntN(4))
	b, there := m.want[key]
	ctx := t.Context()
	switch m.rand.IntN(6) {
	case 0, 1:
		m.put(t, key, there)
	case 2:
		m.delete(t, key, there)
	case 3:
		info, err := m.s.Stat(ctx, key)
		requireAs(t, there, err)
		require.EqualValues(t, len(b), info.Size)
	case 4:
		m.readRange(ctx, t, key)
	case 5:
		prefix := key[:2*m.rand.IntN(3)]
		var want []string
		for _, k := range slices.Sorted(maps.Keys(m.want)) {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		requireKeys(t, m.s, prefix, want...)
	}
}

func (m *model) put(t *testing.T, key string, there bool) {
	b := data(m.rand.IntN(3000), byte(m.rand.Uint32()))
	opts := &backend.PutOptions{IfAbsent: m.rand.IntN(2) == 0}
	err := backend.PutBytes(t.Context(), m.s, key, b, opts)
	if there && opts.IfAbsent {
		require.ErrorIs(t, err, fs.ErrExist)
		return
	}
	require.NoError(t, err)
	m.want[key] = b
}

func (m *model) delete(t *testing.T, key string, there bool) {
	requireAs(t, there, m.s.Delete(t.Context(), key))
	delete(m.want, key)
}

func (m *model) readRange(ctx context.Context, t *testing.T, key string) {
	b, there := m.want[key]
	off := m.rand.IntN(len(b) + 2)
	n := m.rand.IntN(len(b) + 2)
	p := make([]byte, n)
	err := backend.ReadFull(ctx, m.s, key, int64(off), p)
	if there && off+n > len(b) {
		var re *backend.RangeError
		require.ErrorAs(t, err, &re)
		return
	}
	requireAs(t, there, err)
	if there {
		require.Equal(t, b[off:off+n], p)
	}
}

// requireAs requires err to be nil if the object is there, and to say that it is missing otherwise.
func requireAs(t *testing.T, there bool, err error) {
	t.Helper()
	if there {
		require.NoError(t, err)
	} else {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}
