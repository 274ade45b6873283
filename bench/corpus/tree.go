//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fullSmallFiles is the number of small files in tree/ at scale 1; there are never fewer than minSmallFiles.
const (
	fullSmallFiles = 5000
	minSmallFiles  = 500
)

// buildTree makes tree/: small files, and one folder for each kind of thing that file trees trip backups with.
func (b *builder) buildTree(ctx context.Context) error {
	w := b.want("tree", "tree", "seeded, as root")
	if os.Geteuid() != 0 {
		w.method, w.fallback = "seeded, not as root", true
		if err := b.fallBack("tree", "device nodes, owners and capabilities need root", "a tree without them"); err != nil {
			return err
		}
	}
	if ok, err := b.kept(w); ok || err != nil {
		return err
	}
	start := time.Now()
	notes, err := makeTree(ctx, b.temp(w.name), b.cfg.seed, max(minSmallFiles, fullSmallFiles/b.cfg.scale))
	if err != nil {
		return err
	}
	for _, n := range notes {
		b.say("tree: %s", n)
	}
	w.notes = notes
	return b.finish(w, b.temp(w.name), start)
}

// treeMaker fills one tree. What the file system or the user's rights do not allow becomes a note.
type treeMaker struct {
	root  string
	seed  uint64
	notes []string
}

// makeTree makes a tree at root, which must not exist, and returns what had to be left out.
func makeTree(ctx context.Context, root string, seed uint64, small int) ([]string, error) {
	t := &treeMaker{root: root, seed: seed}
	steps := []func() error{
		func() error { return os.Mkdir(root, 0o755) },
		func() error { return t.smallFiles(ctx, small) },
		t.sizes, t.sparse, t.hardLinks, t.symlinks, t.names, t.deep, t.modes, t.attributes, t.specials, t.owners, t.times,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("making the tree: %w", err)
		}
	}
	return t.notes, nil
}

func (t *treeMaker) path(rel string) string { return filepath.Join(t.root, rel) }

// soft turns "not allowed" and "not supported" into a note; other errors stay errors.
func (t *treeMaker) soft(err error, what string) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EILSEQ) {
		t.notes = append(t.notes, fmt.Sprintf("left out %s: %v", what, err))
		return nil
	}
	return err
}

func (t *treeMaker) file(rel string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(t.path(rel)), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(t.path(rel), data, 0o644); err != nil {
		return err
	}
	return os.Chmod(t.path(rel), 0o644) // whatever the umask
}

// smallFiles makes n files of up to 16 KiB, mostly text, some random, some with equal content, in folders of 64.
func (t *treeMaker) smallFiles(ctx context.Context, n int) error {
	rng, src := dice(t.seed, "tree small"), source(t.seed, "tree random")
	rows := newRowMaker(rng)
	var last []byte
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := 1 << rng.IntN(14)
		size += rng.IntN(size)
		var data []byte
		switch i % 8 {
		case 0:
			data = make([]byte, size)
			fill(src, data)
		case 1:
			data = last
		default:
			for len(data) < size {
				data = append(rows.appendText(data, 10), '\n')
			}
		}
		last = data
		if err := t.file(fmt.Sprintf("small/d%03d/%s-%04d.txt", i/64, rows.pick(rows.words), i), data); err != nil {
			return err
		}
	}
	return nil
}

// sizes makes files whose sizes lie at the edges of blocks, chunks and segments, and an empty folder.
func (t *treeMaker) sizes() error {
	src := source(t.seed, "tree sizes")
	for _, n := range []int{0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 262144, 1 << 20, 1<<20 + 1, 5 << 20} {
		data := make([]byte, n)
		fill(src, data)
		if err := t.file(fmt.Sprintf("sizes/%d.bin", n), data); err != nil {
			return err
		}
	}
	if err := t.file("sizes/zeros-1MiB.bin", make([]byte, 1<<20)); err != nil {
		return err
	}
	return os.Mkdir(t.path("sizes/empty-folder"), 0o755)
}

