package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// CheckOptions are the options of [Repository.Check]; nil means all fields zero.
type CheckOptions struct {
	// ReadData says which packs are read and verified byte for byte. Nil: none.
	ReadData *Subset
	// Progress hears how many bytes of packs were verified, of how many. It is called by any number of goroutines.
	Progress func(done, total uint64)
	// Workers is how many packs are read at the same time. Zero means one for each processor.
	Workers int

	verified func(*index.Pack) // hears of each pack that was read and is right
}

// CheckReport is what [Repository.Check] found.
type CheckReport struct {
	// Entries, Snapshots, IndexFiles, Packs and Nodes (of reference trees) were verified.
	Entries, Snapshots, IndexFiles, Packs, Nodes uint64
	// PacksRead and BytesRead were verified byte for byte.
	PacksRead, BytesRead uint64
	// Unreferenced objects belong to no live session and no commit: left over from interrupted work. They are no damage.
	Unreferenced, UnreferencedBytes uint64
	// Void are the entries of the ledger that changed nothing: their signers may not write them, or something came in between, such as
	// another session that took theirs for dead. They are no damage.
	Void []ledger.VoidEntry
	// Errors are the faults, each naming its object, but for those beyond the first thousand, which Suppressed counts.
	Errors     []error
	Suppressed uint64
}

// maxFaults bounds CheckReport.Errors.
const maxFaults = 1000

// checker gathers what a check finds. Its methods are safe for concurrent use.
type checker struct {
	repo *Repository
	opts CheckOptions

	mu     sync.Mutex
	report CheckReport
	live   keySet              // objects that belong to the repository, but for packs and ledger entries
	packs  map[[16]byte]uint32 // by keyOf: sizes of packs that the index names and that were not found yet
	lost   map[index.Name]bool // index files that cannot be read
	start  uint64              // how many entries the ledger had when the check began
	total  uint64              // bytes of packs to read
	done   uint64
}

// Check verifies the repository: each entry and signature of the ledger, key slots, snapshots, index files, the presence and
// size of every pack, and that each snapshot's reference tree is whole. With ReadData it also reads packs: their hashes, directories, and
// each segment that this key can open. An auditor, who holds no key, verifies all that is not sealed.
//
// Memory, beside that of the index and the ledger: one bit for each chunk of the index (200 MB for 100 TB in chunks of 64 KiB) and
// some 30 bytes for each object.
//
// What a collection deletes meanwhile is no fault: the structure is then verified anew.
//
// Faults are in the report; the error says that the check itself could not go on.
func (r *Repository) Check(ctx context.Context, opts *CheckOptions) (*CheckReport, error) {
	var o CheckOptions
	if opts != nil {
		o = *opts
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	for tries := 1; ; tries++ {
		c := &checker{repo: r, opts: o, live: keySet{}, packs: map[[16]byte]uint32{}, lost: map[index.Name]bool{}}
		if err := c.structure(ctx); err != nil {
			return &c.report, err
		}
		if tries < maxChecks && len(c.report.Errors) > 0 && c.overtaken(ctx) {
			continue
		}
		return &c.report, c.contents(ctx)
	}
}

// maxChecks is how often a check begins anew because a collection deleted meanwhile what seemed to be missing.
const maxChecks = 5

// structure verifies all but the bytes of packs.
func (c *checker) structure(ctx context.Context) error {
	if err := c.repo.chain.advance(ctx); err != nil {
		if err := c.fault(err); err != nil {
			return err
		}
	}
	c.start = c.repo.chain.head()
	for _, step := range []func(context.Context) error{c.ledger, c.slots, c.snapshots, c.indexFiles, c.references, c.objects} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// overtaken reports whether a collection deleted something since the check began.
func (c *checker) overtaken(ctx context.Context) (deleted bool) {
	if c.repo.chain.advance(ctx) != nil {
		return false
	}
	c.repo.chain.view(func(st *ledger.State) { deleted = st.CollectedAt() > c.start })
	return deleted
}

// contents reads packs. What a collection deleted meanwhile is no fault.
func (c *checker) contents(ctx context.Context) error {
	before := len(c.report.Errors)
	err := c.readPacks(ctx)
	if err != nil || len(c.report.Errors) == before || !c.overtaken(ctx) {
		return err
	}
	named, err := c.repo.namedPacks(ctx)
	if err != nil {
		return err
	}
	c.repo.chain.view(func(st *ledger.State) {
		for _, f := range st.NamedFiles() {
			named.add(fileName(f).FileKey())
		}
	})
	gone := func(fault error) bool {
		e, ok := errors.AsType[*CorruptError](fault)
		return ok && !named.has(e.Key)
	}
	c.report.Errors = append(c.report.Errors[:before:before], slices.DeleteFunc(c.report.Errors[before:], gone)...)
	return nil
}

// fault notes a fault. Errors of the context are none: they end the check.
func (c *checker) fault(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.report.Errors) == maxFaults {
		c.report.Suppressed++
		return nil
	}
	c.report.Errors = append(c.report.Errors, err)
	return nil
}

// ledger replays the whole ledger from the store, every signature included, whatever the cache holds.
func (c *checker) ledger(ctx context.Context) error {
	state, err := c.repo.chain.replay(ctx)
	if err != nil {
		return c.fault(err)
	}
	for _, flaw := range state.Flaws() {
		if err := c.fault(&CorruptError{Key: ledger.EntryKey(flaw.N), Offset: -1, Err: flaw.Err}); err != nil {
			return err
		}
	}
	c.report.Entries, _ = state.Head()
	c.report.Void = state.Void()
	return nil
}

// missing turns a missing or unreadable object into damage.
func missing(key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &CorruptError{Key: key, Offset: -1, Err: errors.New("missing")}
	case isType[*backend.DamagedError](err):
		return &CorruptError{Key: key, Offset: -1, Err: err}
	}
	return err
}

