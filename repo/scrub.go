package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// ScrubOptions are the options of [Repository.Scrub]; nil means all fields zero.
type ScrubOptions struct {
	// MaxAge is how long ago the last verification of any pack may be. Zero means 30 days.
	MaxAge time.Duration
	// Limit bounds the bytes that are read. Zero: as many as are due, and a fair share of all.
	Limit uint64
	// Status reads no pack, and reports how things stand.
	Status bool
	// Progress hears how many bytes were verified, of how many.
	Progress func(done, total uint64)
}

// ScrubReport says what was verified, and when all else was. Sizes are in bytes.
type ScrubReport struct {
	// Check is what was verified now: the structure of everything, and the packs that were due.
	Check *CheckReport
	// Packs and Bytes are all there are; FreshBytes of them were verified, or first seen, within MaxAge.
	Packs, Bytes, FreshBytes uint64
	// Unverified packs were never read by a scrub of this client.
	Unverified uint64
	// Oldest is when the pack was verified, or first seen, for which that is longest ago. Due is when it is MaxAge ago. Zero without packs.
	Oldest, Due time.Time
	// Overdue packs were neither verified nor first seen within MaxAge.
	Overdue uint64
}

// scrubEvery is how often a scrub is expected to run at least: what would be due before the next run is read now.
const scrubEvery = 24 * time.Hour

const defaultMaxAge = 30 * 24 * time.Hour

// Scrub verifies a part of the repository each time, what was verified longest ago first, so that with one run a day no byte stays unverified for
// longer than MaxAge; after a pause it catches up. All that [Repository.Check] verifies without reading packs is verified each time. What was verified when is
// kept in the local cache: if that is lost, everything counts as first seen anew. It may be interrupted at any point.
//
// Faults are in the report; a pack with a fault does not count as verified. Errors: [ErrNotAllowed] without a key or a cache.
func (r *Repository) Scrub(ctx context.Context, opts *ScrubOptions) (*ScrubReport, error) {
	var o ScrubOptions
	if opts != nil {
		o = *opts
	}
	if o.MaxAge <= 0 {
		o.MaxAge = defaultMaxAge
	}
	if !r.cache.on() {
		return nil, fmt.Errorf("%w: a scrub keeps what it verified in the cache folder, under a key", ErrNotAllowed)
	}
	s := &scrub{repo: r, opts: o, now: r.now(), seen: map[ID]verification{}}
	s.load()
	packs, err := s.survey(ctx)
	if err != nil {
		return nil, err
	}
	if !o.Status {
		err = s.verify(ctx, packs)
		err = errors.Join(err, s.save())
	}
	report := s.report(packs)
	return report, err
}

// verification is when a pack was first seen and last verified.
type verification struct{ seen, verified time.Time }

// last is the time from which its age counts.
func (v *verification) last() time.Time {
	if v.verified.After(v.seen) {
		return v.verified
	}
	return v.seen
}

// scrub is one run.
type scrub struct {
	repo  *Repository
	opts  ScrubOptions
	now   time.Time
	ran   time.Time // the run before; zero if there was none
	check *CheckReport

	mu    sync.Mutex
	seen  map[ID]verification // by the packs' hashes
	dirty int                 // verified since the record was saved
}

// survey lists all packs, and notes when each was first seen. Packs that are no more are dropped from the record.
func (s *scrub) survey(ctx context.Context) ([]index.Pack, error) {
	if err := s.repo.chain.advance(ctx); err != nil {
		return nil, err
	}
	var files []ledger.IndexFile
	s.repo.chain.view(func(st *ledger.State) { files = st.NamedFiles() })
	var list []index.Pack
	kept := map[ID]verification{}
	for _, f := range files {
		packs, err := s.repo.inventory(ctx, f)
		if err != nil {
			if isType[*CorruptError](err) {
				continue // the check tells
			}
			return nil, err
		}
		for i := range packs {
			if _, again := kept[packs[i].Hash]; again {
				continue
			}
			v, known := s.seen[packs[i].Hash]
			if !known {
				v.seen = s.now
			}
			kept[packs[i].Hash] = v
			list = append(list, packs[i])
		}
	}
	s.seen = kept
	return list, nil
}

