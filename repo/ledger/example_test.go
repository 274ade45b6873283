package ledger_test

import (
	"fmt"
	"log"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// A ledger from GENESIS to its first snapshot. A program stores each entry under its key, if absent, before applying it.
func Example() {
	ring, keys, err := crypto.NewKeyring(crypto.AES256GCM)
	if err != nil {
		log.Fatal(err)
	}
	genesis, err := ledger.New(ring, &ledger.Genesis{
		Domain: ring.Domain(), Admin: ring.Actor(), Keys: keys, Suite: ring.Suite(),
		ChunkMean: 64 << 10, SegmentSize: 1 << 20, PackSize: 32 << 20, Primitive: ledger.CreateIfAbsent,
	}, 0, crypto.ID{}, 0)
	if err != nil {
		log.Fatal(err)
	}
	state, err := ledger.NewState(genesis, ring)
	if err != nil {
		log.Fatal(err)
	}
	session := ledger.SessionID{1}
	for _, body := range []ledger.Body{
		&ledger.Open{Session: session, Kind: "backup"},
		&ledger.Commit{Session: session, Snapshot: crypto.ID{2}, Facts: []byte("facts")},
	} {
		entry, err := state.Next(ring, body, 0)
		if err != nil {
			log.Fatal(err)
		}
		n, _ := state.Head()
		fmt.Println(ledger.EntryKey(n), body.Type())
		if err := state.Apply(entry); err != nil {
			log.Fatal(err)
		}
	}
	for _, snapshot := range state.Snapshots() {
		fmt.Printf("snapshot %.8s: %s\n", snapshot.ID, snapshot.Facts)
	}
	_, err = state.Next(ring, &ledger.Close{Session: session}, 0)
	fmt.Println(err)
	// Output:
	// log/000000000001 OPEN
	// log/000000000002 COMMIT
	// snapshot 02000000: facts
	// CLOSE would be void: session 01000000000000000000000000000000 is committed since entry 2
}
