package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Folders and files of a synthetic repository.
func storePath(dir string) string { return filepath.Join(dir, "repository") }
func cachePath(dir string) string { return filepath.Join(dir, "cache") }
func keyPath(dir string) string   { return filepath.Join(dir, "key") }

// initRepository makes an empty repository in dir with a key file beside it, and opens it.
func initRepository(ctx context.Context, dir string) (*repo.Repository, error) {
	store, err := local.Create(storePath(dir), nil)
	if err != nil {
		return nil, err
	}
	text, key := crypto.NewKeyFile()
	if err := os.WriteFile(keyPath(dir), text, 0o600); err != nil {
		return nil, err
	}
	return repo.Init(ctx, store, &repo.InitOptions{Sealer: key, Label: "scale"})
}

// openRepository opens the repository in dir, with its cache.
func openRepository(ctx context.Context, dir string) (*repo.Repository, error) {
	store, err := local.Open(storePath(dir), nil)
	if err != nil {
		return nil, err
	}
	key, err := readKey(dir)
	if err != nil {
		return nil, err
	}
	return repo.Open(ctx, store, &repo.Options{Credential: key, CacheDir: cachePath(dir)})
}

func readKey(dir string) (*crypto.KeyFile, error) {
	text, err := os.ReadFile(keyPath(dir))
	if err != nil {
		return nil, err
	}
	return crypto.ParseKeyFile(text)
}

// appender writes objects as a session would, but that it does not wait for the disk after each.
type appender struct {
	dir   string
	ring  *crypto.Keyring
	state *ledger.State
}

// newAppender opens the ledger of the repository in dir with its key.
func newAppender(ctx context.Context, dir string) (*appender, error) {
	store, err := local.Open(storePath(dir), nil)
	if err != nil {
		return nil, err
	}
	genesis, err := backend.ReadAll(ctx, store, ledger.EntryKey(0), ledger.MaxEntry)
	if err != nil {
		return nil, err
	}
	a := &appender{dir: dir}
	if a.ring, err = openRing(ctx, store, dir); err != nil {
		return nil, err
	}
	if a.state, err = ledger.NewState(genesis, a.ring); err != nil {
		return nil, err
	}
	g := a.state.Genesis()
	if err := a.ring.Bind(g.Domain, g.Suite, g.Keys); err != nil {
		return nil, err
	}
	for {
		n, _ := a.state.Head()
		b, err := backend.ReadAll(ctx, store, ledger.EntryKey(n), ledger.MaxEntry)
		if errors.Is(err, os.ErrNotExist) {
			return a, nil
		}
		if err == nil {
			err = a.state.Apply(b)
		}
		if err != nil {
			return nil, err
		}
	}
}

// openRing opens the first key slot.
func openRing(ctx context.Context, store backend.Store, dir string) (*crypto.Keyring, error) {
	key, err := readKey(dir)
	if err != nil {
		return nil, err
	}
	for info, err := range store.List(ctx, "keys/") {
		if err != nil {
			return nil, err
		}
		b, err := backend.ReadAll(ctx, store, info.Key, crypto.MaxSlotSize)
		if err != nil {
			return nil, err
		}
		slot, err := crypto.DecodeSlot(b)
		if err != nil {
			return nil, err
		}
		return slot.Open(key)
	}
	return nil, errors.New("no key slot")
}

// append adds an entry.
func (a *appender) append(body ledger.Body) error {
	n, _ := a.state.Head()
	b, err := a.state.Next(a.ring, body, time.Now().UnixNano())
	if err != nil {
		return err
	}
	if err := a.state.ApplyTrusted(b); err != nil {
		return err
	}
	return a.write(ledger.EntryKey(n), b)
}

// write stores an object.
func (a *appender) write(key string, b []byte) error {
	path := filepath.Join(storePath(a.dir), filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// session adds an OPEN and the COMMIT that commit makes.
func (a *appender) session(commit func(ledger.SessionID) (*ledger.Commit, error)) error {
	var id ledger.SessionID
	rand.Read(id[:])
	source, err := a.ring.SourceID(id[:1])
	if err != nil {
		return err
	}
	if err := a.append(&ledger.Open{Session: id, Kind: "backup", Host: "host.example.org", Source: source, Program: "holdfast scale"}); err != nil {
		return err
	}
	body, err := commit(id)
	if err != nil {
		return err
	}
	if err := a.append(body); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// checkpoint adds a CHECKPOINT, and keeps its state only.
func (a *appender) checkpoint() error {
	n, _ := a.state.Head()
	if old := a.state.Checkpoints().N; old != 0 {
		path := filepath.Join(storePath(a.dir), filepath.FromSlash(ledger.CheckpointKey(old)))
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := a.write(ledger.CheckpointKey(n), a.state.Encode()); err != nil {
		return err
	}
	return a.append(a.state.NextCheckpoint())
}
