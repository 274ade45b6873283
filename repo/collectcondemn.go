package repo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// pollEvery is how often the ledger is looked at while sessions are waited for.
const pollEvery = time.Second

// condemn appends the CONDEMN of a round.
func (c *collector) condemn(ctx context.Context, retired []ledger.IndexFile, r *round) error {
	body := &ledger.Condemn{Session: c.session.id, Marked: c.marked, Retired: retired, Added: c.session.progress.files}
	err := c.session.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		if err := c.stillLive(st); err != nil {
			return nil, err
		}
		if st.Check(c.repo.ring.Actor().ID(), body) != nil {
			return nil, ErrCollecting
		}
		return body, nil
	})
	if err != nil {
		return fmt.Errorf("condemning packs: %w", err)
	}
	p := &c.report
	for i := range r.drop {
		p.Dropped++
		p.DroppedBytes += uint64(r.drop[i].Size)
	}
	for i := range r.move {
		p.Repacked++
		p.RepackedBytes += uint64(r.move[i].Size)
	}
	p.Merged += uint64(len(retired))
	return nil
}

func (c *collector) stillLive(st *ledger.State) error {
	s, _ := st.Session(c.session.id)
	return endedBy(s.End)
}

// settle ends what CONDEMN entries began, as far as no older session is open.
func (c *collector) settle(ctx context.Context) error {
	var pending []ledger.Condemned
	c.repo.chain.view(func(st *ledger.State) { pending = st.Condemned() })
	for i := range pending {
		err := c.end(ctx, &pending[i])
		if err != nil && c.endedElsewhere(ctx, pending[i].N) {
			continue
		}
		if err != nil {
			return fmt.Errorf("deleting what entry %d condemned: %w", pending[i].N, err)
		}
	}
	return nil
}

// errEnded says that somebody else ended what a CONDEMN began.
var errEnded = errors.New("ended by another collection")

// errMoreNeeded says that something came in between which may need what is to be deleted.
var errMoreNeeded = errors.New("more is needed")

// end appends the DELETE for a CONDEMN, decided against the very state before it.
func (c *collector) end(ctx context.Context, p *ledger.Condemned) error {
	for {
		free, err := c.await(ctx, p.N)
		if err != nil || !free {
			return err
		}
		if err := c.mark(ctx); err != nil {
			return err
		}
		rescued, err := c.rescue(ctx, p)
		if err != nil {
			return err
		}
		body := &ledger.Delete{Session: c.session.id, Condemned: p.N, Marked: c.marked, Added: c.session.progress.files}
		err = c.session.append(ctx, func(st *ledger.State) (ledger.Body, error) {
			if err := c.stillLive(st); err != nil {
				return nil, err
			}
			if !isPending(st, p.N) {
				return nil, errEnded
			}
			if st.NeededAt() > c.marked {
				return nil, errMoreNeeded
			}
			return body, nil
		})
		if errors.Is(err, errMoreNeeded) {
			continue
		}
		if err == nil {
			c.report.Rescued += rescued
		}
		return err
	}
}

// endedElsewhere reports whether another collection ended what entry n condemned, and perhaps deleted it already.
func (c *collector) endedElsewhere(ctx context.Context, n uint64) (ended bool) {
	if c.repo.chain.advance(ctx) != nil {
		return false
	}
	c.repo.chain.view(func(st *ledger.State) { ended = c.stillLive(st) == nil && !isPending(st, n) })
	return ended
}

func isPending(st *ledger.State, n uint64) bool {
	return slices.ContainsFunc(st.Condemned(), func(p ledger.Condemned) bool { return p.N == n })
}

