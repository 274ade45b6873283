package repo

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Forget takes snapshots out of the repository's live ones by one entry of the ledger, for all of them or none. It takes a collector's or
// an admin's key. Nothing is deleted: what the snapshots alone needed is unreferenced from then on. reason is for the audit log, at most 4096 bytes.
//
// Errors: [ErrNotAllowed], [ErrNotFound] when one of them is not there (any more), [ErrProtected], those of the store.
func (r *Repository) Forget(ctx context.Context, ids []ID, reason string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := r.mayCollect(); err != nil {
		return err
	}
	_, err := r.chain.append(ctx, r.ring, func(st *ledger.State) (ledger.Body, error) {
		for _, id := range ids {
			s, ok := st.Snapshot(id)
			switch {
			case !ok || s.ForgottenAt != 0:
				return nil, fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
			case s.ProtectedAt != 0:
				return nil, fmt.Errorf("snapshot %s: %w", id, ErrProtected)
			}
		}
		return &ledger.Forget{Snapshots: ids, Reason: reason}, nil
	})
	if err != nil {
		return fmt.Errorf("forgetting snapshots: %w", err)
	}
	return nil
}

// Unforget makes forgotten snapshots live again by one entry of the ledger, for all of them or none. It can be done until a collection has deleted
// something since they were forgotten. It takes a collector's or an admin's key. reason is for the audit log, at most 4096 bytes.
//
// Errors: [ErrNotAllowed], [ErrNotFound] when one of them is unknown or not forgotten, [ErrDeleted], those of the store.
func (r *Repository) Unforget(ctx context.Context, ids []ID, reason string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := r.mayCollect(); err != nil {
		return err
	}
	_, err := r.chain.append(ctx, r.ring, func(st *ledger.State) (ledger.Body, error) {
		for _, id := range ids {
			if s, ok := st.Snapshot(id); !ok || s.ForgottenAt == 0 {
				return nil, fmt.Errorf("snapshot %s is not a forgotten one: %w", id, ErrNotFound)
			}
			if !st.Forgotten(id) {
				return nil, fmt.Errorf("snapshot %s: %w", id, ErrDeleted)
			}
		}
		return &ledger.Unforget{Snapshots: ids, Reason: reason}, nil
	})
	if err != nil {
		return fmt.Errorf("taking snapshots back: %w", err)
	}
	return nil
}

// Forgotten returns the snapshots that were forgotten and can be made live again, in the order in which they were committed, as of the last time that the
// ledger was read. Those whose facts cannot be read are reported together as an error, after the others.
func (r *Repository) Forgotten() ([]Snapshot, error) {
	return r.snapshots((*ledger.State).Recoverable)
}

// mayCollect fails unless this key and store may forget and collect.
func (r *Repository) mayCollect() error {
	if err := r.collects(); err != nil {
		return err
	}
	_, err := writePrimitive(r.store)
	return err
}

// collects fails unless the key may forget and collect.
func (r *Repository) collects() error {
	if r.ring == nil || r.ring.Role() != crypto.Admin && r.ring.Role() != crypto.Collector {
		return fmt.Errorf("%w: forgetting and collecting take a collector's or an admin's key", ErrNotAllowed)
	}
	if u := unknown(r.featureSets().Collect, features.collect); len(u) > 0 {
		return &FeatureError{Use: "forgetting", Features: u}
	}
	return nil
}
