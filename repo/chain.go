package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// chain is the ledger as read so far: the only thing that several writers agree on.
// Its state only grows. One goroutine at a time advances or appends; others look at the state meanwhile.
type chain struct {
	store   backend.Store
	cache   *ledgerCache
	genesis []byte // entry 0
	opener  ledger.Opener
	log     *slog.Logger
	now     func() time.Time
	every   uint64 // entries, after which a CHECKPOINT is due
	// salvaged: entries are lost, so that nothing may be added.
	salvaged bool

	proving turn // while the replay from GENESIS goes on, over others

	moving turn       // while entries are fetched or appended
	taken  uint64     // an entry that somebody else was faster to append: it is there, whatever a listing says; guarded by moving
	mu     sync.Mutex // held while state is looked at or changed, never over a call to the store
	state  *ledger.State
	origin origin // changed with both
	lied   error  // the CHECKPOINT where it began was false: what was made of that state is, too
}

// gapProbes are the distances beyond a missing entry at which later ones are looked for (docs/format.md, 7.4).
var gapProbes = []uint64{1, 2, 4, 8, 16, 32, 64}

// advance reads the entries that others have appended.
func (c *chain) advance(ctx context.Context) error {
	if err := c.fetchInTurn(ctx); err != nil || !c.doubtful() {
		return err
	}
	return c.prove(ctx)
}

func (c *chain) fetchInTurn(ctx context.Context) error {
	if err := c.moving.take(ctx); err != nil {
		return err
	}
	defer c.moving.pass()
	return c.fetch(ctx)
}

// head returns the number of the next entry.
func (c *chain) head() (n uint64) {
	c.view(func(s *ledger.State) { n, _ = s.Head() })
	return n
}

// maxAhead is how many entries are read at the same time when many are new.
const maxAhead = 16

// fetch reads up to the head. The caller has the turn to move.
func (c *chain) fetch(ctx context.Context) error { return c.fetchTo(ctx, math.MaxUint64) }

