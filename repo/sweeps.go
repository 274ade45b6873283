package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// The list of a SWEEP: the packs that a collection deletes (docs/format.md, section 7.8).
const (
	listPrefix  = "sweeps/"
	listMagic   = "HFSWEP"
	listVersion = 1
	nameSize    = 16 + 32 // bytes of a pack in it
)

func listKey(id ledger.SessionID, list ID) string {
	return listPrefix + index.Name{Session: id, Hash: list}.String()
}

// encodeList returns the list of packs that are in order.
func encodeList(packs []index.Name) []byte {
	b := wire.AppendU16([]byte(listMagic), listVersion)
	b = wire.AppendUvarint(b, uint64(len(packs)))
	for i := range packs {
		b = append(append(b, packs[i].Session[:]...), packs[i].Hash[:]...)
	}
	return b
}

// decodeList reads what encodeList wrote, of which it has one form.
func decodeList(b []byte) ([]index.Name, error) {
	d := wire.NewDecoder(b)
	d.Magic(listMagic, listVersion)
	packs := make([]index.Name, d.Count(nameSize, "packs"))
	for i := range packs {
		d.Copy(packs[i].Session[:])
		d.Copy(packs[i].Hash[:])
		if i > 0 && compareNames(packs[i-1], packs[i]) >= 0 {
			d.Fail("packs are not in order")
		}
	}
	return packs, d.Finish()
}

func compareNames(a, b index.Name) int {
	if c := bytes.Compare(a.Session[:], b.Session[:]); c != 0 {
		return c
	}
	return bytes.Compare(a.Hash[:], b.Hash[:])
}

// readList returns the packs that a SWEEP announced. A *CorruptError says that nobody can tell any more.
func (r *Repository) readList(ctx context.Context, k *ledger.Sweeping) ([]index.Name, error) {
	key := listKey(k.Session, k.List)
	b, err := backend.ReadAll(ctx, r.store, key, int64(k.Packs)*nameSize+64)
	if isType[*backend.TooLargeError](err) || err == nil && hashOf(b) != k.List {
		err = errWrongHash
	} else if err != nil {
		return nil, missing(key, err)
	}
	var packs []index.Name
	if err == nil {
		packs, err = decodeList(b)
	}
	if err == nil && uint64(len(packs)) != k.Packs {
		err = fmt.Errorf("it has %d packs, entry %d announces %d", len(packs), k.N, k.Packs)
	}
	if err != nil {
		return nil, &CorruptError{Key: key, Offset: -1, Err: err}
	}
	return packs, nil
}

// errRepairing says that a repair is at work, which may list again what no index file names.
var errRepairing = errors.New("a repair is at work")

// announce decides which of the objects nobody can need, and appends the SWEEP of the packs among them. It takes over what is left of
// earlier ones.
func (c *collector) announce(ctx context.Context, found []backend.Info) ([]backend.Info, error) {
	var before uint64 // entries of the ledger when it was tried the last time
	for {
		earlier, err := c.earlier(ctx, &found)
		if err != nil {
			return nil, err
		}
		useless, at, err := c.useless(ctx, found)
		if err != nil {
			return nil, err
		}
		body, useless, cut, err := c.writeList(ctx, useless, earlier.packs)
		if err != nil {
			return nil, err
		}
		body.Ended = earlier.ended(cut)
		if body.Packs == 0 && len(body.Ended) == 0 {
			return useless, nil
		}
		err = c.session.append(ctx, func(st *ledger.State) (ledger.Body, error) {
			now, _ := st.Head()
			defer func() { before = now }()
			return c.decideSweep(st, body, at, now == before)
		})
		if errors.Is(err, errMoreNeeded) {
			continue
		}
		if err != nil && !errors.Is(err, errRepairing) {
			err = fmt.Errorf("announcing what is deleted: %w", err)
		}
		return useless, err
	}
}

