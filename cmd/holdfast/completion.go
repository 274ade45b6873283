package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// completeSnapshots lets the shell complete snapshot ids.
func (a *app) completeSnapshots(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.suggest(cmd.Context(), snapshotNames), cobra.ShellCompDirectiveNoFileComp
	}
}

// suggest returns names out of the repository, if that opens without a question.
func (a *app) suggest(ctx context.Context, names func(context.Context, *openRepo) []string) []string {
	s, err := a.secretFrom(a.global.credential)
	if err != nil || s == (secret{}) {
		return nil
	}
	a.out.quiet = true
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return nil
	}
	defer r.close(&err)
	return names(ctx, r)
}

func snapshotNames(ctx context.Context, r *openRepo) []string {
	list, _ := snapshot.List(ctx, r.Repository, nil)
	names := []string{"latest"}
	for _, m := range list {
		names = append(names, m.ShortID()+"\t"+localTime(m.Time)+" "+printable(m.Host))
	}
	return names
}

func keyNames(ctx context.Context, r *openRepo) []string {
	keys, _ := r.Keys(ctx)
	var names []string
	for _, k := range keys {
		if k.Err == nil {
			names = append(names, k.ID.String()+"\t"+k.Role.String()+", "+kindText(k.Kind)+" "+printable(k.Label))
		}
	}
	return names
}

// flagValues are what flags with a choice of values take, whatever the verb.
var flagValues = map[string][]string{
	"chunker":     {"auto", "aligned", "gear", "rabin", "fixed"},
	"cipher":      {"aes-256-gcm", "xchacha20-poly1305"},
	"compression": {"off", "s2", "fastest", "default", "better", "best"},
	"group-by":    {"host", "paths", "tags"},
	"overwrite":   {"always", "if-changed", "if-newer", "never"},
	"role":        {"admin", "writer", "reader", "collector"},
}

// completeRest lets the shell complete the values of flags, and no files where a verb takes none.
func completeRest(cmd *cobra.Command) error {
	for name, values := range flagValues {
		if cmd.Flags().Lookup(name) == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			return err
		}
	}
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && cmd.Name() != "backup" {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		if err := completeRest(sub); err != nil {
			return err
		}
	}
	return nil
}
