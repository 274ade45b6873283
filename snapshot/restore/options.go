package restore

import (
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"
)

// Options are what all restores have in common.
type Options struct {
	// Workers is how many segments are fetched, decoded and written at the same time. Zero means one more than there are processors, as
	// one waits for the target. Stores that answer slowly are read faster with more.
	Workers int
	// NoSparse writes zeros where there could be holes, so that a new file has its space from the start.
	NoSparse bool
	// Verify reads everything back in the end and compares its hashes.
	Verify bool
	// Sync makes sure that what was written has reached the disk. Without it only devices are flushed, and a file may be lost, or not be
	// whole, when power fails soon after. With Verify, it makes that the disk is read, and not what the system remembers.
	Sync bool
	// Progress is called several times a second, from one goroutine, and once in the end.
	Progress func(Progress)
	// Report hears of each file: what became of it, and what went wrong. It is called by any number of goroutines.
	Report func(Event)

	limits limits // of windows; zero means the default
}

func (o *Options) setDefaults(segment int) {
	if o.limits == (limits{}) {
		o.limits = defaultLimits()
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 1
	}
	o.Workers = min(o.Workers, max(1, maxWorkerBytes/(3*segment)))
	if o.Report == nil {
		o.Report = func(Event) {}
	}
}

// maxWorkerBytes bounds the buffers of all workers: each has the segment as stored, opened and decoded.
const maxWorkerBytes = 96 << 20

// ImageOptions are the options of [Image] and [ImageFile]; nil means all fields zero.
type ImageOptions struct {
	Options
	// Path names the target in errors. Empty means the name of the file.
	Path string
	// InPlace reads the target first and writes only what differs. Without it an existing file is emptied first.
	InPlace bool
	// Zeroed says that the target reads as zeros all over, so that zeros need not be written. New files always do.
	Zeroed bool
	// AllowInUse makes ImageFile write to a block device that is mounted or used otherwise.
	AllowInUse bool
	// ModTime is the modification time that a regular file gets in the end; the zero time means none.
	ModTime time.Time
}

func (o *ImageOptions) withDefaults(out io.WriterAt, segment int) ImageOptions {
	var c ImageOptions
	if o != nil {
		c = *o
	}
	c.setDefaults(segment)
	if n, ok := out.(interface{ Name() string }); ok && c.Path == "" {
		c.Path = n.Name()
	}
	return c
}

// Progress says how far a restore is. Sizes are in bytes.
type Progress struct {
	Files, FilesTotal int64 // of a tree; the total grows while the tree is being counted
	Bytes, BytesTotal int64 // of contents, holes included
	Written           int64
	Errors            int64
	Elapsed           time.Duration
}

// Stats counts what a restore did. Sizes are in bytes.
type Stats struct {
	Files, Folders, Others int64 // put in place; others are links, devices and the like
	Unchanged              int64 // of the files, those that had their content already
	Skipped                int64 // left as they were, by Overwrite or by what the system lacks
	Deleted                int64
	Bytes                  int64 // of contents that are now in place, holes included
	Same                   int64 // of these, what was there before; counted for what is restored in place
	Written                int64 // to targets, with what was made a hole in them
	Verified               int64 // read back and found right
	Duration               time.Duration
}

// counters are what Stats and Progress are made from.
type counters struct {
	files, folders, others, unchanged, skipped, deleted atomic.Int64
	bytes, same, written, verified                      atomic.Int64
	filesTotal, bytesTotal                              atomic.Int64
	start                                               time.Time
}

func (c *counters) stats() *Stats {
	return &Stats{
		Files: c.files.Load(), Folders: c.folders.Load(), Others: c.others.Load(), Unchanged: c.unchanged.Load(), Skipped: c.skipped.Load(),
		Deleted: c.deleted.Load(), Bytes: c.bytes.Load(), Same: c.same.Load(), Written: c.written.Load(), Verified: c.verified.Load(),
		Duration: time.Since(c.start),
	}
}

// show calls progress several times a second until the returned function is called, and then once more.
func (c *counters) show(progress func(Progress), p *problems) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case <-ticker.C:
				progress(c.progress(p))
			case <-done:
				progress(c.progress(p))
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-finished
	}
}

func (c *counters) progress(p *problems) Progress {
	p.mu.Lock()
	errs := p.list.Total
	p.mu.Unlock()
	return Progress{
		Files: c.files.Load() + c.skipped.Load(), FilesTotal: c.filesTotal.Load(), Bytes: c.bytes.Load(), BytesTotal: c.bytesTotal.Load(),
		Written: c.written.Load(), Errors: errs, Elapsed: time.Since(c.start),
	}
}

// EventKind says what an [Event] tells.
type EventKind uint8

// The kinds of events.
const (
	// EventError: something was not restored, or not as it was. The restore goes on.
	EventError EventKind = iota + 1
	// EventNote: something was left out that is no failure, such as a device when not root.
	EventNote
	// EventRestored: something new is there.
	EventRestored
	// EventUpdated: something that was there was changed.
	EventUpdated
	// EventUnchanged: the content was there already. Attributes were set.
	EventUnchanged
	// EventSkipped: something that was there was left as it was.
	EventSkipped
	// EventDeleted: something that is not in the snapshot was removed.
	EventDeleted
)

// String returns the kind in a word.
func (k EventKind) String() string {
	names := [...]string{"", "error", "note", "restored", "updated", "unchanged", "skipped", "deleted"}
	if int(k) < len(names) && k > 0 {
		return names[k]
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// Event is something that happened to one path, or would happen to it.
type Event struct {
	Kind EventKind
	// Path is as in errors: of a tree, "/" and the names from its root, as raw bytes, and "/" after a folder.
	Path string
	// Size is that of a file, in bytes.
	Size int64
	// Err is the cause, for errors and notes.
	Err error
}
