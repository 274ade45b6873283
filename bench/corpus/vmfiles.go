//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Shares of a file-selection image, in thousandths of its size: about 44 % is used, and about 4 % changes in a day, as in the Debian image.
const (
	shareFiles     = 360
	shareDB        = 60
	shareWAL       = 10
	shareLog       = 6
	shareNewFiles  = 15
	shareDBChanged = 14
)

const (
	dbFile  = "/var/lib/shopdb/base/16384/24576"
	walFile = "/var/lib/shopdb/wal/000000010000000000000001"
	logFile = "/var/log/syslog"
)

func (b *builder) share(thousandths int64) int64 {
	return b.imageSize() / 1000 * thousandths / blockSize * blockSize
}

// picked is a file or symbolic link: its name in the image, where its content is now, and a link's target.
type picked struct {
	path, from, target string
	size               int64
}

// pickFiles selects files below dir, to be /usr in the image, in seeded order until budget bytes are reached, and then more for extra bytes. No file takes
// more than a 20th of the budget, so that many kinds are in.
func pickFiles(ctx context.Context, dir string, seed uint64, budget, extra int64) (first, second []picked, err error) {
	var all []picked
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return fs.SkipDir
			}
			return err
		}
		if path == filepath.Join(dir, "local") || path == filepath.Join(dir, "src") {
			return fs.SkipDir
		}
		if p, ok := pick(path, "/usr"+strings.TrimPrefix(path, dir), d); ok && p.size <= budget/20 {
			all = append(all, p)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("selecting files: %w", err)
	}
	keys := make(map[string]uint64, len(all))
	for _, p := range all {
		keys[p.path] = hashKey(seed, "pick", p.path)
	}
	sort.Slice(all, func(i, j int) bool { return keys[all[i].path] < keys[all[j].path] })
	first, all = takeBytes(all, budget)
	second, _ = takeBytes(all, extra)
	sort.Slice(first, func(i, j int) bool { return first[i].path < first[j].path })
	return first, second, nil
}

// pick looks at one name; names that debugfs's command language would need quoted are left out.
func pick(path, name string, d fs.DirEntry) (picked, bool) {
	p := picked{path: name, from: path}
	if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
		return p, false
	}
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		p.target = target
		return p, err == nil && !strings.ContainsAny(target, " \"\\\n\t")
	case d.Type().IsRegular():
		fi, err := d.Info()
		if err != nil || unix.Access(path, unix.R_OK) != nil {
			return p, false
		}
		p.size = fi.Size()
		return p, true
	}
	return p, false
}

// takeBytes splits a list where the sizes, rounded up to blocks, reach the budget.
func takeBytes(all []picked, budget int64) (taken, rest []picked) {
	for i, p := range all {
		budget -= (p.size + blockSize) / blockSize * blockSize
		if budget < 0 {
			return all[:i], all[i:]
		}
	}
	return all, nil
}

// filesDay0 writes a selection of /usr, a database file, its write-ahead log and a log into a new image.
func (b *builder) filesDay0(ctx context.Context, img string, w *want) error {
	if err := b.makeFS(ctx, img, b.imageSize(), "vm"); err != nil {
		return err
	}
	files, _, err := pickFiles(ctx, b.files, b.cfg.seed, b.share(shareFiles), 0)
	if err != nil {
		return err
	}
	s := newFSScript()
	var total int64
	for _, f := range files {
		s.add(f.from, f.path, f.target)
		total += f.size
	}
	if total < b.share(shareFiles)*9/10 {
		w.notes = append(w.notes, fmt.Sprintf("/usr holds less than wanted: %d MB", total/1e6))
	}
	made := []struct {
		dst  string
		data []byte
	}{{dbFile, dbPages(b.cfg.seed, b.share(shareDB))}, {walFile, logBytes(b.cfg.seed, "wal 0", 0, int(b.share(shareWAL)))},
		{logFile, logBytes(b.cfg.seed, "syslog 0", 0, int(b.share(shareLog)))}}
	for _, m := range made {
		if err := b.addMade(s, m.dst, m.data); err != nil {
			return err
		}
	}
	w.notes = append(w.notes, fmt.Sprintf("%d files of /usr, %d MB", len(files), total/1e6))
	return b.debugfs(ctx, img, s)
}

// addMade adds a file with the given content to a script.
func (b *builder) addMade(s *fsScript, dst string, data []byte) error {
	src := b.temp("made" + strings.ReplaceAll(dst, "/", "-"))
	if err := os.WriteFile(src, data, 0o640); err != nil {
		return fmt.Errorf("making %s: %w", dst, err)
	}
	if err := os.Chmod(src, 0o640); err != nil {
		return fmt.Errorf("making %s: %w", dst, err)
	}
	s.add(src, dst, "")
	return nil
}

// dbPages returns size bytes of 8 KiB database pages: a short header, then rows, then zeros where no row fits.
func dbPages(seed uint64, size int64) []byte {
	const page = 8192
	rows := newRowMaker(dice(seed, "db"))
	data := make([]byte, size)
	id := 1
	row := rows.appendEvent(nil, id, accountsPerBranch)
	for start := 0; start < len(data); start += page {
		free := data[min(start+24, len(data)):min(start+page, len(data))]
		for len(row) <= len(free) {
			free = free[copy(free, row):]
			id++
			row = rows.appendEvent(row[:0], id, accountsPerBranch)
		}
	}
	return data
}

