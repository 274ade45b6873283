//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// fullImage is the size of an image at scale 1, in bytes.
const fullImage = 4 << 30

func (b *builder) imageSize() int64 { return fullImage / int64(b.cfg.scale) }

const (
	methodDebian = "debootstrap, loop-mounted"
	methodFiles  = "selection of /usr, written by debugfs"
)

// e2fsTools are what every image needs.
func e2fsTools() []tool {
	return []tool{{"mke2fs", "e2fsprogs"}, {"debugfs", "e2fsprogs"}, {"e2fsck", "e2fsprogs"}, {"cp", "coreutils"}}
}

// buildVM makes vm-day0.img and vm-day1.img.
func (b *builder) buildVM(ctx context.Context) error {
	if m := missingTools(e2fsTools()...); m != "" {
		return fmt.Errorf("disk images: %s", m)
	}
	day0, day1, mirror, err := b.vmWants(ctx)
	if err != nil {
		return err
	}
	ok, err := b.kept(day0)
	if err != nil {
		return err
	}
	if !ok {
		start := time.Now()
		build := b.filesDay0
		if !day0.fallback && b.cfg.scale == 1 {
			build = func(ctx context.Context, img string, w *want) error { return b.debianDay0(ctx, mirror, img, w) }
		}
		if err := b.image(ctx, day0, start, build); err != nil {
			return fmt.Errorf("day 0: %w", err)
		}
	}
	return b.buildDay1(ctx, day1, mirror)
}

// buildDay1 works on a copy of day 0 in the way that day 0 was made, which may be another than today's choice.
func (b *builder) buildDay1(ctx context.Context, day1 want, mirror aptSource) error {
	made, _ := b.man.find("vm-day0.img")
	day1.method, day1.fallback = made.Method, made.Fallback
	if ok, err := b.kept(day1); ok || err != nil {
		return err
	}
	start := time.Now()
	build := b.filesDay1
	if made.Method == methodDebian {
		build = func(ctx context.Context, img string, w *want) error { return b.debianDay1(ctx, mirror, img, w) }
	}
	copied := func(ctx context.Context, img string, w *want) error {
		if err := b.copySparse(ctx, b.path("vm-day0.img"), img); err != nil {
			return err
		}
		return build(ctx, img, w)
	}
	if err := b.image(ctx, day1, start, copied); err != nil {
		return fmt.Errorf("day 1: %w", err)
	}
	return nil
}

// image builds one image, checks its file system, and puts it in place.
func (b *builder) image(ctx context.Context, w want, start time.Time, build func(context.Context, string, *want) error) error {
	tmp := b.temp(w.name)
	if err := build(ctx, tmp, &w); err != nil {
		return err
	}
	if err := b.checkFS(ctx, tmp); err != nil {
		return err
	}
	return b.finish(w, tmp, start)
}

// vmWants chooses how to make the images: a Debian system at scale 1 where that is possible, else files of this machine.
func (b *builder) vmWants(ctx context.Context) (day0, day1 want, mirror aptSource, err error) {
	day0, day1 = b.want("vm", "vm-day0.img", methodFiles), b.want("vm", "vm-day1.img", methodFiles)
	day1.base = day0.name
	if b.cfg.scale > 1 {
		return day0, day1, mirror, nil
	}
	mirror, why := b.canDebian(ctx)
	if why == "" {
		day0.method, day1.method = methodDebian, methodDebian
		return day0, day1, mirror, nil
	}
	day0.fallback, day1.fallback = true, true
	return day0, day1, mirror, b.fallBack("vm", why, methodFiles)
}

// canDebian returns the mirror to use, or why a Debian system cannot be made.
func (b *builder) canDebian(ctx context.Context) (aptSource, string) {
	if os.Geteuid() != 0 {
		return aptSource{}, "a Debian system needs root"
	}
	if m := missingTools(tool{"debootstrap", "debootstrap"}, tool{"mount", "mount"}, tool{"fstrim", "util-linux"},
		tool{"apt-get", "apt"}, tool{"dpkg", "dpkg"}); m != "" {
		return aptSource{}, m
	}
	if !b.canMount(ctx) {
		return aptSource{}, "loop devices cannot be mounted here"
	}
	mirror, err := findMirror("/etc/apt", b.cfg.suite)
	if err != nil {
		return aptSource{}, err.Error()
	}
	return mirror, ""
}

// buildVM2 makes vm2.img: the files of day 0, written in another order into a file system with another UUID.
func (b *builder) buildVM2(ctx context.Context) error {
	made, ok := b.man.find("vm-day0.img")
	if !ok {
		return fmt.Errorf("vm-day0.img is not there")
	}
	w := b.want("vm2", "vm2.img", made.Method)
	w.base, w.fallback = made.Name, made.Fallback
	if ok, err := b.kept(w); ok || err != nil {
		return err
	}
	build := b.filesShuffled
	if made.Method == methodDebian {
		build = b.debianShuffled
	}
	return b.image(ctx, w, time.Now(), build)
}

// debianShuffled copies everything from a mounted day 0 into a new file system, in an order that the seed decides.
func (b *builder) debianShuffled(ctx context.Context, img string, _ *want) (err error) {
	if err := b.makeFS(ctx, img, b.imageSize(), "vm2"); err != nil {
		return err
	}
	from, to := b.temp("from"), b.temp("to")
	unmountFrom, err := b.mountImage(ctx, b.path("vm-day0.img"), from, ",ro,noload")
	if err != nil {
		return err
	}
	unmountTo, err := b.mountImage(ctx, img, to, "")
	if err != nil {
		return err
	}
	if err := copyShuffled(ctx, from, to, b.cfg.seed); err != nil {
		return err
	}
	if err := unmountTo(); err != nil {
		return err
	}
	return unmountFrom()
}
