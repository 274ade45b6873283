package main

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pkg/xattr"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

func quoted(s string) string {
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}

func hashOf(b []byte) string {
	h := blake3.Sum256(b)
	return hex.EncodeToString(h[:])
}

// list describes a folder with all below it and all above it, as the system sees them.
func list(folder string) ([]*entry, error) {
	var all []*entry
	for at := filepath.Dir(folder); at != "/"; at = filepath.Dir(at) {
		e, err := describe(at)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, err := describe(path)
		all = append(all, e)
		return err
	})
	// Parents before children, and names by their bytes: "/" sorts before every other byte.
	slices.SortFunc(all, func(a, b *entry) int {
		return strings.Compare(strings.ReplaceAll(unquoted(a.Path), "/", "\x00"), strings.ReplaceAll(unquoted(b.Path), "/", "\x00"))
	})
	return all, err
}

func unquoted(s string) string {
	u, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		panic(err) // quoted made it
	}
	return u
}

func describe(path string) (*entry, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, fmt.Errorf("lstat %s: %w", path, err)
	}
	types := map[uint32]uint8{unix.S_IFREG: 1, unix.S_IFDIR: 2, unix.S_IFLNK: 3, unix.S_IFIFO: 4, unix.S_IFCHR: 5, unix.S_IFBLK: 6}
	e := &entry{
		Path: quoted(path), Type: types[st.Mode&unix.S_IFMT], Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Device: uint64(st.Dev), Inode: st.Ino, Links: uint32(st.Nlink),
	}
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		e.User = u.Username
	}
	if g, err := user.LookupGroupId(strconv.Itoa(int(st.Gid))); err == nil {
		e.Group = g.Name
	}
	switch e.Type {
	case 1:
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		e.Size, e.Hash = int64(len(b)), hashOf(b)
	case 3:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		e.Target = quoted(target)
	case 5, 6:
		e.Rdev = uint64(unix.Major(uint64(st.Rdev)))<<32 | uint64(unix.Minor(uint64(st.Rdev)))
	}
	return e, e.readXAttrs(path)
}

func (e *entry) readXAttrs(path string) error {
	names, err := xattr.LList(path)
	if err != nil {
		return nil // the file system has none
	}
	for _, name := range names {
		value, err := xattr.LGet(path, name)
		if err != nil {
			return err
		}
		if e.XAttrs == nil {
			e.XAttrs = map[string][]byte{}
		}
		e.XAttrs[name] = value
	}
	return nil
}
