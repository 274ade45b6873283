package restore

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// links remembers entries that have further names, until all of them were seen or the walk ends.
type links struct {
	groups map[linkKey]*linkGroup
	full   bool // somebody was told
}

// linkKey is what tells an entry with several names from others on the machine that was backed up.
type linkKey struct{ device, inode uint64 }

// linkGroup is an entry and where it was restored.
type linkGroup struct {
	folder  *folder
	name    string
	typ     tree.Type
	content content.Content
	target  string
	rdev    uint64
	left    uint32 // names not seen yet
}

// maxLinks bounds the memory for them: about 64 MiB.
const maxLinks = 256 << 10

// of returns the group of an entry, if another of its names was restored.
func (l *links) of(n *tree.Node) *linkGroup {
	if n.Links < 2 {
		return nil
	}
	g := l.groups[linkKey{n.Device, n.Inode}]
	if g == nil || g.typ != n.Type || !g.content.Equal(&n.Content) || g.target != n.Target || g.rdev != n.Rdev {
		return nil
	}
	return g
}

// add notes that an entry is there now, in the folder that v is at.
func (l *links) add(v *restorer, n *tree.Node) {
	key := linkKey{n.Device, n.Inode}
	if l.groups[key] != nil {
		return
	}
	if len(l.groups) >= maxLinks {
		if !l.full {
			l.full = true
			v.run.note(v.path(n.Name), fmt.Errorf("more than %d files with further names: they are restored as files of their own", maxLinks))
		}
		return
	}
	if l.groups == nil {
		l.groups = map[linkKey]*linkGroup{}
	}
	v.at.pending.Add(1) // the folder keeps permissions that let links be made
	l.groups[key] = &linkGroup{
		folder: v.at, name: n.Name, typ: n.Type, content: n.Content, target: n.Target, rdev: n.Rdev, left: n.Links - 1,
	}
}

// forget lets go of all groups.
func (l *links) forget(t *treeRun) {
	for _, g := range l.groups {
		t.settle(g.folder)
	}
	l.groups = nil
}

// link restores an entry as a further name of what was restored before. The error is errors.ErrUnsupported if that cannot be.
func (v *restorer) link(d dirHandle, n *tree.Node, g *linkGroup, there bool, st *stat) error {
	same := false
	err := v.run.folders.with(g.folder, func(from dirHandle) error {
		if there {
			first, err := lstat(from, g.name)
			if err != nil {
				return err
			}
			if same = first.id == st.id && first.id != (identity{}); same {
				return nil
			}
			if err := v.clear(d, n.Name, st); err != nil {
				return err
			}
		}
		return makeLink(from, g.name, d, n.Name)
	})
	if err != nil {
		if isTooMany(err) {
			err = errors.Join(errors.ErrUnsupported, err)
		}
		return err
	}
	v.linked(n, g, there, same)
	return nil
}

func (v *restorer) linked(n *tree.Node, g *linkGroup, there, same bool) {
	if g.left--; g.left == 0 {
		delete(v.links.groups, linkKey{n.Device, n.Inode})
		v.run.settle(g.folder)
	}
	kind := EventRestored
	switch {
	case same:
		kind = EventUnchanged
	case there:
		kind = EventUpdated
	}
	c := &v.run.counters
	if n.Type.HasContent() {
		c.files.Add(1)
		c.bytes.Add(n.Content.Size)
	} else {
		c.others.Add(1)
	}
	v.run.opts.Report(Event{Kind: kind, Path: v.path(n.Name), Size: n.Content.Size})
}
