package tree_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
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

// directory saves a directory with these entries.
func directory(ctx context.Context, s reftree.Saver, nodes ...*tree.Node) (reftree.Pair, error) {
	b := tree.NewDirBuilder(s)
	for _, n := range nodes {
		if err := b.Add(ctx, n); err != nil {
			return reftree.Pair{}, err
		}
	}
	return b.Finish(ctx)
}

func Example() {
	ctx, store := context.Background(), memory{}
	etc, err := directory(ctx, store, &tree.Node{Type: tree.File, Name: "hosts"}, &tree.Node{Type: tree.Symlink, Name: "mtab", Target: "/proc/mounts"})
	if err != nil {
		fmt.Println(err)
		return
	}
	root, err := directory(ctx, store, &tree.Node{Type: tree.Directory, Name: "etc", Dir: etc})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = tree.Walk(ctx, store, root, func(path string, n *tree.Node, err error) error {
		fmt.Println(path, n.Type)
		return err
	})
	fmt.Println(err)
	n, err := tree.Resolve(ctx, store, root, "etc/mtab")
	fmt.Println(n.Target, err)
	// Output:
	// etc directory
	// etc/hosts file
	// etc/mtab symlink
	// <nil>
	// /proc/mounts <nil>
}
