package main

import (
	"io/fs"
	"time"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// nodeJSON is an entry of a snapshot as ls, find and cat print it.
type nodeJSON struct {
	Name        string    `json:"name"`
	Type        string    `json:"type"`
	Path        string    `json:"path"`
	UID         uint32    `json:"uid"`
	GID         uint32    `json:"gid"`
	User        string    `json:"user,omitempty"`
	Group       string    `json:"group,omitempty"`
	Size        int64     `json:"size"`
	Mode        uint32    `json:"mode"`
	Permissions string    `json:"permissions"`
	MTime       jsonTime  `json:"mtime"`
	CTime       jsonTime  `json:"ctime"`
	ATime       *jsonTime `json:"atime,omitempty"`
	Inode       uint64    `json:"inode,omitempty"`
	Links       uint32    `json:"links,omitempty"`
	Target      string    `json:"linktarget,omitempty"`
	Device      uint64    `json:"device,omitempty"`
	Incomplete  bool      `json:"incomplete,omitempty"`
}

func newNodeJSON(path string, n *tree.Node) nodeJSON {
	j := nodeJSON{
		Name: jsonName(n.Name), Type: n.Type.String(), Path: jsonName(path), UID: n.UID, GID: n.GID, User: jsonName(n.User), Group: jsonName(n.Group),
		Size: n.Content.Size, Mode: n.Mode, Permissions: fileMode(n).String(), MTime: unixTime(n.ModTime), CTime: unixTime(n.ChangeTime),
		Inode: n.Inode, Links: n.Links, Target: jsonName(n.Target), Device: n.Rdev, Incomplete: n.Flags&tree.Incomplete != 0,
	}
	if n.AccessTime != 0 {
		t := unixTime(n.AccessTime)
		j.ATime = &t
	}
	return j
}

func unixTime(ns int64) jsonTime { return jsonTime(time.Unix(0, ns)) }

// fileMode returns mode and type in the form that package fs prints.
func fileMode(n *tree.Node) fs.FileMode {
	m := fs.FileMode(n.Mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n.Mode&bit != 0 {
			m |= flag
		}
	}
	switch n.Type {
	case tree.Directory:
		m |= fs.ModeDir
	case tree.Symlink:
		m |= fs.ModeSymlink
	case tree.FIFO:
		m |= fs.ModeNamedPipe
	case tree.CharDevice:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case tree.BlockDevice:
		m |= fs.ModeDevice
	}
	return m
}

// printNode prints one entry on a line.
func (a *app) printNode(path string, n *tree.Node, long bool) {
	if !long {
		a.out.printf("%s\n", a.out.name(path))
		return
	}
	target := ""
	if n.Type == tree.Symlink {
		target = " -> " + a.out.name(n.Target)
	}
	a.out.printf("%s %5d %5d %12d %s %s%s\n", fileMode(n), n.UID, n.GID, n.Content.Size, localTime(time.Unix(0, n.ModTime)), a.out.name(path), target)
}
