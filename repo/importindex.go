package repo

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Index files are read several at a time, because a store far away takes its time for each, and while others are sorted.
const (
	importFetches = 16
	importBytes   = 32 << 20 // of files that were read and are not in the index yet; a larger file is read alone
)

// cacheError is an error of the local index, not of the store.
type cacheError struct{ error }

func (e *cacheError) Unwrap() error { return e.error }

// readFile is an index file as read.
type readFile struct {
	ledger.IndexFile
	packs []index.Pack
	err   error
}

// importFiles reads index files and adds them to set. lost says which cannot be read: what the others list can still be used, and what
// is missed is stored again by the next backup.
func (r *Repository) importFiles(ctx context.Context, set *index.Set, files []ledger.IndexFile) (lost, err error) {
	starting, stop := context.WithCancel(ctx)
	defer stop()
	budget := semaphore.NewWeighted(importBytes)
	var batch []index.NamedFile
	size := int64(0)
	flush := func() {
		if ferr := set.AddFiles(ctx, batch); ferr != nil && err == nil {
			err = &cacheError{fmt.Errorf("filling the index: %w", ferr)}
		}
		budget.Release(size)
		batch, size = nil, 0
	}
	for f := range r.readIndexFiles(ctx, starting, files, budget) {
		size += importWeight(f.IndexFile)
		switch {
		case f.err == nil: // also after an error, so that it is not read again
			batch = append(batch, index.NamedFile{Name: fileName(f.IndexFile), File: &index.File{Packs: f.packs}})
		case isType[*CorruptError](f.err):
			lost = errors.Join(lost, f.err)
			r.log.Warn("an index file is left out", "error", f.err)
		case err == nil:
			err = f.err
		}
		if size >= index.TargetSize {
			flush()
		}
		if err != nil {
			stop()
		}
	}
	flush()
	if err == nil {
		err = context.Cause(ctx)
	}
	return lost, err
}

func importWeight(f ledger.IndexFile) int64 { return min(int64(f.Size), importBytes-index.TargetSize) }

// readIndexFiles reads files in the background and sends them in any order; the receiver gives back their weight in the budget. Once
// starting has ended, what is being read is sent, and no more.
func (r *Repository) readIndexFiles(ctx, starting context.Context, files []ledger.IndexFile, budget *semaphore.Weighted) <-chan readFile {
	out := make(chan readFile)
	var g errgroup.Group
	g.SetLimit(importFetches)
	go func() {
		defer close(out)
		for _, f := range files {
			if budget.Acquire(starting, importWeight(f)) != nil {
				break
			}
			g.Go(func() error {
				packs, err := r.readIndexFile(ctx, f)
				out <- readFile{f, packs, err}
				return nil
			})
		}
		_ = g.Wait() // errors are sent
	}()
	return out
}
