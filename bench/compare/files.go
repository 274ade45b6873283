//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dataRanges yields the ranges of a file that are no holes.
func dataRanges(f *os.File) iter.Seq2[[2]int64, error] {
	return func(yield func([2]int64, error) bool) {
		for off := int64(0); ; {
			start, err := f.Seek(off, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				return // no data beyond
			}
			end := int64(0)
			if err == nil {
				end, err = f.Seek(start, unix.SEEK_HOLE)
			}
			if err != nil {
				yield([2]int64{}, fmt.Errorf("looking for data: %w", err))
				return
			}
			if !yield([2]int64{start, end}, nil) {
				return
			}
			off = end
		}
	}
}

// warm reads the data of a file, or of all files of a folder, so that it is in the page cache. It returns the bytes read.
func warm(path string) (int64, error) {
	total := int64(0)
	buf := make([]byte, 1<<20)
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		for r, err := range dataRanges(f) {
			if err != nil {
				return err
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.NewSectionReader(f, r[0], r[1]-r[0])}, buf)
			if total += n; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return total, fmt.Errorf("reading %s: %w", path, err)
	}
	return total, nil
}

// treeSize is the sum of the sizes of all files below a folder, which need not be there.
func treeSize(dir string) (int64, error) {
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring a repository: %w", err)
	}
	return total, nil
}

// stage makes path show the file src: by a hard link, or where that cannot be by a sparse copy. What was at path is removed.
func stage(src, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("staging a source: %w", err)
	}
	if os.Link(src, path) == nil {
		return nil
	}
	if err := copySparse(src, path); err != nil {
		return fmt.Errorf("staging a source: %w", err)
	}
	return nil
}

// copySparse copies data and leaves holes.
func copySparse(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	for r, err := range dataRanges(in) {
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, r[0]), io.NewSectionReader(in, r[0], r[1]-r[0])); err != nil {
			return err
		}
	}
	return nil
}

// findRestored returns the only regular file with that name below dir.
func findRestored(dir, name string) (string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() == name {
			found = append(found, path)
		}
		return err
	})
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("there are %d files named %s", len(found), name)
	}
	if err != nil {
		return "", fmt.Errorf("looking for what was restored: %w", err)
	}
	return found[0], nil
}

// sameBytes compares two files and says where they first differ.
func sameBytes(want, got string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(p)) {
		n, errA := io.ReadFull(a, p)
		m, errB := io.ReadFull(b, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return fmt.Errorf("%s is not what was backed up: it differs within 1 MiB after offset %d", got, off)
		}
		if errA != nil || errB != nil {
			if ended(errA) && ended(errB) {
				return nil
			}
			return errors.Join(errA, errB)
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// writeClean writes a change map as nbdinfo prints one of a dirty bitmap: of so many bytes, none changed.
func writeClean(path string, size int64) error {
	text := fmt.Sprintf(`[{"offset": 0, "length": %d, "type": 0, "description": "clean"}]`, size)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a change map: %w", err)
	}
	return nil
}
