package main

import (
	"context"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// unforget takes back that snapshots were forgotten.
func (a *app) unforget(ctx context.Context, f *forgetFlags, args []string) (err error) {
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	filter, err := f.filter.filter()
	if err != nil {
		return err
	}
	filter.Forgotten = true
	list, ids, seen := []*snapshot.Manifest{}, []repo.ID{}, map[repo.ID]bool{}
	for _, name := range args {
		m, err := snapshot.Find(ctx, r.Repository, name, filter)
		if err != nil {
			return err
		}
		if !seen[m.ID] {
			list, ids = append(list, m), append(ids, m.ID)
		}
		seen[m.ID] = true
	}
	if err := r.Unforget(ctx, ids, f.reason); err != nil {
		return err
	}
	if a.out.json {
		a.out.object(struct {
			Type  string   `json:"message_type"`
			Taken []string `json:"taken_back"`
		}{"summary", snapshotIDs(list)})
		return nil
	}
	for _, m := range list {
		a.out.infof("took back %s of %s\n", m.ShortID(), localTime(m.Time))
	}
	return nil
}
