package repo

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Holding keeps what some snapshots need from being collected, forgotten or not, until it is released.
type Holding struct{ session *Session }

// Hold keeps what live snapshots need for as long as the holding is not released, whatever is forgotten and collected meanwhile. Long restores use it. It appends to the
// ledger, and takes a collector's or an admin's key. One whose process dies is ended by a collection as any dead session is. host and program say who
// holds.
//
// Errors: [ErrNotAllowed], [ErrNotFound] when one of them is not there (any more), those of the store.
func (r *Repository) Hold(ctx context.Context, ids []ID, host, program string) (*Holding, error) {
	if err := r.mayCollect(); err != nil {
		return nil, err
	}
	s := r.newSession(ctx, &SessionOptions{Uploads: 1})
	s.collects = true
	err := s.openCollecting(ctx, &ledger.Open{Session: s.id, Purpose: ledger.Collecting, Kind: kindHold, Host: host, Program: program})
	if err != nil {
		s.cancel(err)
		return nil, errors.Join(fmt.Errorf("holding snapshots: %w", err), s.release())
	}
	err = s.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		for _, id := range ids {
			if snap, ok := st.Snapshot(id); !ok || snap.ForgottenAt != 0 {
				return nil, fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
			}
		}
		return &ledger.Hold{Session: s.id, Snapshots: ids}, nil
	})
	if err != nil {
		return nil, errors.Join(err, s.Close(ctx, "nothing to hold"))
	}
	return &Holding{s}, nil
}

// Release ends the holding. It returns [ErrSessionEnded] if somebody else did before, a collection that took its process for dead: then what was forgotten may
// have been deleted while it was read.
func (h *Holding) Release(ctx context.Context) error {
	s := h.session
	if err := s.Close(ctx, "released"); err != nil {
		return err
	}
	end := ledger.Live
	s.repo.chain.view(func(st *ledger.State) {
		session, _ := st.Session(s.id)
		end = session.End
	})
	if end == ledger.Closed {
		return nil
	}
	return endedBy(end)
}
