package crypto

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/stretchr/testify/require"
)

// FuzzSlot gives hostile bytes to DecodeSlot, as they are and with a good checksum, and opens what decodes.
func FuzzSlot(f *testing.F) {
	ring, _, err := NewKeyring(AES256GCM)
	require.NoError(f, err)
	pw := Passphrase("pw")
	pw.Argon2 = Argon2{Time: 1, Memory: 8, Lanes: 1}
	_, file := NewKeyFile()
	_, rec := NewRecovery()
	_, id, err := NewIdentity()
	require.NoError(f, err)
	for _, c := range []Sealer{pw, file, rec, id.Recipient()} {
		b, _, err := SealSlot(ring, ID{}, "label", c)
		require.NoError(f, err)
		f.Add(b, false)
		f.Add(b[:len(b)-32], true)
	}
	creds := []Credential{pw, file, rec, id}
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum {
			h := Hash(b)
			b = append(b[:len(b):len(b)], h[:]...)
		}
		s, err := DecodeSlot(b)
		if err != nil {
			require.True(t, errors.As(err, new(*SlotError)) || errors.Is(err, wire.ErrVersion))
			return
		}
		again := wire.AppendBytes(appendSlotHeader(nil, &s.SlotInfo, s.params), s.sealed)
		h := Hash(again)
		require.Equal(t, b, append(again, h[:]...), "a slot has one encoding")
		for _, c := range creds {
			if !s.Matches(c) || expensive(s) {
				continue
			}
			if _, err := s.Open(c); err != nil {
				require.True(t, errors.As(err, new(*SlotError)) || errors.Is(err, ErrWrongCredential))
			}
		}
	})
}

// FuzzSlotKeys gives plaintexts as a hostile holder of the password could seal them.
func FuzzSlotKeys(f *testing.F) {
	admin := twoEpochs(f)
	for _, r := range []Role{Admin, Writer, Reader, Collector} {
		k, err := admin.Restrict(r)
		require.NoError(f, err)
		f.Add(byte(r), k.appendKeys(nil))
	}
	f.Fuzz(func(t *testing.T, role byte, plain []byte) {
		r := Role(role%4 + 1)
		k, err := decodeKeys(r, AES256GCM, plain)
		if err != nil {
			return
		}
		require.Equal(t, plain, k.appendKeys(nil))
		require.Equal(t, r, k.Role())
		_, err = k.MapKey(k.Epoch())
		require.NoError(t, err)
	})
}

func FuzzDecodeKeyEntry(f *testing.F) {
	ring, _, err := NewKeyring(AES256GCM)
	require.NoError(f, err)
	for _, c := range []Class{Data, Meta, Map} {
		_, e, err := ring.NewSessionKey(c)
		require.NoError(f, err)
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b)
		e := DecodeKeyEntry(d)
		if d.Err() != nil {
			return
		}
		require.Equal(t, b[:d.Offset()], e.Append(nil), "an entry has one encoding")
		_, err := ring.OpenSessionKey(Class(e.Kind), &e)
		if err != nil {
			require.True(t, errors.Is(err, ErrAuth) || errors.As(err, new(*NoKeyError)))
		}
	})
}

func FuzzTexts(f *testing.F) {
	text, _ := NewKeyFile()
	f.Add(string(text))
	text, id, err := NewIdentity()
	require.NoError(f, err)
	f.Add(string(text))
	f.Add(id.Recipient().String())
	rec, _ := NewRecovery()
	f.Add(rec)
	f.Add(strings.ToLower(rec))
	f.Add("000G4-0R40M-30E20-9185G-R38E1-W8124-GK2GA-HC5RR-34D1P-70X3R-FYAA7-9AYCO")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseKeyFile(s); err == nil {
			require.True(t, sameText(s, writeText(keyFilePrefix, c.secret()[:])))
		}
		if c, err := ParseIdentity(s); err == nil {
			require.True(t, sameText(s, writeText(identityPrefix, c.priv().seed[:])))
		}
		if c, err := ParseRecipient(s); err == nil {
			require.True(t, sameText(s, c.Text()))
		}
		if c, err := ParseRecovery(s); err == nil {
			k, err := parseRecovery(formatRecovery(c.secret()))
			require.NoError(t, err)
			require.True(t, *k == *c.secret())
		}
	})
}

// sameText compares a text with its canonical form, but for space around it and the case of digits.
func sameText(s string, canonical []byte) bool {
	return strings.EqualFold(strings.TrimSpace(s), string(bytes.TrimSpace(canonical)))
}
