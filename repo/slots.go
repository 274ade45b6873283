package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
)

const (
	slotPrefix = "keys/"
	slotCopy   = ".copy"
)

func slotKey(id crypto.SlotID) string { return slotPrefix + id.String() }

// putSlot seals the keys of ring for a credential and stores the slot twice.
func putSlot(ctx context.Context, store backend.Store, ring *crypto.Keyring, genesis ID, label string, c crypto.Sealer) (crypto.SlotInfo, error) {
	b, slot, err := crypto.SealSlot(ring, genesis, label, c)
	if err != nil {
		return crypto.SlotInfo{}, err
	}
	for _, key := range []string{slotKey(slot.ID), slotKey(slot.ID) + slotCopy} {
		if err := backend.PutBytes(ctx, store, key, b, &backend.PutOptions{IfAbsent: true}); err != nil {
			return crypto.SlotInfo{}, fmt.Errorf("writing a key slot: %w", err)
		}
	}
	return slot, nil
}

// storedSlot is a slot as found: decoded, or the reason why not.
type storedSlot struct {
	key  string
	slot *crypto.Slot
	err  error
}

// readSlots returns the repository's slots, each once: the second copy stands in for a first that is damaged or missing.
func readSlots(ctx context.Context, store backend.Store, genesis ID) ([]storedSlot, error) {
	names := map[string]bool{}
	for info, err := range store.List(ctx, slotPrefix) {
		if err != nil {
			return nil, fmt.Errorf("listing key slots: %w", err)
		}
		names[strings.TrimSuffix(info.Key, slotCopy)] = true
	}
	var slots []storedSlot
	for name := range names {
		s := readSlot(ctx, store, name)
		if s.err == nil && s.slot.Genesis != genesis {
			continue
		}
		slots = append(slots, s)
	}
	slices.SortFunc(slots, func(a, b storedSlot) int { return strings.Compare(a.key, b.key) })
	return slots, nil
}

func readSlot(ctx context.Context, store backend.Store, name string) storedSlot {
	s := storedSlot{key: name}
	for _, key := range []string{name, name + slotCopy} {
		b, err := backend.ReadAll(ctx, store, key, crypto.MaxSlotSize)
		if err == nil {
			var slot *crypto.Slot
			if slot, err = crypto.DecodeSlot(b); err == nil {
				return storedSlot{key: name, slot: slot}
			}
			err = &CorruptError{Key: key, Offset: -1, Err: err}
		}
		if s.err == nil || errors.Is(s.err, fs.ErrNotExist) {
			s.err = err
		}
	}
	return s
}

// unlocked is a slot that was opened.
type unlocked struct {
	ring *crypto.Keyring
	slot *crypto.Slot
}

// unlock yields the slots that the credential opens, one after the other, and at last, unless it was stopped, why there are no more.
func unlock(ctx context.Context, store backend.Store, genesis ID, c crypto.Credential) iter.Seq2[unlocked, error] {
	return func(yield func(unlocked, error) bool) {
		slots, err := readSlots(ctx, store, genesis)
		if err != nil {
			yield(unlocked{}, err)
			return
		}
		var damaged error
		tried := false
		for _, s := range slots {
			switch ring, err := s.open(c); {
			case err == nil && ring != nil:
				if !yield(unlocked{ring, s.slot}, nil) {
					return
				}
			case errors.Is(err, crypto.ErrWrongCredential):
				tried = true
			case err != nil:
				damaged = err
			}
		}
		switch {
		case damaged != nil:
			err = fmt.Errorf("no key slot opens, and one cannot be used: %w", damaged)
		case tried:
			err = ErrWrongCredential
		default:
			err = ErrNoSlot
		}
		yield(unlocked{}, err)
	}
}

// open opens a slot; nil without an error if the credential is of another kind.
func (s *storedSlot) open(c crypto.Credential) (*crypto.Keyring, error) {
	if s.err != nil || !s.slot.Matches(c) {
		return nil, s.err
	}
	ring, err := s.slot.Open(c)
	if err != nil && !errors.Is(err, crypto.ErrWrongCredential) {
		err = &CorruptError{Key: s.key, Offset: -1, Err: err}
	}
	return ring, err
}

// checkSlotCopy fails if one copy of a slot is missing or damaged.
func checkSlotCopy(ctx context.Context, store backend.Store, key string) error {
	b, err := backend.ReadAll(ctx, store, key, crypto.MaxSlotSize)
	if err != nil {
		return missing(key, err)
	}
	slot, err := crypto.DecodeSlot(b)
	if err == nil && slotKey(slot.ID) != strings.TrimSuffix(key, slotCopy) {
		err = fmt.Errorf("it holds key slot %s", slot.ID)
	}
	if err != nil {
		return &CorruptError{Key: key, Offset: -1, Err: err}
	}
	return nil
}
