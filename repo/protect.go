package repo

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Protect keeps snapshots from being forgotten by anybody, until Unprotect: one entry of the ledger, for all of them or none. It takes an admin's key. reason is
// for the audit log, at most 4096 bytes.
//
// Errors: [ErrNotAllowed], [ErrNotFound], [ErrProtected] when one is protected already, those of the store.
func (r *Repository) Protect(ctx context.Context, ids []ID, reason string) error {
	return r.changeProtection(ctx, ids, func(id ID, s *ledger.Snapshot) error {
		if s.ProtectedAt != 0 {
			return fmt.Errorf("snapshot %s: %w", id, ErrProtected)
		}
		return nil
	}, &ledger.Protect{Snapshots: ids, Reason: reason})
}

// Unprotect ends the protection of snapshots, as Protect began it. Errors: [ErrNotAllowed], [ErrNotFound], [ErrNotProtected], those of the store.
func (r *Repository) Unprotect(ctx context.Context, ids []ID, reason string) error {
	return r.changeProtection(ctx, ids, func(id ID, s *ledger.Snapshot) error {
		if s.ProtectedAt == 0 {
			return fmt.Errorf("snapshot %s: %w", id, ErrNotProtected)
		}
		return nil
	}, &ledger.Unprotect{Snapshots: ids, Reason: reason})
}

func (r *Repository) changeProtection(ctx context.Context, ids []ID, may func(ID, *ledger.Snapshot) error, body ledger.Body) error {
	if len(ids) == 0 {
		return nil
	}
	if err := r.mayAdminister(); err != nil {
		return err
	}
	_, err := r.chain.append(ctx, r.ring, func(st *ledger.State) (ledger.Body, error) {
		for _, id := range ids {
			s, ok := st.Snapshot(id)
			if !ok || s.ForgottenAt != 0 {
				return nil, fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
			}
			if err := may(id, &s); err != nil {
				return nil, err
			}
		}
		return body, nil
	})
	return err
}
