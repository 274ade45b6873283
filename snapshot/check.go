package snapshot

import (
	"context"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// CheckOptions are the options of [Check]; nil means all fields zero.
type CheckOptions struct {
	// Progress hears, after each snapshot, how many were checked, of how many. It is called by the goroutine of the loop.
	Progress func(done, total int)
}

// Check reads all directories of all snapshots, each once, and proves that what a collector finds through the reference trees is what
// a reader finds through the directories. It yields each fault, which names a snapshot that has it, and goes on; after an error of ctx it
// ends. It needs a key that can read META; [repo.Repository.Check] verifies everything else.
func Check(ctx context.Context, r *repo.Repository, opts *CheckOptions) iter.Seq[error] {
	progress := func(int, int) {}
	if opts != nil && opts.Progress != nil {
		progress = opts.Progress
	}
	return func(yield func(error) bool) {
		list, err := List(ctx, r, nil)
		if err != nil && !yield(err) {
			return
		}
		seen := map[[32]byte]struct{}{}
		visit := func(p repo.Pair) bool {
			var key [32]byte
			copy(key[:16], p.Meta.ID[:])
			copy(key[16:], p.Map.ID[:])
			_, ok := seen[key]
			seen[key] = struct{}{}
			return ok
		}
		for i, m := range list {
			for err := range tree.Check(ctx, r, m.Root, visit) {
				if !yield(fmt.Errorf("snapshot %s: %w", m.ShortID(), err)) {
					return
				}
			}
			if err := context.Cause(ctx); err != nil {
				yield(err)
				return
			}
			progress(i+1, len(list))
		}
	}
}
