package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// DiskOptions change how a disk is opened and read. A nil *DiskOptions means the defaults.
type DiskOptions struct {
	// AllowInUse opens disks that are in use too. InUse says why they are.
	AllowInUse bool
	// DropCache drops what was read from the page cache, for machines whose own work needs the cache more. It makes
	// reading the same range twice slow.
	DropCache bool
}

// Disk is a block device or an image file. It implements Image.
type Disk struct {
	*File
	device bool
	inUse  *InUseError
	writes []uint64 // counters of a device that grow with every write to it
}

var _ Image = (*Disk)(nil)

// ErrNoDisk reports a path that is neither a block device nor a regular file, or a device that this system does not
// let us measure.
var ErrNoDisk = errors.New("not a disk or a regular file")

// OpenDisk opens the block device or the regular file that path, which is made absolute, leads to, following symlinks.
// If somebody may be writing to it, the error is an *InUseError, unless the options allow that. It is in use if it, a
// part of it, or something built on it is mounted, used as swap or opened exclusively; an image also if it backs such a
// device, or if QEMU or another process has it open or locked for writing. Writers that lock nothing and network
// clients cannot all be found: Changed is the second line.
func OpenDisk(ctx context.Context, path string, o *DiskOptions) (*Disk, error) {
	var opt DiskOptions
	if o != nil {
		opt = *o
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening disk %s: %w", path, err)
	}
	// Only what cannot block is opened: a device of another kind may act on being opened.
	fi, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	device := isBlock(fi.Mode())
	if !device && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("opening disk %s: %w", abs, ErrNoDisk)
	}
	f, err := openDisk(abs)
	if err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	d := &Disk{File: &File{f: f, path: abs, drop: opt.DropCache}, device: device}
	if err := d.prepare(fi, opt.AllowInUse); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	adviseSequential(f)
	return d, nil
}

func isBlock(m fs.FileMode) bool { return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0 }

func (d *Disk) prepare(before fs.FileInfo, allowInUse bool) error {
	after, err := d.f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = ErrReplaced
	}
	if err == nil {
		err = sysFstat(d.f, &d.before)
	}
	if err == nil {
		d.size, err = d.f.Seek(0, io.SeekEnd)
	}
	if err == nil && d.device && d.size == 0 {
		err = fmt.Errorf("%w: its size is unknown", ErrNoDisk)
	}
	if err != nil {
		return fmt.Errorf("opening disk %s: %w", d.path, err)
	}
	if why := diskUse(d.f, d.path, d.device, &d.before); why != "" {
		d.inUse = &InUseError{d.path, why}
		if !allowInUse {
			return d.inUse
		}
	}
	if d.device {
		d.writes = deviceWrites(d.f, d.before.RDev)
	}
	return nil
}

// Device reports whether the disk is a block device.
func (d *Disk) Device() bool { return d.device }

// InUse returns why the disk is in use, if it was opened in spite of that, else nil.
func (d *Disk) InUse() *InUseError { return d.inUse }

// Changed returns a *ChangedError if the disk was written to since it was opened: for files as File.Changed, for
// devices by the kernel's count of writes. Writes to the device below a partition or a volume are not counted there.
func (d *Disk) Changed() error {
	if !d.device {
		return d.File.Changed()
	}
	size, err := d.f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("measuring %s: %w", d.path, err)
	}
	if size != d.size {
		return &ChangedError{d.path, fmt.Sprintf("its size went from %d to %d", d.size, size)}
	}
	now := deviceWrites(d.f, d.before.RDev)
	for i, n := range d.writes {
		if i >= len(now) || now[i] != n {
			return &ChangedError{d.path, "the device was written to"}
		}
	}
	return nil
}
