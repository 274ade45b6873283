package reftree

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func FuzzNode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(randomNode(r).Append(nil))
		f.Add(AppendReferenceNode(nil, randomReferences(r, r.IntN(20))))
	}
	f.Add(AppendMapHeader(nil, 3, 127))
	f.Fuzz(func(t *testing.T, p []byte) {
		targets, err := References(p)
		n, nodeErr := DecodeMapNode(p)
		refs, refErr := DecodeReferenceNode(p)
		if (nodeErr == nil || refErr == nil) != (err == nil) {
			t.Fatalf("References: %v, DecodeMapNode: %v, DecodeReferenceNode: %v", err, nodeErr, refErr)
		}
		if nodeErr == nil {
			if !bytes.Equal(n.Append(nil), p) {
				t.Fatal("a content map node with two encodings")
			}
			if n.Size <= 0 || n.Len() < 1 || n.Len() > MaxEntries {
				t.Fatalf("%d entries, %d bytes", n.Len(), n.Size)
			}
		}
		if refErr == nil && !bytes.Equal(AppendReferenceNode(nil, refs), p) {
			t.Fatal("a reference node with two encodings")
		}
		for i := range targets {
			if l := targets[i].Length; l < 1 || l > MaxChunk || !targets[i].Class.Valid() {
				t.Fatalf("target %+v", targets[i])
			}
		}
	})
}

func BenchmarkDecodeMapNode(b *testing.B) {
	n := &MapNode{Level: 1}
	for i := range 40 {
		n.Children = append(n.Children, Child{Ref: Ref{ID: testID(uint64(i)), Length: 1500}, Covered: 40 << 16, Count: 1})
	}
	p := n.Append(nil)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeMapNode(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReferences(b *testing.B) {
	p := AppendReferenceNode(nil, randomReferences(rand.New(rand.NewPCG(1, 2)), 80))
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := References(p); err != nil {
			b.Fatal(err)
		}
	}
}
