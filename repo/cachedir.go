package repo

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/crypto"
)

// cacheDir is the folder of one repository at one place in the local cache. Everything in it can be made anew, and nothing in it
// is believed unless it is sealed under the slot's own key or checked against what is. With an empty path it keeps nothing.
type cacheDir struct {
	path string
	ring *crypto.Keyring
}

// cacheTag marks the folder as one that backups may leave out (https://bford.info/cachedir/).
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n# This file marks a cache folder of holdfast.\n"

func openCache(root string, repository [16]byte, place string, ring *crypto.Keyring) (*cacheDir, error) {
	if root == "" || ring == nil {
		return &cacheDir{}, nil
	}
	path := filepath.Join(root, cacheName(repository, place))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the cache folder: %w", err)
	}
	tag := filepath.Join(root, "CACHEDIR.TAG")
	if _, err := os.Lstat(tag); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(tag, []byte(cacheTag), 0o600); err != nil {
			return nil, fmt.Errorf("marking the cache folder: %w", err)
		}
	}
	return &cacheDir{path: path, ring: ring}, nil
}

// cacheName is the name of the folder of a repository at one place.
func cacheName(repository [16]byte, place string) string {
	where := crypto.Hash([]byte(place))
	return hex.EncodeToString(repository[:]) + "-" + hex.EncodeToString(where[:4])
}

func (c *cacheDir) on() bool { return c.path != "" }

// indexPath is the folder of the searchable index; empty without a cache.
func (c *cacheDir) indexPath() string {
	if !c.on() {
		return ""
	}
	return c.sealedPath("index")
}

func (c *cacheDir) sealedPath(name string) string {
	id := c.ring.Actor().ID()
	return filepath.Join(c.path, name+"-"+hex.EncodeToString(id[:4]))
}

// writeSealed replaces a file that only this key slot can read or have written.
func (c *cacheDir) writeSealed(name string, plain []byte) error {
	key := c.ring.StateKey(name)
	b := crypto.SealBox(nil, crypto.AES256GCM, &key, "state", plain, []byte(name))
	path := c.sealedPath(name)
	tmp, err := os.CreateTemp(c.path, ".tmp-*")
	if err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(b); err != nil {
		tmp.Close()
		return fmt.Errorf("writing the cache: %w", err)
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	return nil
}

// readSealed returns what writeSealed wrote, or false: nothing there, or not this slot's.
func (c *cacheDir) readSealed(name string) ([]byte, bool) {
	if !c.on() {
		return nil, false
	}
	b, err := os.ReadFile(c.sealedPath(name))
	if err != nil {
		return nil, false
	}
	key := c.ring.StateKey(name)
	plain, err := crypto.OpenBox(nil, crypto.AES256GCM, &key, "state", b, []byte(name))
	return plain, err == nil
}
