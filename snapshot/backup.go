package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// Backup stores items and commits them as one snapshot, which it returns. What cannot be read is reported and marks the snapshot
// incomplete; everything else is stored.
//
// Of a dry run, and when nothing changed and that was to be skipped, the manifest's ID is zero. When nothing could be read at all
// the error is [ErrNothing]. Any error means that there is no new snapshot; what was stored until then is used by the next
// backup of the same items.
func Backup(ctx context.Context, r *repo.Repository, items []Item, opts *BackupOptions) (*Manifest, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	root, err := planItems(items)
	if err != nil {
		return nil, err
	}
	b := &backup{repo: r, opts: o, start: time.Now()}
	for _, it := range items {
		b.manifest.Paths = append(b.manifest.Paths, it.path)
	}
	slices.Sort(b.manifest.Paths)
	if _, err := decodeManifest(b.described().encode()); err != nil {
		return nil, fmt.Errorf("describing the snapshot: %w", err)
	}
	session, err := r.Begin(ctx, b.sessionOptions())
	if err != nil {
		return nil, err
	}
	b.session = session
	if err := b.run(ctx, root); err != nil {
		return nil, errors.Join(err, session.Suspend(ctx))
	}
	return &b.manifest, nil
}

// described fills in what is known of the manifest before anything is read.
func (b *backup) described() *Manifest {
	o, m := &b.opts, &b.manifest
	m.Time, m.Point, m.Host, m.User = o.Time, o.Time, o.Host, o.User
	m.Tags, m.Class, m.Program = o.Tags, o.Class, o.Program
	return m
}

func (b *backup) sessionOptions() *repo.SessionOptions {
	source := [][]byte{[]byte(b.opts.Host)}
	for _, p := range b.manifest.Paths {
		source = append(source, []byte(p))
	}
	return &repo.SessionOptions{
		Kind: "backup", Host: b.opts.Host, Program: b.opts.Program, Source: source, Compression: b.opts.Compression, DryRun: b.opts.DryRun,
	}
}

// backup is one run. What it counts is safe for concurrent use.
type backup struct {
	repo     *repo.Repository
	session  *repo.Session
	opts     BackupOptions
	start    time.Time
	manifest Manifest

	pool     *pool
	folders  errgroup.Group // those that put directories together
	chunkers [5]chunk.Chunker
	parent   *Manifest
	counters counters
	tally    tally
}

// tally counts entries and bytes of the snapshot.
type tally struct {
	filesNew, filesChanged, filesUnmodified atomic.Uint64
	dirsNew, dirsChanged, dirsUnmodified    atomic.Uint64
	bytes, holes, errors                    atomic.Uint64
	stored                                  atomic.Uint64 // items that are in the snapshot
	differing                               atomic.Uint64 // items that the parent does not have, or has otherwise
}

func (b *backup) run(ctx context.Context, root *place) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	stop := b.showProgress()
	pair, err := b.readAll(ctx, root)
	stop()
	if err != nil {
		return err
	}
	if b.tally.stored.Load() == 0 {
		return ErrNothing
	}
	b.manifest.Root = pair
	slices.SortFunc(b.manifest.Deltas, func(x, y Delta) int { return strings.Compare(x.Path, y.Path) })
	unchanged := b.opts.SkipIfUnchanged && b.unchangedItems()
	if !unchanged {
		if err := b.session.Flush(ctx); err != nil {
			return err
		}
	}
	b.count()
	if unchanged || b.opts.DryRun {
		return b.session.Close(ctx, "nothing to commit")
	}
	if b.manifest.ID, err = b.session.Commit(ctx, pair, b.manifest.encode()); err != nil {
		return err
	}
	b.count() // with what the commit itself wrote
	return nil
}

// prepare finds the parent, makes the chunkers and starts the workers.
func (b *backup) prepare(ctx context.Context) error {
	if err := b.findParent(ctx); err != nil {
		return err
	}
	return b.startWorkers(ctx)
}

func (b *backup) startWorkers(ctx context.Context) (err error) {
	for _, k := range []chunk.Kind{chunk.Aligned, chunk.Gear, chunk.Rabin, chunk.Fixed} {
		c, err := b.repo.NewChunker(k)
		if k == chunk.Aligned && errors.Is(err, chunk.ErrMean) {
			c, err = b.repo.NewChunker(chunk.Gear) // the mean is too small for a grid
		}
		if err != nil {
			return err
		}
		b.chunkers[k] = c
	}
	b.pool, err = newPool(ctx, b.session, b.opts.Workers, &b.counters)
	return err
}

