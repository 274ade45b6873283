package repo

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

const (
	// roundBytes bounds the packs that are repacked before what they leave is condemned, and so what an interruption costs.
	roundBytes = 1 << 30
	// A pack smaller than this part of a full one is small, and an index file smaller than that of what writers aim at. When there are so many
	// of a kind, they are put together.
	smallPart  = 4
	smallMany  = 16
	mergeBytes = 64 << 20 // of index files at once
)

// plan is what a collection would do to the packs. Sizes are in bytes.
type plan struct {
	packs, stored, unused, inside uint64            // as it is
	drop, move                    []index.PackUsage // move: those that gain most first
	left                          uint64            // unused, when it is done
	merge                         []ledger.IndexFile
}

// plan weighs each pack.
func (c *collector) plan(ctx context.Context) (*plan, error) {
	ix, err := c.repo.committed.current(ctx)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	var sparse []index.PackUsage
	small := map[Class][]index.PackUsage{}
	for u, err := range ix.set.Usage(c.marks) {
		if err != nil {
			return nil, err
		}
		p.packs++
		p.stored += uint64(u.Size)
		if u.Marked == 0 && !c.own(u.Session) {
			u.Held, u.Wasted = 0, 0
			p.drop = append(p.drop, u)
			p.unused += uint64(u.Size)
			continue
		}
		p.unused += u.Body - u.Held + u.Wasted
		if !c.readable[u.Class] {
			p.inside += u.Wasted
		}
		switch {
		case c.own(u.Session): // so that each round leads on: what was moved is not let go in favour of a twin that is to be moved
		case c.gain(&u) > 0:
			sparse = append(sparse, u)
		case int(u.Size) < c.repo.config.PackSize/smallPart:
			small[u.Class] = append(small[u.Class], u)
		}
	}
	c.choose(p, sparse, small)
	p.merge = c.smallFiles()
	return p, nil
}

func (c *collector) own(id ledger.SessionID) bool { return c.session != nil && c.session.id == id }

// gain is about what repacking would free.
func (c *collector) gain(u *index.PackUsage) uint64 {
	if c.readable[u.Class] {
		return u.Body - u.Held + u.Wasted
	}
	return u.Body - u.Held
}

// rest is about what repacking would write.
func (c *collector) rest(u *index.PackUsage) uint64 { return u.Body - c.gain(u) }

// choose decides which packs are repacked: those that gain most for their size, until what is unused is within the limit.
func (c *collector) choose(p *plan, sparse []index.PackUsage, small map[Class][]index.PackUsage) {
	slices.SortFunc(sparse, func(a, b index.PackUsage) int {
		x, y := float64(c.gain(&a))/float64(a.Size), float64(c.gain(&b))/float64(b.Size)
		return cmp.Or(cmp.Compare(y, x), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	p.left = p.unused
	for i := range p.drop {
		p.left -= uint64(p.drop[i].Size)
	}
	allowed := c.opts.MaxUnused.of(p.stored - p.unused)
	budget := c.opts.MaxRepack - min(c.opts.MaxRepack, c.report.RepackedBytes)
	take := func(u *index.PackUsage) {
		if c.opts.MaxRepack > 0 {
			if uint64(u.Size) > budget {
				return
			}
			budget -= uint64(u.Size)
		}
		p.move = append(p.move, *u)
		p.left -= min(p.left, c.gain(u))
	}
	for i := range sparse {
		if p.left > allowed {
			take(&sparse[i])
		}
	}
	for _, list := range small {
		if len(list) >= smallMany {
			for i := range list {
				take(&list[i])
			}
		}
	}
}

// of returns how many bytes may be unused beside those that are used.
func (l *Limit) of(used uint64) uint64 {
	switch {
	case l.Share >= 1:
		return 1 << 62
	case l.Share > 0:
		return uint64(float64(used) * l.Share / (1 - l.Share))
	}
	return l.Bytes
}

// smallFiles returns the small index files if they are many, up to what is merged at once.
func (c *collector) smallFiles() (list []ledger.IndexFile) {
	c.repo.chain.view(func(st *ledger.State) {
		size := 0
		for _, f := range st.IndexFiles() {
			if f.Size < index.TargetSize/smallPart && !c.own(f.Session) && size+int(f.Size) <= mergeBytes {
				list = append(list, f)
				size += int(f.Size)
			}
		}
	})
	if len(list) < smallMany {
		return nil
	}
	return list
}

// round is what is done before the next CONDEMN.
type round struct {
	drop, move []index.PackUsage
	merge      []ledger.IndexFile
}

func (r *round) empty() bool { return len(r.drop)+len(r.move)+len(r.merge) == 0 }

// round returns the first part of the plan: all that is dropped, and what is repacked up to roundBytes.
func (p *plan) round() *round {
	r := &round{drop: p.drop, merge: p.merge}
	size := uint64(0)
	for i := range p.move {
		if size += uint64(p.move[i].Size); size > roundBytes && i > 0 {
			break
		}
		r.move = append(r.move, p.move[i])
	}
	return r
}
