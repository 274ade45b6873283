package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

func (a *app) statsCommand() *cobra.Command {
	var f snapshotsFlags
	cmd := &cobra.Command{
		Use:   "stats [flags] [SNAPSHOT...]",
		Short: "Show how much the snapshots hold, and what it takes to store them",
		Long: `Show the size of what the snapshots hold, what they added when they were made, and
what the repository stores: its chunks by class (DATA: contents of files, META: names and
attributes, MAP: which chunks make up what), before and after compression, and its objects.
Snapshots can be named or selected; what is stored is always that of all of them.`,
		Example: `  holdfast stats
  holdfast stats --host db1 --json`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runStats(cmd.Context(), &f, args) },
	}
	f.filter.register(cmd.Flags())
	a.global.registerSalvage(cmd.Flags())
	a.completeSnapshots(cmd)
	return cmd
}

// stored counts objects.
type stored struct {
	Objects uint64 `json:"objects"`
	Bytes   uint64 `json:"bytes"`
}

// storedObjects counts the objects of a store by the first part of their keys: packs, index, log and so on.
func storedObjects(ctx context.Context, store backend.Store) (map[string]stored, error) {
	kinds := map[string]stored{}
	for info, err := range store.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("listing the repository: %w", err)
		}
		kind, _, _ := strings.Cut(info.Key, "/")
		s := kinds[kind]
		kinds[kind] = stored{s.Objects + 1, s.Bytes + uint64(info.Size)}
	}
	return kinds, nil
}

// statsJSON is what `stats --json` prints; sizes are in bytes.
type statsJSON struct {
	Type        string            `json:"message_type"`
	Snapshots   int               `json:"snapshots_count"`
	Files       uint64            `json:"total_file_count"`
	Size        uint64            `json:"total_size"`
	Holes       uint64            `json:"total_holes"`
	Chunks      uint64            `json:"chunks_added"`
	Added       uint64            `json:"data_added"`
	AddedPacked uint64            `json:"data_added_packed"`
	Stored      map[string]stored `json:"stored"`
	StoredSize  uint64            `json:"stored_size"`
	Classes     []classJSON       `json:"classes"`
	IndexFiles  uint64            `json:"index_files"`
	IndexSize   uint64            `json:"index_size"`
	Entries     uint64            `json:"ledger_entries"`
	AllSnaps    uint64            `json:"snapshots_in_repository"`
}

// classJSON is what the repository has of one class of chunks.
type classJSON struct {
	Class  string `json:"class"`
	Packs  uint64 `json:"packs"`
	Stored uint64 `json:"stored_size"`
	Chunks uint64 `json:"chunks"`
	Size   uint64 `json:"size"`
}

// addStored fills in what the index and the ledger say.
func (s *statsJSON) addStored(r *repo.Stats) {
	s.Classes = []classJSON{}
	for _, c := range slices.Sorted(maps.Keys(r.Classes)) {
		k := r.Classes[c]
		s.Classes = append(s.Classes, classJSON{c.String(), k.Packs, k.Stored, k.Chunks, k.Length})
	}
	s.IndexFiles, s.IndexSize, s.Entries, s.AllSnaps = r.IndexFiles, r.IndexBytes, r.Entries, r.Snapshots
}

func (s *statsJSON) add(m *snapshot.Manifest) {
	t := &m.Stats
	s.Snapshots++
	s.Files += t.FilesNew + t.FilesChanged + t.FilesUnmodified
	s.Size += t.BytesProcessed
	s.Holes += t.HoleBytes
	s.Chunks += t.ChunksNew
	s.Added += t.BytesAdded
	s.AddedPacked += t.BytesStored
}

func (a *app) runStats(ctx context.Context, f *snapshotsFlags, args []string) (err error) {
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	list, unread, err := f.list(ctx, r, args)
	if err != nil {
		return err
	}
	s := statsJSON{Type: "stats"}
	for _, m := range list {
		s.add(m)
	}
	counts, countErr := r.Stats(ctx)
	s.addStored(counts)
	if s.Stored, err = storedObjects(ctx, r.store); err != nil {
		return err
	}
	for _, k := range s.Stored {
		s.StoredSize += k.Bytes
	}
	a.printStats(&s)
	return errors.Join(unread, countErr)
}

func (a *app) printStats(s *statsJSON) {
	if a.out.json {
		a.out.object(s)
		return
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Snapshots\t%d\n", s.Snapshots)
	fmt.Fprintf(w, "  files in them\t%d\n", s.Files)
	fmt.Fprintf(w, "  their size\t%s\t(%s of holes found when read)\n", bytesText(s.Size), bytesText(s.Holes))
	fmt.Fprintf(w, "  new when made\t%s\t(%d chunks)\n", bytesText(s.Added), s.Chunks)
	fmt.Fprintf(w, "Chunks\t\n")
	for _, c := range s.Classes {
		fmt.Fprintf(w, "  %s\t%s\t(%s, stored in %s of %s)\n", c.Class, bytesText(c.Size), count(int64(c.Chunks), "chunk"), count(int64(c.Packs), "pack"), bytesText(c.Stored))
	}
	fmt.Fprintf(w, "Repository\t%s\t(%s, %d ledger entries, %s)\n", bytesText(s.StoredSize), count(int64(s.AllSnaps), "snapshot"), s.Entries,
		count(int64(s.IndexFiles), "index file"))
	for _, kind := range slices.Sorted(maps.Keys(s.Stored)) {
		fmt.Fprintf(w, "  %s\t%s\t(%s)\n", kind, bytesText(s.Stored[kind].Bytes), count(int64(s.Stored[kind].Objects), "object"))
	}
	if s.StoredSize > 0 {
		fmt.Fprintf(w, "Size of the snapshots / repository\t%.1f\n", float64(s.Size)/float64(s.StoredSize))
	}
	w.Flush()
}
