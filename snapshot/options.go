package snapshot

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// BackupOptions are the options of [Backup]; nil means all fields zero.
type BackupOptions struct {
	// Host and User say where and by whom; empty means the system's. Program names what makes the backup.
	Host, User, Program string
	// Tags and Class are kept with the snapshot.
	Tags  []string
	Class string
	// Time is the snapshot's time; zero means now.
	Time time.Time
	// Parent is the snapshot that unchanged files are taken from. Zero means the newest in the group of this one.
	Parent repo.ID
	// GroupBy says what the snapshots of a group have in common; nil means host and paths.
	GroupBy *Grouping
	// Force reads every file, whatever its attributes say, and compares those with change maps with what these say.
	Force bool
	// VerifyChangeMaps reads all of the disks that have change maps and compares them with what the maps say. What a map called
	// unchanged and is not makes an EventAlarm.
	VerifyChangeMaps bool
	// MaxDeltas is after how many deltas of a disk in a row that is done by itself, and MaxDeltaAge how long after all of it was
	// read last. Zero means 30, and 30 days; below zero it is never done.
	MaxDeltas   int
	MaxDeltaAge time.Duration
	// IgnoreInode and IgnoreCTime leave these out of the comparison with the parent.
	IgnoreInode, IgnoreCTime bool
	// Chunker cuts all files. Zero means aligned for disks and images, gear for everything else, and for a file that
	// the parent has too, the chunker it had there.
	Chunker chunk.Kind
	// Compression is how hard to compress. The zero value is the fastest.
	Compression pack.Level
	// Workers is how many files, or ranges of files, are read at the same time. Zero means one for each processor.
	Workers int
	// WithATime keeps times of access.
	WithATime bool
	// AllowInUse takes sources that changed while they were read as they were, as good.
	AllowInUse bool
	// AllowFailure commits a stream that ended with an error, as incomplete.
	AllowFailure bool
	// SkipIfUnchanged makes no snapshot when none of the items differs from what the parent has. The folders on the way to them do not
	// count, and neither do the times of streams.
	SkipIfUnchanged bool
	// DryRun stores and commits nothing, and counts what would be.
	DryRun bool
	// Progress is called several times a second, from one goroutine.
	Progress func(Progress)
	// Report hears of each file: what became of it, and what went wrong. It is called by any number of goroutines.
	Report func(Event)
}

// Progress says how far a backup is. Sizes are in bytes; some may be counted twice until the end.
type Progress struct {
	Files, Dirs    uint64
	BytesProcessed uint64
	BytesRead      uint64
	BytesStored    uint64
	Errors         uint64
	Elapsed        time.Duration
}

// EventKind says what an [Event] tells.
type EventKind uint8

// The kinds of events.
const (
	// EventError: something could not be read. The backup goes on; the snapshot will be incomplete.
	EventError EventKind = iota + 1
	// EventNote: something was left out that is no failure, such as a socket.
	EventNote
	// EventNew, EventChanged and EventUnmodified: what a file or folder is against the parent.
	EventNew
	EventChanged
	EventUnmodified
	// EventAlarm: a change map was wrong, says a *ChangeMapError. The snapshot is right, and earlier ones may not be.
	EventAlarm
)

// String returns the kind in a word.
func (k EventKind) String() string {
	names := [...]string{"", "error", "note", "new", "changed", "unmodified", "alarm"}
	if int(k) < len(names) && k > 0 {
		return names[k]
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// Event is something that happened to one path.
type Event struct {
	Kind EventKind
	// Path is absolute, as raw bytes.
	Path string
	// Size is that of a file, in bytes.
	Size int64
	// Err is the cause, for errors, notes and alarms.
	Err error
}

// ErrNothing is returned when none of the sources could be read: there is nothing to make a snapshot of.
var ErrNothing = errors.New("nothing could be backed up")

func (o *BackupOptions) withDefaults() (BackupOptions, error) {
	var c BackupOptions
	if o != nil {
		c = *o
	}
	if c.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("finding out the host's name (give one): %w", err)
		}
		c.Host = host
	}
	if c.User == "" {
		if u, err := user.Current(); err == nil {
			c.User = u.Username
		}
	}
	if c.Chunker > chunk.Fixed {
		return c, fmt.Errorf("making a backup: %w: %d", chunk.ErrKind, c.Chunker)
	}
	if c.GroupBy == nil {
		c.GroupBy = &Grouping{Host: true, Paths: true}
	}
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.MaxDeltas == 0 {
		c.MaxDeltas = 30
	}
	if c.MaxDeltaAge == 0 {
		c.MaxDeltaAge = 30 * 24 * time.Hour
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Report == nil {
		c.Report = func(Event) {}
	}
	return c, nil
}

// Item is one thing to back up, at a place in the snapshot. Make it with [Files], [Disk], [Stream] or [Refused].
type Item struct {
	path    string
	tree    *source.Tree
	disk    source.Image
	entry   *source.Entry
	device  bool
	stream  source.Stream
	refused error

	changes *source.ChangeMap
	since   repo.ID
}

// Files is the file or folder at an absolute path, with all below it that the tree's filter keeps.
func Files(t *source.Tree, path string) Item { return Item{path: clean(path), tree: t} }

// Disk is a disk, a device or any image of one, as a file of the snapshot at an absolute path. e describes it, if it is known; its name and type do not
// matter. device marks what is read anew every time. The caller closes the image.
func Disk(path string, image source.Image, e *source.Entry, device bool) Item {
	return Item{path: clean(path), disk: image, entry: e, device: device}
}

// Since returns the disk with a map of what changed in it since a snapshot, so that the rest need not be read. A zero id means the
// backup's parent; with any other, BackupOptions.Parent must be that snapshot too, unless it is the newest of the same host and paths.
//
// The result is the same as that of reading everything, if the map is right; who makes it must be sure that it misses no write since
// the moment that the snapshot's copy of the disk is of. The map is not used, and all is read with a note, if it does not fit the
// disk's size, if the snapshot does not have the disk, or not complete, or cut by another chunker. From time to time it is
// verified; see BackupOptions.MaxDeltas.
func (it Item) Since(id repo.ID, m *source.ChangeMap) Item {
	it.since, it.changes = id, m
	return it
}

// Stream is data that can be read once, as a file of the snapshot at an absolute path. The caller closes it.
func Stream(path string, s source.Stream) Item { return Item{path: clean(path), stream: s} }

// Refused is what was asked for and is not to be read: err, which is not nil, is reported for it, and the snapshot is incomplete.
func Refused(path string, err error) Item { return Item{path: clean(path), refused: err} }

// clean gives equal places equal paths. A path that is not absolute is refused later.
func clean(p string) string {
	if !strings.HasPrefix(p, "/") {
		return p
	}
	return path.Clean(p)
}