// decideSweep returns the SWEEP if it is right in this state, and errMoreNeeded if it has to be made anew.
func (c *collector) decideSweep(st *ledger.State, body *ledger.Sweep, collectedAt uint64, again bool) (ledger.Body, error) {
	if err := c.stillLive(st); err != nil {
		return nil, err
	}
	if repairs := st.Repairs(); len(repairs) > 0 {
		for i := range repairs {
			c.report.Repairs = append(c.report.Repairs, repairs[i].ID)
		}
		return nil, errRepairing
	}
	// A COMMIT since then names packs of sessions that had not ended: none of these.
	if st.CollectedAt() != collectedAt {
		return nil, errMoreNeeded
	}
	if err := st.Check(c.repo.ring.Actor().ID(), body); err != nil {
		if again {
			return nil, err
		}
		return nil, errMoreNeeded // another collection took over the same
	}
	return body, nil
}

// takenOver are earlier SWEEPs, by their numbers, and the packs that they announced.
type takenOver struct {
	numbers []uint64
	packs   keySet
	lost    map[uint64]bool // whose lists are lost, so that the listing of the store has to do
}

// ended returns those of which all that is left is announced again. cut: some useless packs are not.
func (t *takenOver) ended(cut bool) []uint64 {
	if !cut {
		return t.numbers
	}
	return slices.DeleteFunc(t.numbers, func(n uint64) bool { return t.lost[n] })
}

// earlier returns SWEEPs of sessions that have ended, as many as can be announced again at once, and adds to what was found those of their packs that are still there and that the
// listing did not have.
func (c *collector) earlier(ctx context.Context, found *[]backend.Info) (t takenOver, err error) {
	var sweeps []ledger.Sweeping
	c.repo.chain.view(func(st *ledger.State) {
		sweeps = slices.DeleteFunc(slices.Clone(st.Sweeps()), func(k ledger.Sweeping) bool {
			s, ok := st.Session(k.Session)
			return ok && s.End == ledger.Live
		})
	})
	if len(sweeps) == 0 {
		return t, nil
	}
	known := keySet{}
	for _, info := range *found {
		known.add(info.Key)
	}
	t.packs, t.lost = keySet{}, map[uint64]bool{}
	left := uint64(ledger.MaxSwept)
	for i := range sweeps {
		if sweeps[i].Packs > left {
			break
		}
		left -= sweeps[i].Packs
		packs, err := c.repo.readList(ctx, &sweeps[i])
		if err != nil && !isType[*CorruptError](err) {
			return t, err
		}
		t.lost[sweeps[i].N] = err != nil
		for _, n := range packs {
			t.packs.add(n.PackKey())
		}
		packs = slices.DeleteFunc(packs, func(n index.Name) bool { return known.has(n.PackKey()) })
		there, err := c.there(ctx, packs)
		if err != nil {
			return t, err
		}
		for _, info := range there {
			known.add(info.Key)
		}
		*found = append(*found, there...)
		t.numbers = append(t.numbers, sweeps[i].N)
	}
	return t, nil
}

