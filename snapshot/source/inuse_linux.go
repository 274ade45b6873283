package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kernel is where the kernel tells about itself; tests point it elsewhere.
type kernel struct{ proc, sys string }

var theKernel = kernel{"/proc", "/sys"}

// device is a block device by its numbers.
type device struct{ major, minor uint32 }

func (d device) String() string { return fmt.Sprintf("%d:%d", d.major, d.minor) }

func deviceOf(rdev uint64) device { return device{uint32(rdev >> 32), uint32(rdev)} }

// diskUse returns why a disk, open as f, may be written to by others, or "".
func diskUse(f *os.File, path string, isDevice bool, e *Entry) string {
	if isDevice {
		return theKernel.deviceUse(deviceOf(e.RDev), path)
	}
	if why := theKernel.backingUse(f); why != "" {
		return why
	}
	if why := lockUse(f); why != "" {
		return why
	}
	return leaseUse(f)
}

// deviceUse returns why the device, its partitions, or what is built on them is in use, or "".
func (k kernel) deviceUse(d device, path string) string {
	all := k.parts(d)
	if len(all.holders) > 0 {
		return "it belongs to " + strings.Join(all.holders, ", ")
	}
	if why := k.mounted(all.devices); why != "" {
		return why
	}
	if why := k.swapped(func(st *unix.Stat_t) bool {
		return st.Mode&unix.S_IFMT == unix.S_IFBLK && all.has(deviceFromDev(uint64(st.Rdev)))
	}); why != "" {
		return why
	}
	// The kernel itself refuses a second exclusive opener: mounts in other namespaces, RAID, ZFS, other programs.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == unix.EBUSY {
		return "the kernel or a program has it open exclusively"
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	return ""
}

func deviceFromDev(dev uint64) device { return device{unix.Major(dev), unix.Minor(dev)} }

// family is a device with its partitions, and the names of the devices built on any of them.
type family struct {
	devices []device
	holders []string
}

func (f *family) has(d device) bool {
	for _, x := range f.devices {
		if x == d {
			return true
		}
	}
	return false
}

func (k kernel) parts(d device) family {
	all := family{devices: []device{d}}
	dir := filepath.Join(k.sys, "dev/block", d.String())
	all.addHolders(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return all
	}
	for _, e := range entries {
		part := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(part, "partition")); err != nil {
			continue
		}
		var p device
		if _, err := fmt.Sscanf(readLine(filepath.Join(part, "dev")), "%d:%d", &p.major, &p.minor); err == nil {
			all.devices = append(all.devices, p)
		}
		all.addHolders(part)
	}
	return all
}

func (f *family) addHolders(dir string) {
	entries, err := os.ReadDir(filepath.Join(dir, "holders"))
	if err != nil {
		return
	}
	for _, e := range entries {
		f.holders = append(f.holders, e.Name())
	}
}

// mounted returns where one of the devices is mounted. File systems over several devices show a device number of their
// own, so the name of what is mounted counts too.
func (k kernel) mounted(devices []device) string {
	text, err := os.ReadFile(filepath.Join(k.proc, "self/mountinfo"))
	if err != nil {
		return ""
	}
	all := family{devices: devices}
	for line := range strings.Lines(string(text)) {
		// id, parent, major:minor, root, mount point, options, tags..., "-", type, source, options
		f := strings.Fields(line)
		i := 6
		for i < len(f) && f[i] != "-" {
			i++
		}
		if i+2 >= len(f) {
			continue
		}
		var d device
		if _, err := fmt.Sscanf(f[2], "%d:%d", &d.major, &d.minor); err == nil && all.has(d) {
			return "mounted on " + unescape(f[4])
		}
		var st unix.Stat_t
		if src := unescape(f[i+2]); src[0] == '/' && unix.Stat(src, &st) == nil &&
			st.Mode&unix.S_IFMT == unix.S_IFBLK && d.major == 0 && all.has(deviceFromDev(uint64(st.Rdev))) {
			return "mounted on " + unescape(f[4])
		}
	}
	return ""
}

