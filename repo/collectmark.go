package repo

import (
	"context"
	"fmt"
	"slices"

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

// mark marks what the snapshots need that are live or held now.
func (c *collector) mark(ctx context.Context) error {
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
	stack := root.Targets()
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if c.marks.Mark(t.ID) || !t.Node() {
			continue
		}
		refs, err := c.references(ctx, &t)
		if err != nil {
			return err
		}
		stack = append(stack, refs...)
	}
	return nil
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
