//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// copyShuffled copies everything below src into the folder dst, with owners, modes, times, extended attributes, hard links and holes.
// Folders are made first, parents before children but otherwise in seeded order; then all else, in seeded order over the whole
// tree. So a file system lays the same files out differently.
func copyShuffled(ctx context.Context, src, dst string, seed uint64) error {
	c := &treeCopier{src: src, dst: dst, links: map[[2]uint64]string{}}
	if err := c.list(); err != nil {
		return err
	}
	shuffle(c.dirs, seed)
	sort.SliceStable(c.dirs, func(i, j int) bool { return depth(c.dirs[i]) < depth(c.dirs[j]) })
	shuffle(c.rest, seed)
	for _, names := range [][]string{c.dirs, c.rest} {
		for _, rel := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.copy(rel); err != nil {
				return fmt.Errorf("copying %s: %w", rel, err)
			}
		}
	}
	// Times of folders last: making what is in them changes them.
	for i := len(c.dirs) - 1; i >= 0; i-- {
		if err := c.meta(c.dirs[i]); err != nil {
			return fmt.Errorf("copying %s: %w", c.dirs[i], err)
		}
	}
	return nil
}

func depth(rel string) (n int) {
	for i := range rel {
		if rel[i] == '/' {
			n++
		}
	}
	return n
}

// shuffle puts names into an order that depends on the seed and the names alone.
func shuffle(names []string, seed uint64) {
	keys := make(map[string]uint64, len(names))
	for _, n := range names {
		keys[n] = hashKey(seed, "layout", n)
	}
	sort.Slice(names, func(i, j int) bool { return keys[names[i]] < keys[names[j]] })
}

type treeCopier struct {
	src, dst   string
	dirs, rest []string
	links      map[[2]uint64]string
}

// list finds all names; lost+found belongs to the file system, not to the files.
func (c *treeCopier) list() error {
	return filepath.WalkDir(c.src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("listing files: %w", err)
		}
		rel, err := filepath.Rel(c.src, path)
		if err != nil {
			return fmt.Errorf("listing files: %w", err)
		}
		switch {
		case rel == "lost+found":
			return fs.SkipDir
		case d.IsDir():
			c.dirs = append(c.dirs, rel)
		default:
			c.rest = append(c.rest, rel)
		}
		return nil
	})
}

func (c *treeCopier) copy(rel string) error {
	from, to := filepath.Join(c.src, rel), filepath.Join(c.dst, rel)
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if rel == "." {
			return nil
		}
		return os.Mkdir(to, 0o700)
	}
	if st.Nlink > 1 {
		id := [2]uint64{st.Dev, st.Ino}
		if first, ok := c.links[id]; ok {
			return os.Link(first, to)
		}
		c.links[id] = to
	}
	if err := makeLike(from, to, &st); err != nil {
		return err
	}
	return c.meta(rel)
}

// makeLike makes something of the same kind and content, without its metadata.
func makeLike(from, to string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return copyData(from, to)
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	default:
		return unix.Mknod(to, st.Mode, int(st.Rdev))
	}
}

// copyData copies the data ranges of a file and leaves its holes.
func copyData(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	if err := out.Truncate(fi.Size()); err != nil {
		return err
	}
	for off := int64(0); off < fi.Size(); {
		start, err := in.Seek(off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		end, err := in.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, start), io.NewSectionReader(in, start, end-start)); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// meta copies owner, mode, extended attributes and times. The order matters: chown clears capabilities and setuid bits.
func (c *treeCopier) meta(rel string) error {
	from, to := filepath.Join(c.src, rel), filepath.Join(c.dst, rel)
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	if err := unix.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("setting the owner: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return fmt.Errorf("setting the mode: %w", err)
		}
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the times: %w", err)
	}
	return nil
}

func copyXattrs(from, to string) error {
	names, err := listXattrs(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := getXattr(from, name)
		if err != nil {
			return err
		}
		if err := unix.Lsetxattr(to, name, value, 0); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
