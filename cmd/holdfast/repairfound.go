package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/repo"
)

// plan says what is to be repaired.
type plan struct {
	ledger, index bool
	packs         []string
	all           bool // packs, since not every fault is known
}

// sortFaults tells by the faults of a check what is to be repaired. With more, there are others, which were not listed.
func sortFaults(faults []error, more bool) *plan {
	p := &plan{all: more}
	for _, err := range faults {
		bad, ok := errors.AsType[*repo.CorruptError](err)
		if !ok {
			continue
		}
		switch folder, _, _ := strings.Cut(bad.Key, "/"); folder {
		case "packs":
			if !slices.Contains(p.packs, bad.Key) {
				p.packs = append(p.packs, bad.Key)
			}
		case "index":
			p.index = true
		case "log", "checkpoints":
			p.ledger = true
		}
	}
	if more {
		p.packs = nil
	}
	return p
}

// repairFound repairs what a check found, or says what would be done.
func (a *app) repairFound(ctx context.Context, r *openRepo, p *plan, from *healers, f *checkFlags) error {
	dryRun := !f.apply
	if p.ledger {
		if err := a.repairLedger(ctx, r.store, f.from.repos, dryRun, "repair"); err != nil {
			return err
		}
	}
	if p.index {
		_, err := a.repairWith(ctx, r, &repo.RepairOptions{DryRun: dryRun}, (*repo.Repository).RepairIndex, a.printIndexRepair, "repair")
		if err != nil {
			return err
		}
		if dryRun {
			a.out.note("what can be saved of packs is known when the index is repaired")
			return nil
		}
	}
	var lost []repo.ID
	if p.all || len(p.packs) > 0 {
		o := &repo.RepairOptions{DryRun: dryRun, Packs: p.packs}
		report, err := a.repairWith(ctx, r, o, (*repo.Repository).RepairPacks, a.printPackRepair, "repair")
		if err != nil {
			return err
		}
		if dryRun {
			lost = report.LostChunks
		}
	}
	if len(from.from) == 0 {
		return nil
	}
	return a.heal(ctx, r, from, dryRun, "healed", lost...)
}