// there returns those of the packs that exist.
func (c *collector) there(ctx context.Context, packs []index.Name) ([]backend.Info, error) {
	infos := make([]backend.Info, len(packs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range packs {
		g.Go(func() error {
			info, err := c.repo.store.Stat(ctx, packs[i].PackKey())
			if err == nil {
				infos[i] = info
			}
			return ifExists(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(infos, func(i backend.Info) bool { return i.Key == "" }), nil
}

// writeList stores which of the objects are packs, those that were announced before first. Of more than may be announced at once, the rest is cut off, and left to the next collection.
func (c *collector) writeList(ctx context.Context, useless []backend.Info, before keySet) (body *ledger.Sweep, left []backend.Info, cut bool, err error) {
	body = &ledger.Sweep{Session: c.session.id}
	slices.SortStableFunc(useless, func(a, b backend.Info) int { return later(before, a.Key) - later(before, b.Key) })
	var packs []index.Name
	useless = slices.DeleteFunc(useless, func(info backend.Info) bool {
		name, err := index.ParsePackKey(info.Key)
		if err == nil && len(packs) < ledger.MaxSwept {
			packs = append(packs, name)
			return false
		}
		cut = cut || err == nil
		return err == nil
	})
	if len(packs) == 0 {
		return body, useless, cut, nil
	}
	slices.SortFunc(packs, compareNames)
	packs = slices.Compact(packs) // a listing may have repeated itself
	b := encodeList(packs)
	body.List, body.Packs = hashOf(b), uint64(len(packs))
	key := listKey(body.Session, body.List)
	err = backend.PutBytes(ctx, c.repo.store, key, b, &backend.PutOptions{IfAbsent: true})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, false, fmt.Errorf("writing %s: %w", key, err)
	}
	return body, useless, cut, nil
}

// later is 0 for a key in the set, 1 for others.
func later(set keySet, key string) int {
	if set.has(key) {
		return 0
	}
	return 1
}

// endSweeps says of what the session announced that nothing is left.
func (c *collector) endSweeps(ctx context.Context) error {
	var lists []string
	err := c.session.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		if err := c.stillLive(st); err != nil {
			return nil, err
		}
		lists = nil
		body := &ledger.Sweep{Session: c.session.id}
		for _, k := range st.Sweeps() {
			if k.Session == c.session.id {
				body.Ended = append(body.Ended, k.N)
				lists = append(lists, listKey(k.Session, k.List))
			}
		}
		if len(body.Ended) == 0 {
			return nil, errOver
		}
		return body, nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ending what was announced: %w", err)
	}
	for _, key := range lists {
		if !c.delete(ctx, key) {
			c.report.Refused++
		}
	}
	return nil
}

// doomed knows the packs that somebody may be deleting.
type doomed struct {
	packs  keySet
	before uint64 // all packs of sessions that were opened before that entry
}

// doomed returns what SWEEPs announced of which something may be left. While a repair is open there are no further ones. That a process is gone, as far as its lock tells, is
// no proof here: what it asked for may be on its way.
func (r *Repository) doomed(ctx context.Context) (*doomed, error) {
	d := &doomed{packs: keySet{}}
	for _, k := range r.sweeps() {
		packs, err := r.readList(ctx, &k)
		if isType[*CorruptError](err) {
			if err := r.chain.advance(ctx); err != nil {
				return nil, err
			}
			if slices.Contains(r.sweeps(), k) { // else it was ended meanwhile
				r.log.Warn("which packs are being deleted cannot be told: all that were stored before are stored again", "error", err)
				d.before = max(d.before, k.N)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, n := range packs {
			d.packs.add(n.PackKey())
		}
	}
	return d, nil
}

func (r *Repository) sweeps() (list []ledger.Sweeping) {
	r.chain.view(func(st *ledger.State) { list = st.Sweeps() })
	return list
}

func (d *doomed) has(r *Repository, k *index.Pack) (has bool) {
	if d.packs.has(k.PackKey()) || d.before == 0 {
		return d.packs.has(k.PackKey())
	}
	r.chain.view(func(st *ledger.State) {
		s, ok := st.Session(k.Session)
		has = !ok || s.OpenedAt < d.before
	})
	return has
}

// relist lists a pack that no index file names, or one that a repair found in a lost one. What somebody may be deleting is stored anew, as sealed segments in packs of the session's own. One that
// was announced by its name and is damaged beyond its parity goes into quarantine: who announced it proved that nobody needs it. One of which only its age tells is listed as it is, then. It reports false if
// the pack is not listed.
func (c *collector) relist(ctx context.Context, k *index.Pack) (bool, error) {
	if k.Session == c.session.id {
		return false, nil
	}
	if c.doomed == nil || !c.doomed.has(c.repo, k) {
		return true, c.session.list(ctx, k)
	}
	body, err := readLeft(ctx, c.repo.store, k.PackKey(), int64(k.Size)+1)
	if err != nil {
		return false, ifExists(err)
	}
	if len(body) != int(k.Size) || hashOf(body) != k.Hash {
		whole, err := wholePack(body, k)
		switch {
		case err == nil:
			body = whole
		case c.doomed.packs.has(k.PackKey()):
			return false, quarantine(ctx, c.repo.store, k.PackKey(), body)
		default:
			return true, c.session.list(ctx, k)
		}
	}
	packer, err := c.session.mover(k.Class)
	if err != nil {
		return false, err
	}
	at := k.BodyOffset
	for i := range k.Segments {
		seg := &k.Segments[i]
		if err := packer.move(ctx, seg, body[at:at+seg.Stored], &k.Keys[seg.Key]); err != nil {
			return false, err
		}
		at += seg.Stored
	}
	return true, nil
}

// writeRelisted makes durable what was stored anew and listed.
func (c *collector) writeRelisted(ctx context.Context) error {
	if err := c.session.Flush(ctx); err != nil {
		return err
	}
	return c.session.writeListed(ctx)
}
