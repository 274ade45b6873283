package repo_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// A repository is made once, with the first key to it. It lies in any backend.Store, such as a folder: local.Create("/srv/backups", nil).
func ExampleInit() {
	ctx, store := context.Background(), mem.New(nil)
	defer store.Close()
	text, key := crypto.NewKeyFile() // keep text in a file, and a copy of that somewhere else
	r, err := repo.Init(ctx, store, &repo.InitOptions{Sealer: key, Label: "operations"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Role(), r.Config().ChunkMean, len(text) > 0)
	if err := r.Close(); err != nil {
		fmt.Println(err)
	}
	_, err = repo.Init(ctx, store, &repo.InitOptions{Sealer: key})
	fmt.Println(errors.Is(err, repo.ErrRepositoryExists))
	// Output:
	// admin 65536 true
	// true
}

// A repository is opened with whatever opens one of its key slots: a password, a key file, a recovery key.
func ExampleOpen() {
	ctx, store := context.Background(), mem.New(nil)
	defer store.Close()
	text, key := crypto.NewKeyFile()
	if err := initialize(ctx, store, key); err != nil {
		fmt.Println(err)
		return
	}
	credential, err := crypto.ParseKeyFile(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := repo.Open(ctx, store, &repo.Options{Credential: credential})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.CanRead(repo.Data), r.Close())

	_, other := crypto.NewKeyFile()
	_, err = repo.Open(ctx, store, &repo.Options{Credential: other})
	fmt.Println(errors.Is(err, repo.ErrWrongCredential))
	_, err = repo.Open(ctx, mem.New(nil), &repo.Options{Credential: other})
	fmt.Println(errors.Is(err, repo.ErrNoRepository))
	// Output:
	// true <nil>
	// true
	// true
}

func initialize(ctx context.Context, store backend.Store, key crypto.Sealer) error {
	r, err := repo.Init(ctx, store, &repo.InitOptions{Sealer: key})
	if err != nil {
		return err
	}
	return r.Close()
}

// A session stores chunks and commits a root that refers to all of them. Equal chunks are stored once. Package snapshot does this for
// disks, files and streams.
func ExampleSession() {
	ctx, store := context.Background(), mem.New(nil)
	defer store.Close()
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(ctx, store, &repo.InitOptions{Sealer: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	s, err := r.Begin(ctx, &repo.SessionOptions{Kind: "example", Host: "db1", Source: [][]byte{[]byte("notes")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	chunk, err := commit(ctx, s, "first", "second", "first")
	if err != nil {
		fmt.Println(errors.Join(err, s.Suspend(ctx))) // a later session of the same source goes on with what was uploaded
		return
	}
	b, err := r.Load(ctx, repo.Data, chunk.ID, chunk.Length)
	fmt.Printf("%s %v\n", b, err)
	list, err := r.Snapshots()
	for i := range list {
		fmt.Printf("%s, a root of %d bytes\n", list[i].Manifest, list[i].Root.Meta.Length)
	}
	fmt.Println(err)
	// Output:
	// first <nil>
	// three notes, a root of 4 bytes
	// <nil>
}

// commit saves chunks with a root, commits it, and returns the first chunk.
func commit(ctx context.Context, s *repo.Session, texts ...string) (first repo.Ref, err error) {
	w, err := s.NewWriter(repo.Data) // one for each goroutine
	if err != nil {
		return first, err
	}
	var refs []reftree.Reference
	for _, text := range texts {
		id, _, err := w.Save(ctx, []byte(text))
		if err != nil {
			return first, err
		}
		refs = append(refs, reftree.Reference{Kind: reftree.RefData, Ref: repo.Ref{ID: id, Length: uint32(len(text))}})
	}
	if err := w.Flush(ctx); err != nil {
		return first, err
	}
	// The root is what readers start from (here any bytes, class META), and a node that names every chunk (class MAP).
	meta := []byte("root")
	node := reftree.AppendReferenceNode(nil, refs)
	root := repo.Pair{Meta: repo.Ref{Length: uint32(len(meta))}, Map: repo.Ref{Length: uint32(len(node))}}
	if root.Meta.ID, err = s.Save(ctx, repo.Meta, meta); err != nil {
		return first, err
	}
	if root.Map.ID, err = s.Save(ctx, repo.Map, node); err != nil {
		return first, err
	}
	_, err = s.Commit(ctx, root, []byte("three notes"))
	return refs[0].Ref, err
}
