package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/s3"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/fsx"
	"github.com/holdfast-backup/holdfast/repo"
)

// initFlags say how a new repository is made.
type initFlags struct {
	chunkSize, segmentSize, packSize string
	cipher, parity                   string
	newKeyFile                       string
	label                            string
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new repository",
		Long: `Make a new, empty repository. Its first key is an administrator's: a password
(asked for, or from --password-file), a key file (--key-file), or a key file made
now (--new-key-file). Whoever loses it, and has added no other key, has lost the
backups. Sizes, parity and cipher stay for the life of the repository.`,
		Example: `  holdfast init -r /srv/backups
  holdfast init -r /srv/backups -p /root/backup-password
  holdfast init -r /srv/backups --new-key-file /root/holdfast.key --chunk-size 128KiB
  holdfast init -r /mnt/usb/backups --parity 10%`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runInit(cmd.Context(), &f) },
	}
	s := cmd.Flags()
	s.StringVar(&f.chunkSize, "chunk-size", "", "mean `size` of chunks: a power of two from 4KiB to 256KiB (default 64KiB)")
	s.StringVar(&f.segmentSize, "segment-size", "", "`size` of what is compressed together: 64KiB to 16MiB (default 1MiB)")
	s.StringVar(&f.packSize, "pack-size", "", "`size` of stored objects: 1MiB to 1GiB (default 32MiB)")
	s.StringVar(&f.parity, "parity", "0", "`percent` of parity in stored objects, up to 50, by which 'holdfast repair packs' makes good damaged blocks")
	s.StringVar(&f.cipher, "cipher", "aes-256-gcm", "`cipher`: aes-256-gcm or xchacha20-poly1305")
	s.StringVar(&f.newKeyFile, "new-key-file", "", "make a key `file` (it must not exist) to open the repository with")
	s.StringVar(&f.label, "label", "", "`name` of the first key, for people")
	return cmd
}

// config reads the sizes and the cipher.
func (f *initFlags) config() (c repo.Config, err error) {
	sizes := []struct {
		flag, text string
		dst        *int
	}{{"chunk-size", f.chunkSize, &c.ChunkMean}, {"segment-size", f.segmentSize, &c.SegmentSize}, {"pack-size", f.packSize, &c.PackSize}}
	for _, s := range sizes {
		if *s.dst, err = parseIntSize(s.flag, s.text); err != nil {
			return c, err
		}
	}
	if c.Parity, err = strconv.Atoi(strings.TrimSuffix(f.parity, "%")); err != nil {
		return c, usagef("--parity %q: give a percentage such as 10%%", f.parity)
	}
	if c.Suite, err = crypto.ParseSuite(f.cipher); err != nil {
		return c, usagef("--cipher: %w", err)
	}
	if err := withDefaults(c).Validate(); err != nil {
		return c, asUsage(err)
	}
	return c, nil
}

// withDefaults fills in what init leaves to the library, for judging the rest before anything is made.
func withDefaults(c repo.Config) repo.Config {
	c.ChunkMean = cmp.Or(c.ChunkMean, 64<<10)
	c.SegmentSize = cmp.Or(c.SegmentSize, max(repo.DefaultSegmentSize, 4*c.ChunkMean))
	c.PackSize = cmp.Or(c.PackSize, max(repo.DefaultPackSize, 2*c.SegmentSize))
	c.Suite = cmp.Or(c.Suite, crypto.AES256GCM)
	return c
}

func (a *app) runInit(ctx context.Context, f *initFlags) (err error) {
	config, err := f.config()
	if err != nil {
		return err
	}
	if err := a.checkNewKeyFile(f.newKeyFile); err != nil {
		return err
	}
	r, err := a.makeRepo(ctx, config, f.newKeyFile, f.label)
	if err != nil {
		return err
	}
	defer r.close(&err)
	a.printInit(r, f.newKeyFile)
	return nil
}

