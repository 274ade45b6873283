package repo

import (
	"context"

	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Features name what a program must know to use a repository, for each use.
type Features = ledger.FeatureSets

// Features returns what the repository demands, as of the ledger as last read.
func (r *Repository) Features() Features { return r.featureSets() }

// RaiseFeatures makes the repository demand more features, for good, by an entry of the ledger. Only an admin can. Programs that do not
// know one of them refuse the use it stands for, and name it.
func (r *Repository) RaiseFeatures(ctx context.Context, add Features) error {
	if err := r.mayAdminister(); err != nil {
		return err
	}
	return r.append(ctx, &ledger.Features{Add: add})
}
