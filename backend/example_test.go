package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
)

func Example() {
	ctx := context.Background()
	store := mem.New(nil)
	defer store.Close()

	once := &backend.PutOptions{IfAbsent: true}
	fmt.Println(backend.PutBytes(ctx, store, "log/0", []byte("genesis"), once))
	err := backend.PutBytes(ctx, store, "log/0", []byte("another"), once)
	fmt.Println(errors.Is(err, fs.ErrExist))

	b, err := backend.ReadAll(ctx, store, "log/0", 1<<20)
	fmt.Println(string(b), err)
	for info, err := range store.List(ctx, "log/") {
		fmt.Println(info.Key, info.Size, err)
	}
	// Output:
	// <nil>
	// true
	// genesis <nil>
	// log/0 7 <nil>
}
