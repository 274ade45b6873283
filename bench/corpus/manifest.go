//go:build linux

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// blockSize is the unit in which changes between two images are counted, in bytes.
const blockSize = 4096

// manifest is DIR/manifest.json: what has been made and what it holds.
type manifest struct {
	path  string
	Files []entry `json:"files"`
}

// entry describes one finished file or tree. Sizes are bytes; BLAKE3 is 64 hex digits of the content, for a tree of its listing.
type entry struct {
	Name          string   `json:"name"`
	Part          string   `json:"part"`
	Recipe        string   `json:"recipe"`
	Method        string   `json:"method"`
	Fallback      bool     `json:"fallback"`
	Size          int64    `json:"size"`
	Allocated     int64    `json:"allocated"`
	BLAKE3        string   `json:"blake3"`
	ModTimeNS     int64    `json:"mtime_ns"`
	Entries       int      `json:"entries,omitempty"`
	Base          string   `json:"base,omitempty"`
	BaseBLAKE3    string   `json:"base_blake3,omitempty"`
	ChangedBlocks int64    `json:"changed_4k_blocks,omitempty"`
	Seconds       float64  `json:"seconds"`
	Notes         []string `json:"notes,omitempty"`
}

// loadManifest reads a manifest; a missing one is empty, a damaged one an error.
func loadManifest(path string) (*manifest, error) {
	m := &manifest{path: path}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("parsing %s (delete it to start over): %w", path, err)
	}
	return m, nil
}

func (m *manifest) find(name string) (entry, bool) {
	for _, e := range m.Files {
		if e.Name == name {
			return e, true
		}
	}
	return entry{}, false
}

func (m *manifest) put(e entry) {
	for i := range m.Files {
		if m.Files[i].Name == e.Name {
			m.Files[i] = e
			return
		}
	}
	m.Files = append(m.Files, e)
}

// save replaces the manifest file in one step.
func (m *manifest) save() error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	tmp := m.path + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	if err := os.Rename(tmp, m.path); err != nil {
		return fmt.Errorf("replacing the manifest: %w", err)
	}
	return nil
}

// measure fills in sizes, hash and time from the file or tree at path.
func (e *entry) measure(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("measuring %s: %w", e.Name, err)
	}
	e.ModTimeNS = fi.ModTime().UnixNano()
	if fi.IsDir() {
		sum, err := digestTree(path)
		if err != nil {
			return err
		}
		e.Size, e.Allocated, e.Entries, e.BLAKE3 = sum.size, sum.allocated, sum.entries, sum.blake3
		return nil
	}
	e.Size = fi.Size()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("measuring %s: %w", e.Name, err)
	}
	e.Allocated = st.Blocks * 512
	e.BLAKE3, err = hashFile(path)
	return err
}

// matches reports whether path still holds what the entry says. The content is read if full is set, if the time differs, and for trees.
func (e *entry) matches(path string, full bool) (bool, error) {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("checking %s: %w", e.Name, err)
	}
	if !fi.IsDir() {
		if fi.Size() != e.Size {
			return false, nil
		}
		if !full && fi.ModTime().UnixNano() == e.ModTimeNS {
			return true, nil
		}
	}
	now := entry{Name: e.Name}
	if err := now.measure(path); err != nil {
		return false, err
	}
	return now.BLAKE3 == e.BLAKE3, nil
}

func hashFile(path string) (_ string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hashing: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := blake3.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("hashing %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// changedBlocks counts the 4 KiB blocks in which two files differ; blocks that only one of them has count too.
func changedBlocks(a, b string) (n int64, err error) {
	fa, err := os.Open(a)
	if err != nil {
		return 0, fmt.Errorf("comparing: %w", err)
	}
	defer func() { err = errors.Join(err, fa.Close()) }()
	fb, err := os.Open(b)
	if err != nil {
		return 0, fmt.Errorf("comparing: %w", err)
	}
	defer func() { err = errors.Join(err, fb.Close()) }()
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		na, errA := readFull(fa, bufA)
		nb, errB := readFull(fb, bufB)
		if err := errors.Join(errA, errB); err != nil {
			return 0, fmt.Errorf("comparing %s and %s: %w", a, b, err)
		}
		if na == 0 && nb == 0 {
			return n, nil
		}
		n += differing(bufA[:na], bufB[:nb])
	}
}

func differing(a, b []byte) (n int64) {
	if bytes.Equal(a, b) {
		return 0
	}
	for off := 0; off < max(len(a), len(b)); off += blockSize {
		if !bytes.Equal(cut(a, off), cut(b, off)) {
			n++
		}
	}
	return n
}

// cut returns the block of p that starts at off, as much of it as there is.
func cut(p []byte, off int) []byte {
	off = min(off, len(p))
	return p[off:min(off+blockSize, len(p))]
}

// readFull reads until p is full or the file ends, which is no error.
func readFull(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
