//go:build linux

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// treeSum sums up a tree: bytes of regular files, bytes allocated, number of names, and the hash of the listing.
type treeSum struct {
	size, allocated int64
	entries         int
	blake3          string
}

// digestTree hashes a canonical listing of a tree: for each name in walking order its kind, mode, owner, time in ns, device number, link
// target, extended attributes, which earlier name it is a hard link of, and the hash of its content.
func digestTree(root string) (treeSum, error) {
	var sum treeSum
	h := blake3.New()
	seen := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		sum.entries++
		first, again := seen[st.Ino]
		if !again {
			seen[st.Ino] = rel
			sum.allocated += st.Blocks * 512
		}
		fmt.Fprintf(h, "%q %o %d:%d %d.%09d %d %q\n", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev, first)
		if again {
			return nil
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			sum.size += st.Size
		}
		return digestContent(h, path, &st)
	})
	if err != nil {
		return sum, fmt.Errorf("listing %s: %w", root, err)
	}
	sum.blake3 = hex.EncodeToString(h.Sum(nil))
	return sum, nil
}

func digestContent(h io.Writer, path string, st *unix.Stat_t) error {
	names, err := listXattrs(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := getXattr(path, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, " %q=%x\n", name, value)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, " -> %q\n", target)
	case unix.S_IFREG:
		content, err := hashFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, " %d %s\n", st.Size, content)
	}
	return nil
}