// fetchTo reads up to the head, or until there are end entries.
func (c *chain) fetchTo(ctx context.Context, end uint64) error {
	if c.salvaged || c.lied != nil {
		return c.lied
	}
	for most := 1; ; most = min(2*most, maxAhead) {
		n := c.head()
		if n >= end {
			return nil
		}
		if n != c.taken {
			next, told, err := c.from(ctx, n)
			if err != nil || told && next == 0 {
				return err
			}
			if next > n {
				return c.probeGap(ctx, n, end)
			}
		}
		ahead := int(min(uint64(most), end-n))
		entries, err := c.readSome(ctx, n, ahead)
		for i, e := range entries {
			if err := c.apply(n+uint64(i), e); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if len(entries) < ahead {
			return c.probeGap(ctx, n+uint64(len(entries)), end)
		}
	}
}

// readEntry is an entry as read. If it is not verified, its signature is bad, or of an actor that an entry just before it admits.
type readEntry struct {
	bytes    []byte
	verified bool
}

// readSome reads the next entries from n on, at most so many at the same time. It returns those before the first that is missing, or
// that cannot be read.
func (c *chain) readSome(ctx context.Context, n uint64, most int) ([]readEntry, error) {
	entries, errs := make([]readEntry, most), make([]error, most)
	var g errgroup.Group
	for i := range entries {
		g.Go(func() error {
			e := &entries[i]
			if e.bytes, errs[i] = c.read(ctx, n+uint64(i)); errs[i] == nil {
				e.verified = c.state.CheckSignature(e.bytes) // nobody else changes the state while moving is held
			}
			return nil
		})
	}
	_ = g.Wait() // errors have their places
	for i, err := range errs {
		if errors.Is(err, fs.ErrNotExist) {
			return entries[:i], nil
		}
		if err != nil {
			return entries[:i], err
		}
	}
	return entries, nil
}

func (c *chain) read(ctx context.Context, n uint64) ([]byte, error) {
	b, err := backend.ReadAll(ctx, c.store, ledger.EntryKey(n), ledger.MaxEntry)
	if isType[*backend.TooLargeError](err) || isType[*backend.DamagedError](err) {
		return nil, &CorruptError{Key: ledger.EntryKey(n), Offset: -1, Err: err}
	}
	return b, err
}

func (c *chain) apply(n uint64, e readEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	apply := c.state.Apply
	if e.verified {
		apply = c.state.ApplyTrusted
	}
	if err := apply(e.bytes); err != nil {
		if bad, ok := errors.AsType[*ledger.CorruptError](err); ok {
			return &CorruptError{Key: ledger.EntryKey(n), Offset: -1, Err: bad.Err}
		}
		return fmt.Errorf("reading %s: %w", ledger.EntryKey(n), err)
	}
	c.cache.add(n, e.bytes)
	return nil
}

// probeGap fails if an entry beyond the missing entry n exists: then n was lost, and n is not the head.
func (c *chain) probeGap(ctx context.Context, n, end uint64) error {
	beyond, err := c.beyond(ctx, n)
	if beyond == 0 || err != nil {
		return err
	}
	// Somebody may have appended both since n was looked for.
	if _, err := c.store.Stat(ctx, ledger.EntryKey(n)); err == nil {
		return c.fetchTo(ctx, end)
	}
	return &CorruptError{Key: ledger.EntryKey(n), Offset: -1, Err: fmt.Errorf("missing, but entry %d is there; 'holdfast repair ledger' looks for it", beyond)}
}

// beyond returns the number of an entry after the missing entry n; 0 if there is none.
func (c *chain) beyond(ctx context.Context, n uint64) (uint64, error) {
	if far, told, err := c.from(ctx, n+1); told || err != nil {
		return far, err
	}
	for _, d := range gapProbes {
		_, err := c.store.Stat(ctx, ledger.EntryKey(n+d))
		if err == nil {
			return n + d, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return 0, nil
}

// from returns the number of the first entry from n on, 0 if there is none, on a store that tells that in one request; told is false on others.
func (c *chain) from(ctx context.Context, n uint64) (first uint64, told bool, err error) {
	s, ok := backend.As[backend.Successor](c.store)
	if !ok || n == 0 {
		return 0, false, nil
	}
	info, ok, err := s.Next(ctx, ledger.EntryPrefix, ledger.EntryKey(n-1))
	if err != nil || !ok {
		return 0, err == nil, err
	}
	first, err = ledger.ParseEntryKey(info.Key)
	return first, err == nil, nil // what is no entry tells nothing
}

// farBeyond does what beyond does, and also finds what lies further off, if the store lists it.
func (c *chain) farBeyond(ctx context.Context, n uint64) (uint64, error) {
	if near, err := c.beyond(ctx, n); near > 0 || err != nil {
		return near, err
	}
	for info, err := range c.store.List(ctx, ledger.EntryPrefix) {
		if err != nil {
			return 0, fmt.Errorf("listing the ledger: %w", err)
		}
		if far, err := ledger.ParseEntryKey(info.Key); err == nil && far > n {
			return far, nil
		}
	}
	return 0, nil
}

// append adds the entry whose body decide gives, having been shown the state up to the very entry before it. It returns
// how many bytes it stored. decide may be called more than once; its error ends the attempt.
func (c *chain) append(ctx context.Context, ring *crypto.Keyring, decide func(*ledger.State) (ledger.Body, error)) (int, error) {
	if c.salvaged {
		return 0, ErrSalvaged
	}
	if err := c.moving.take(ctx); err != nil {
		return 0, err
	}
	defer c.moving.pass()
	for {
		if err := c.fetch(ctx); err != nil {
			return 0, err
		}
		n := c.head()
		b, err := c.next(ring, decide)
		if err != nil {
			return 0, err
		}
		won, err := create(ctx, c.store, ledger.EntryKey(n), b)
		if err != nil {
			return 0, fmt.Errorf("appending to the ledger: %w", err)
		}
		if !won {
			c.taken = n
			continue
		}
		if err := c.apply(n, readEntry{bytes: b}); err != nil {
			return 0, err
		}
		return len(b) + c.checkpoint(ctx, ring), nil
	}
}

// next makes the next entry.
func (c *chain) next(ring *crypto.Keyring, decide func(*ledger.State) (ledger.Body, error)) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := decide(c.state)
	if err != nil {
		return nil, err
	}
	return c.state.Next(ring, body, c.now().UnixNano())
}

// create stores an object unless there is another. A lost reply is not a lost race: what is there decides.
func create(ctx context.Context, store backend.Store, key string, b []byte) (bool, error) {
	err := backend.PutBytes(ctx, store, key, b, &backend.PutOptions{IfAbsent: true})
	if err == nil {
		return true, nil
	}
	there, rerr := backend.ReadAll(context.WithoutCancel(ctx), store, key, int64(len(b)))
	if isType[*backend.TooLargeError](rerr) {
		there, rerr = nil, nil
	}
	switch {
	case rerr == nil && bytes.Equal(there, b):
		return true, nil
	case errors.Is(err, fs.ErrExist):
		return false, rerr
	}
	return false, err
}

// view calls fn with the state, which fn must not keep.
func (c *chain) view(fn func(*ledger.State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c.state)
}

// save writes what was read to the local cache.
func (c *chain) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cache.save(c.state, &c.origin)
}
