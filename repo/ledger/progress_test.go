package ledger

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

func TestProgressLog(t *testing.T) {
	c := newCast(t)
	own, err := NewProgressLog(c.state, sid(1))
	require.NoError(t, err)
	o, _ := c.state.Session(sid(1))
	n, last := own.Head()
	require.Zero(t, n)
	require.Equal(t, o.Open, last)

	lists := [][]IndexFile{files(file(1, 1)), nil, files(file(1, 2), file(1, 3))}
	var raw [][]byte
	for _, list := range lists {
		b, err := own.Next(c.writer, list, 5)
		require.NoError(t, err)
		require.NoError(t, own.Apply(b))
		raw = append(raw, b)
	}
	want := files(file(1, 1), file(1, 2), file(1, 3))
	require.Equal(t, want, own.Files())

	// Another session of the actor reads the records, without a key, and adopts.
	blind := c.replay(nil)
	read := func(list ...[]byte) (*ProgressLog, error) {
		p, err := NewProgressLog(blind, sid(1))
		require.NoError(t, err)
		for _, b := range list {
			if err := p.Apply(b); err != nil {
				return p, err
			}
		}
		return p, nil
	}
	p, err := read(raw...)
	require.NoError(t, err)
	require.Equal(t, want, p.Files())
	c.ok(c.writer, &Open{Session: sid(70), Adopts: []SessionID{sid(1)}})
	c.ok(c.writer, &Commit{Session: sid(70), IndexFiles: append(p.Files(), file(70, 1))})
	blind = c.replay(nil)
	p, err = read(raw...) // an adopted session's records stay readable
	require.NoError(t, err)
	require.Equal(t, want, p.Files())

	p, err = read(raw[0], raw[2])
	require.ErrorIs(t, err, ErrNumber)
	require.Equal(t, files(file(1, 1)), p.Files(), "what came before the damage stands")
	_, err = read(raw[1])
	require.ErrorIs(t, err, ErrNumber)
	for n, b := range raw {
		for i := range b {
			bad := append(append([][]byte{}, raw[:n]...), bytes.Clone(b))
			bad[n][i] ^= 0x10
			p, err := read(bad...)
			require.Error(t, err, "byte %d of record %d", i, n)
			got, _ := p.Head()
			require.EqualValues(t, n, got)
		}
	}
}

func TestProgressRefuses(t *testing.T) {
	c := newCast(t)
	p, err := NewProgressLog(c.state, sid(1))
	require.NoError(t, err)
	_, err = NewProgressLog(c.state, sid(99))
	require.ErrorIs(t, err, ErrProgress)

	_, err = p.Next(c.other, nil, 0)
	require.ErrorIs(t, err, ErrProgress)
	_, err = p.Next(c.writer, files(file(2, 1)), 0)
	require.ErrorIs(t, err, ErrInvalid)
	first, err := p.Next(c.writer, files(file(1, 1)), 0)
	require.NoError(t, err)
	require.NoError(t, p.Apply(first))
	_, err = p.Next(c.writer, files(file(1, 2), file(1, 1)), 0)
	require.ErrorIs(t, err, ErrProgress)

	n, last := p.Head()
	make := func(ring *crypto.Keyring, body Body, n uint64, previous crypto.ID) []byte {
		b, err := New(ring, body, n, previous, 0)
		require.NoError(t, err)
		return b
	}
	clear := (&Progress{Session: sid(1)}).appendClear(nil)
	version := make(c.writer, &Progress{Session: sid(1)}, n, last)
	version[6] = 2
	cases := map[string]struct {
		b    []byte
		want error
	}{
		"previous":        {make(c.writer, &Progress{Session: sid(1)}, n, snap(1)), ErrPrevious},
		"another actor":   {make(c.other, &Progress{Session: sid(1)}, n, last), ErrProgress},
		"another session": {make(c.writer, &Progress{Session: sid(9)}, n, last), ErrProgress},
		"another type":    {make(c.writer, &Close{Session: sid(1)}, n, last), ErrProgress},
		"recorded before": {make(c.writer, &Progress{Session: sid(1), IndexFiles: files(file(1, 1))}, n, last), ErrProgress},
		"signature":       {forged{typ: TypeProgress, n: n, previous: last, clear: clear, signature: []byte("no")}.sign(c.writer), crypto.ErrAuth},
		"form":            {forged{typ: TypeProgress, n: n, previous: last, clear: clear[1:]}.sign(c.writer), wire.ErrFormat},
		"version":         {version, wire.ErrVersion},
	}
	for name, k := range cases {
		require.ErrorIs(t, p.Apply(k.b), k.want, name)
		got, _ := p.Head()
		require.Equal(t, n, got, name)
	}
	require.NoError(t, p.Apply(make(c.writer, &Progress{Session: sid(1)}, n, last)))
}
