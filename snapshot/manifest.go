package snapshot

import (
	"fmt"
	"time"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo"
)

// Manifest describes a snapshot.
type Manifest struct {
	// ID names the snapshot: the hash of its stored object.
	ID repo.ID
	// Order is the place in the ledger at which its session began, and Opened the time that the entry there claims.
	Order  uint64
	Opened time.Time
	// Root is the root directory.
	Root repo.Pair
	// Time is when the backup began, as its host's clock had it.
	Time time.Time
	// Point is the moment that the source stands for; for live sources it equals Time.
	Point time.Time
	// Host and User say where the backup was made, and by whom.
	Host, User string
	// Tags are the words it was given, with later changes.
	Tags []string
	// Protected: it cannot be forgotten.
	Protected bool
	// Paths are the absolute paths that were backed up, as raw bytes.
	Paths []string
	// Class is the retention class; empty if none.
	Class string
	// Program is the name and version of what made it.
	Program string
	// Complete is false when something could not be read or changed while it was read.
	Complete bool
	// Parent is the snapshot that unchanged files were taken from; zero if none.
	Parent repo.ID
	// Original is the snapshot that this one was made of without some of its files; zero if none.
	Original repo.ID
	// Stats counts what the backup did.
	Stats Stats
	// Deltas are the files that were read by change maps, here or for the snapshot that they were taken from, in the order of their
	// paths. All others were read in full, or found unchanged by their attributes.
	Deltas []Delta

	number uint64 // of the COMMIT
}

// Stats counts what a backup did. Sizes are in bytes.
type Stats struct {
	FilesNew, FilesChanged, FilesUnmodified uint64
	DirsNew, DirsChanged, DirsUnmodified    uint64
	// BytesProcessed is the size of all files in the snapshot, holes included.
	BytesProcessed uint64
	// BytesRead were read from the sources.
	BytesRead uint64
	// HoleBytes were holes, found or told. Those that were taken over unread do not count.
	HoleBytes uint64
	// ChunksNew were not in the repository before.
	ChunksNew uint64
	// BytesAdded is the plaintext of new chunks of all classes.
	BytesAdded uint64
	// BytesStored were written to the repository, padding, index and ledger included.
	BytesStored uint64
	// Duration is how long the backup took, up to its commit.
	Duration time.Duration
	// Errors counts sources that could not be read, or changed while read.
	Errors uint64
}

// fields lists the statistics in the order of docs/format.md, section 8.
func (s *Stats) fields() []*uint64 {
	return []*uint64{
		&s.FilesNew, &s.FilesChanged, &s.FilesUnmodified, &s.DirsNew, &s.DirsChanged, &s.DirsUnmodified,
		&s.BytesProcessed, &s.BytesRead, &s.HoleBytes, &s.ChunksNew, &s.BytesAdded, &s.BytesStored,
	}
}

// Limits of stored manifests.
const (
	maxText  = 4096
	maxTags  = 1024
	maxPaths = 1 << 16
	maxKind  = 64
)

// How a snapshot's sources were read.
const (
	readInFull = 0
	readDeltas = 1
)

func (m *Manifest) encode() []byte {
	b := wire.AppendI64(nil, m.Time.UnixNano())
	b = wire.AppendI64(b, m.Point.UnixNano())
	b = wire.AppendBytes(b, m.Host)
	b = wire.AppendBytes(b, m.User)
	b = wire.AppendStrings(b, m.Tags)
	b = wire.AppendStrings(b, m.Paths)
	b = wire.AppendBytes(b, m.Class)
	b = wire.AppendBytes(b, m.Program)
	b = wire.AppendBool(b, m.Complete)
	b = append(append(b, m.Parent[:]...), m.Original[:]...)
	stats := m.Stats.fields()
	b = wire.AppendUvarint(b, uint64(len(stats)+2))
	for _, v := range stats {
		b = wire.AppendUvarint(b, *v)
	}
	b = wire.AppendUvarint(b, uint64(m.Stats.Duration))
	b = wire.AppendUvarint(b, m.Stats.Errors)
	return m.encodeDeltas(b)
}

func (m *Manifest) encodeDeltas(b []byte) []byte {
	if len(m.Deltas) == 0 {
		return append(b, readInFull)
	}
	b = wire.AppendUvarint(append(b, readDeltas), uint64(len(m.Deltas)))
	for i := range m.Deltas {
		d := &m.Deltas[i]
		b = wire.AppendBytes(b, d.Path)
		b = append(b, d.Parent[:]...)
		b = wire.AppendBytes(b, d.Kind)
		b = append(b, d.Map[:]...)
		b = wire.AppendUvarint(b, d.Deltas)
		b = wire.AppendI64(b, d.FullRead.UnixNano())
	}
	return b
}

func decodeManifest(b []byte) (*Manifest, error) {
	d := wire.NewDecoder(b)
	m := &Manifest{Time: time.Unix(0, d.I64()).UTC(), Point: time.Unix(0, d.I64()).UTC()}
	m.Host = d.String(maxText, "host")
	m.User = d.String(maxText, "user")
	m.Tags = d.Strings(maxTags, maxText, "tags")
	m.Paths = d.Strings(maxPaths, maxText, "paths")
	m.Class = d.String(maxText, "class")
	m.Program = d.String(maxText, "program")
	m.Complete = d.Bool()
	d.Copy(m.Parent[:])
	d.Copy(m.Original[:])
	decodeStats(d, &m.Stats)
	switch provenance := d.U8(); provenance {
	case readInFull:
	case readDeltas:
		m.Deltas = decodeDeltas(d)
	default:
		d.Fail("provenance %d", provenance)
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

func decodeDeltas(d *wire.Decoder) []Delta {
	n := d.Count(len(repo.ID{})*2+3, "deltas")
	if n < 1 || n > maxPaths {
		d.Fail("%d deltas, 1 to %d allowed", n, maxPaths)
	}
	if d.Err() != nil {
		return nil
	}
	list := make([]Delta, n)
	for i := range list {
		x := &list[i]
		x.Path = d.String(maxText, "path of a delta")
		d.Copy(x.Parent[:])
		x.Kind = d.String(maxKind, "kind of a change map")
		d.Copy(x.Map[:])
		x.Deltas = d.Uvarint()
		x.FullRead = time.Unix(0, d.I64()).UTC()
		if x.Deltas == 0 || i > 0 && list[i-1].Path >= x.Path {
			d.Fail("delta %d of %q", x.Deltas, x.Path)
		}
		if d.Err() != nil {
			return nil
		}
	}
	return list
}

func decodeStats(d *wire.Decoder, s *Stats) {
	n := d.Count(1, "statistics")
	fields := s.fields()
	if n != len(fields)+2 {
		d.Fail("%d statistics, %d expected", n, len(fields)+2)
		return
	}
	for _, v := range fields {
		*v = d.Uvarint()
	}
	s.Duration = time.Duration(d.UvarintMax(1<<63-1, "duration"))
	s.Errors = d.Uvarint()
}
