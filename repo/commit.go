package repo

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Commit makes durable all that was saved, then the index, then a snapshot of the root, and at last appends COMMIT: from then on, and not
// before, others see it. manifest is what the caller says about the snapshot; repo does not look into it. Writers must have been
// flushed. The session ends, whatever the result.
//
// Errors: [ErrSessionEnded] when the session ended before, or somebody else closed or revoked it, or the first error that the session met.
// After one, nothing was committed, unless the store lost the reply to the last write of all; call Suspend or Close.
func (s *Session) Commit(ctx context.Context, root Pair, manifest []byte) (ID, error) {
	id, err := s.commit(ctx, root, manifest)
	if err != nil {
		s.fail(err)
		return ID{}, err
	}
	if err := s.end(); err != nil {
		s.repo.log.Warn("ending a committed session", "error", err)
	}
	return id, nil
}

func (s *Session) commit(ctx context.Context, root Pair, manifest []byte) (ID, error) {
	if s.dryRun {
		return ID{}, fmt.Errorf("%w: a dry run has nothing to commit", ErrNotAllowed)
	}
	if err := s.Flush(ctx); err != nil {
		return ID{}, err
	}
	if err := s.complete(root); err != nil {
		return ID{}, err
	}
	if err := s.progress.turn.take(ctx); err != nil {
		return ID{}, err
	}
	defer s.progress.turn.pass()
	if err := s.writeIndex(ctx); err != nil {
		return ID{}, err
	}
	facts := wire.AppendBytes(reftree.AppendPair(nil, root), manifest)
	object, err := s.repo.sealSnapshot(s.id, facts)
	if err != nil {
		return ID{}, err
	}
	id := hashOf(object)
	if err := s.putDurable(ctx, snapshotKey(id), object); err != nil {
		return ID{}, err
	}
	body := &ledger.Commit{Session: s.id, Snapshot: id, IndexFiles: s.progress.files, Facts: facts}
	err = s.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		session, _ := st.Session(s.id)
		return body, endedBy(session.End)
	})
	return id, err
}

// complete makes sure that everything that was saved is stored, and that the root is among it.
func (s *Session) complete(root Pair) error {
	if n := s.claims.len(); n > 0 {
		return fmt.Errorf("committing: %d chunks were saved by writers that were not flushed", n)
	}
	if !s.known(root.Meta.ID) || !s.known(root.Map.ID) {
		return fmt.Errorf("committing: the root: %w", ErrNotFound)
	}
	if err := s.repo.keys.save(); err != nil {
		s.repo.log.Warn("keeping a writer's state", "error", err)
	}
	return nil
}
