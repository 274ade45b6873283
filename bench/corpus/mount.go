//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mountImage loop-mounts an image and returns what unmounts it, which also runs at the end if nobody called it.
func (b *builder) mountImage(ctx context.Context, image, dir, opts string) (unmount func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making a mount point: %w", err)
	}
	unmount = b.undo.add(func() error { return unmountBelow(dir) })
	// noinit_itable: the kernel would otherwise go on zeroing inode tables behind our back.
	if err := b.run.simple(ctx, "mount", "-t", "ext4", "-o", "loop,noatime,noinit_itable"+opts, image, dir); err != nil {
		return nil, errors.Join(err, unmount())
	}
	return unmount, nil
}

// unmountBelow unmounts everything at and below dir, the deepest first.
func unmountBelow(dir string) error {
	points, err := mountPoints(dir)
	if err != nil {
		return err
	}
	for i := len(points) - 1; i >= 0; i-- {
		if err := unmount(points[i]); err != nil {
			return err
		}
	}
	return nil
}

// unmount waits for a busy mount, since servers need a moment to let go; as a last resort it detaches it and says so.
func unmount(point string) error {
	var err error
	for range 50 {
		if err = unix.Unmount(point, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("unmounting %s: %w", point, err), unix.Unmount(point, unix.MNT_DETACH))
}

// mountPoints lists the mounts at and below dir in the order in which they were made.
func mountPoints(dir string) (_ []string, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var points []string
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(fields[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	return points, nil
}

// unescapeMount undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// canMount reports whether this process can loop-mount ext4, by doing it: being root is not enough in most containers.
func (b *builder) canMount(ctx context.Context) bool {
	if os.Geteuid() != 0 {
		return false
	}
	image, dir := b.temp("probe.img"), b.temp("probe")
	if err := b.makeFS(ctx, image, 8<<20, "probe"); err != nil {
		return false
	}
	unmount, err := b.mountImage(ctx, image, dir, "")
	if err != nil {
		return false
	}
	return unmount() == nil
}

// makeFS makes a sparse image with an empty ext4 whose UUID comes from the seed and the label.
func (b *builder) makeFS(ctx context.Context, path string, size int64, label string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing an old image: %w", err)
	}
	id := uuid(b.cfg.seed, label)
	return b.run.exec(ctx, command{name: "mke2fs", env: e2fsEnv(), args: []string{"-q", "-F", "-t", "ext4", "-b", "4096", "-i", "16384", "-m", "1",
		"-U", id, "-E", "hash_seed=" + id + ",lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", path, fmt.Sprintf("%dk", size>>10)}})
}

// e2fsEnv fixes the time that e2fsprogs writes, so that the same input makes the same image.
func e2fsEnv() []string {
	return cleanEnv(fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", epoch().Unix()), "MKE2FS_SYNC=0")
}

// checkFS lets e2fsck read an image without changing it.
func (b *builder) checkFS(ctx context.Context, image string) error {
	if err := b.run.simple(ctx, "e2fsck", "-f", "-n", image); err != nil {
		return fmt.Errorf("the image %s is not sound: %w", filepath.Base(image), err)
	}
	return nil
}

// copySparse copies an image with its holes.
func (b *builder) copySparse(ctx context.Context, from, to string) error {
	return b.run.simple(ctx, "cp", "--sparse=always", "--reflink=auto", from, to)
}