// snapshots verifies each snapshot's object against its COMMIT, also of those that were forgotten and can be taken back.
func (c *checker) snapshots(ctx context.Context) error {
	var list []ledger.Snapshot
	c.repo.chain.view(func(st *ledger.State) { list = append(st.Snapshots(), st.Recoverable()...) })
	for i := range list {
		c.live.add(snapshotKey(list[i].ID))
		if err := c.repo.checkSnapshot(ctx, &list[i]); err != nil {
			if err := c.fault(err); err != nil {
				return err
			}
			continue
		}
		if list[i].ForgottenAt == 0 {
			c.report.Snapshots++
		}
	}
	return nil
}

// indexFiles reads each index file, live or condemned, and notes the packs that it names.
func (c *checker) indexFiles(ctx context.Context) error {
	return c.eachIndexFile(ctx, func(f ledger.IndexFile, packs []index.Pack, err error) error {
		c.live.add(fileName(f).FileKey())
		if err != nil {
			c.lost[fileName(f)] = true
			return c.fault(err)
		}
		c.report.IndexFiles++
		for i := range packs {
			c.expect(&packs[i])
		}
		return nil
	})
}

// eachIndexFile calls do with the inventory of each named index file that is not known to be lost, or with why it cannot be read.
func (c *checker) eachIndexFile(ctx context.Context, do func(ledger.IndexFile, []index.Pack, error) error) error {
	var files []ledger.IndexFile
	c.repo.chain.view(func(st *ledger.State) { files = st.NamedFiles() })
	for _, f := range files {
		if c.lost[fileName(f)] {
			continue
		}
		packs, err := c.repo.inventory(ctx, f)
		if err := do(f, packs, err); err != nil {
			return err
		}
	}
	return nil
}

// expect notes a pack to be found when all objects are listed.
func (c *checker) expect(p *index.Pack) {
	k := keyOf(p.PackKey())
	if _, again := c.packs[k]; again {
		return // another index file lists it, too
	}
	c.packs[k] = p.Size
	if c.opts.ReadData.has(p) {
		c.total += uint64(p.Size)
	}
}

// listed compares a listed pack with what the index says of it, and reports whether the index names it.
func (c *checker) listed(info backend.Info) (named bool, err error) {
	k := keyOf(info.Key)
	size, named := c.packs[k]
	if !named {
		return false, nil
	}
	delete(c.packs, k)
	return true, c.sized(info, size)
}

// sized counts a pack that is there, or notes that its size is wrong.
func (c *checker) sized(info backend.Info, size uint32) error {
	if info.Size != int64(size) {
		return c.fault(&CorruptError{Key: info.Key, Offset: -1, Err: fmt.Errorf("it has %d bytes, the index says %d", info.Size, size)})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Packs++
	return nil
}

// unlisted looks for the packs that the listing did not have, one by one: they are lost, or the listing was not whole.
func (c *checker) unlisted(ctx context.Context) error {
	if len(c.packs) == 0 {
		return nil
	}
	return c.eachIndexFile(ctx, func(_ ledger.IndexFile, packs []index.Pack, err error) error {
		if err != nil {
			return c.fault(err)
		}
		return c.stat(ctx, packs)
	})
}

// stat looks for those of the packs that were not listed, several at a time.
func (c *checker) stat(ctx context.Context, packs []index.Pack) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range packs {
		p := &packs[i]
		k := keyOf(p.PackKey())
		if _, wanted := c.packs[k]; wanted {
			delete(c.packs, k)
			g.Go(func() error { return c.statPack(ctx, p) })
		}
	}
	return g.Wait()
}

func (c *checker) statPack(ctx context.Context, p *index.Pack) error {
	info, err := c.repo.store.Stat(ctx, p.PackKey())
	if err != nil {
		return c.fault(missing(p.PackKey(), err))
	}
	return c.sized(info, p.Size)
}
