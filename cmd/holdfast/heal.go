package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// healFlags say where lost chunks may be found.
type healFlags struct {
	sources, repos []string
}

func (f *healFlags) register(s *pflag.FlagSet) {
	s.StringArrayVar(&f.sources, "source", nil, "take what is lost from this `path`, read as backup reads it (repeatable)")
	s.StringArrayVar(&f.repos, "source-repo", nil, "take what is lost from this copy of the `repository`, which opens with the same key (repeatable)")
}

func (f *healFlags) empty() bool { return len(f.sources)+len(f.repos) == 0 }

// healers are open sources of lost chunks.
type healers struct {
	from   []repo.Healer
	closes []func() error
}

func (h *healers) close(err *error) {
	for _, c := range h.closes {
		*err = errors.Join(*err, c())
	}
}

// open opens what the flags name. Whatever it returns is to be closed.
func (f *healFlags) open(ctx context.Context, a *app, r *openRepo) (*healers, error) {
	h := &healers{}
	for _, path := range f.repos {
		copied, err := a.unlockCopy(ctx, path)
		if err != nil {
			return h, err
		}
		h.closes = append(h.closes, func() (err error) {
			copied.close(&err)
			return err
		})
		from, err := r.HealFrom(copied.Repository)
		if err != nil {
			return h, err
		}
		h.from = append(h.from, from)
	}
	if len(f.sources) > 0 {
		set, err := a.findSources(ctx, &backupFlags{sources: sourceFlags{stdinFilename: defaultStreamName}, allowInUse: true}, f.sources)
		if err != nil {
			return h, err
		}
		h.closes = append(h.closes, set.close)
		h.from = append(h.from, snapshot.Heal(r.Repository, set.items, a.healing()))
	}
	return h, nil
}

// heal takes what is lost from elsewhere, and prints what was found, as JSON by the name kind. to are chunks that a dry run would have lost before.
func (a *app) heal(ctx context.Context, r *openRepo, h *healers, dryRun bool, kind string, to ...repo.ID) error {
	o := &repo.HealOptions{From: h.from, DryRun: dryRun, Program: programVersion()}
	o.Host, _ = os.Hostname()
	report, err := r.Heal(ctx, o)
	if err != nil {
		return err
	}
	for _, id := range to {
		report.Lost = append(report.Lost, repo.LostChunk{ID: id})
	}
	a.printHealed(report, dryRun, kind)
	if n := len(report.Lost); n > 0 && !dryRun {
		return stayLost(n)
	}
	return nil
}

// healing says how sources are read.
func (a *app) healing() *snapshot.BackupOptions {
	meter := newMeter(a.out, "read")
	return &snapshot.BackupOptions{
		AllowInUse: true,
		Progress:   func(p snapshot.Progress) { meter.show(state{Bytes: p.BytesProcessed}) },
		Report: func(e snapshot.Event) {
			if e.Kind == snapshot.EventError {
				a.out.fault("read", e.Path, e.Err)
			}
		},
	}
}

// openCopy opens the store of a copy of the repository.
func (a *app) openCopy(ctx context.Context, where string) (backend.Store, error) {
	where, err := address(where, "--source-repo")
	if err != nil {
		return nil, err
	}
	store, err := a.openAt(ctx, where, reading)
	if err != nil {
		return nil, fmt.Errorf("--source-repo: %w", err)
	}
	return store, nil
}

// unlockCopy opens a copy of the repository. It has no cache: that of the repository has seen a newer ledger, perhaps.
func (a *app) unlockCopy(ctx context.Context, path string) (*openRepo, error) {
	store, err := a.openCopy(ctx, path)
	if err != nil {
		return nil, err
	}
	credential, err := a.credential(ctx)
	var r *repo.Repository
	if err == nil {
		r, err = repo.Open(ctx, store, &repo.Options{Credential: credential})
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &openRepo{Repository: r, store: store}, nil
}

func (a *app) printHealed(report *repo.HealReport, dryRun bool, kind string) {
	if a.out.json {
		lost := []string{}
		for i := range report.Lost {
			lost = append(lost, report.Lost[i].ID.String())
		}
		a.out.object(struct {
			Type   string   `json:"message_type"`
			DryRun bool     `json:"dry_run"`
			Healed uint64   `json:"chunks_healed"`
			Lost   []string `json:"chunks_lost"`
		}{kind, dryRun, report.Healed, lost})
		return
	}
	left := count(int64(len(report.Lost)), "chunk")
	if dryRun {
		a.out.infof("%s lost; what is found of that elsewhere a run without --dry-run tells\n", left)
		return
	}
	a.out.infof("%s found elsewhere, %s still lost\n", count(int64(report.Healed), "chunk"), left)
}
