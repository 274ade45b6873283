package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// globalFlags are shared by all verbs.
type globalFlags struct {
	repo       string
	credential credentialFlags
	cacheDir   string
	noCache    bool
	salvage    bool
	options    []string
	limitUp    string
	limitDown  string
	json       bool
	quiet      bool
	verbose    int
}

func (g *globalFlags) register(f *pflag.FlagSet) {
	f.StringVarP(&g.repo, "repo", "r", "", "the `repository`: a path, or s3:https://HOST/BUCKET/PREFIX")
	f.StringVarP(&g.credential.passwordFile, "password-file", "p", "", "read the password from a `file`; a newline at its end is ignored")
	f.StringVar(&g.credential.passwordCommand, "password-command", "", "read the password from the output of a `command`")
	f.StringVar(&g.credential.keyFile, "key-file", "", "open the repository with a key `file` instead of a password")
	f.StringVar(&g.cacheDir, "cache-dir", "", "keep the cache in this `folder`")
	f.BoolVar(&g.noCache, "no-cache", false, "keep no cache")
	f.StringArrayVarP(&g.options, "option", "o", nil, "set `KEY=VALUE` of the store (repeatable): s3.region, s3.virtual-host, s3.storage-class, s3.encryption, s3.kms-key")
	f.StringVar(&g.limitUp, "limit-upload", "", "send at most so many bytes a second over the network, such as `10M`")
	f.StringVar(&g.limitDown, "limit-download", "", "receive at most so many bytes a second over the network, such as `10M`")
	f.BoolVar(&g.json, "json", false, "print JSON")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print results and errors only")
	f.CountVarP(&g.verbose, "verbose", "v", "print more")
}

// registerSalvage adds the flag of verbs that read snapshots.
func (g *globalFlags) registerSalvage(f *pflag.FlagSet) {
	f.BoolVar(&g.salvage, "salvage", false, "read what is left when entries of the ledger are lost for good")
}

func (g *globalFlags) validate() error {
	switch {
	case g.noCache && g.cacheDir != "":
		return usagef("--no-cache and --cache-dir exclude each other")
	case g.quiet && g.verbose > 0:
		return usagef("--quiet and --verbose exclude each other")
	}
	return nil
}

// notEmpty refuses flags whose value is missing, such as that of a variable that is not set: the default in its place would surprise.
func notEmpty(flags *pflag.FlagSet) (err error) {
	mayBe := map[string]bool{"label": true, "group-by": true}
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && !mayBe[f.Name] && err == nil {
			err = usagef("--%s: its value is empty", f.Name)
		}
	})
	return err
}

// openRepo opens the repository with the credential of flags, environment or terminal.
func (a *app) openRepo(ctx context.Context, how access) (*openRepo, error) {
	store, err := a.openStore(ctx, how)
	if err != nil {
		return nil, err
	}
	r, err := a.unlock(ctx, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return r, nil
}

func (a *app) unlock(ctx context.Context, store backend.Store) (*openRepo, error) {
	credential, err := a.credential(ctx)
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, store, credential)
}

func (a *app) openWith(ctx context.Context, store backend.Store, c crypto.Credential) (*openRepo, error) {
	o, err := a.repoOptions(c)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, store, o)
	if err != nil {
		return nil, err
	}
	return &openRepo{Repository: r, store: store}, nil
}

// openRepo is a repository with its store.
type openRepo struct {
	*repo.Repository
	store backend.Store
}

// close closes both and adds what goes wrong to err.
func (r *openRepo) close(err *error) {
	*err = errors.Join(*err, r.Repository.Close(), r.store.Close())
}

func (a *app) repoOptions(c crypto.Credential) (*repo.Options, error) {
	cache, err := a.cacheFolder()
	return &repo.Options{Credential: c, CacheDir: cache, Salvage: a.global.salvage, Logger: slog.New(&noteHandler{out: a.out})}, err
}

// cacheFolder returns where the cache is; empty if there is none.
func (a *app) cacheFolder() (string, error) {
	if a.global.noCache {
		return "", nil
	}
	dir := a.global.cacheDir
	if dir == "" {
		dir = a.getenv("HOLDFAST_CACHE_DIR")
	}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("cache folder %q: %w", dir, err)
		}
		return abs, nil
	}
	base, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(base, "holdfast")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		a.out.note("there is no place for a cache, so none is kept: %v", err)
		return "", nil
	}
	return dir, nil
}
