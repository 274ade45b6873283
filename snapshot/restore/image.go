package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-backup/holdfast/internal/fsx"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// Image writes a content to out, at the offsets that its bytes have.
//
//   - A regular file gets the content's size, and holes where the content has zeros. In place only chunks that differ are
//     written, and a longer file is cut off; otherwise the file is emptied first. A file that is empty is never read.
//   - A block device must be large enough, else the error is a [*SizeError] and nothing was written. What lies behind the content is
//     left as it is. Holes are zeroed by the device, or in place read, and written where they are not zero.
//   - Anything else is written in full. In place and for verifying it must be an [io.ReaderAt] too.
//
// Ranges that could not be read do not stop the rest: the error is an [*IncompleteError] then, and nothing was written in
// their places. Any other error ended the restore; run again in place, it goes on where it stopped. The caller closes out.
func Image(ctx context.Context, r *repo.Repository, c content.Content, out io.WriterAt, opts *ImageOptions) (*Stats, error) {
	o := opts.withDefaults(out, r.Config().SegmentSize)
	im := &image{repo: r, opts: o, content: c, problems: problems{report: o.Report}}
	im.counters.start = time.Now()
	im.counters.bytesTotal.Store(c.Size)
	im.counters.filesTotal.Store(1)
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t, err := openOutput(out, c.Size, &o)
	if err != nil {
		return nil, fmt.Errorf("restoring to %s: %w", o.Path, err)
	}
	stop := im.counters.show(o.Progress, &im.problems)
	err = im.run(ctx, t, out)
	stop()
	if err == nil {
		err = im.problems.err()
	}
	return im.counters.stats(), err
}

// ImageFile is [Image] to the file or block device at path. A file that is not there is made, readable for its owner alone; one that is
// there is emptied first unless in place. A block device that is mounted or used otherwise is refused where the system can tell,
// unless the options allow it.
func ImageFile(ctx context.Context, r *repo.Repository, c content.Content, path string, opts *ImageOptions) (*Stats, error) {
	var o ImageOptions
	if opts != nil {
		o = *opts
	}
	if o.Path == "" {
		o.Path = path
	}
	flags := os.O_RDWR | os.O_CREATE
	info, err := os.Stat(path)
	made := errors.Is(err, fs.ErrNotExist)
	if err == nil && info.Mode().Type() == fs.ModeDevice {
		flags = os.O_RDWR
		if !o.AllowInUse {
			flags |= exclusiveDevice
		}
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	stats, err := Image(ctx, r, c, f, &o)
	if err = errors.Join(err, f.Close()); err == nil && made && o.Sync {
		err = fsx.SyncFolder(filepath.Dir(path))
	}
	return stats, err
}

// image is one run of Image.
type image struct {
	repo     *repo.Repository
	opts     ImageOptions
	content  content.Content
	problems problems
	counters counters
}

func (im *image) run(ctx context.Context, t *target, out io.WriterAt) error {
	t.refused = func(err error) error { return err }
	if err := im.pass(ctx, t); err != nil {
		return err
	}
	im.counters.files.Add(1)
	if t.written.Load() == 0 && t.compare && !t.resized {
		im.counters.unchanged.Add(1)
	}
	if _, device := t.out.(*deviceOutput); device || im.opts.Sync {
		if err := im.sync(out); err != nil {
			return err
		}
	}
	if im.opts.Verify {
		check := &target{path: t.path, out: t.out, verify: true, refused: t.refused}
		dropCache(out)
		if err := im.pass(ctx, check); err != nil {
			return err
		}
	}
	if im.problems.err() != nil {
		return nil // with its time it would pass for whole
	}
	return im.setTime(out)
}

func (im *image) pass(ctx context.Context, t *target) error {
	e, err := newEngine(ctx, im.repo, &im.opts.Options, &im.problems, &im.counters)
	if err != nil {
		return err
	}
	return e.finish(e.fillWith(t, &im.content))
}

// sync makes the target durable, if it can be.
func (im *image) sync(out io.WriterAt) error {
	s, ok := out.(interface{ Sync() error })
	if !ok {
		return nil
	}
	if err := s.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !isInvalid(err) {
		return fmt.Errorf("flushing %s: %w", im.opts.Path, err)
	}
	return nil
}

func (im *image) setTime(out io.WriterAt) error {
	f, ok := out.(*os.File)
	if !ok || im.opts.ModTime.IsZero() {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := setFileTimes(f, time.Now(), im.opts.ModTime); err != nil {
		return fmt.Errorf("setting the time of %s: %w", im.opts.Path, err)
	}
	return nil
}
