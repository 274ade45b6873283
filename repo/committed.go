package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Index files are fetched this many at a time, and no more bytes of them than this, but for one that is larger. Decoded they take
// some three times that.
const (
	fetchFiles = 4
	fetchBytes = 32 << 20
)

// committed is the index of all that is committed, opened when first needed. Whoever looks for something that is in it never waits for
// the store; whoever misses something waits until all is in that the ledger named. Safe for concurrent use.
type committed struct {
	repo *Repository
	turn *semaphore.Weighted // held while the set is opened, brought up to date or closed
	view atomic.Pointer[committedView]
}

// committedView is the index as somebody left it who had the turn. The set may have more than the view says.
type committedView struct {
	set    *index.Set // nil before the first use, and once closed
	files  int        // how many index files of the ledger were taken in, or found lost
	lost   error      // those that cannot be read
	closed bool
}

func newCommitted(r *Repository) *committed {
	c := &committed{repo: r, turn: semaphore.NewWeighted(1)}
	c.view.Store(&committedView{files: -1})
	return c
}

// peek returns the places of a chunk in what is there now. That there are none says nothing.
func (c *committed) peek(class Class, id ID) []Location {
	v := c.view.Load()
	if v.set == nil {
		return nil
	}
	list, err := v.set.LookupAll(id)
	if err != nil {
		return nil // the cache may be damaged: whoever has the turn sees to that
	}
	return ofClass(list, class)
}

// current returns the index with all that the ledger names, as read so far.
func (c *committed) current(ctx context.Context) (*committedView, error) { return c.after(ctx, nil) }

// after is current, but never returns the view old, in which something was found damaged.
func (c *committed) after(ctx context.Context, old *committedView) (*committedView, error) {
	if c.repo.ring == nil {
		return nil, fmt.Errorf("opening the index: %w", ErrNotAllowed)
	}
	var files []ledger.IndexFile
	c.repo.chain.view(func(st *ledger.State) { files = st.IndexFiles() })
	fresh := func(v *committedView) bool { return v != old && v.files >= len(files) }
	if v := c.view.Load(); fresh(v) {
		return v, nil
	}
	if err := c.turn.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	defer c.turn.Release(1)
	if v := c.view.Load(); fresh(v) {
		return v, nil
	}
	return c.update(ctx, files)
}

// update takes in what is missing of the index files. The caller has the turn.
func (c *committed) update(ctx context.Context, files []ledger.IndexFile) (*committedView, error) {
	v := *c.view.Load()
	if v.closed {
		return nil, fmt.Errorf("opening the index: %w", fs.ErrClosed)
	}
	if v.set == nil {
		set, err := c.repo.openIndex(c.repo.cache.indexPath())
		if err != nil {
			return nil, err
		}
		v.set = set
	}
	names := make([]index.Name, len(files))
	byName := make(map[index.Name]ledger.IndexFile, len(files))
	for i, f := range files {
		names[i] = fileName(f)
		byName[names[i]] = f
	}
	missing, err := v.set.Sync(names, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the index: %w", err)
	}
	c.view.Store(&committedView{set: v.set, files: -1}) // what is there can be found, and what is not is waited for
	want := make([]ledger.IndexFile, len(missing))
	for i, n := range missing {
		want[i] = byName[n]
	}
	if v.lost, err = c.fetch(ctx, v.set, want); err != nil {
		return nil, err
	}
	v.files = len(files)
	c.view.Store(&v)
	return &v, nil
}

// fetch reads index files and adds them to the set. Damaged ones are lost: what the others list can still be read, and what
// is missed is stored again by the next backup.
func (c *committed) fetch(ctx context.Context, set *index.Set, files []ledger.IndexFile) (lost, err error) {
	damaged := make([]error, len(files))
	room := semaphore.NewWeighted(fetchBytes)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchFiles)
	for i, f := range files {
		size := min(int64(f.Size), fetchBytes)
		if room.Acquire(gctx, size) != nil {
			break
		}
		g.Go(func() error {
			defer room.Release(size)
			err := c.add(gctx, set, f)
			if isType[*CorruptError](err) {
				c.repo.log.Warn("an index file is left out", "error", err)
				damaged[i], err = err, nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return errors.Join(damaged...), context.Cause(ctx)
}

func (c *committed) add(ctx context.Context, set *index.Set, f ledger.IndexFile) error {
	packs, err := c.repo.readIndexFile(ctx, f)
	if err != nil {
		return err
	}
	if err := set.AddFile(ctx, fileName(f), &index.File{Packs: packs}); err != nil {
		return fmt.Errorf("filling the index: %w", err)
	}
	return nil
}

// close ends all use of the index.
func (c *committed) close() error {
	_ = c.turn.Acquire(context.Background(), 1) // ends with the update that is running
	defer c.turn.Release(1)
	v := c.view.Swap(&committedView{files: -1, closed: true})
	if v.set == nil {
		return nil
	}
	return v.set.Close()
}