// filesDay1 runs a day on a copy of day 0: new files, deletions, a rotated log, and writes inside database and write-ahead log.
func (b *builder) filesDay1(ctx context.Context, img string, w *want) error {
	_, fresh, err := pickFiles(ctx, b.files, b.cfg.seed, b.share(shareFiles), b.share(shareNewFiles))
	if err != nil {
		return err
	}
	old, err := b.extract(ctx, img)
	if err != nil {
		return err
	}
	s := newFSScript()
	for _, dir := range old.dirs {
		s.known[dir] = true
	}
	deleted := 0
	for _, f := range old.files {
		if strings.HasPrefix(f.path, "/usr/share/") && hashKey(b.cfg.seed, "delete", f.path)%10 == 0 {
			s.line("rm %s", f.path)
			deleted++
		}
	}
	for i, f := range fresh {
		s.add(f.from, fmt.Sprintf("/opt/new/%d%s", i%7, f.path), f.target)
	}
	// What logrotate does: the old log keeps its blocks under another name.
	s.line("ln %s %s.1", logFile, logFile)
	s.line("unlink %s", logFile)
	if err := b.addMade(s, logFile, logBytes(b.cfg.seed, "syslog 1", 1, int(b.share(shareLog)*2/3))); err != nil {
		return err
	}
	w.notes = append(w.notes, fmt.Sprintf("%d new files, %d deleted", len(fresh), deleted))
	if err := b.debugfs(ctx, img, s); err != nil {
		return err
	}
	return b.writeInside(ctx, img)
}

// writeInside overwrites blocks of database and write-ahead log where they lie, as a running database does.
func (b *builder) writeInside(ctx context.Context, img string) (err error) {
	rng := dice(b.cfg.seed, "db writes")
	pages := int(b.share(shareDB) / 8192)
	var blocks []fileBlock
	for _, p := range rng.Perm(pages)[:b.share(shareDBChanged)/8192] {
		blocks = append(blocks, fileBlock{dbFile, int64(2 * p)}, fileBlock{dbFile, int64(2*p + 1)})
	}
	wal := logBytes(b.cfg.seed, "wal 1", 1, int(b.share(shareWAL)))
	walBlocks := b.share(shareWAL) * 4 / 5 / blockSize
	for i := range walBlocks {
		blocks = append(blocks, fileBlock{walFile, i})
	}
	at, err := b.locate(ctx, img, blocks)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	dbBlocks := at[:len(at)-int(walBlocks)]
	rows := newRowMaker(rng)
	for i, block := range dbBlocks {
		if err := changeBlock(f, block*blockSize, rows, i%2 == 0); err != nil {
			return err
		}
	}
	for i, block := range at[len(dbBlocks):] {
		if _, err := f.WriteAt(wal[i*blockSize:(i+1)*blockSize], block*blockSize); err != nil {
			return fmt.Errorf("writing the write-ahead log: %w", err)
		}
	}
	return nil
}

// changeBlock puts a new row into half a database page; the first half also has a header, with a position in the log.
func changeBlock(f interface {
	io.ReaderAt
	io.WriterAt
}, off int64, rows *rowMaker, first bool) error {
	var buf [blockSize]byte
	if _, err := f.ReadAt(buf[:], off); err != nil {
		return fmt.Errorf("reading a database block: %w", err)
	}
	if first {
		for i := range 8 {
			buf[i] = byte(rows.rng.Uint32())
		}
	}
	copy(buf[24+rows.rng.IntN(blockSize/2):], rows.appendEvent(nil, rows.rng.IntN(1<<20), accountsPerBranch))
	if _, err := f.WriteAt(buf[:], off); err != nil {
		return fmt.Errorf("writing a database block: %w", err)
	}
	return nil
}

// filesShuffled writes day 0's files into a new file system in seeded order.
func (b *builder) filesShuffled(ctx context.Context, img string, _ *want) error {
	old, err := b.extract(ctx, b.path("vm-day0.img"))
	if err != nil {
		return err
	}
	if err := b.makeFS(ctx, img, b.imageSize(), "vm2"); err != nil {
		return err
	}
	names := make([]string, 0, len(old.files))
	byName := map[string]picked{}
	for _, f := range old.files {
		names = append(names, f.path)
		byName[f.path] = f
	}
	shuffle(names, b.cfg.seed)
	s := newFSScript()
	for _, name := range names {
		s.add(byName[name].from, name, byName[name].target)
	}
	return b.debugfs(ctx, img, s)
}

// extracted is the content of an image in a folder; paths are those inside the image.
type extracted struct {
	root  string
	dirs  []string
	files []picked
}

// extract copies all files out of an image.
func (b *builder) extract(ctx context.Context, img string) (extracted, error) {
	out := extracted{root: b.temp(fmt.Sprintf("extracted-%d", time.Now().UnixNano()))}
	if err := os.Mkdir(out.root, 0o755); err != nil {
		return out, fmt.Errorf("making a folder: %w", err)
	}
	if err := b.dumpAll(ctx, img, out.root); err != nil {
		return out, err
	}
	err := filepath.WalkDir(out.root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, out.root)
		switch {
		case err != nil:
			return err
		case name == "/lost+found":
			return fs.SkipDir
		case d.IsDir():
			out.dirs = append(out.dirs, name)
		default:
			p, ok := pick(path, name, d)
			if !ok {
				return fmt.Errorf("%s came out of the image unreadable", name)
			}
			out.files = append(out.files, p)
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("reading what was extracted: %w", err)
	}
	return out, nil
}
