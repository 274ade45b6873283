package ledger

import (
	"encoding/binary"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
)

// long is a chain of sessions that commit a snapshot each, after a GENESIS and a KEY.
func long(b *testing.B, sessions int) *chain {
	c := newChain(b)
	w := c.join(crypto.Writer, 1)
	for i := range sessions {
		var id SessionID
		binary.BigEndian.PutUint32(id[:], uint32(i+1))
		snap := crypto.Hash(id[:])
		c.ok(w, &Open{Session: id, Kind: "backup", Host: "host", Source: snap, Program: "p"})
		c.ok(w, &Commit{Session: id, Snapshot: snap, IndexFiles: files(IndexFile{Session: id, Hash: snap, Size: 1}), Facts: make([]byte, 500)})
	}
	return c
}

func benchmarkReplay(b *testing.B, apply func(*State, []byte) error) {
	c := long(b, 500)
	size := 0
	for _, e := range c.raw[2:] {
		size += len(e)
	}
	start, err := replay(c.raw[:2], c.admin)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size / len(c.raw[2:])))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; {
		s := start.Clone()
		for _, e := range c.raw[2:] {
			if err := apply(s, e); err != nil {
				b.Fatal(err)
			}
			if i++; i >= b.N {
				break
			}
		}
	}
}

// BenchmarkApply is one entry: OPEN and COMMIT in turn.
func BenchmarkApply(b *testing.B) { benchmarkReplay(b, (*State).Apply) }

// BenchmarkApplyTrusted is one entry, as in BenchmarkApply.
func BenchmarkApplyTrusted(b *testing.B) { benchmarkReplay(b, (*State).ApplyTrusted) }

func BenchmarkDecode(b *testing.B) {
	c := long(b, 1)
	e := c.raw[len(c.raw)-1]
	b.SetBytes(int64(len(e)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Decode(e)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Body(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	c := newChain(b)
	body := &Commit{Session: sid(1), Snapshot: snap(1), IndexFiles: files(file(1, 1)), Facts: make([]byte, 500)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(c.admin, body, 1, crypto.ID{}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
