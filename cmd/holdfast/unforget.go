package main

import "context"

// unforget takes back that snapshots were forgotten.
func (a *app) unforget(ctx context.Context, f *forgetFlags, args []string) (err error) {
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	list, err := f.filter.named(ctx, r, args, true)
	if err != nil {
		return err
	}
	if err := r.Unforget(ctx, idsOf(list), f.reason); err != nil {
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
