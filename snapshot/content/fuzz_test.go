package content

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

func FuzzContent(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10 {
		c := build(f, newStore(true), generate(r, 1+i, true))
		f.Add(c.Append(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		d := wire.NewDecoder(p)
		c := Decode(d)
		if d.Finish() != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("decoded, but %v", err)
		}
		if !bytes.Equal(c.Append(nil), p) {
			t.Fatal("a content with two encodings")
		}
	})
}

// hostile makes nodes up from bytes as they are asked for, so that trees may contain themselves.
type hostile struct {
	input []byte
	loads int
}

func (h *hostile) Load(_ context.Context, _ reftree.Class, id reftree.ID, _ uint32) ([]byte, error) {
	h.loads++
	if len(h.input) == 0 {
		return nil, fs.ErrNotExist
	}
	at := int(id[0]) * 7 % len(h.input)
	return h.input[at:min(len(h.input), at+int(id[1])+1)], nil
}

// hostileTree is the bytes of a few nodes one after the other that refer to one another by position.
func hostileTree() []byte {
	id := func(at, length byte) reftree.ID { return reftree.ID{at, length - 1} }
	leaf := (&reftree.MapNode{Spans: []reftree.Span{{ID: reftree.ID{1, 2, 3}, Length: 3, Count: 5}}}).Append(nil)
	leaf = append(leaf, make([]byte, 42-len(leaf))...)
	child := reftree.Child{Ref: reftree.Ref{ID: id(0, byte(36)), Length: 36}, Covered: 15, Count: 1 << 40}
	return append(leaf, (&reftree.MapNode{Level: 1, Children: []reftree.Child{child}}).Append(nil)...)
}

// FuzzMap reads maps whose nodes are arbitrary bytes: what comes out has no gap, stays within the size, and ends.
func FuzzMap(f *testing.F) {
	f.Add(hostileTree(), int64(15)<<40, uint8(1), uint8(6), uint16(50), int64(0))
	f.Add(hostileTree(), int64(15), uint8(0), uint8(0), uint16(36), int64(7))
	f.Fuzz(func(t *testing.T, input []byte, size int64, level, first uint8, length uint16, off int64) {
		root := reftree.Root{Level: level, Ref: reftree.Ref{ID: reftree.ID{first, byte(length - 1)}, Length: uint32(length)}}
		c := Content{Size: size, Root: root}
		if c.Validate() != nil || off < 0 {
			return
		}
		h := &hostile{input: input}
		m := NewMap(h, c)
		if err := readSome(t.Context(), m, off); err != nil {
			t.Fatal(err)
		}
		if h.loads > 1000*(reftree.MaxLevel+1) {
			t.Fatalf("%d loads", h.loads)
		}
		b := NewBuilder(&discard{}, 0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_ = b.Reuse(&limited{Context: ctx, left: 1000}, m, 0, size)
		steps := 0
		for range Diff(&limited{Context: ctx, left: 1000}, h, c, Content{Size: 1, Spans: []reftree.Span{{Kind: reftree.Hole, Length: 1, Count: 1}}}) {
			if steps++; steps > 2 {
				t.Fatal("more ranges than there can be")
			}
		}
	})
}

// limited is done after Err was asked for a number of times.
type limited struct {
	context.Context
	left int
}

func (l *limited) Err() error {
	if l.left--; l.left < 0 {
		return context.Canceled
	}
	return nil
}

func readSome(ctx context.Context, m *Map, off int64) error {
	at, n := int64(-1), 0
	for p, err := range m.Spans(ctx, off, m.Size()) {
		if err != nil {
			return nil
		}
		if at >= 0 && p.Offset != at {
			return fmt.Errorf("span at %d, expected at %d", p.Offset, at)
		}
		if at = p.End(); at > m.Size() || p.Offset < 0 || p.Size() <= 0 {
			return fmt.Errorf("span from %d to %d of %d", p.Offset, at, m.Size())
		}
		if n++; n == 1000 {
			return nil
		}
	}
	if off < m.Size() && at != m.Size() {
		return fmt.Errorf("ended at %d of %d", at, m.Size())
	}
	return nil
}
