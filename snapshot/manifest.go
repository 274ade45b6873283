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
	// Stats counts what the backup did.
	Stats Stats
	// Provenance says how the source was read.
	Provenance Provenance
}

// Provenance says how a snapshot's source was read.
type Provenance uint8

// FullRead means that every file was read, or was found unchanged by its attributes.
const FullRead Provenance = 0

// Stats counts what a backup did. Sizes are in bytes.
type Stats struct {
	FilesNew, FilesChanged, FilesUnmodified uint64
	DirsNew, DirsChanged, DirsUnmodified    uint64
	// BytesProcessed is the size of all files in the snapshot, holes included.
	BytesProcessed uint64
	// BytesRead were read from the sources.
	BytesRead uint64
	// HoleBytes were holes, found or told.
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
	b = append(b, m.Parent[:]...)
	stats := m.Stats.fields()
	b = wire.AppendUvarint(b, uint64(len(stats)+2))
	for _, v := range stats {
		b = wire.AppendUvarint(b, *v)
	}
	b = wire.AppendUvarint(b, uint64(m.Stats.Duration))
	b = wire.AppendUvarint(b, m.Stats.Errors)
	return append(b, byte(m.Provenance))
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
	decodeStats(d, &m.Stats)
	if m.Provenance = Provenance(d.U8()); m.Provenance > FullRead {
		d.Fail("provenance %d", m.Provenance)
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
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
