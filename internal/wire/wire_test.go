package wire

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	b := AppendUvarint(nil, 300)
	b = AppendBytes(b, []byte("ab"))
	b = AppendBool(b, true)
	b = AppendU16(b, 7)
	b = AppendU32(b, 8)
	b = AppendU64(b, 9)
	b = AppendI64(b, -10)
	b = AppendStrings(b, []string{"x", ""})
	d := NewDecoder(b)
	require.EqualValues(t, 300, d.Uvarint())
	require.Equal(t, "ab", d.String(2, "text"))
	require.True(t, d.Bool())
	require.EqualValues(t, 7, d.U16())
	require.EqualValues(t, 8, d.U32())
	require.EqualValues(t, 9, d.U64())
	require.EqualValues(t, -10, d.I64())
	require.Equal(t, []string{"x", ""}, d.Strings(4, 4, "texts"))
	require.NoError(t, d.Finish())
}

func TestRefusals(t *testing.T) {
	cases := map[string]func(d *Decoder){
		"\x80\x00":             func(d *Decoder) { d.Uvarint() },
		"\x02":                 func(d *Decoder) { d.Bool() },
		"\xff\xff\xff\x7fab":   func(d *Decoder) { d.Count(1, "items") },
		"\x03ab":               func(d *Decoder) { d.Bytes(10, "value") },
		"\x03abc":              func(d *Decoder) { d.Bytes(2, "value") },
		"leftover":             func(d *Decoder) { d.U8() },
		"\x00\x01":             func(d *Decoder) { d.Zero(2) },
		"HFOTHR\x01\x00":       func(d *Decoder) { d.Magic("HFPACK", 1) },
		"\xff\xff\xff\xff\xff": func(d *Decoder) { d.Uvarint() },
	}
	for in, read := range cases {
		d := NewDecoder([]byte(in))
		read(d)
		require.ErrorIs(t, d.Finish(), ErrFormat, "%q", in)
	}
	d := NewDecoder([]byte("HFPACK\x02\x00"))
	d.Magic("HFPACK", 1)
	require.ErrorIs(t, d.Finish(), ErrVersion)
}

func FuzzUvarint(f *testing.F) {
	f.Add([]byte{0x80, 0x01})
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(in)
		v := d.Uvarint()
		if d.Err() == nil && !bytes.Equal(AppendUvarint(nil, v), in[:d.Offset()]) {
			t.Fatalf("%d decoded from a form that is not its own", v)
		}
	})
}
