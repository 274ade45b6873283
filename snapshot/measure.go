package snapshot

import (
	"context"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// Measured is how much there is to back up. A file with several names is counted as often.
type Measured struct {
	Files, Dirs uint64
	Bytes       uint64 // of all files, holes included
}

// Measure counts what items hold by looking at metadata alone, for showing how far a backup is. Trees made with NoXattrs are
// measured faster. What cannot be read does not count, and neither do streams, whose size nobody knows: then known is
// false. The only error is that of ctx.
func Measure(ctx context.Context, items []Item) (m Measured, known bool, err error) {
	known = true
	for i := range items {
		switch it := &items[i]; {
		case it.stream != nil:
			known = false
		case it.disk != nil:
			m.Files++
			m.Bytes += uint64(it.disk.Size())
		case it.tree != nil:
			m.tree(ctx, it.tree, filepath.FromSlash(it.path))
		}
		if err := context.Cause(ctx); err != nil {
			return m, false, err
		}
	}
	return m, known, nil
}

// tree counts a file or a folder with all below it.
func (m *Measured) tree(ctx context.Context, t *source.Tree, path string) {
	e, err := t.Lstat(ctx, path)
	if err != nil {
		return
	}
	m.count(e)
	if e.Type != source.TypeDirectory {
		return
	}
	d, err := t.OpenDir(ctx, path)
	if err != nil {
		return
	}
	defer d.Close()
	_ = source.Walk(ctx, d, func(_ *source.Dir, e *source.Entry, err error) error {
		if err == nil {
			m.count(e)
		}
		return context.Cause(ctx)
	})
}

func (m *Measured) count(e *source.Entry) {
	switch e.Type {
	case source.TypeDirectory:
		m.Dirs++
	case source.TypeFile:
		m.Files++
		m.Bytes += uint64(e.Size)
	}
}
