package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// tagFlags are the flags of tag.
type tagFlags struct {
	filter           filterFlags
	add, remove, set []string
}

func (a *app) tagCommand() *cobra.Command {
	var f tagFlags
	cmd := &cobra.Command{
		Use:   "tag [flags] SNAPSHOT...",
		Short: "Change the tags of snapshots",
		Long: `Change the tags of the snapshots named, or of all that --host, --tag and --path
select. The snapshots keep their ids.`,
		Example: `  holdfast tag --add keep latest
  holdfast tag --set '' 4bba301e
  holdfast tag --host db1 --tag test --remove test`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runTag(cmd.Context(), &f, args) },
	}
	s := cmd.Flags()
	f.filter.register(s)
	s.StringArrayVar(&f.add, "add", nil, "add these `tags`, separated by commas (repeatable)")
	s.StringArrayVar(&f.remove, "remove", nil, "remove these `tags`")
	s.StringArrayVar(&f.set, "set", nil, "put these `tags` in the place of all there are; '' removes them")
	a.completeSnapshots(cmd)
	return cmd
}

func (f *tagFlags) validate(args []string) error {
	for _, list := range [][]string{f.add, f.remove, f.set} {
		if err := checkTags(flatTags(list)); err != nil {
			return err
		}
	}
	switch {
	case len(f.add)+len(f.remove)+len(f.set) == 0:
		return usagef("tag: what should change? use --add, --remove or --set")
	case len(f.set) > 0 && len(f.add)+len(f.remove) > 0:
		return usagef("--set excludes --add and --remove")
	case len(args) == 0 && f.filter.empty():
		return usagef("tag: of which snapshots? name them, or select them with --host, --tag or --path")
	}
	return nil
}

func flatTags(list []string) []string {
	tags := []string{}
	for _, t := range list {
		tags = append(tags, splitTags(t)...)
	}
	return tags
}

// apply returns the tags of a snapshot after the change.
func (f *tagFlags) apply(tags []string) []string {
	out := []string{}
	if len(f.set) > 0 {
		tags = flatTags(f.set)
	}
	remove := flatTags(f.remove)
	for _, t := range append(slices.Clone(tags), flatTags(f.add)...) {
		if !slices.Contains(remove, t) && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func (a *app) runTag(ctx context.Context, f *tagFlags, args []string) (err error) {
	if err := f.validate(args); err != nil {
		return err
	}
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	sf := snapshotsFlags{filter: f.filter}
	list, unread, err := sf.list(ctx, r, args)
	if err != nil {
		return err
	}
	changed := 0
	for _, m := range list {
		tags := f.apply(m.Tags)
		if slices.Equal(tags, m.Tags) {
			continue
		}
		if err := r.SetTags(ctx, m.ID, tags); err != nil {
			return fmt.Errorf("snapshot %s: %w", m.ShortID(), err)
		}
		changed++
		a.printTags(m, tags)
	}
	if a.out.json {
		a.out.object(struct {
			Type    string `json:"message_type"`
			Changed int    `json:"changed_snapshots"`
		}{"summary", changed})
	}
	a.out.infof("changed the tags of %s\n", count(int64(changed), "snapshot"))
	return unread
}

func (a *app) printTags(m *snapshot.Manifest, tags []string) {
	if a.out.json {
		a.out.object(struct {
			Type string   `json:"message_type"`
			ID   string   `json:"snapshot_id"`
			Tags []string `json:"tags"`
		}{"changed", m.ID.String(), jsonNames(tags)})
	}
}
