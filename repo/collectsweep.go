package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// sweep deletes the objects that nobody can need any more: of sessions that ended, what no index file names that is live or condemned, and
// snapshots that cannot be taken back. It lists first and reads the ledger after that: whatever it saw was stored by a session that it
// then knows, and a session that has ended names nothing new. What is deleted is decided by one state of the ledger, since somebody may commit at any moment, and packs are announced in that state,
// by a SWEEP: a repair that begins later stores them anew before it lists them, and beside one that is at work none is announced.
func (c *collector) sweep(ctx context.Context) error {
	found, err := c.unnamed(ctx)
	if err != nil {
		return err
	}
	if err := c.repo.chain.advance(ctx); err != nil {
		return err
	}
	if c.session == nil {
		useless, _, err := c.useless(ctx, found)
		c.count(useless)
		return err
	}
	if err := c.endDead(ctx); err != nil {
		return err
	}
	useless, err := c.announce(ctx, found)
	if errors.Is(err, errRepairing) {
		return nil
	}
	if err != nil {
		return err
	}
	answered, err := c.deleteAll(ctx, useless)
	if err != nil || !answered {
		return err // what was announced stays so: a request may still be on its way
	}
	return c.endSweeps(ctx)
}

// unnamed returns the objects in the store of which some may be useless.
func (c *collector) unnamed(ctx context.Context) (found []backend.Info, err error) {
	named, _, err := c.named(ctx)
	if err != nil {
		return nil, err
	}
	for info, err := range c.repo.store.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("listing objects: %w", err)
		}
		if sweepable(info.Key) && !named.has(info.Key) {
			found = append(found, info)
		}
	}
	return found, nil
}

// endDead revokes sessions that repair, or announced what they would delete, if their processes are gone for certain.
func (c *collector) endDead(ctx context.Context) error {
	var list []ledger.Session
	c.repo.chain.view(func(st *ledger.State) {
		list = st.Repairs()
		for _, k := range st.Sweeps() {
			if s, ok := st.Session(k.Session); ok && s.End == ledger.Live && s.ID != c.session.id {
				list = append(list, s)
			}
		}
	})
	for i := range list {
		dead, err := c.repo.knownDead(ctx, list[i].ID)
		if err != nil {
			return err
		}
		if dead {
			if err := c.revoke(ctx, list[i].ID, "its process is gone"); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepable reports whether an object is of a kind that a collection may delete.
func sweepable(key string) bool {
	folder, _, _ := strings.Cut(key, "/")
	switch folder {
	case "packs", "index", "sessions", "snapshots", "heartbeats", "checkpoints", "sweeps":
		return true
	}
	return false
}

func (r *Repository) indexedAt() (at uint64) {
	r.chain.view(func(st *ledger.State) { at = st.IndexedAt() })
	return at
}

// named is that of the repository, read again only when something changed.
func (c *collector) named(ctx context.Context) (_ keySet, at uint64, err error) {
	if c.names == nil || c.repo.indexedAt() != c.namesAt {
		if c.names, c.namesAt, err = c.repo.named(ctx); err != nil {
			return nil, 0, err
		}
	}
	return c.names, c.namesAt, nil
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

// useless returns those of the objects that nobody can need, as one state of the ledger has it, and the number of its last CONDEMN or DELETE.
func (c *collector) useless(ctx context.Context, found []backend.Info) (list []backend.Info, collectedAt uint64, err error) {
	writers := c.repo.writersOf(ctx, found)
	for {
		named, at, err := c.named(ctx)
		if err != nil {
			return nil, 0, err
		}
		same := false
		list = list[:0]
		c.repo.chain.view(func(st *ledger.State) {
			if same = st.IndexedAt() == at; !same {
				return
			}
			collectedAt = st.CollectedAt()
			for _, info := range found {
				if isUseless(st, info.Key, writers) && !named.has(info.Key) {
					list = append(list, info)
				}
			}
		})
		if same {
			return list, collectedAt, nil
		}
	}
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
	case "sweeps":
		if slices.ContainsFunc(st.Sweeps(), func(k ledger.Sweeping) bool { return key == listKey(k.Session, k.List) }) {
			return false
		}
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

// count reports objects as deleted.
func (c *collector) count(list []backend.Info) {
	c.report.Deleted = uint64(len(list))
	for _, info := range list {
		c.report.DeletedBytes += uint64(info.Size)
	}
}

// deleteAll deletes objects, several at a time. One that cannot be deleted is left to the next collection. It reports whether all packs are gone.
func (c *collector) deleteAll(ctx context.Context, list []backend.Info) (answered bool, err error) {
	var g errgroup.Group
	g.SetLimit(8)
	var refused, packs, bytes atomic.Uint64
	for i, info := range list {
		if ctx.Err() != nil {
			list = list[:i]
			break
		}
		c.progress("delete", uint64(i), uint64(len(list)))
		g.Go(func() error {
			if c.delete(ctx, info.Key) {
				bytes.Add(uint64(info.Size))
				return nil
			}
			refused.Add(1)
			if strings.HasPrefix(info.Key, index.PackPrefix) {
				packs.Add(1)
			}
			return nil
		})
	}
	_ = g.Wait() // refusals are counted
	c.report.Refused = refused.Load()
	c.report.Deleted = uint64(len(list)) - c.report.Refused
	c.report.DeletedBytes = bytes.Load()
	return packs.Load() == 0, context.Cause(ctx)
}

// delete reports whether an object is gone. If not, the next collection tries again.
func (c *collector) delete(ctx context.Context, key string) bool {
	err := c.repo.store.Delete(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.repo.log.Warn("an object could not be deleted", "object", key, "error", err)
		return false
	}
	return true
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
