package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// sweep deletes the objects that nobody can need any more: of sessions that ended, what no index file names that is live or condemned, and
// snapshots that cannot be taken back. It lists first and reads the ledger after that: whatever it saw was stored by a session that it
// then knows, and a session that has ended names nothing new. Which sessions have ended is decided by one state of the ledger, and what is named by that state or a later one:
// somebody may commit, and a heartbeat read of it, at any moment.
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
	useless, repairs := c.useless(ctx, found)
	for i := range repairs {
		dead, err := c.repo.knownDead(ctx, repairs[i].ID)
		if err != nil {
			return err
		}
		if !dead {
			c.report.Repairs = append(c.report.Repairs, repairs[i].ID)
		}
	}
	if len(c.report.Repairs) > 0 {
		return nil
	}
	if len(repairs) > 0 { // one that is dead now may have ended well since the ledger was read
		if err := c.repo.chain.advance(ctx); err != nil {
			return err
		}
	}
	if c.repo.indexedAt() != at {
		if named, _, err = c.repo.named(ctx); err != nil {
			return err
		}
		useless = slices.DeleteFunc(useless, func(info backend.Info) bool { return named.has(info.Key) })
	}
	return c.deleteAll(ctx, useless)
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

func (r *Repository) indexedAt() (at uint64) {
	r.chain.view(func(st *ledger.State) { at = st.IndexedAt() })
	return at
}

// named returns the objects that live or condemned index files name, these files included, in one state of the ledger, and which one.
func (r *Repository) named(ctx context.Context) (keySet, uint64, error) {
	for {
		at := r.indexedAt()
		set, err := r.namedNow(ctx)
		if err != nil || r.indexedAt() == at {
			return set, at, err
		}
	}
}

func (r *Repository) namedNow(ctx context.Context) (keySet, error) {
	set := keySet{}
	var files []ledger.IndexFile
	r.chain.view(func(st *ledger.State) { files = st.NamedFiles() })
	for _, f := range files {
		set.add(fileName(f).FileKey())
	}
	for _, c := range []*committed{r.committed, r.condemned} {
		v, err := c.current(ctx)
		if err != nil {
			return nil, err
		}
		if v.lost != nil {
			return nil, fmt.Errorf("what the lost index files list cannot be told from what nobody needs: %w", v.lost)
		}
		for p := range v.set.Packs() {
			set.add(p.PackKey())
		}
	}
	return set, nil
}

// useless returns those of the objects that nobody can need, unless an index file names them, and the repairs that may make one name them.
func (c *collector) useless(ctx context.Context, found []backend.Info) (list []backend.Info, repairs []ledger.Session) {
	writers := c.repo.writersOf(ctx, found)
	c.repo.chain.view(func(st *ledger.State) {
		for _, info := range found {
			if isUseless(st, info.Key, writers) {
				list = append(list, info)
			}
		}
		repairs = slices.DeleteFunc(st.LiveSessions(), func(o ledger.Session) bool {
			return c.session == nil || o.ID == c.session.id || !mayBe(&o, kindRepair) // without a session nothing is deleted
		})
	})
	return list, repairs
}

// writersOf returns who stored the objects of snapshots that were not committed, as far as can be told.
func (r *Repository) writersOf(ctx context.Context, found []backend.Info) map[ID]ledger.SessionID {
	writers := map[ID]ledger.SessionID{}
	for _, info := range found {
		name, ok := strings.CutPrefix(info.Key, snapshotPrefix)
		id, err := ParseID(name)
		if !ok || err != nil {
			continue
		}
		known := false
		r.chain.view(func(st *ledger.State) { _, known = st.Snapshot(id) })
		if !known {
			writers[id] = r.writerOf(ctx, id)
		}
	}
	return writers
}

// isUseless reports whether nobody can need an object, unless an index file names it. A snapshot's is of no use if it cannot be taken back, or if its session ended without
// committing it.
func isUseless(st *ledger.State, key string, writers map[ID]ledger.SessionID) bool {
	folder, rest, _ := strings.Cut(key, "/")
	first, _, _ := strings.Cut(rest, "/")
	switch folder {
	case "snapshots":
		id, err := ParseID(first)
		_, known := st.Snapshot(id)
		return err == nil && (st.Gone(id) || !known && sessionOver(st, writers[id]))
	case "checkpoints":
		n, err := ledger.ParseCheckpointKey(key)
		return err == nil && checkpointUseless(st, n)
	}
	id, err := ledger.ParseSessionID(first)
	return err == nil && sessionOver(st, id)
}

// sessionOver reports whether a session was opened and has ended, together with whatever took it over. What the ledger does not know may
// belong to a part of it that was lost.
func sessionOver(st *ledger.State, id ledger.SessionID) bool {
	s, ok := st.Outcome(id)
	return ok && s.End != ledger.Live
}

// deleteAll deletes objects, several at a time. One that cannot be deleted is left to the next collection.
func (c *collector) deleteAll(ctx context.Context, list []backend.Info) error {
	var g errgroup.Group
	g.SetLimit(8)
	var refused, bytes atomic.Uint64
	var ended error
	for i, info := range list {
		if ended = c.mayDelete(ctx); ended != nil {
			list = list[:i]
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
	return cmp.Or(ended, context.Cause(ctx))
}

// deleteFor is how long a collection deletes before it looks again whether its session has ended.
const deleteFor = 5 * time.Second

// mayDelete fails if the session has ended: then a repair may list again what is about to be deleted. It may have slept since it looked last, by a clock that goes on meanwhile.
func (c *collector) mayDelete(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil || c.session == nil {
		return err
	}
	now := c.repo.now().Round(0) // without the monotonic clock, which may stand still
	if d := now.Sub(c.seenLive); 0 <= d && d < deleteFor {
		return nil
	}
	if err := c.repo.chain.advance(ctx); err != nil {
		return err
	}
	var err error
	c.repo.chain.view(func(st *ledger.State) { err = c.stillLive(st) })
	c.seenLive = now
	return err
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