// swapped returns whether one of the swap areas is the one asked for.
func (k kernel) swapped(same func(*unix.Stat_t) bool) string {
	text, err := os.ReadFile(filepath.Join(k.proc, "swaps"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		var st unix.Stat_t
		if len(f) > 0 && f[0][0] == '/' && unix.Stat(unescape(f[0]), &st) == nil && same(&st) {
			return "used as swap"
		}
	}
	return ""
}

// backingUse returns why an image is in use as swap or through a loop device that can write to it.
func (k kernel) backingUse(f *os.File) string {
	var own unix.Stat_t
	if !fstat(f, &own) {
		return ""
	}
	same := func(st *unix.Stat_t) bool { return st.Dev == own.Dev && st.Ino == own.Ino }
	if why := k.swapped(same); why != "" {
		return why
	}
	loops, err := filepath.Glob(filepath.Join(k.sys, "block/loop*/loop/backing_file"))
	if err != nil {
		return ""
	}
	for _, file := range loops {
		dir := filepath.Dir(filepath.Dir(file))
		var st unix.Stat_t
		if readLine(filepath.Join(dir, "ro")) == "1" || unix.Stat(readLine(file), &st) != nil || !same(&st) {
			continue
		}
		var d device
		if _, err := fmt.Sscanf(readLine(filepath.Join(dir, "dev")), "%d:%d", &d.major, &d.minor); err != nil {
			continue
		}
		name := "/dev/" + filepath.Base(dir)
		if why := k.deviceUse(d, name); why != "" {
			return fmt.Sprintf("attached to %s: %s", name, why)
		}
	}
	return ""
}

// QEMU says with shared locks on single bytes what it does to an image: 100 + n that it uses permission n, 200 + n that
// it denies it to others. Permission 1 is to write, 3 to resize.
const (
	qemuFirst  = 100
	qemuWrite  = qemuFirst + 1
	qemuResize = qemuFirst + 3
)

// lockUse returns who holds locks that writers of images take.
func lockUse(f *os.File) string {
	for _, at := range []int64{qemuWrite, qemuResize} {
		l := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET, Start: at, Len: 1}
		if heldBy(f, &l) && l.Start >= qemuFirst && l.Len > 0 && l.Start+l.Len <= qemuResize+1 {
			return "QEMU has it open for writing"
		}
	}
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: unix.SEEK_SET}
	if heldBy(f, &l) {
		if l.Pid > 0 {
			return fmt.Sprintf("process %d has it locked for writing", l.Pid)
		}
		return "a process has it locked for writing"
	}
	return ""
}

// heldBy reports whether somebody holds a lock that conflicts with l, and describes it in l.
func heldBy(f *os.File, l *unix.Flock_t) (held bool) {
	control(f, func(fd int) {
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, l)
		held = err == nil && l.Type != unix.F_UNLCK
	})
	return held
}

// leaseUse asks for a read lease, which the kernel refuses while anybody has the file open for writing. It is a hint:
// only owners may ask, and not all file systems answer. A process that is just starting may hold copies of descriptors
// for a moment, so a refusal must last.
func leaseUse(f *os.File) string {
	for try := 0; ; try++ {
		var err error
		control(f, func(fd int) {
			if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); err == nil {
				_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
			}
		})
		if !errors.Is(err, unix.EAGAIN) {
			return ""
		}
		if try == 4 {
			return "a process has it open for writing"
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// deviceWrites returns the kernel's counts of sectors written to and discarded from a device. What was written to its
// page cache is written out first, or it would be counted only later.
func deviceWrites(f *os.File, rdev uint64) []uint64 {
	control(f, func(fd int) { _ = unix.Fsync(fd) })
	const written, discarded = 6, 13
	fields := strings.Fields(readLine(filepath.Join(theKernel.sys, "dev/block", deviceOf(rdev).String(), "stat")))
	var counts []uint64
	for _, i := range []int{written, discarded} {
		var n uint64
		if i < len(fields) {
			if _, err := fmt.Sscan(fields[i], &n); err == nil {
				counts = append(counts, n)
			}
		}
	}
	return counts
}

func fstat(f *os.File, st *unix.Stat_t) (ok bool) {
	control(f, func(fd int) { ok = unix.Fstat(fd, st) == nil })
	return ok
}

func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\n")
}

// unescape undoes the octal escapes (\040) of files in /proc.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		var c byte
		if s[i] == '\\' && i+3 < len(s) {
			if _, err := fmt.Sscanf(s[i+1:i+4], "%o", &c); err == nil {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
