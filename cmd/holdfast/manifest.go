package main

import "github.com/holdfast-backup/holdfast/snapshot"

// snapshotJSON is a snapshot as `snapshots --json` and `cat snapshot` print it.
type snapshotJSON struct {
	ID             string      `json:"id"`
	ShortID        string      `json:"short_id"`
	Time           jsonTime    `json:"time"`
	Hostname       string      `json:"hostname"`
	Username       string      `json:"username"`
	Tags           []string    `json:"tags"`
	Paths          []string    `json:"paths"`
	Parent         string      `json:"parent,omitempty"`
	Original       string      `json:"original,omitempty"`
	Class          string      `json:"class,omitempty"`
	Complete       bool        `json:"complete"`
	Protected      bool        `json:"protected"`
	ProgramVersion string      `json:"program_version"`
	Provenance     string      `json:"provenance"` // full or delta
	Deltas         []deltaJSON `json:"deltas,omitempty"`
	Summary        summaryJSON `json:"summary"`
}

// deltaJSON says how a file was read by a change map.
type deltaJSON struct {
	Path     string   `json:"path"`
	Parent   string   `json:"parent"`
	Kind     string   `json:"kind"`
	Map      string   `json:"change_map"` // its hash
	Deltas   uint64   `json:"deltas_since_full"`
	FullRead jsonTime `json:"full_read"`
}

// summaryJSON counts what a backup did, in restic's words; sizes are in bytes.
type summaryJSON struct {
	FilesNew            uint64  `json:"files_new"`
	FilesChanged        uint64  `json:"files_changed"`
	FilesUnmodified     uint64  `json:"files_unmodified"`
	DirsNew             uint64  `json:"dirs_new"`
	DirsChanged         uint64  `json:"dirs_changed"`
	DirsUnmodified      uint64  `json:"dirs_unmodified"`
	ChunksNew           uint64  `json:"chunks_new"`
	DataAdded           uint64  `json:"data_added"`
	DataAddedPacked     uint64  `json:"data_added_packed"`
	TotalFilesProcessed uint64  `json:"total_files_processed"`
	TotalBytesProcessed uint64  `json:"total_bytes_processed"`
	TotalDuration       float64 `json:"total_duration"`
	BytesRead           uint64  `json:"bytes_read"`
	Holes               uint64  `json:"holes"`
	Errors              uint64  `json:"errors"`
}

func newSummaryJSON(s *snapshot.Stats) summaryJSON {
	return summaryJSON{
		FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
		DirsNew: s.DirsNew, DirsChanged: s.DirsChanged, DirsUnmodified: s.DirsUnmodified,
		ChunksNew: s.ChunksNew, DataAdded: s.BytesAdded, DataAddedPacked: s.BytesStored,
		TotalFilesProcessed: s.FilesNew + s.FilesChanged + s.FilesUnmodified,
		TotalBytesProcessed: s.BytesProcessed, TotalDuration: s.Duration.Seconds(),
		BytesRead: s.BytesRead, Holes: s.HoleBytes, Errors: s.Errors,
	}
}

func newSnapshotJSON(m *snapshot.Manifest) snapshotJSON {
	s := snapshotJSON{
		ID: m.ID.String(), ShortID: m.ShortID(), Time: jsonTime(m.Time), Hostname: jsonName(m.Host), Username: jsonName(m.User),
		Tags: jsonNames(m.Tags), Paths: jsonNames(m.Paths), Class: m.Class, Complete: m.Complete, Protected: m.Protected,
		ProgramVersion: m.Program, Provenance: "full", Summary: newSummaryJSON(&m.Stats),
	}
	for _, d := range m.Deltas {
		s.Provenance = "delta"
		s.Deltas = append(s.Deltas, deltaJSON{jsonName(d.Path), d.Parent.String(), d.Kind, d.Map.String(), d.Deltas, jsonTime(d.FullRead)})
	}
	if !m.Original.IsZero() {
		s.Original = m.Original.String()
	}
	if !m.Parent.IsZero() {
		s.Parent = m.Parent.String()
	}
	return s
}
