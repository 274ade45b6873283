package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Revoke ends sessions of others, by name: what they stored is garbage, and should one of them be alive, its commit will be void and it starts again. Those
// that have ended are passed over. It takes a collector's or an admin's key. reason is for the audit log, at most 4096 bytes. It returns those that it
// revoked.
//
// Errors: [ErrNotAllowed], [ErrNotFound] for a session that was never opened, those of the store.
func (r *Repository) Revoke(ctx context.Context, ids []ledger.SessionID, reason string) (revoked []ledger.SessionID, err error) {
	if err := r.mayCollect(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		did, err := r.revoke(ctx, id, reason)
		if err != nil {
			return revoked, fmt.Errorf("revoking session %s: %w", id, err)
		}
		if did {
			revoked = append(revoked, id)
		}
	}
	return revoked, nil
}

// errOver says that a session has ended by itself.
var errOver = errors.New("the session is over")

func (r *Repository) revoke(ctx context.Context, id ledger.SessionID, reason string) (did bool, err error) {
	_, err = r.chain.append(ctx, r.ring, func(st *ledger.State) (ledger.Body, error) {
		s, ok := st.Session(id)
		switch {
		case !ok:
			return nil, ErrNotFound
		case s.End != ledger.Live:
			return nil, errOver
		}
		return &ledger.Revoke{Session: id, Reason: reason}, nil
	})
	if errors.Is(err, errOver) {
		return false, nil
	}
	return err == nil, err
}

// knownDead reports whether the process of a session is gone for certain: its kernel lock is free, on a store that has such locks.
func (r *Repository) knownDead(ctx context.Context, id ledger.SessionID) (dead bool, err error) {
	locker, ok := backend.As[backend.Locker](r.store)
	if !ok {
		return false, nil
	}
	l, err := locker.TryLock(ctx, sessionLock(id))
	if errors.Is(err, backend.ErrLocked) || errors.Is(err, fs.ErrPermission) { // a store that is only read has no locks to take
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking session %s: %w", id, err)
	}
	return true, l.Close()
}

func sessionLock(id ledger.SessionID) string { return "session-" + id.String() }
