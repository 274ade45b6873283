package repo

import (
	"context"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Log yields the entries of the ledger from number first on, or, with newest set, from the last one back to it, each read from the store and
// verified; several are read at the same time. An error ends it. It keeps 16 entries in memory.
func (r *Repository) Log(ctx context.Context, first uint64, newest bool) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		head := r.chain.head()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		var ahead []<-chan readAhead
		for i := first; i < head || len(ahead) > 0; {
			for ; i < head && len(ahead) < maxAhead; i++ {
				n := i
				if newest {
					n = head - 1 - (i - first)
				}
				ahead = append(ahead, r.entryAhead(ctx, n))
			}
			next := <-ahead[0]
			ahead = ahead[1:]
			if !yield(next.entry, next.err) || next.err != nil {
				return
			}
		}
	}
}

type readAhead struct {
	entry *Entry
	err   error
}

// entryAhead reads an entry in the background.
func (r *Repository) entryAhead(ctx context.Context, n uint64) <-chan readAhead {
	c := make(chan readAhead, 1)
	go func() {
		e, err := r.Entry(ctx, n)
		c <- readAhead{e, err}
	}()
	return c
}

// LedgerReport is what [Repository.VerifyLedger] found.
type LedgerReport struct {
	// Entries is how many there are, and Hash that of the last one: together they say which ledger it is.
	Entries uint64
	Hash    ID
	// Void are the entries that changed nothing.
	Void []ledger.VoidEntry
	// Actors are those who were ever admitted.
	Actors []ledger.Actor
}

// VerifyLedger replays the whole ledger from the store, every number, hash, signature and rule, whatever this client has cached, and compares it with what this
// client saw before. It needs no key. Errors: [*CorruptError], [ErrRolledBack], those of the store.
func (r *Repository) VerifyLedger(ctx context.Context) (*LedgerReport, error) {
	state, err := r.chain.replay(ctx)
	if err != nil {
		return nil, err
	}
	n, hash := state.Head()
	return &LedgerReport{Entries: n, Hash: hash, Void: state.Void(), Actors: state.Actors()}, nil
}

// HashAt returns the hash that the ledger has after so many entries, as the entry itself was read. Errors: [ErrNotFound] when there are not so many.
func (r *Repository) HashAt(ctx context.Context, entries uint64) (ID, error) {
	if entries == 0 {
		return ID{}, fmt.Errorf("a ledger of no entries: %w", ErrNotFound)
	}
	e, err := r.Entry(ctx, entries-1)
	if err != nil {
		return ID{}, err
	}
	return e.Hash, nil
}
