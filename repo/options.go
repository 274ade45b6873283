package repo

import (
	"log/slog"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Options are the options of [Open] and the part of [InitOptions] that Open shares; nil means all fields zero.
type Options struct {
	// Credential opens a key slot. Without one the repository can be verified and not read (the role of an auditor).
	Credential crypto.Credential
	// CacheDir is a folder for what can always be made anew: the index in a searchable form, the ledger. It may be shared by
	// many repositories and processes. Empty: nothing is kept on disk beyond the run, and a rolled-back repository is not noticed.
	CacheDir string
	// Salvage opens, for reading only and without a cache, what is left of a repository whose ledger has lost entries that [RestoreLedger] did not find. Snapshots and
	// index files are then what the store has, so that some that were forgotten may be there again.
	Salvage bool
	// Logger hears about what is odd but no error. Nil: silence.
	Logger *slog.Logger

	checkpointEvery uint64           // for tests; 0: as usual
	clock           func() time.Time // for tests; nil: of this host
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Salvage {
		c.CacheDir = ""
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.checkpointEvery == 0 {
		c.checkpointEvery = CheckpointEvery
	}
	if c.clock == nil {
		c.clock = time.Now
	}
	return c
}
