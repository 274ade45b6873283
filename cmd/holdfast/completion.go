package main

import (
	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// completeSnapshots lets the shell complete snapshot ids, if the repository opens without a question.
func (a *app) completeSnapshots(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		s, err := a.secretFrom(a.global.credential)
		if err != nil || s == (secret{}) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.out.quiet = true
		r, err := a.openRepo(cmd.Context(), reading)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer r.close(&err)
		list, _ := snapshot.List(cmd.Context(), r.Repository, nil)
		ids := []string{"latest"}
		for _, m := range list {
			ids = append(ids, m.ShortID()+"\t"+localTime(m.Time)+" "+printable(m.Host))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
