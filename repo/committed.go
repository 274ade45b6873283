package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// committed is the index of what the ledger names, all that is live or all that is condemned, opened when first needed. Whoever looks for something that is in it never waits for
// the store; whoever misses something waits until it is in, or all is that the ledger named. Safe for concurrent use.
type committed struct {
	repo  *Repository
	dir   string // for its runs; empty: in temporary files
	named func(*ledger.State) []ledger.IndexFile
	turn  turn // while the set is opened, brought up to date or closed
	view  atomic.Pointer[committedView]

	// Whoever has the turn changes these.
	step  int64        // bytes of index files that are taken in next for one who looks for a chunk
	given []*index.Set // given up, and perhaps in use
}

// committedView is the index as somebody left it who had the turn. The set may have more than the view says.
type committedView struct {
	set    *index.Set // nil before the first use, and once closed
	at     int64      // ledger.State.IndexedAt of what was taken in, or found lost; -1: a part of it
	lost   error      // those that cannot be read
	closed bool
}

func newCommitted(r *Repository, dir string, named func(*ledger.State) []ledger.IndexFile) *committed {
	c := &committed{repo: r, dir: dir, named: named, turn: newTurn(), step: index.TargetSize}
	c.view.Store(&committedView{at: -1})
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
	return c.advance(ctx, old, nil)
}

// search takes in index files, the newest first, until one lists the chunk or all are in. What was stored lately is looked for most, so
// that a client without a cache need not read the whole index for it.
func (c *committed) search(ctx context.Context, class Class, id ID) error {
	_, err := c.advance(ctx, nil, func(set *index.Set) bool {
		list, _ := set.LookupAll(id) // a damaged cache is seen to when nothing is found
		return len(ofClass(list, class)) > 0
	})
	return err
}

// advance takes in what the ledger names, or, unless enough is nil, as much of it as is enough: then the view may be of a part. An index
// file that is missing may have been retired since the ledger was read, so it is read again then.
func (c *committed) advance(ctx context.Context, old *committedView, enough func(*index.Set) bool) (*committedView, error) {
	if c.repo.ring == nil {
		return nil, fmt.Errorf("opening the index: %w", ErrNotAllowed)
	}
	for {
		v, updated, err := c.once(ctx, old, enough)
		if err != nil || !updated || !errors.Is(v.lost, fs.ErrNotExist) {
			return v, err
		}
		if err := c.repo.chain.advance(ctx); err != nil {
			return nil, err
		}
		if c.at() == v.at {
			return v, nil
		}
	}
}

// at returns how new the ledger is.
func (c *committed) at() (at int64) {
	c.repo.chain.view(func(st *ledger.State) { at = int64(st.IndexedAt()) })
	return at
}

// once is advance with the ledger as it is.
func (c *committed) once(ctx context.Context, old *committedView, enough func(*index.Set) bool) (v *committedView, updated bool, err error) {
	var files []ledger.IndexFile
	var at int64
	c.repo.chain.view(func(st *ledger.State) { files, at = c.named(st), int64(st.IndexedAt()) })
	fresh := func(v *committedView) bool { return v != old && v.set != nil && v.at >= at }
	if v := c.view.Load(); fresh(v) {
		return v, false, nil
	}
	if err := c.turn.take(ctx); err != nil {
		return nil, false, err
	}
	defer c.turn.pass()
	if v := c.view.Load(); fresh(v) {
		return v, false, nil
	}
	v, err = c.update(ctx, files, at, enough)
	return v, true, err
}

// update takes in what is missing of the index files, or enough of it. A cache that cannot be written, since its disk is full perhaps, is done without. The
// caller has the turn.
func (c *committed) update(ctx context.Context, files []ledger.IndexFile, at int64, enough func(*index.Set) bool) (*committedView, error) {
	v, err := c.fill(ctx, files, at, enough)
	if !isType[*cacheError](err) || c.dir == "" || ctx.Err() != nil {
		return v, err
	}
	c.repo.log.Warn("working without a cached index", "error", err)
	c.dir = ""
	if old := c.view.Swap(&committedView{at: -1}); old.set != nil {
		c.given = append(c.given, old.set)
	}
	return c.fill(ctx, files, at, enough)
}

// fill is one attempt of update.
func (c *committed) fill(ctx context.Context, files []ledger.IndexFile, at int64, enough func(*index.Set) bool) (*committedView, error) {
	v := *c.view.Load()
	if v.closed {
		return nil, fmt.Errorf("opening the index: %w", fs.ErrClosed)
	}
	if v.set == nil {
		set, err := c.repo.openIndex(c.dir)
		if err != nil {
			return nil, &cacheError{err}
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
		err = &cacheError{fmt.Errorf("opening the index: %w", err)}
		if c.view.Load().set == nil {
			err = errors.Join(err, v.set.Close())
		}
		return nil, err
	}
	part := &committedView{set: v.set, at: -1}
	c.view.Store(part) // what is there can be found, and what is not is waited for
	want := make([]ledger.IndexFile, 0, len(missing))
	for _, n := range slices.Backward(missing) {
		want = append(want, byName[n])
	}
	v.lost = nil
	for len(want) > 0 {
		n := len(want)
		if enough != nil {
			if enough(v.set) {
				return part, nil
			}
			n = c.stride(want)
		}
		lost, err := c.repo.importFiles(ctx, v.set, want[:n])
		if err != nil {
			return nil, err
		}
		v.lost = errors.Join(v.lost, lost)
		want = want[n:]
	}
	v.at = at
	c.view.Store(&v)
	return &v, nil
}

// stride returns how many of the files, not none, to take in before it is asked again whether that was enough: twice the bytes each
// time. The caller has the turn.
func (c *committed) stride(files []ledger.IndexFile) int {
	n := 0
	for size := int64(0); n < len(files) && size < c.step; n++ {
		size += int64(files[n].Size)
	}
	c.step = min(2*c.step, index.MaxFileSize)
	return n
}

// close ends all use of the index.
func (c *committed) close() error {
	_ = c.turn.take(context.Background()) // ends with the update that is running
	defer c.turn.pass()
	v := c.view.Swap(&committedView{at: -1, closed: true})
	var errs []error
	for _, set := range c.given {
		errs = append(errs, set.Close())
	}
	if v.set != nil {
		errs = append(errs, v.set.Close())
	}
	return errors.Join(errs...)
}
