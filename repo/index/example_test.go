package index_test

import (
	"context"
	"fmt"
	"log"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/index"
)

// A set is filled from the index files that the ledger names: from the cache where it has them, from the repository where not.
func ExampleSet() {
	ctx := context.Background()
	s, err := index.Open(&index.Options{}) // no folder: nothing is kept
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	fromLedger := []index.Name{{Hash: crypto.Hash([]byte("an index file"))}}
	missing, err := s.Sync(fromLedger, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range missing {
		var f index.File // = index.Decode(keys, the object n.FileKey())
		if err := s.AddFile(ctx, n, &f); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(missing), s.Has(crypto.Hash([]byte("a chunk"))))
	// Output: 1 false
}
