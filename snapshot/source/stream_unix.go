//go:build linux || darwin || freebsd

package source

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// waitOutside lets reads of a file wait in a way that can be interrupted, if the runtime has none: files that the process was started
// with, standard input above all, block, and others may use them too, so that they have to stay that way.
func (s *reader) waitOutside() {
	f, ok := s.r.(*os.File)
	if !ok || !blocks(f) {
		return
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return // without descriptors there will be other problems
	}
	s.r = &blocking{f, pr}
	s.interrupt = func() { _ = pw.Close() }
	s.release = func() { _, _ = pr.Close(), pw.Close() }
}

func blocks(f *os.File) (yes bool) {
	control(f, func(fd int) {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		yes = err == nil && flags&unix.O_NONBLOCK == 0
	})
	return yes
}

// blocking is a file whose reads block. It is read only when there is something to read.
type blocking struct {
	file *os.File
	stop *os.File // at its end when the waiting shall end
}

func (b *blocking) Read(p []byte) (int, error) {
	if err := b.wait(); err != nil {
		return 0, err
	}
	return b.file.Read(p)
}

// wait returns when a read would not block, and with an error when it was told to stop.
func (b *blocking) wait() (err error) {
	err = fs.ErrClosed
	control(b.file, func(file int) {
		control(b.stop, func(stop int) {
			fds := []unix.PollFd{{Fd: int32(file), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
			err = retry(func() error {
				_, err := unix.Poll(fds, -1)
				return err
			})
			if err == nil && fds[1].Revents != 0 {
				err = os.ErrDeadlineExceeded
			}
		})
	})
	return err
}
