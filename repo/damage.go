package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/holdfast-backup/holdfast/backend"
)

// isDamage reports whether an error of a store says that an object is lost, or is not what was stored, rather than that the store failed.
func isDamage(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || isType[*backend.RangeError](err) || isType[*backend.TooLargeError](err) || isType[*backend.DamagedError](err)
}

// badSector is how much is given up where the storage cannot read an object, in bytes.
const badSector = 16 << 10

// readLeft reads what there is under a key, right or wrong, at most limit bytes of it. What the storage cannot read any more is zeros.
func readLeft(ctx context.Context, store backend.Store, key string, limit int64) ([]byte, error) {
	b, err := backend.ReadAll(ctx, store, key, limit)
	if !isType[*backend.TooLargeError](err) && !isType[*backend.DamagedError](err) {
		return b, err
	}
	info, err := store.Stat(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	b = make([]byte, min(info.Size, limit))
	return b, readAround(ctx, store, key, 0, b)
}

// readAround reads what is left of a range.
func readAround(ctx context.Context, store backend.Store, key string, off int64, b []byte) error {
	err := backend.ReadFull(ctx, store, key, off, b)
	if !isType[*backend.DamagedError](err) {
		return err
	}
	if len(b) <= badSector {
		clear(b)
		return nil
	}
	half := (len(b)/2 + badSector - 1) / badSector * badSector
	if err := readAround(ctx, store, key, off, b[:half]); err != nil {
		return err
	}
	return readAround(ctx, store, key, off+int64(half), b[half:])
}
