package crypto_test

import (
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

func BenchmarkHasherSum64KiB(b *testing.B) {
	k, _ := newRing(b, crypto.AES256GCM)
	h, err := k.Hasher(crypto.Data)
	require.NoError(b, err)
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		h.Sum(p)
	}
}

func BenchmarkHash32MiB(b *testing.B) {
	p := make([]byte, 32<<20)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		crypto.Hash(p)
	}
}

func BenchmarkSealUnit1MiB(b *testing.B) {
	for _, s := range suites {
		b.Run(s.String(), func(b *testing.B) {
			k := crypto.NewKey()
			p, dst := make([]byte, 1<<20), make([]byte, 0, 1<<20+crypto.TagSize)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				crypto.SealUnit(dst, s, &k, "segment", p, nil)
			}
		})
	}
}

func BenchmarkOpenUnit(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"1MiB", 1 << 20}, {"4KiB", 4 << 10}} {
		for _, s := range suites {
			b.Run(size.name+"/"+s.String(), func(b *testing.B) {
				k := crypto.NewKey()
				p := make([]byte, size.n)
				ct, salt := crypto.SealUnit(nil, s, &k, "segment", p, nil)
				b.SetBytes(int64(len(p)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := crypto.OpenUnit(p[:0], s, &k, "segment", &salt, ct, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpenBox opens what the ledger has one of for each entry.
func BenchmarkOpenBox(b *testing.B) {
	k := crypto.NewKey()
	box := crypto.SealBox(nil, crypto.AES256GCM, &k, "entry", make([]byte, 500), nil)
	dst := make([]byte, 0, 500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := crypto.OpenBox(dst, crypto.AES256GCM, &k, "entry", box, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSessionKey(b *testing.B) {
	k, _ := newRing(b, crypto.AES256GCM)
	for _, c := range []crypto.Class{crypto.Data, crypto.Map} {
		_, e, err := k.NewSessionKey(c)
		require.NoError(b, err)
		b.Run("New/"+c.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := k.NewSessionKey(c); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Open/"+c.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.OpenSessionKey(c, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSlotOpen(b *testing.B) {
	k, _ := newRing(b, crypto.AES256GCM)
	for _, p := range newPairs(b) {
		pw := crypto.Passphrase("correct horse") // at the default cost
		if p.kind == crypto.PasswordSlot {
			p.seal = pw
		}
		obj, _, err := crypto.SealSlot(k, crypto.ID{}, "", p.seal)
		require.NoError(b, err)
		b.Run(p.kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := crypto.DecodeSlot(obj)
				if err == nil {
					_, err = s.Open(p.open)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	k, _ := newRing(b, crypto.AES256GCM)
	msg := make([]byte, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		k.Sign("bench", msg)
	}
}
