package tree

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

func FuzzNode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(appendNode(nil, stored(f, newStore(), randomNode(r, randomName(r)))))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := DecodeNode(p)
		if err != nil {
			return
		}
		out, err := AppendNode(nil, n)
		if err != nil || !bytes.Equal(out, p) {
			t.Fatalf("a node with two encodings (%v)", err)
		}
	})
}

// hostile makes nodes up from bytes as they are asked for, so that directories may contain themselves. It fails after 300 loads,
// because there may be more paths than can be walked.
type hostile struct {
	input []byte
	loads int
}

func (h *hostile) Load(_ context.Context, _ reftree.Class, id reftree.ID, _ uint32) ([]byte, error) {
	if h.loads++; len(h.input) == 0 || h.loads > 300 {
		return nil, fs.ErrNotExist
	}
	at := int(id[0]) * 7 % len(h.input)
	return h.input[at:min(len(h.input), at+int(id[1])+256*int(id[2]))], nil
}

func ref(at, n int) reftree.Ref {
	return reftree.Ref{ID: reftree.ID{byte(at / 7), byte(n), byte(n >> 8)}, Length: uint32(n)}
}

// FuzzDirectory reads directories whose nodes are arbitrary bytes: names come in order, and it ends.
func FuzzDirectory(f *testing.F) {
	s := newStore()
	one := s.chunks[leaf(f, s, fifos("a", "b")...).Meta.ID]
	f.Add(one, uint16(len(one)))
	// A directory that contains itself.
	loop := appendDirHeader(nil, 0, 1)
	loop = appendNode(loop, &Node{Type: Directory, Name: "a", Dir: reftree.Pair{Meta: ref(0, 138), Map: ref(0, 138)}})
	f.Add(loop, uint16(len(loop)))
	full := fullLeaf(f, s, "x")
	f.Add(s.chunks[full.pair.Meta.ID], uint16(full.pair.Meta.Length))
	f.Fuzz(func(t *testing.T, input []byte, length uint16) {
		root := reftree.Pair{Meta: ref(0, int(length)), Map: ref(0, int(length))}
		seen := 0
		last := map[string]string{}
		_ = Walk(t.Context(), &hostile{input: input}, root, func(path string, n *Node, err error) error {
			if seen++; seen > 5000 {
				return fs.SkipAll
			}
			if err != nil {
				return nil
			}
			if !ValidName(n.Name) {
				t.Fatalf("name %q", n.Name)
			}
			dir := path[:len(path)-len(n.Name)]
			if n.Name <= last[dir] {
				t.Fatalf("%q after %q", n.Name, last[dir])
			}
			last[dir] = n.Name
			return nil
		})
		seen = 0
		for range Diff(t.Context(), &hostile{input: input}, root, reftree.Pair{Meta: ref(7, int(length))}) {
			if seen++; seen > 100 {
				break
			}
		}
		for range Check(t.Context(), &hostile{input: input}, root, func(reftree.Pair) bool { seen++; return seen > 200 }) {
			if seen++; seen > 200 {
				break
			}
		}
	})
}