// findParent chooses the parent among the snapshots that were live when the session opened.
func (b *backup) findParent(ctx context.Context) error {
	var refused *Manifest
	usable := func(m *Manifest) bool {
		old := m.number < b.session.Opened()
		ok := old && b.session.Reusable(m.ID)
		if old && !ok && refused == nil {
			refused = m
		}
		return ok
	}
	if err := b.chooseParent(ctx, usable); err != nil {
		return err
	}
	if b.parent == nil {
		if refused != nil {
			b.noParent(refused, errors.New("packs that it needs are being collected"))
		}
		return nil
	}
	if _, err := b.repo.Load(ctx, repo.Meta, b.parent.Root.Meta.ID, b.parent.Root.Meta.Length); err != nil {
		// A writer without the state of its last backup cannot read it, and reads all files instead.
		b.noParent(b.parent, err)
		b.parent = nil
		return nil
	}
	b.manifest.Parent = b.parent.ID
	return nil
}

func (b *backup) noParent(m *Manifest, why error) {
	b.opts.Report(Event{Kind: EventNote, Path: "/", Err: fmt.Errorf("parent %s is not used: %w", m.ShortID(), why)})
}

// chooseParent takes the parent that was asked for, or the newest that is usable; none is fine.
func (b *backup) chooseParent(ctx context.Context, usable func(*Manifest) bool) error {
	if b.opts.Parent.IsZero() {
		b.parent = findParent(ctx, b.repo, &b.manifest, *b.opts.GroupBy, usable)
		return nil
	}
	m, err := Find(ctx, b.repo, b.opts.Parent.String(), nil)
	if err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	if m.number >= b.session.Opened() {
		return fmt.Errorf("parent: snapshot %s is younger than this backup", m.ShortID())
	}
	if usable(m) {
		b.parent = m
	}
	return nil
}

// readAll reads everything and waits until it is stored.
func (b *backup) readAll(ctx context.Context, root *place) (repo.Pair, error) {
	var was *tree.Node
	if b.parent != nil {
		was = &tree.Node{Type: tree.Directory, Dir: b.parent.Root}
	}
	result := b.placeDir(b.pool.ctx, root, was)
	var pair repo.Pair
	err := result.wait(b.pool.ctx)
	if err == nil && !result.absent {
		pair = result.node.Dir
		b.settle(result)
	}
	// The first error makes others; only it tells something.
	for _, e := range []error{b.folders.Wait(), b.pool.wait(), context.Cause(ctx)} {
		if e != nil {
			err = e
		}
	}
	return pair, err
}

// count fills in the manifest's statistics.
func (b *backup) count() {
	t, s := &b.tally, b.session.Stats()
	b.manifest.Stats = Stats{
		FilesNew: t.filesNew.Load(), FilesChanged: t.filesChanged.Load(), FilesUnmodified: t.filesUnmodified.Load(),
		DirsNew: t.dirsNew.Load(), DirsChanged: t.dirsChanged.Load(), DirsUnmodified: t.dirsUnmodified.Load(),
		BytesProcessed: t.bytes.Load(), BytesRead: b.counters.read.Load(), HoleBytes: t.holes.Load(),
		ChunksNew: s.Chunks, BytesAdded: s.Added, BytesStored: s.Stored,
		Duration: time.Since(b.start), Errors: t.errors.Load(),
	}
	b.manifest.Complete = t.errors.Load() == 0
}

// fault reports something that could not be read, or that changed.
func (b *backup) fault(path string, err error) {
	b.tally.errors.Add(1)
	b.opts.Report(Event{Kind: EventError, Path: path, Err: err})
}

// showProgress reports progress until the returned function is called.
func (b *backup) showProgress() (stop func()) {
	ticker := time.NewTicker(200 * time.Millisecond)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case <-ticker.C:
				b.opts.Progress(b.progress())
			case <-done:
				b.opts.Progress(b.progress())
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-finished
	}
}

func (b *backup) progress() Progress {
	t := &b.tally
	return Progress{
		Files:          t.filesNew.Load() + t.filesChanged.Load() + t.filesUnmodified.Load(),
		Dirs:           t.dirsNew.Load() + t.dirsChanged.Load() + t.dirsUnmodified.Load(),
		BytesProcessed: max(t.bytes.Load(), b.counters.scanned.Load()), BytesRead: b.counters.read.Load(),
		BytesStored: b.session.Stats().Stored, Errors: t.errors.Load(), Elapsed: time.Since(b.start),
	}
}

// join appends a name to an absolute path.
func join(dir, name string) string {
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}

// base returns the last name of an absolute path.
func base(p string) string { return path.Base(p) }
