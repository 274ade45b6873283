package index

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Options say where a Set keeps its runs.
type Options struct {
	// Dir is a folder for runs, of this repository and key alone; it is made if missing. Several processes may use it at
	// once. "": runs are temporary files without a name, and are gone with the set.
	Dir string

	// Repository is the id in GENESIS.
	Repository [16]byte

	// Key guards runs against being changed by whoever does not have it. nil: they are guarded against accidents only.
	Key *crypto.Key

	// MemoryChunks is how many chunks that were added are kept in memory, at 42 bytes each, before they become a run; 0 means 2^19.
	MemoryChunks int

	// MaxRuns is how many runs there may be before some are merged, 2 to 64; 0 means 8. Each costs a lookup some 20 ns while its
	// filter is in the processor's cache, and up to 100 beyond.
	MaxRuns int
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.MemoryChunks == 0 {
		c.MemoryChunks = 1 << 19
	}
	if c.MaxRuns == 0 {
		c.MaxRuns = 8
	}
	if c.MemoryChunks < 0 || c.MaxRuns < 2 || c.MaxRuns > 64 {
		return c, fmt.Errorf("opening an index: %d chunks in memory, %d runs", c.MemoryChunks, c.MaxRuns)
	}
	return c, nil
}

// Live reports whether a pack that an index file lists may be used. It is asked once for each pack of each file, by Sync and
// when files are added, and must not call the set.
type Live func(file, pack Name) bool

// ErrClosed is returned by the methods of a Set after Close.
var ErrClosed = errors.New("the index is closed")

// Set answers where chunks are. All methods are safe for concurrent use. Lookups wait for nothing but the exchange of a pointer.
type Set struct {
	opt   Options
	place place
	slots [parts]slot

	merging sync.Mutex // held while runs are merged or dropped; taken before mu
	mu      sync.Mutex // held while the view changes
	view    *view
	owners  map[Name]*run // the run that speaks for each index file
	missing map[Name]bool // files that Sync found missing and that were not added yet
	live    Live
	damage  []error
	closed  bool
}

// view is what lookups see. It does not change, but for the parts of its newest generation.
type view struct {
	memory *generation
	runs   []*run
}

// slot is a lock of lookups. To change the view, each slot is locked once; nobody uses the old one afterwards.
type slot struct {
	sync.RWMutex
	view *view
	_    [96]byte // no two slots share a cache line
}

// Open opens the runs in the cache folder. Nothing in them is found until Sync says which of them count. Damaged runs are removed, and listed by
// Damage.
func Open(opt *Options) (*Set, error) {
	o, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Set{opt: o, owners: map[Name]*run{}}
	sum, err := newChecksum(o.Key, o.Repository)
	if err != nil {
		return nil, fmt.Errorf("opening an index: %w", err)
	}
	s.place = place{dir: o.Dir, repository: o.Repository, sum: sum}
	v := &view{memory: newGeneration()}
	if o.Dir != "" {
		if v.runs, err = s.load(); err != nil {
			return nil, fmt.Errorf("opening an index: %w", err)
		}
	}
	s.publish(v)
	return s, nil
}

// load opens the runs in the cache folder, and removes what is damaged or was left unfinished a day ago.
func (s *Set) load() ([]*run, error) {
	if err := os.MkdirAll(s.opt.Dir, 0o700); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		return nil, err
	}
	var runs []*run
	for _, e := range names {
		path := filepath.Join(s.opt.Dir, e.Name())
		if isTemp, _ := filepath.Match(tempPattern, e.Name()); isTemp {
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
				os.Remove(path)
			}
		}
		if isRun, _ := filepath.Match(runPattern, e.Name()); !isRun {
			continue
		}
		r, err := s.place.open(path)
		switch {
		case err == nil:
			runs = append(runs, r)
		case errors.Is(err, ErrDamaged):
			s.damage = append(s.damage, err)
			os.Remove(path)
		case errors.Is(err, os.ErrNotExist): // another process merged it
		default:
			s.damage = append(s.damage, err)
		}
	}
	return runs, nil
}

// publish makes v what lookups see, and gives up the runs that are not in it. The caller holds mu.
func (s *Set) publish(v *view) {
	slices.SortFunc(v.runs, func(a, b *run) int { return cmp.Compare(b.header.entries, a.header.entries) }) // most likely first
	old := s.view
	s.view = v
	for i := range s.slots {
		s.slots[i].Lock()
		s.slots[i].view = v
		s.slots[i].Unlock()
	}
	if old == nil {
		return
	}
	for _, r := range old.runs {
		if !slices.Contains(v.runs, r) {
			r.release() // munmap of a mapping that exists does not fail
		}
	}
}

// with returns the runs of the view but those given, and then more.
func (v *view) with(without []*run, more ...*run) []*run {
	runs := slices.DeleteFunc(slices.Clone(v.runs), func(r *run) bool { return slices.Contains(without, r) })
	return append(runs, more...)
}

// Damage returns what was found wrong with the cache so far: *RunError, or errors of the system.
func (s *Set) Damage() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.damage)
}

// Close gives up all runs. Lookups find nothing afterwards.
func (s *Set) Close() error {
	s.merging.Lock()
	defer s.merging.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	s.dropDamaged()
	s.publish(&view{memory: newGeneration()})
	return nil
}
