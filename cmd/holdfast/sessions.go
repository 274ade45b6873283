package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
)

func (a *app) sessionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions [flags]",
		Short: "List the sessions that are open",
		Long: `List the sessions that are open: backups and prunes that run now, and those that were
interrupted and may be continued. A session tells every 15 seconds that it lives; it is
listed for how long this client has heard nothing new of it. One whose process is gone
for certain is dead.

A session that nobody needs is ended by 'holdfast prune --revoke ID'.`,
		Example: `  holdfast sessions
  holdfast sessions --json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runSessions(cmd.Context()) },
	}
	return cmd
}

// sessionJSON is an open session.
type sessionJSON struct {
	ID      string   `json:"id"`
	Purpose string   `json:"purpose"`
	Kind    string   `json:"kind"`
	Host    string   `json:"hostname"`
	Program string   `json:"program_version"`
	Actor   string   `json:"actor"`
	Label   string   `json:"label"`
	Opened  jsonTime `json:"opened"`
	Number  uint64   `json:"number"`
	Beat    int64    `json:"heartbeat"`
	Quiet   float64  `json:"quiet_seconds"`
	Dead    bool     `json:"dead"`
}

func (a *app) runSessions(ctx context.Context) (err error) {
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	list, err := r.OpenSessions(ctx)
	if err != nil {
		return err
	}
	if a.out.json {
		arr := &array{o: a.out}
		defer arr.end()
		for i := range list {
			arr.add(newSessionJSON(&list[i]))
		}
		return nil
	}
	a.printSessions(list)
	return nil
}

func newSessionJSON(s *repo.OpenSession) *sessionJSON {
	return &sessionJSON{
		ID: s.ID.String(), Purpose: s.Purpose.String(), Kind: jsonName(s.Kind), Host: jsonName(s.Host), Program: jsonName(s.Program), Actor: s.Actor.String(),
		Label: jsonName(s.Label), Opened: jsonTime(time.Unix(0, s.Time)), Number: s.OpenedAt, Beat: s.Beat, Quiet: s.Quiet.Seconds(), Dead: s.Dead,
	}
}

func (a *app) printSessions(list []repo.OpenSession) {
	if len(list) > 0 {
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tOpened\tKind\tHost\tState")
		for i := range list {
			s := &list[i]
			state := "not heard of for " + durationText(s.Quiet)
			switch {
			case s.Dead:
				state = "dead"
			case s.Quiet < time.Minute:
				state = "open"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.ID, localTime(time.Unix(0, s.Time)), printable(s.Kind), printable(s.Host), state)
		}
		w.Flush()
	}
	a.out.infof("%s\n", count(int64(len(list)), "open session"))
}
