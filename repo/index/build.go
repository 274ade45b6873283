package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Names of files in a cache folder.
const (
	runPattern  = "run-*.idx"
	tempPattern = "tmp-*.idx"
)

// place is where runs are made.
type place struct {
	dir        string // where they are kept; "" to keep none
	repository [16]byte
	sum        *checksum
}

// create writes a run and opens it. Runs that are not kept lose their name at once.
func (p *place) create(keep bool, t *tables, chunks uint64, fill func(*runWriter) error) (*run, error) {
	f, err := os.CreateTemp(p.dir, tempPattern)
	if err != nil {
		return nil, fmt.Errorf("making an index run: %w", err)
	}
	path := f.Name()
	err = p.write(f, t, chunks, fill)
	if err == nil && keep && p.dir != "" {
		var r *run
		if r, err = p.name(f); err == nil {
			return r, nil
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making an index run: %w", err), ignoreClosed(f.Close()), ignoreMissing(os.Remove(path)))
	}
	r, err := openRun(f, path, p.repository, p.sum)
	if err = errors.Join(err, os.Remove(path)); err != nil {
		return nil, fmt.Errorf("making an index run: %w", err)
	}
	r.path = ""
	return r, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (p *place) write(f *os.File, t *tables, chunks uint64, fill func(*runWriter) error) error {
	w, err := newRunWriter(f, p.sum, p.repository, t, chunks)
	if err != nil {
		return err
	}
	if err := fill(w); err != nil {
		return err
	}
	return w.finish()
}

// name gives the run f its final name, which comes from its header, and opens it. It closes f.
func (p *place) name(f *os.File) (*run, error) {
	header := make([]byte, headerBytes)
	_, err := f.ReadAt(header, 0)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	path := filepath.Join(p.dir, fmt.Sprintf("run-%x.idx", header[headerBytes-32:headerBytes-16]))
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, err
	}
	return p.open(path)
}

// open opens the run at path.
func (p *place) open(path string) (*run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return openRun(f, path, p.repository, p.sum)
}

// fromFiles makes a run of the packs of index files.
func (p *place) fromFiles(files []NamedFile) (*run, error) {
	t := &tables{keys: newKeyTable()}
	n := 0
	for _, f := range files {
		t.files = append(t.files, f.Name)
		for i := range f.Packs {
			n += f.Packs[i].chunks()
		}
	}
	entries := make([]entry, 0, n)
	var segs []segmentRecord
	for number, f := range files {
		for i := range f.Packs {
			var rec packRecord
			var more []segmentRecord
			before := len(entries)
			rec, more, entries = f.Packs[i].records(0, entries)
			rec.file = uint32(number)
			for j := range entries[before:] {
				entries[before+j].segment += uint32(len(segs))
			}
			segs = t.addPack(rec, segs, more, f.Packs[i].Keys)
		}
	}
	return p.fromEntries(true, t, segs, entries)
}

// addPack adds a pack as the next of a run, and its segments to segs, whose keys are places in the pack's key table.
func (t *tables) addPack(rec packRecord, segs, more []segmentRecord, keys []crypto.KeyEntry) []segmentRecord {
	numbers := make([]uint32, len(keys))
	for i := range keys {
		numbers[i] = uint32(t.keys.add(&keys[i]))
	}
	rec.first = uint32(len(segs))
	for _, s := range more {
		s.key, s.pack = numbers[s.key], uint32(len(t.packs))
		segs = append(segs, s)
	}
	t.packs = append(t.packs, rec)
	return segs
}

// fromEntries makes a run of chunks in any order, and of the segments of the packs in t.
func (p *place) fromEntries(keep bool, t *tables, segs []segmentRecord, entries []entry) (*run, error) {
	sortEntries(entries)
	return p.create(keep, t, uint64(len(entries)), func(w *runWriter) error {
		for i := range segs {
			if err := w.addSegment(&segs[i]); err != nil {
				return err
			}
		}
		for i := range entries {
			if err := w.addEntry(&entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// sortEntries sorts by id. Ids are uniform, so spreading them by their first bits leaves small parts to sort.
func sortEntries(entries []entry) {
	const bits = 12
	compare := func(a, b entry) int {
		switch {
		case a.less(&b):
			return -1
		case b.less(&a):
			return 1
		}
		return 0
	}
	if len(entries) < 1<<bits {
		slices.SortFunc(entries, compare)
		return
	}
	var end [1<<bits + 1]int
	for i := range entries {
		end[entries[i].hi>>(64-bits)+1]++
	}
	for i := range 1 << bits {
		end[i+1] += end[i]
	}
	start, next := end, end
	for part := range 1 << bits {
		for next[part] < start[part+1] {
			i := next[part]
			for home := entries[i].hi >> (64 - bits); int(home) != part; home = entries[i].hi >> (64 - bits) {
				entries[i], entries[next[home]] = entries[next[home]], entries[i]
				next[home]++
			}
			next[part]++
		}
		slices.SortFunc(entries[start[part]:start[part+1]], compare)
	}
}

// fromMemory makes a run of what a session added to memory.
func (p *place) fromMemory(g *generation) (*run, error) {
	t := &tables{keys: newKeyTable()}
	var segs []segmentRecord
	for _, mp := range *g.packs.Load() {
		segs = t.addPack(mp.packRecord, segs, mp.segs, mp.keys)
	}
	entries := make([]entry, 0, g.chunks)
	for i := range g.parts {
		for _, e := range g.parts[i].entries {
			e.segment += t.packs[e.pack].first
			entries = append(entries, e)
		}
	}
	r, err := p.fromEntries(false, t, segs, entries)
	if err != nil {
		return nil, err
	}
	r.uncovered = g.uncovered
	return r, nil
}
