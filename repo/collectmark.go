package repo

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// marker knows which chunks are needed, as of a number of entries. Marks are never taken back: a snapshot that is forgotten while they are
// made keeps what it needs until the next collection.
type marker struct {
	marks  *index.Marks
	marked uint64 // entries that were replayed
	seen   map[ID]struct{}
}

// mark marks what the snapshots need that are live or held now. When it fails, what was marked is dropped: below a node that is marked there
// may be others that were not read.
func (c *collector) mark(ctx context.Context) error {
	err := c.markNeeded(ctx)
	if err != nil && c.marks != nil {
		c.marks.Close()
		c.marks = nil
	}
	return err
}

func (c *collector) markNeeded(ctx context.Context) error {
	var needed []ledger.Snapshot
	var head uint64
	c.repo.chain.view(func(st *ledger.State) {
		needed = st.Needed()
		head, _ = st.Head()
	})
	ix, err := c.repo.committed.current(ctx)
	if err != nil {
		return err
	}
	if ix.lost != nil {
		return fmt.Errorf("collecting without the whole index would lose what it lists; run 'holdfast repair index' first: %w", ix.lost)
	}
	if c.marks == nil {
		c.marks, c.seen = ix.set.NewMarks(), map[ID]struct{}{}
	}
	for i := range needed {
		if c.opts.DryRun && slices.Contains(c.opts.Without, needed[i].ID) {
			continue
		}
		if err := c.markSnapshot(ctx, &needed[i]); err != nil {
			return err
		}
		c.progress("mark", uint64(i+1), uint64(len(needed)))
	}
	c.marked = head
	return nil
}

func (c *collector) markSnapshot(ctx context.Context, s *ledger.Snapshot) error {
	if _, again := c.seen[s.ID]; again {
		return nil
	}
	facts, err := openFacts(s)
	if err == nil {
		err = c.markTree(ctx, facts.Root)
	}
	if err != nil {
		return fmt.Errorf("what snapshot %s needs cannot be told, so nothing is deleted; repair or forget it first: %w", s.ID.String()[:8], err)
	}
	c.seen[s.ID] = struct{}{}
	return nil
}

// markTree marks all that a root refers to. It visits each node once, whatever the number of snapshots.
func (c *collector) markTree(ctx context.Context, root Pair) error {
	w := &treeWalk{collector: c}
	w.more = sync.NewCond(&w.mu)
	w.mark(root.Targets())
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error { return w.run(ctx) })
	}
	return g.Wait()
}

// treeWalk is the work of several goroutines on one tree: the nodes that are marked and were not read yet.
type treeWalk struct {
	*collector
	mu    sync.Mutex
	more  *sync.Cond
	nodes []reftree.Target
	busy  int // nodes being read
	done  bool
}

// mark marks chunks, and keeps those that are nodes and were not marked before.
func (w *treeWalk) mark(list []reftree.Target) {
	nodes := list[:0]
	for i := range list {
		if before := w.marks.Mark(list[i].ID); !before && list[i].Node() {
			nodes = append(nodes, list[i])
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, nodes...)
	w.more.Broadcast()
}

// run reads nodes until there are none.
func (w *treeWalk) run(ctx context.Context) error {
	for {
		t, ok := w.next()
		if !ok {
			return nil
		}
		refs, err := w.references(ctx, &t)
		if err == nil {
			w.mark(refs)
			err = context.Cause(ctx)
		}
		w.mu.Lock()
		w.busy--
		w.done = w.done || err != nil
		w.more.Broadcast()
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// next returns a node to read. It waits for those that others may find; false when there are no more, or somebody failed.
func (w *treeWalk) next() (t reftree.Target, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.nodes) == 0 && w.busy > 0 && !w.done {
		w.more.Wait()
	}
	if len(w.nodes) == 0 || w.done {
		return t, false
	}
	t = w.nodes[len(w.nodes)-1]
	w.nodes = w.nodes[:len(w.nodes)-1]
	w.busy++
	return t, true
}

func (c *collector) references(ctx context.Context, t *reftree.Target) ([]reftree.Target, error) {
	node, err := c.repo.Load(ctx, Map, t.ID, t.Length)
	if err != nil {
		return nil, err
	}
	refs, err := t.References(node)
	if err != nil {
		return nil, fmt.Errorf("MAP chunk %s: %w", t.ID, err)
	}
	return refs, nil
}
