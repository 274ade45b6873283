package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// snapshotsFlags are the flags of snapshots.
type snapshotsFlags struct {
	filter  filterFlags
	groupBy string
	latest  int
	forgot  bool
}

func (a *app) snapshotsCommand() *cobra.Command {
	var f snapshotsFlags
	cmd := &cobra.Command{
		Use:   "snapshots [flags] [SNAPSHOT...]",
		Short: "List the snapshots",
		Long: `List the snapshots, oldest first. An incomplete one (something could not be read)
has a ! after its id, one that is protected a *. With --json it prints an array; with --group-by, one of
groups.

With --forgotten it lists those that were forgotten and can be taken back with
'holdfast forget --undo', which is until the next prune that deletes something.`,
		Example: `  holdfast snapshots
  holdfast snapshots --host db1 --tag nightly --latest 3
  holdfast snapshots --group-by host,paths --json`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSnapshots(cmd.Context(), &f, args) },
	}
	f.filter.register(cmd.Flags())
	a.global.registerSalvage(cmd.Flags())
	cmd.Flags().StringVarP(&f.groupBy, "group-by", "g", "", "group by `what` the snapshots have in common: host, paths, tags, separated by commas")
	cmd.Flags().IntVar(&f.latest, "latest", 0, "only the newest `n` of each host and paths, or of each group")
	cmd.Flags().BoolVar(&f.forgot, "forgotten", false, "list the forgotten snapshots that can be taken back")
	a.completeSnapshots(cmd)
	return cmd
}

func (a *app) runSnapshots(ctx context.Context, f *snapshotsFlags, args []string) (err error) {
	by, err := snapshot.ParseGrouping(f.groupBy)
	if err != nil {
		return usagef("--group-by: %w", err)
	}
	if f.latest < 0 {
		return usagef("--latest %d: give a positive number", f.latest)
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	list, unread, err := f.list(ctx, r, args)
	if err != nil {
		return err
	}
	if f.latest > 0 {
		list = f.newest(list, by)
	}
	groups := by.Group(list)
	if f.groupBy == "" {
		groups = []snapshot.Group{{Snapshots: list}}
	}
	if a.out.json {
		a.printSnapshotsJSON(groups, f.groupBy != "")
		return unread
	}
	for _, g := range groups {
		a.printSnapshots(&g)
	}
	return unread
}

// list returns the snapshots that arguments name, or those that the filter selects, and the error of those that cannot be read.
func (f *snapshotsFlags) list(ctx context.Context, r *openRepo, args []string) (list []*snapshot.Manifest, unread, err error) {
	filter, err := f.filter.filter()
	if err != nil {
		return nil, nil, err
	}
	filter.Forgotten = f.forgot
	if len(args) == 0 {
		list, unread = snapshot.List(ctx, r.Repository, filter)
		return list, unread, nil
	}
	for _, name := range args {
		m, err := snapshot.Find(ctx, r.Repository, name, filter)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, m)
	}
	return list, nil, nil
}

// newest keeps the newest of each group, in the order of the list.
func (f *snapshotsFlags) newest(list []*snapshot.Manifest, by snapshot.Grouping) []*snapshot.Manifest {
	if f.groupBy == "" {
		by = snapshot.Grouping{Host: true, Paths: true}
	}
	keep := map[*snapshot.Manifest]bool{}
	for _, g := range by.Group(list) {
		for _, m := range g.Snapshots[max(0, len(g.Snapshots)-f.latest):] {
			keep[m] = true
		}
	}
	var out []*snapshot.Manifest
	for _, m := range list {
		if keep[m] {
			out = append(out, m)
		}
	}
	return out
}

type groupKeyJSON struct {
	Hostname string   `json:"hostname"`
	Paths    []string `json:"paths"`
	Tags     []string `json:"tags"`
}

func (a *app) printSnapshotsJSON(groups []snapshot.Group, grouped bool) {
	arr := &array{o: a.out}
	for _, g := range groups {
		if !grouped {
			for _, m := range g.Snapshots {
				arr.add(newSnapshotJSON(m))
			}
			continue
		}
		list := []snapshotJSON{}
		for _, m := range g.Snapshots {
			list = append(list, newSnapshotJSON(m))
		}
		arr.add(struct {
			Key       groupKeyJSON   `json:"group_key"`
			Snapshots []snapshotJSON `json:"snapshots"`
		}{groupKeyJSON{jsonName(g.Host), jsonNames(g.Paths), jsonNames(g.Tags)}, list})
	}
	arr.end()
}

func (a *app) printSnapshots(g *snapshot.Group) {
	if title := groupTitle(g); title != "" {
		a.out.printf("snapshots for (%s):\n", a.out.name(title))
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTime\tHost\tTags\tSize\tPaths")
	for _, m := range g.Snapshots {
		id := m.ShortID()
		if !m.Complete {
			id += "!"
		}
		if m.Protected {
			id += "*"
		}
		// Other bytes than these would move the columns.
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", id, localTime(m.Time), printable(m.Host), printable(strings.Join(m.Tags, ",")),
			bytesText(m.Stats.BytesProcessed), printable(strings.Join(m.Paths, " ")))
	}
	w.Flush()
	a.out.infof("%s\n", count(int64(len(g.Snapshots)), "snapshot"))
}

func groupTitle(g *snapshot.Group) string {
	var parts []string
	if g.Host != "" {
		parts = append(parts, "host "+g.Host)
	}
	if len(g.Paths) > 0 {
		parts = append(parts, "paths "+strings.Join(g.Paths, " "))
	}
	if len(g.Tags) > 0 {
		parts = append(parts, "tags "+strings.Join(g.Tags, ","))
	}
	return strings.Join(parts, ", ")
}
