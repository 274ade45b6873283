package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Entry is an entry of the ledger, decoded.
type Entry struct {
	// Number is its place in the ledger, Hash what the next entry names as Previous, Size that of the object in bytes.
	Number         uint64
	Hash, Previous ID
	Size           int
	// Type says what it does, Actor who signed it, Time when, as the signer's clock had it.
	Type  ledger.Type
	Actor ledger.Actor
	Time  time.Time
	// Body is what it says. Its sealed fields are empty unless Opened is set. Nil if it cannot be decoded; then the entry is void.
	Body ledger.Body
	// Sealed is the size of the sealed part in bytes, zero if there is none, and Opened tells that this key opened it.
	Sealed int
	Opened bool
	// Void says why the entry changed nothing; empty if it counts.
	Void string
	// Root is, of a COMMIT of a snapshot whose sealed part was opened, the snapshot's root.
	Root *Pair
}

// Entry reads entry n of the ledger and verifies its signature. Errors: [ErrNotFound] if the ledger, as last read, ends before it,
// [*CorruptError].
func (r *Repository) Entry(ctx context.Context, n uint64) (*Entry, error) {
	if head := r.chain.head(); n >= head {
		return nil, fmt.Errorf("ledger entry %d of %d: %w", n, head, ErrNotFound)
	}
	if err := r.chain.proveBefore(ctx, n); err != nil {
		return nil, err
	}
	b, err := r.chain.read(ctx, n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(ledger.EntryKey(n), err)
	}
	if err != nil {
		return nil, err
	}
	e, err := r.decodeEntry(n, b)
	if err != nil {
		return nil, &CorruptError{Key: ledger.EntryKey(n), Offset: -1, Err: err}
	}
	return e, nil
}

func (r *Repository) decodeEntry(n uint64, b []byte) (*Entry, error) {
	d, err := ledger.Decode(b)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Number: d.N, Hash: d.Hash(), Previous: d.Previous, Size: len(b), Type: d.Type, Time: time.Unix(0, d.Time).UTC(), Sealed: len(d.Sealed),
	}
	known := false
	r.chain.view(func(st *ledger.State) { e.Actor, known = st.Actor(d.Actor) })
	e.Void = r.chain.why(n)
	switch {
	case d.N != n:
		return nil, fmt.Errorf("it is entry %d", d.N)
	case !known:
		return nil, fmt.Errorf("%w: %s", ledger.ErrActor, d.Actor)
	}
	if err := d.Verify(e.Actor.Actor); err != nil {
		return nil, err
	}
	if e.Body, err = d.Body(); err != nil {
		e.Body = nil
		return e, nil // void, as the replay found
	}
	e.Opened = e.Sealed > 0 && d.Unseal(opener(r.ring), e.Body) == nil
	if c, ok := e.Body.(*ledger.Commit); ok && e.Opened {
		if s, err := openFacts(&ledger.Snapshot{ID: c.Snapshot, Facts: c.Facts}); err == nil {
			e.Root = &s.Root
		}
	}
	return e, nil
}
