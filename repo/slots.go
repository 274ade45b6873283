package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// unlock opens the first slot that the credential opens.
func unlock(ctx context.Context, store backend.Store, genesis ID, c crypto.Credential) (*crypto.Keyring, *crypto.Slot, error) {
	slots, err := readSlots(ctx, store, genesis)
	if err != nil {
		return nil, nil, err
	}
	var damaged error
	tried := false
	for _, s := range slots {
		if s.err != nil {
			damaged = s.err
			continue
		}
		if !s.slot.Matches(c) {
			continue
		}
		tried = true
		ring, err := s.slot.Open(c)
		if err == nil {
			return ring, s.slot, nil
		}
		if !errors.Is(err, crypto.ErrWrongCredential) {
			damaged = &CorruptError{Key: s.key, Offset: -1, Err: err}
		}
	}
	switch {
	case damaged != nil:
		return nil, nil, fmt.Errorf("no key slot opens, and one cannot be used: %w", damaged)
	case tried:
		return nil, nil, ErrWrongCredential
	}
	return nil, nil, ErrNoSlot
}

// checkSlotCopy fails if one copy of a slot is missing or damaged.
func checkSlotCopy(ctx context.Context, store backend.Store, key string) error {
	b, err := backend.ReadAll(ctx, store, key, crypto.MaxSlotSize)
	if err != nil {
		return missing(key, err)
	}
	if _, err := crypto.DecodeSlot(b); err != nil {
		return &CorruptError{Key: key, Offset: -1, Err: err}
	}
	return nil
}
