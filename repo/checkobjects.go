package repo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// keySet is a set of object keys. It keeps 16 bytes of a hash of each, which takes some 30 bytes of memory: of packs of 32 MiB, 100 MB
// for 100 TB.
type keySet map[[16]byte]struct{}

func keyOf(object string) [16]byte {
	h := crypto.Hash([]byte(object))
	return [16]byte(h[:16])
}

func (s keySet) has(object string) bool {
	_, ok := s[keyOf(object)]
	return ok
}

// add reports whether the key is new.
func (s keySet) add(object string) bool {
	k := keyOf(object)
	_, ok := s[k]
	s[k] = struct{}{}
	return !ok
}

// amount counts objects and their bytes.
type amount struct{ objects, bytes uint64 }

func (a *amount) add(b amount) {
	a.objects += b.objects
	a.bytes += b.bytes
}

// remains are objects that nothing verified names. Whether somebody needs them the ledger tells, when all are listed.
type remains struct {
	records   map[ledger.SessionID]amount // progress records, by session
	stored    map[ledger.SessionID]amount // packs and index files, by session
	entries   map[uint64]amount           // of the ledger, by number
	snapshots map[ID]amount
	states    map[uint64]amount // of checkpoints, by number
	other     amount
}

func (m *remains) add(info backend.Info) {
	one := amount{1, uint64(info.Size)}
	folder, rest, _ := strings.Cut(info.Key, "/")
	session, _, _ := strings.Cut(rest, "/")
	if id, err := ledger.ParseSessionID(session); err == nil {
		switch folder {
		case "packs", "index":
			one.add(m.stored[id])
			m.stored[id] = one
			return
		case "heartbeats", "sweeps":
			return // deleted by the next collection
		case "sessions":
			one.add(m.records[id])
			m.records[id] = one
			return
		}
	}
	if folder == "quarantine" {
		return // for whoever looks into the damage
	}
	if n, err := ledger.ParseEntryKey(info.Key); err == nil {
		m.entries[n] = one
		return
	}
	if n, err := ledger.ParseCheckpointKey(info.Key); err == nil {
		m.states[n] = one
		return
	}
	if id, err := ParseID(rest); err == nil && info.Key == snapshotKey(id) {
		m.snapshots[id] = one
		return
	}
	m.other.add(one)
}

// objects lists the store, looks for the packs that the index names, and counts what is of no use to anybody. A session that is open, or was when the check began, may need all that
// lies in its folders and in those of sessions that it adopted; the progress records of one that was committed are its own until a collection.
func (c *checker) objects(ctx context.Context) error {
	m := remains{
		records: map[ledger.SessionID]amount{}, stored: map[ledger.SessionID]amount{}, entries: map[uint64]amount{}, snapshots: map[ID]amount{}, states: map[uint64]amount{},
	}
	listErr := c.list(ctx, &m)
	if listErr != nil {
		if err := c.fault(listErr); err != nil {
			return err
		}
	}
	if err := c.unlisted(ctx); err != nil || listErr != nil {
		return err
	}
	// What others stored since the check began was preceded by entries of the ledger.
	if err := c.repo.chain.advance(ctx); err != nil {
		return c.fault(err)
	}
	if err := c.states(ctx, m.states); err != nil {
		return err
	}
	useless := m.other
	writers := map[ID]ledger.SessionID{} // of snapshots that were not committed
	c.repo.chain.view(func(st *ledger.State) {
		for id := range m.snapshots {
			if _, ok := st.Snapshot(id); !ok {
				writers[id] = ledger.SessionID{}
			}
		}
	})
	for _, id := range slices.SortedFunc(maps.Keys(writers), compareIDs) {
		writers[id] = c.repo.writerOf(ctx, id)
	}
	c.repo.chain.view(func(st *ledger.State) { useless.add(m.useless(st, c.start, writers)) })
	c.report.Unreferenced, c.report.UnreferencedBytes = useless.objects, useless.bytes
	return nil
}

// list lists the store once: packs are compared with the index, and what nothing names remains.
func (c *checker) list(ctx context.Context, m *remains) error {
	for info, err := range c.repo.store.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("listing objects: %w", err)
		}
		named, err := c.listed(info)
		if err != nil {
			return err
		}
		if !named && !c.live.has(info.Key) {
			m.add(info)
		}
	}
	return nil
}

// useless sums up what nobody needs, as the ledger has it now. start is the number of entries it had when the check began.
func (m *remains) useless(st *ledger.State, start uint64, writers map[ID]ledger.SessionID) (sum amount) {
	head, _ := st.Head()
	for n, a := range m.entries {
		if n >= head {
			sum.add(a)
		}
	}
	for n, a := range m.states {
		if checkpointUseless(st, n) {
			sum.add(a)
		}
	}
	for id, a := range m.stored {
		if !isOpen(st, id, start) {
			sum.add(a)
		}
	}
	for id, a := range m.records {
		if s, _ := st.Outcome(id); !isOpen(st, id, start) && s.End != ledger.Committed {
			sum.add(a)
		}
	}
	for id, a := range m.snapshots {
		if _, known := st.Snapshot(id); st.Gone(id) || !known && !isOpen(st, writers[id], start) {
			sum.add(a)
		}
	}
	return sum
}

// isOpen reports whether a session, or the one that it became part of, is open or was when the ledger had start entries.
func isOpen(st *ledger.State, id ledger.SessionID, start uint64) bool {
	s, ok := st.Outcome(id)
	return ok && (s.End == ledger.Live || s.EndedAt >= start)
}

// writerOf returns the session that a snapshot's object names; zero if it cannot be told.
func (r *Repository) writerOf(ctx context.Context, id ID) (session ledger.SessionID) {
	head := make([]byte, snapshotHead)
	if backend.ReadFull(ctx, r.store, snapshotKey(id), 0, head) != nil {
		return session
	}
	d := wire.NewDecoder(head)
	h := decodeSnapshotHead(d)
	if d.Finish() != nil {
		return session
	}
	return h.session
}
