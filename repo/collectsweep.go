package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// sweep deletes the objects that nobody can need any more: of sessions that ended, what no index file names that is live or condemned, and
// snapshots that cannot be taken back. It lists first and reads the ledger after that: whatever it saw was stored by a session that it
// then knows, and a session that has ended names nothing new.
func (c *collector) sweep(ctx context.Context) error {
	named, at, err := c.repo.named(ctx)
	if err != nil {
		return err
	}
	var found []backend.Info
	for info, err := range c.repo.store.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("listing objects: %w", err)
		}
		if sweepable(info.Key) && !named.has(info.Key) {
			found = append(found, info)
		}
	}
	if len(found) == 0 {
		return nil
	}
	if err := c.repo.chain.advance(ctx); err != nil {
		return err
	}
	var now uint64
	c.repo.chain.view(func(st *ledger.State) { now = st.IndexedAt() })
	if now != at {
		if named, _, err = c.repo.named(ctx); err != nil {
			return err
		}
	}
	return c.deleteAll(ctx, c.useless(ctx, found, named))
}

// sweepable reports whether an object is of a kind that a collection may delete.
func sweepable(key string) bool {
	folder, _, _ := strings.Cut(key, "/")
	switch folder {
	case "packs", "index", "sessions", "snapshots", "heartbeats", "checkpoints":
		return true
	}
	return false
}

// named returns the objects that live or condemned index files name, these files included, and how new the ledger was.
func (r *Repository) named(ctx context.Context) (keySet, uint64, error) {
	set := keySet{}
	var files []ledger.IndexFile
	var at uint64
	r.chain.view(func(st *ledger.State) { files, at = st.NamedFiles(), st.IndexedAt() })
	for _, f := range files {
		set.add(fileName(f).FileKey())
	}
	for _, c := range []*committed{r.committed, r.condemned} {
		v, err := c.current(ctx)
		if err != nil {
			return nil, 0, err
		}
		if v.lost != nil {
			return nil, 0, fmt.Errorf("what the lost index files list cannot be told from what nobody needs: %w", v.lost)
		}
		for p := range v.set.Packs() {
			set.add(p.PackKey())
		}
	}
	return set, at, nil
}

// useless returns those of the objects that nobody can need.
func (c *collector) useless(ctx context.Context, found []backend.Info, named keySet) (list []backend.Info) {
	for _, info := range found {
		if named.has(info.Key) {
			continue
		}
		if c.repo.isUseless(ctx, info.Key) {
			list = append(list, info)
		}
	}
	return list
}

// isUseless reports whether nobody can need an object that no index file names.
func (r *Repository) isUseless(ctx context.Context, key string) (useless bool) {
	folder, rest, _ := strings.Cut(key, "/")
	first, _, _ := strings.Cut(rest, "/")
	switch folder {
	case "snapshots":
		id, err := ParseID(first)
		return err == nil && r.snapshotGone(ctx, id)
	case "checkpoints":
		n, err := ledger.ParseCheckpointKey(key)
		r.chain.view(func(st *ledger.State) { useless = err == nil && checkpointUseless(st, n) })
		return useless
	}
	id, err := ledger.ParseSessionID(first)
	return err == nil && r.sessionOver(id)
}

// sessionOver reports whether a session was opened and has ended, together with whatever took it over. What the ledger does not know may
// belong to a part of it that was lost.
func (r *Repository) sessionOver(id ledger.SessionID) (over bool) {
	r.chain.view(func(st *ledger.State) {
		s, ok := st.Outcome(id)
		over = ok && s.End != ledger.Live
	})
	return over
}

// snapshotGone reports whether the object of a snapshot is of no use: it cannot be taken back, or its session ended without committing it.
func (r *Repository) snapshotGone(ctx context.Context, id ID) bool {
	known, gone := false, false
	r.chain.view(func(st *ledger.State) {
		_, known = st.Snapshot(id)
		gone = st.Gone(id)
	})
	return gone || !known && r.sessionOver(r.writerOf(ctx, id))
}

// deleteAll deletes objects, several at a time. One that cannot be deleted is left to the next collection.
func (c *collector) deleteAll(ctx context.Context, list []backend.Info) error {
	var g errgroup.Group
	g.SetLimit(8)
	var refused, bytes atomic.Uint64
	for i, info := range list {
		if ctx.Err() != nil {
			break
		}
		c.progress("delete", uint64(i), uint64(len(list)))
		g.Go(func() error {
			if c.opts.DryRun {
				bytes.Add(uint64(info.Size))
				return nil
			}
			if err := c.repo.store.Delete(ctx, info.Key); err != nil && !errors.Is(err, fs.ErrNotExist) {
				refused.Add(1)
				c.repo.log.Warn("an object could not be deleted", "object", info.Key, "error", err)
				return nil
			}
			bytes.Add(uint64(info.Size))
			return nil
		})
	}
	_ = g.Wait() // refusals are counted
	c.report.Refused = refused.Load()
	c.report.Deleted = uint64(len(list)) - c.report.Refused
	c.report.DeletedBytes = bytes.Load()
	return context.Cause(ctx)
}

// present makes sure that each live pack is there, before anything is dropped because another pack has it, too.
func (c *collector) present(ctx context.Context) error {
	ix, err := c.repo.committed.current(ctx)
	if err != nil {
		return err
	}
	there := keySet{}
	for info, err := range c.repo.store.List(ctx, "packs/") {
		if err != nil {
			return fmt.Errorf("listing packs: %w", err)
		}
		there.add(fmt.Sprintf("%s %d", info.Key, info.Size))
	}
	for p := range ix.set.Packs() {
		if there.has(fmt.Sprintf("%s %d", p.PackKey(), p.Size)) {
			continue
		}
		info, err := c.repo.store.Stat(ctx, p.PackKey())
		if err == nil && info.Size != int64(p.Size) {
			err = &CorruptError{Key: p.PackKey(), Offset: -1, Err: fmt.Errorf("it has %d bytes, the index says %d", info.Size, p.Size)}
		}
		if err = missing(p.PackKey(), err); err != nil {
			return fmt.Errorf("nothing is deleted while a pack is lost that may hold what others do not; run 'holdfast check': %w", err)
		}
	}
	return nil
}
