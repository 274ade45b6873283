package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// ErrSalvaged is returned when something is to be written to a repository that was opened with [Options.Salvage].
var ErrSalvaged = errors.New("the repository is opened for salvage, and can only be read")

// salvage reads what is left of the ledger, and takes snapshots and index files as they lie in the store: each is signed or sealed, so nothing wrong is read, but
// one that was forgotten may be among them.
func (r *Repository) salvage(ctx context.Context, state *ledger.State) error {
	r.chain = &chain{store: r.store, cache: &ledgerCache{dir: r.cache}, state: state, origin: origin{proved: true}, proving: newTurn(), moving: newTurn(), salvaged: true}
	lost, err := r.chain.readLeft(ctx)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		r.log.Warn("entries of the ledger are lost or damaged", "entries", fmt.Sprint(lost))
	}
	snapshots, err := r.leftSnapshots(ctx)
	if err != nil {
		return err
	}
	files, err := r.leftIndexFiles(ctx)
	if err != nil {
		return err
	}
	state.Salvage(snapshots, files)
	return nil
}

// readLeft replays the entries that can be read and follow from those before them, but for lost ones, and returns the numbers of the others.
func (c *chain) readLeft(ctx context.Context) (lost []uint64, err error) {
	for n := c.head(); ; n++ {
		b, err := c.read(ctx, n)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if beyond, err := c.beyond(ctx, n); beyond == 0 || err != nil {
				return lost, err
			}
		case err == nil && c.applyLeft(n, b):
			continue
		case err != nil && !isType[*CorruptError](err):
			return lost, err
		}
		lost = append(lost, n)
	}
}

// applyLeft applies entry n, with or without the entries before it, and reports whether it could.
func (c *chain) applyLeft(n uint64, b []byte) bool {
	if c.state.Apply(b) == nil {
		return true
	}
	e, err := ledger.Decode(b)
	if err != nil || e.N != n || !c.state.CheckSignature(b) {
		return false
	}
	without := c.state.Clone()
	without.Skip(n, e.Previous)
	if without.Apply(b) != nil {
		return false
	}
	*c.state = *without
	return true
}

// leftSnapshots returns the snapshots in the store that are as they were stored.
func (r *Repository) leftSnapshots(ctx context.Context) (list []ledger.Snapshot, err error) {
	for info, err := range r.store.List(ctx, snapshotPrefix) {
		if err != nil {
			return nil, fmt.Errorf("listing snapshots: %w", err)
		}
		id, err := ParseID(strings.TrimPrefix(info.Key, snapshotPrefix))
		if err != nil {
			continue
		}
		b, err := backend.ReadAll(ctx, r.store, info.Key, maxSnapshot)
		if err != nil && !isDamage(err) {
			return nil, err
		}
		h, facts, bad := r.openSnapshot(id, b)
		if err == nil {
			err = bad
		}
		if err != nil {
			r.log.Warn("a snapshot is left out", "error", &CorruptError{Key: info.Key, Offset: -1, Err: err})
			continue
		}
		list = append(list, ledger.Snapshot{ID: id, Session: h.session, Actor: h.actor, Facts: facts})
	}
	return list, nil
}

// leftIndexFiles returns the index files in the store.
func (r *Repository) leftIndexFiles(ctx context.Context) (list []ledger.IndexFile, err error) {
	for info, err := range r.store.List(ctx, index.FilePrefix) {
		if err != nil {
			return nil, fmt.Errorf("listing index files: %w", err)
		}
		name, err := index.ParseFileKey(info.Key)
		if err != nil || info.Size > index.MaxFileSize {
			continue
		}
		list = append(list, ledger.IndexFile{Session: name.Session, Hash: name.Hash, Size: uint32(info.Size)})
	}
	return list, nil
}
