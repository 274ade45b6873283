package snapshot

import (
	"context"
	"time"

	"github.com/holdfast-backup/holdfast/repo"
)

// Heal returns what [repo.Repository.Heal] can find in items: it reads all of them as a backup would, which stores nothing but what is lost. They need not be as
// they were; parts that are still the same are found. Of the options it takes Chunker, Compression, Workers, Progress and Report.
func Heal(r *repo.Repository, items []Item, opts *BackupOptions) repo.Healer {
	return func(ctx context.Context, s *repo.Session, _ []repo.LostChunk) error {
		o, err := opts.withDefaults()
		if err != nil {
			return err
		}
		root, err := planItems(items)
		if err != nil {
			return err
		}
		b := &backup{repo: r, session: s, opts: o, start: time.Now()}
		if err := b.startWorkers(ctx); err != nil {
			return err
		}
		defer b.showProgress()()
		_, err = b.readAll(ctx, root)
		return err
	}
}