// printInit tells of a new repository.
func (a *app) printInit(r *openRepo, newKeyFile string) {
	if abs, err := filepath.Abs(newKeyFile); err == nil && newKeyFile != "" {
		newKeyFile = abs
	}
	if a.out.json {
		a.out.object(struct {
			Type       string `json:"message_type"`
			ID         string `json:"id"`
			Repository string `json:"repository"`
			KeyFile    string `json:"key_file,omitempty"`
		}{"initialized", r.ID(), jsonName(r.Location()), jsonName(newKeyFile)})
		return
	}
	a.out.infof("created repository %s at %s\n", r.ID(), a.out.name(r.Location()))
	if newKeyFile != "" {
		a.out.infof("its key is in %s: keep a copy elsewhere, without it nothing can be restored\n", a.out.name(newKeyFile))
	}
}

// checkNewKeyFile refuses what --new-key-file cannot mean, before anything is made.
func (a *app) checkNewKeyFile(path string) error {
	if path == "" {
		return nil
	}
	c := a.global.credential
	if err := exclusive([]string{"--new-key-file", "--password-file", "--password-command", "--key-file"},
		[]string{path, c.passwordFile, c.passwordCommand, c.keyFile}); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("--new-key-file %s: it exists already, and is not overwritten; use it with --key-file", path)
	}
	return nil
}

// makeRepo makes a repository, in a folder that is made if it is missing, and opens it.
func (a *app) makeRepo(ctx context.Context, config repo.Config, newKeyFile, label string) (_ *openRepo, err error) {
	if err := a.mustBeVacant(ctx); err != nil {
		return nil, err
	}
	o, err := a.repoOptions(nil)
	if err != nil {
		return nil, err
	}
	opts := &repo.InitOptions{Options: *o, Config: config, Label: label}
	var key []byte
	if newKeyFile == "" {
		opts.Sealer, err = a.sealer(ctx)
	} else {
		key, opts.Sealer = crypto.NewKeyFile()
		err = writeNewFile(newKeyFile, key)
	}
	if err != nil {
		return nil, err
	}
	store, err := a.openStore(ctx, creating)
	if err == nil {
		r, ierr := repo.Init(ctx, store, opts)
		if ierr == nil {
			return &openRepo{Repository: r, store: store}, nil
		}
		err = errors.Join(ierr, a.dropUseless(ctx, store, newKeyFile, key), store.Close())
	} else if newKeyFile != "" {
		err = errors.Join(err, os.Remove(newKeyFile))
	}
	return nil, err
}

// mustBeVacant fails if there is a repository already, before anybody is asked for a password.
func (a *app) mustBeVacant(ctx context.Context) error {
	there, err := a.repoExists(ctx)
	if err != nil || !there {
		return err
	}
	path, _ := a.repoAddress()
	return fmt.Errorf("%s: %w", path, repo.ErrRepositoryExists)
}

// repoExists reports whether there is a repository, readable or not.
func (a *app) repoExists(ctx context.Context) (bool, error) {
	store, err := a.openStore(ctx, reading)
	if errors.Is(err, repo.ErrNoRepository) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer store.Close()
	r, err := repo.Open(ctx, store, nil)
	if err == nil {
		return true, r.Close()
	}
	if errors.Is(err, repo.ErrNoRepository) || errors.Is(err, s3.ErrNoBucket) {
		return false, nil
	}
	_, newer := errors.AsType[*repo.FeatureError](err)
	if newer || isCorrupt(err) {
		return true, nil
	}
	return false, err
}

// dropUseless removes a key file just made, if no repository came of it.
func (a *app) dropUseless(ctx context.Context, store backend.Store, path string, key []byte) error {
	if path == "" {
		return nil
	}
	credential, err := crypto.ParseKeyFile(key)
	if err != nil {
		return err
	}
	r, err := repo.Open(context.WithoutCancel(ctx), store, &repo.Options{Credential: credential})
	switch {
	case err == nil:
		return r.Close()
	case errors.Is(err, repo.ErrNoRepository), errors.Is(err, repo.ErrWrongCredential), errors.Is(err, repo.ErrNoSlot):
		return os.Remove(path)
	}
	return nil
}

// writeNewFile writes a file that only its owner may read, durably. It fails if there is one.
func writeNewFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making a key file: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = fsx.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making a key file: %w", err), os.Remove(path))
	}
	return nil
}
