//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// modes makes files and folders with unusual permission bits; what nobody may read is only made by root, who can.
func (t *treeMaker) modes() error {
	for _, m := range []struct {
		name string
		mode uint32
	}{{"setuid", 0o4755}, {"setgid", 0o2755}, {"sticky", 0o1644}, {"all-bits", 0o7777}, {"read-only", 0o444}, {"write-bits", 0o666}} {
		rel := "modes/" + m.name
		if err := t.file(rel, []byte(m.name)); err != nil {
			return err
		}
		if err := unix.Chmod(t.path(rel), m.mode); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		name string
		mode uint32
	}{{"sticky-folder", 0o1777}, {"setgid-folder", 0o2775}, {"private-folder", 0o700}} {
		rel := "modes/" + m.name
		if err := t.file(rel+"/inside", []byte(m.name)); err != nil {
			return err
		}
		if err := unix.Chmod(t.path(rel), m.mode); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if err := t.file("modes/no-rights", []byte("only root reads this")); err != nil {
		return err
	}
	return unix.Chmod(t.path("modes/no-rights"), 0)
}

// attributes makes extended attributes, access control lists and a capability.
func (t *treeMaker) attributes() error {
	big := make([]byte, 2000)
	fill(source(t.seed, "tree xattr"), big)
	for _, a := range []struct {
		file, name string
		value      []byte
	}{
		{"attrs/text", "user.comment", []byte("a comment")},
		{"attrs/text", "user.second", []byte("another")},
		{"attrs/empty-value", "user.empty", nil},
		{"attrs/binary", "user.binary", []byte{0, 1, 0xff, 0xfe, '\n', 0}},
		{"attrs/odd-name", "user.n\xe9 \u00e9", []byte("x")},
		{"attrs/big", "user.big", big},
		{"attrs/acl", "system.posix_acl_access", acl()},
		{"attrs/capability", "security.capability", capability()},
		{"attrs/trusted", "trusted.corpus", []byte("only root sees this")},
	} {
		if _, err := os.Lstat(t.path(a.file)); errors.Is(err, fs.ErrNotExist) {
			if err := t.file(a.file, []byte(a.file)); err != nil {
				return err
			}
		}
		if err := t.attribute(a.file, a.name, a.value); err != nil {
			return err
		}
	}
	if err := t.file("attrs/folder/inside", []byte("x")); err != nil {
		return err
	}
	if err := t.attribute("attrs/folder", "user.folder", []byte("yes")); err != nil {
		return err
	}
	return t.attribute("attrs/folder", "system.posix_acl_default", acl())
}

func (t *treeMaker) attribute(rel, name string, value []byte) error {
	return t.soft(unix.Lsetxattr(t.path(rel), name, value, 0), fmt.Sprintf("attribute %q", name))
}

// acl is user::rw-, user:12345:r--, group::r--, mask::rw-, other::--- in the kernel's form: tag, rights, id, in little-endian.
func acl() []byte {
	const none = 0xffffffff
	p := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, none}, {2, 4, 12345}, {4, 4, none}, {16, 6, none}, {32, 0, none}} {
		p = binary.LittleEndian.AppendUint16(p, e.tag)
		p = binary.LittleEndian.AppendUint16(p, e.perm)
		p = binary.LittleEndian.AppendUint32(p, e.id)
	}
	return p
}

// capability is cap_net_bind_service=ep, revision 2.
func capability() []byte {
	var buf bytes.Buffer
	for _, v := range []uint32{0x02000001, 1 << 10, 0, 0, 0} {
		buf.Write(binary.LittleEndian.AppendUint32(nil, v))
	}
	return buf.Bytes()
}

// specials makes what is neither file, folder nor symbolic link.
func (t *treeMaker) specials() error {
	if err := os.Mkdir(t.path("special"), 0o755); err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		mode uint32
		dev  uint64
	}{
		{"fifo", unix.S_IFIFO | 0o644, 0},
		{"socket", unix.S_IFSOCK | 0o755, 0},
		{"char-device", unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)},
		{"block-device", unix.S_IFBLK | 0o660, unix.Mkdev(7, 200)},
	} {
		path := t.path("special/" + s.name)
		err := unix.Mknod(path, s.mode, int(s.dev))
		if err == nil {
			err = unix.Chmod(path, s.mode&0o7777)
		}
		if err := t.soft(err, s.name); err != nil {
			return err
		}
	}
	return os.Link(t.path("special/fifo"), t.path("special/fifo-hard-link"))
}

// owners gives some files to users that do not exist, which needs root.
func (t *treeMaker) owners() error {
	for _, o := range []struct {
		name     string
		uid, gid int
	}{{"user", 1000, 1000}, {"unknown", 54321, 54321}, {"big", 3_000_000_000, 3_000_000_000}} {
		rel := "owners/" + o.name
		if err := t.file(rel, []byte(o.name)); err != nil {
			return err
		}
		if err := t.soft(unix.Lchown(t.path(rel), o.uid, o.gid), "owner "+o.name); err != nil {
			return err
		}
	}
	return nil
}

// times gives each name a time of its own, in nanoseconds, from seed and name; a few lie before 1970 or far ahead.
func (t *treeMaker) times() error {
	odd := map[string]unix.Timespec{
		"times/before-1970": {Sec: -86_401, Nsec: 123_456_789}, "times/epoch": {}, "times/one-ns": {Nsec: 1},
		"times/after-2038": {Sec: 4_102_444_800, Nsec: 999_999_999}, "times/last-second-of-31-bits": {Sec: 1<<31 - 1},
	}
	for rel := range odd {
		if err := t.file(rel, []byte(rel)); err != nil {
			return err
		}
	}
	var paths []string
	err := filepath.WalkDir(t.root, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range paths {
		rel, err := filepath.Rel(t.root, path)
		if err != nil {
			return err
		}
		ts, ok := odd[rel]
		if !ok {
			key := hashKey(t.seed, "time", rel)
			ts = unix.Timespec{Sec: epoch().Unix() - int64(key%200_000_000), Nsec: int64(key >> 32 % 1_000_000_000)}
		}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("setting the time of %s: %w", rel, err)
		}
	}
	return nil
}