// choose returns the packs to read now: those that would be due before the next run, and of the others, longest ago first, as many as a fair share needs.
func (s *scrub) choose(packs []index.Pack) map[ID]bool {
	order := make([]*index.Pack, len(packs))
	total := uint64(0)
	for i := range packs {
		order[i] = &packs[i]
		total += uint64(packs[i].Size)
	}
	age := func(p *index.Pack) time.Time { v := s.seen[p.Hash]; return v.last() }
	slices.SortStableFunc(order, func(a, b *index.Pack) int {
		va, vb := s.seen[a.Hash], s.seen[b.Hash]
		never := func(v *verification) int {
			if v.verified.IsZero() {
				return 0
			}
			return 1
		}
		return cmp.Or(age(a).Compare(age(b)), cmp.Compare(never(&va), never(&vb)))
	})
	interval := scrubEvery
	if !s.ran.IsZero() {
		interval = max(interval, s.now.Sub(s.ran))
	}
	interval = min(interval, s.opts.MaxAge)
	share := uint64(float64(total) * (float64(interval) / float64(s.opts.MaxAge)))
	chosen, read := map[ID]bool{}, uint64(0)
	for _, p := range order {
		due := !age(p).Add(s.opts.MaxAge).After(s.now.Add(interval))
		full := s.opts.Limit > 0 && read+uint64(p.Size) > s.opts.Limit
		if full || !due && read >= share {
			break
		}
		chosen[p.Hash] = true
		read += uint64(p.Size)
	}
	return chosen
}

// saveAfter is how many packs are verified before the record is saved, so that an interrupted run keeps what it did.
const saveAfter = 64

func (s *scrub) verify(ctx context.Context, packs []index.Pack) (err error) {
	o := &CheckOptions{ReadData: &Subset{only: s.choose(packs)}, Progress: s.opts.Progress}
	o.verified = func(p *index.Pack) {
		s.mu.Lock()
		defer s.mu.Unlock()
		v := s.seen[p.Hash]
		v.verified = s.now
		s.seen[p.Hash] = v
		if s.dirty++; s.dirty >= saveAfter {
			if err := s.saveLocked(); err != nil {
				s.repo.log.Warn("keeping what was verified", "error", err)
			}
		}
	}
	s.check, err = s.repo.Check(ctx, o)
	s.ran = s.now
	return err
}

func (s *scrub) report(packs []index.Pack) *ScrubReport {
	r := &ScrubReport{Check: s.check, Packs: uint64(len(packs))}
	for i := range packs {
		p := &packs[i]
		v := s.seen[p.Hash]
		last := v.last()
		r.Bytes += uint64(p.Size)
		if v.verified.IsZero() {
			r.Unverified++
		}
		if due := last.Add(s.opts.MaxAge); due.Before(s.now) {
			r.Overdue++
		} else {
			r.FreshBytes += uint64(p.Size)
		}
		if r.Oldest.IsZero() || last.Before(r.Oldest) {
			r.Oldest, r.Due = last, last.Add(s.opts.MaxAge)
		}
	}
	return r
}

const scrubFile = "scrubbed"

func (s *scrub) load() {
	b, _ := s.repo.cache.readSealed(scrubFile)
	d := wire.NewDecoder(b)
	if ran := d.I64(); ran > 0 {
		s.ran = time.Unix(0, ran)
	}
	seen := map[ID]verification{}
	for range d.Count(32+8+8, "packs") {
		var id ID
		d.Copy(id[:])
		v := verification{seen: time.Unix(0, d.I64())}
		if at := d.I64(); at > 0 {
			v.verified = time.Unix(0, at)
		}
		seen[id] = v
	}
	if d.Finish() != nil {
		s.ran = time.Time{}
		return
	}
	s.seen = seen
}

func (s *scrub) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saveLocked()
}

func (s *scrub) saveLocked() error {
	s.dirty = 0
	b := wire.AppendI64(nil, nanos(s.ran))
	b = wire.AppendUvarint(b, uint64(len(s.seen)))
	for id, v := range s.seen {
		b = append(b, id[:]...)
		b = wire.AppendI64(wire.AppendI64(b, v.seen.UnixNano()), nanos(v.verified))
	}
	return s.repo.cache.writeSealed(scrubFile, b)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