// await waits until no session that was opened before entry n may commit, or as long as was asked for. It leaves the ledger as new as it is.
func (c *collector) await(ctx context.Context, n uint64) (free bool, err error) {
	for {
		if err := c.repo.chain.advance(ctx); err != nil {
			return false, err
		}
		older, err := c.older(ctx, n)
		left := c.opts.Wait - time.Since(c.start)
		if err != nil || older == 0 || left <= 0 {
			return older == 0, err
		}
		c.progress("wait", 0, uint64(older))
		select {
		case <-time.After(min(left, pollEvery)):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// older returns how many writers were opened before entry n and may commit. Those whose process is gone are revoked first.
func (c *collector) older(ctx context.Context, n uint64) (left int, err error) {
	var older []ledger.Session
	c.repo.chain.view(func(st *ledger.State) { older = st.WritersBefore(n) })
	for i := range older {
		dead, err := c.repo.knownDead(ctx, older[i].ID)
		if err != nil {
			return 0, err
		}
		if !dead {
			left++
			continue
		}
		if err := c.revoke(ctx, older[i].ID, "its process is gone"); err != nil {
			return 0, err
		}
	}
	if left == 0 {
		return 0, nil
	}
	if err := c.revokeQuiet(ctx); err != nil {
		return 0, err
	}
	c.repo.chain.view(func(st *ledger.State) { left = len(st.WritersBefore(n)) })
	return left, nil
}

// revokeNamed revokes the sessions that were named, and those that nobody has heard of for long enough.
func (c *collector) revokeNamed(ctx context.Context) error {
	for _, id := range c.opts.Revoke {
		if err := c.revoke(ctx, id, "as asked"); err != nil {
			return err
		}
	}
	return c.revokeQuiet(ctx)
}

// revokeQuiet revokes the sessions that nobody has heard of for long enough.
func (c *collector) revokeQuiet(ctx context.Context) error {
	if c.opts.RevokeAfter == nil {
		return nil
	}
	list, err := c.repo.OpenSessions(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if c.session != nil && list[i].ID == c.session.id || list[i].Quiet < *c.opts.RevokeAfter {
			continue
		}
		if err := c.revoke(ctx, list[i].ID, fmt.Sprintf("not heard of for %v", list[i].Quiet.Round(time.Second))); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) revoke(ctx context.Context, id ledger.SessionID, reason string) error {
	did, err := c.repo.revoke(ctx, id, reason)
	if err != nil {
		return fmt.Errorf("revoking session %s: %w", id, err)
	}
	if did {
		c.report.Revoked = append(c.report.Revoked, id)
	}
	return nil
}

// rescue lists those condemned packs again that are the only ones with a chunk that is needed, and returns how many.
func (c *collector) rescue(ctx context.Context, p *ledger.Condemned) (rescued uint64, err error) {
	ix, err := c.repo.committed.current(ctx)
	if err != nil {
		return 0, err
	}
	if err := c.session.Flush(ctx); err != nil {
		return 0, err
	}
	c.session.progress.reset()
	for _, f := range p.Retired {
		for k, err := range c.retiredPacks(ctx, f) {
			if err != nil {
				return 0, err
			}
			if !c.wants(ix.set, k) {
				continue
			}
			usable, err := c.repo.usable(ctx, k.Name, k.Size)
			if err != nil {
				return 0, err
			}
			if !usable {
				continue
			}
			there, err := c.relist(ctx, k)
			if err != nil {
				return 0, err
			}
			if there {
				rescued++
			}
		}
	}
	return rescued, c.writeRelisted(ctx)
}

// retiredPacks yields the packs of a retired index file. Of one that is lost, a repair takes those that no other file lists.
func (c *collector) retiredPacks(ctx context.Context, f ledger.IndexFile) iter.Seq2[*index.Pack, error] {
	return func(yield func(*index.Pack, error) bool) {
		packs, err := c.repo.readIndexFile(ctx, f)
		if c.repairing && isType[*CorruptError](err) {
			for k, err := range c.repo.unnamedPacks(ctx) {
				if !isType[*CorruptError](err) && !yield(k, err) {
					return
				}
			}
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for i := range packs {
			if !yield(&packs[i], nil) {
				return
			}
		}
	}
}

// wants reports whether a pack has a chunk that is needed and in no live pack.
func (c *collector) wants(live *index.Set, p *index.Pack) bool {
	for i := range p.Segments {
		for _, ch := range p.Segments[i].Chunks {
			if c.marks.Has(ch.ID) && !live.Has(ch.ID) {
				return true
			}
		}
	}
	return false
}