// sparse makes files with holes at the start, in the middle, at the end, everywhere, and not on block borders.
func (t *treeMaker) sparse() error {
	if err := os.Mkdir(t.path("sparse"), 0o755); err != nil {
		return err
	}
	type piece struct{ off, n int64 }
	src := source(t.seed, "tree sparse")
	for _, f := range []struct {
		name string
		size int64
		data []piece
	}{
		{"all-hole", 16 << 20, nil},
		{"hole-first", 8 << 20, []piece{{7 << 20, 1 << 20}}},
		{"hole-last", 8 << 20, []piece{{0, 1 << 20}}},
		{"holes-between", 16 << 20, []piece{{0, 4096}, {1 << 20, 65536}, {5<<20 + 4096, 8192}, {16<<20 - 4096, 4096}}},
		{"odd-borders", 3<<20 + 17, []piece{{4095, 2}, {1<<20 + 1, 70001}, {3 << 20, 17}}},
		{"one-byte-far-away", 64<<20 + 1, []piece{{64 << 20, 1}}},
	} {
		err := writeSparse(t.path("sparse/"+f.name), f.size, func(w *os.File) error {
			for _, p := range f.data {
				buf := make([]byte, p.n)
				fill(src, buf)
				if _, err := w.WriteAt(buf, p.off); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func writeSparse(path string, size int64, fn func(*os.File) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(size); err != nil {
		return err
	}
	return fn(f)
}

func (t *treeMaker) hardLinks() error {
	for _, pair := range [][2]string{{"links/a/original", "links/a/same-folder"}, {"links/a/original", "links/b/other-folder"},
		{"links/b/second", "links/a/second-again"}} {
		if _, err := os.Lstat(t.path(pair[0])); errors.Is(err, fs.ErrNotExist) {
			if err := t.file(pair[0], []byte(strings.Repeat(pair[0]+"\n", 1000))); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(filepath.Dir(t.path(pair[1])), 0o755); err != nil {
			return err
		}
		if err := os.Link(t.path(pair[0]), t.path(pair[1])); err != nil {
			return err
		}
	}
	for i := range 100 {
		if err := os.Link(t.path("links/a/original"), t.path(fmt.Sprintf("links/b/many-%02d", i))); err != nil {
			return err
		}
	}
	return nil
}

func (t *treeMaker) symlinks() error {
	if err := os.Mkdir(t.path("symlinks"), 0o755); err != nil {
		return err
	}
	for _, l := range [][2]string{{"relative", "../sizes/1.bin"}, {"to-folder", "../links"}, {"dangling", "no/such/file"}, {"absolute", "/etc/hostname"},
		{"absolute-dangling", "/no/such/file"}, {"loop-1", "loop-2"}, {"loop-2", "loop-1"}, {"self", "."}, {"parents", "../../../../../../../.."},
		{"not-utf8", "bad\xff\xfetarget"}, {"long", strings.Repeat("long/", 800)}} {
		if err := os.Symlink(l[1], t.path("symlinks/"+l[0])); err != nil {
			return err
		}
	}
	return os.Link(t.path("symlinks/dangling"), t.path("symlinks/dangling-hard-link"))
}

// names makes files whose names are hard to quote, to encode or to tell apart.
func (t *treeMaker) names() error {
	for _, n := range []string{"bad\xff\xfename", "latin1-\xe9t\xe9", "\x80", "new\nline", "tab\tname", "bell\x07", "esc\x1b[31mred", " leading", "trailing ",
		"-rf", "--help", "*?[x]", "$(true)", "quote\"'`", "back\\slash", "nfc-\u00e9", "nfd-e\u0301", "\U0001f4be", "right\u202eleft", "...", "~",
		"#hash", "a:b", "CON", "Case", "case", "CASE", "percent%20", strings.Repeat("n", 255), strings.Repeat("\u00e9", 127)} {
		if err := t.soft(t.file("names/"+n, []byte(n)), fmt.Sprintf("the name %q", n)); err != nil {
			return err
		}
	}
	return t.soft(t.file("names/dir\xff/in\xfe", []byte("x")), "a folder that is not UTF-8")
}

// deep makes a chain of 200 folders, and one of few folders with long names whose path nears the system's limit of 4096 bytes.
func (t *treeMaker) deep() error {
	rel := "deep/chain"
	for i := range 200 {
		rel += fmt.Sprintf("/%d", i%10)
	}
	if err := t.file(rel+"/bottom", []byte("bottom\n")); err != nil {
		return err
	}
	rel = "deep/long"
	for len(rel) < 3000 {
		rel += "/" + strings.Repeat("l", 250)
	}
	return t.file(rel+"/bottom", []byte("bottom\n"))
}
