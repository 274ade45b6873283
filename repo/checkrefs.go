package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// references walks each snapshot's reference tree and looks every chunk up. It needs a collector's keys only.
func (c *checker) references(ctx context.Context) error {
	if c.repo.ring == nil {
		return nil
	}
	ix, err := c.repo.committed.current(ctx)
	if err != nil {
		return c.fault(err)
	}
	list, err := c.repo.Snapshots()
	if err != nil {
		if err := c.fault(err); err != nil {
			return err
		}
	}
	w := &refWalk{repo: c.repo, seen: ix.set.NewMarks(), locations: c.repo.locations, fault: func(s *Snapshot, _ reftree.Target, err error) error {
		return c.fault(fmt.Errorf("snapshot %s: %w", s.ID.String()[:8], err))
	}}
	defer w.seen.Close()
	for i := range list {
		if err := w.walk(ctx, &list[i]); err != nil {
			return err
		}
	}
	c.report.Nodes = w.seen.Len()
	return nil
}

// refWalk walks trees, each node once.
type refWalk struct {
	repo      *Repository
	seen      *index.Marks // of nodes
	locations func(context.Context, Class, ID) ([]Location, error)
	fault     func(*Snapshot, reftree.Target, error) error
}

func (w *refWalk) walk(ctx context.Context, s *Snapshot) error {
	stack := s.Root.Targets()
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if t.Node() && w.seen.Mark(t.ID) {
			continue
		}
		more, err := w.visit(ctx, &t)
		if err != nil {
			if err := w.fault(s, t, err); err != nil {
				return err
			}
		}
		stack = append(stack, more...)
	}
	return nil
}

// visit looks a chunk up and, if it is a node, returns what it refers to.
func (w *refWalk) visit(ctx context.Context, t *reftree.Target) ([]reftree.Target, error) {
	list, err := w.locations(ctx, t.Class, t.ID)
	if err != nil && !isType[*CorruptError](err) { // lost index files were reported before
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s chunk %s of %d bytes: %w", t.Class, t.ID, t.Length, ErrNotFound)
	}
	if !slices.ContainsFunc(list, func(l Location) bool { return l.Length == t.Length }) {
		return nil, fmt.Errorf("%s chunk %s of %d bytes: %w: it has %d", t.Class, t.ID, t.Length, errMalformed, list[0].Length)
	}
	if !t.Node() {
		return nil, nil
	}
	node, err := w.repo.Load(ctx, Map, t.ID, t.Length)
	if err != nil {
		return nil, err
	}
	refs, err := t.References(node)
	if err != nil {
		return nil, fmt.Errorf("MAP chunk %s: %w: %w", t.ID, errMalformed, err)
	}
	return refs, nil
}

// errMalformed is about what a faulty writer stored: nothing is lost or damaged.
var errMalformed = errors.New("a malformed reference")

var errOtherIndex = errors.New("its directory and the index file say different things")
