package source

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/internal/pattern"
)

// FilterOptions say what a Filter leaves out. All of them may be combined; what any of them leaves out is out. The
// patterns are those of package pattern, matched with absolute paths with "/" between the components.
type FilterOptions struct {
	// Exclude are patterns, and ExcludeFiles paths of files of patterns, which come after them in the same list.
	Exclude, ExcludeFiles []string
	// IExclude and IExcludeFiles are a second list, in which case does not count.
	IExclude, IExcludeFiles []string
	// ExcludeIfPresent are names of files, or NAME:HEADER, of which one in a folder (that starts with HEADER) leaves out
	// all else in the folder.
	ExcludeIfPresent []string
	// ExcludeCaches leaves out what is in folders tagged as caches (https://bford.info/cachedir/), but for the tag.
	ExcludeCaches bool
	// LargerThan leaves out files of more bytes; 0 none.
	LargerThan int64
	// OneFileSystem stays on the file system of the folder where a walk starts. Folders on others are kept, empty.
	OneFileSystem bool
	// Getenv looks up the variables in pattern files; nil is os.Getenv.
	Getenv func(string) string
}

// Filter decides what of a tree is left out. It never changes. A nil *Filter keeps everything.
type Filter struct {
	lists  []*pattern.List
	tags   []tag
	larger int64
	oneFS  bool
}

// tag is a file that marks the folder it is in.
type tag struct{ name, header string }

// cacheTag is the file, and the start of it, that the Cache Directory Tagging Specification asks for.
var cacheTag = tag{"CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"}

// NewFilter reads the pattern files and checks everything else.
func NewFilter(o *FilterOptions) (*Filter, error) {
	if o == nil {
		return nil, nil
	}
	f := &Filter{larger: math.MaxInt64, oneFS: o.OneFileSystem}
	if o.OneFileSystem && !hasDevices {
		return nil, fmt.Errorf("staying on one file system: %w on this system", errors.ErrUnsupported)
	}
	if o.LargerThan < 0 {
		return nil, fmt.Errorf("excluding files larger than %d bytes: the size is negative", o.LargerThan)
	}
	if o.LargerThan > 0 {
		f.larger = o.LargerThan
	}
	for _, s := range o.ExcludeIfPresent {
		name, header, _ := strings.Cut(s, ":")
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"+string(separator)) {
			return nil, fmt.Errorf("excluding folders that contain %q: not the name of a file", s)
		}
		f.tags = append(f.tags, tag{name, header})
	}
	if o.ExcludeCaches {
		f.tags = append(f.tags, cacheTag)
	}
	for _, in := range []struct {
		patterns, files []string
		fold            bool
	}{{o.Exclude, o.ExcludeFiles, false}, {o.IExclude, o.IExcludeFiles, true}} {
		list, err := readList(in.patterns, in.files, in.fold, o.Getenv)
		if err != nil {
			return nil, err
		}
		if list.Len() > 0 {
			f.lists = append(f.lists, list)
		}
	}
	return f, nil
}

func readList(patterns, files []string, fold bool, getenv func(string) string) (*pattern.List, error) {
	all := append([]string(nil), patterns...)
	for _, name := range files {
		more, err := readPatterns(name, getenv)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	list, err := pattern.Compile(all, &pattern.Options{FoldCase: fold})
	if err != nil {
		return nil, fmt.Errorf("excluding: %w", err)
	}
	return list, nil
}

func readPatterns(name string, getenv func(string) string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading patterns: %w", err)
	}
	defer file.Close()
	patterns, err := pattern.Read(file, getenv)
	if err != nil {
		return nil, fmt.Errorf("reading patterns of %s: %w", name, err)
	}
	return patterns, nil
}

// Keep reports whether the filter keeps path, with the metadata e, judged by its patterns and the size of files. It is
// for the paths a walk starts from; inside, Dir.Entries asks.
func (f *Filter) Keep(path string, e *Entry) bool {
	if f == nil {
		return true
	}
	for _, l := range f.lists {
		if l.Match(filepath.ToSlash(path)) {
			return false
		}
	}
	return f.keepSize(e)
}

func (f *Filter) keepSize(e *Entry) bool { return e.Type != TypeFile || e.Size <= f.larger }

// at returns the cursors for the folder path.
func (f *Filter) at(path string) []*pattern.Cursor {
	if f == nil {
		return nil
	}
	var cs []*pattern.Cursor
	for _, l := range f.lists {
		cs = append(cs, l.At(filepath.ToSlash(path)))
	}
	return cs
}

// bars reports whether a folder on device must not be entered by a walk that started on root.
func (f *Filter) bars(device, root uint64) bool { return f != nil && f.oneFS && device != root }

func (d *Dir) enter(name string) []*pattern.Cursor {
	if d.cursors == nil {
		return nil
	}
	below := make([]*pattern.Cursor, len(d.cursors))
	for i, c := range d.cursors {
		below[i] = c.Enter(name)
	}
	return below
}

// keepName is the part of the filter that needs only a name.
func (d *Dir) keepName(name []byte) bool {
	if d.tags == nil && d.cursors == nil {
		return true
	}
	s := string(name)
	for _, c := range d.cursors {
		if c.Match(s) {
			return false
		}
	}
	if d.tags == nil {
		return true
	}
	for _, t := range d.tags {
		if t == s {
			return true
		}
	}
	return false
}

// Keep reports whether the filter keeps an entry of this folder whose name came from Names. What is on another file
// system, and no folder, is not kept by a filter that stays on one.
func (d *Dir) Keep(e *Entry) bool {
	f := d.tree.filter
	if f == nil {
		return true
	}
	return f.keepSize(e) && (e.Type == TypeDirectory || !f.bars(e.Device, d.rootDevice))
}

// findTags returns the tags that mark the folder, or nil.
func (d *Dir) findTags() []string {
	if d.tree.filter == nil {
		return nil
	}
	var found []string
	for _, t := range d.tree.filter.tags {
		if d.hasTag(t) {
			found = append(found, t.name)
		}
	}
	return found
}

// hasTag reports whether the tag's file is in the folder and, with a header, a regular file that starts with it.
func (d *Dir) hasTag(t tag) bool {
	found := false
	_ = d.at(func(loc location) error { // a folder that cannot be reached says so to whoever reads it
		var e Entry
		if err := sysStat(loc, t.name, false, &e); err != nil {
			found = t.header == "" && errors.Is(err, ErrType)
			return err
		}
		if t.header == "" {
			found = true
			return nil
		}
		file, err := openFile(loc, t.name, d.join(t.name), &e)
		if err != nil {
			return err
		}
		defer file.Close()
		head := make([]byte, len(t.header))
		n, _ := file.ReadAt(head, 0)
		found = string(head[:n]) == t.header
		return nil
	})
	return found
}

// ParseSize reads a size in bytes as the option --exclude-larger-than takes it: a number, and perhaps one of the
// letters k, m, g and t, of either case, for powers of 1024.
func ParseSize(s string) (int64, error) {
	digits, shift := s, 0
	if s != "" {
		if i := strings.IndexByte("kmgt", s[len(s)-1]|0x20); i >= 0 {
			digits, shift = s[:len(s)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("bad size %q: want a number of bytes, or one followed by k, m, g or t", s)
	}
	return int64(n << shift), nil
}
