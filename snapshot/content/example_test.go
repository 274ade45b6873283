package content_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// memory is a Saver and a Loader; a repository is another.
type memory map[reftree.ID][]byte

func (m memory) Save(_ context.Context, _ reftree.Class, p []byte) (reftree.ID, error) {
	id := crypto.Hash(p)
	m[id] = append([]byte(nil), p...)
	return id, nil
}

func (m memory) Load(_ context.Context, _ reftree.Class, id reftree.ID, _ uint32) ([]byte, error) {
	if p, ok := m[id]; ok {
		return p, nil
	}
	return nil, errors.New("no such chunk")
}

func Example() {
	ctx, store := context.Background(), memory{}
	b := content.NewBuilder(store, 0)
	for i := range 1000 {
		id := crypto.Hash(fmt.Append(nil, "chunk ", i))
		if err := b.Add(ctx, reftree.Span{ID: id, Length: 4096}); err != nil {
			fmt.Println(err)
			return
		}
	}
	old, err := b.Finish(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	// A newer version, in which the chunk at 40960 became a hole.
	m := content.NewMap(store, old)
	next := content.NewBuilder(store, 0)
	_ = next.Reuse(ctx, m, 0, 40960)
	_ = next.Add(ctx, reftree.Span{Kind: reftree.Hole, Length: 4096})
	_ = next.Reuse(ctx, m, 45056, old.Size-45056)
	c, err := next.Finish(ctx) // returns the error of any of them
	fmt.Println(c.Size, err)
	for r, err := range content.Diff(ctx, store, old, c) {
		fmt.Println(r.Offset, r.Length, err)
	}
	for p, err := range content.NewMap(store, c).Spans(ctx, 40000, 2000) {
		fmt.Println(p.Offset, p.Kind, p.Size(), err)
	}
	// Output:
	// 4096000 <nil>
	// 40960 4096 <nil>
	// 36864 chunk 4096 <nil>
	// 40960 hole 1040 <nil>
}
