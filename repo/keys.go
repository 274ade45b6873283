package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// KeySlot is one way into the repository.
type KeySlot struct {
	crypto.SlotInfo
	// Current is set for the slot that was opened.
	Current bool
	// Admitted says that the ledger admits the slot's actor in the slot's role, so that the slot can be used.
	Admitted bool
	// Lost says that neither copy of the slot is there any more: the rest is what the ledger says.
	Lost bool
	// Err says why the slot cannot be read; then only ID is set.
	Err error
}

// Keys lists the repository's key slots.
func (r *Repository) Keys(ctx context.Context) ([]KeySlot, error) {
	stored, err := readSlots(ctx, r.store, r.hash)
	if err != nil {
		return nil, err
	}
	var list []KeySlot
	for _, s := range stored {
		if s.err != nil {
			list = append(list, KeySlot{Err: s.err})
			continue
		}
		list = append(list, r.describe(s.slot))
	}
	for _, a := range r.withoutSlot(stored) {
		info := crypto.SlotInfo{ID: crypto.SlotID(a.Slot), Role: a.Role, Actor: a.Actor, Label: a.Label}
		list = append(list, KeySlot{SlotInfo: info, Admitted: true, Lost: true})
	}
	return list, nil
}

func (r *Repository) describe(slot *crypto.Slot) KeySlot {
	k := KeySlot{SlotInfo: slot.SlotInfo, Current: r.current(slot)}
	r.chain.view(func(st *ledger.State) {
		a, ok := st.Actor(slot.Actor.ID())
		k.Admitted = ok && a.Role == slot.Role && a.RemovedAt == 0
	})
	return k
}

// FindKey returns the slot whose id begins with prefix. Errors wrap [ErrNotFound] or [ErrAmbiguous].
func (r *Repository) FindKey(ctx context.Context, prefix string) (KeySlot, error) {
	list, err := r.Keys(ctx)
	if err != nil {
		return KeySlot{}, err
	}
	var found []KeySlot
	for _, k := range list {
		if k.Err == nil && strings.HasPrefix(k.ID.String(), prefix) && prefix != "" {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return KeySlot{}, fmt.Errorf("key slot %q: %w", prefix, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return KeySlot{}, fmt.Errorf("key slot %q: %w: it begins %d ids", prefix, ErrAmbiguous, len(found))
}

// AddKey makes a key slot for another credential that holds the keys of a role, with an actor of its own, and admits that actor by an
// entry of the ledger. Only an admin can. The slot is tried at once: what it holds is opened with the credential if the
// sealer is one.
func (r *Repository) AddKey(ctx context.Context, role crypto.Role, label string, c crypto.Sealer) (crypto.SlotInfo, error) {
	if err := r.mayAdminister(); err != nil {
		return crypto.SlotInfo{}, err
	}
	ring, err := r.ring.Restrict(role)
	if err != nil {
		return crypto.SlotInfo{}, err
	}
	info, err := putSlot(ctx, r.store, ring, r.hash, label, c)
	if err != nil {
		return crypto.SlotInfo{}, err
	}
	if err := r.trySlot(ctx, info.ID, c); err != nil {
		return crypto.SlotInfo{}, errors.Join(err, r.deleteSlot(ctx, info.ID))
	}
	admit := &ledger.Key{Op: ledger.Admit, Role: role, Actor: ring.Actor(), Slot: ledger.SlotID(info.ID), Label: label}
	if err := r.append(ctx, admit); err != nil {
		return crypto.SlotInfo{}, fmt.Errorf("admitting key slot %s: %w", info.ID, err)
	}
	return info, nil
}

func (r *Repository) mayAdminister() error {
	if r.ring == nil || r.ring.Role() != crypto.Admin {
		return fmt.Errorf("%w: only an admin's key can change keys", ErrNotAllowed)
	}
	return nil
}

// trySlot opens a slot as stored, if the sealer can also open.
func (r *Repository) trySlot(ctx context.Context, id crypto.SlotID, c crypto.Sealer) error {
	opener, ok := c.(crypto.Credential)
	if !ok {
		return nil
	}
	s := readSlot(ctx, r.store, slotKey(id))
	if s.err != nil {
		return s.err
	}
	_, err := s.slot.Open(opener)
	return err
}

// RemoveKey takes the admission of a slot's actor back and deletes the slot, which may be lost or damaged. What its holder has copied of the keys stays known to
// them. The slot that was opened cannot be removed.
func (r *Repository) RemoveKey(ctx context.Context, id crypto.SlotID) error {
	if err := r.mayAdminister(); err != nil {
		return err
	}
	s := readSlot(ctx, r.store, slotKey(id))
	if s.err != nil {
		return r.removeUnreadable(ctx, id, s.err)
	}
	if r.current(s.slot) {
		return fmt.Errorf("%w: key slot %s is the one in use; open the repository with another to remove it", ErrNotAllowed, id)
	}
	if s.slot.Actor == r.ring.Actor() {
		return r.deleteSlot(ctx, id) // another way to the same keys, left over from a change of credential
	}
	return r.remove(ctx, s.slot.SlotInfo)
}

// removeUnreadable removes the actor that the ledger admits with a slot of which no copy can be read, for the reason given, unless it has
// another slot by now or is the one in use.
func (r *Repository) removeUnreadable(ctx context.Context, id crypto.SlotID, reason error) error {
	slots, err := readSlots(ctx, r.store, r.hash)
	if err != nil {
		return err
	}
	readable := slices.DeleteFunc(slots, func(s storedSlot) bool { return s.err != nil })
	for _, a := range r.withoutSlot(readable) {
		if crypto.SlotID(a.Slot) == id && a.Actor != r.ring.Actor() {
			return r.remove(ctx, crypto.SlotInfo{ID: id, Actor: a.Actor, Label: a.Label})
		}
	}
	return reason
}

// current reports whether a slot is the one that was opened.
func (r *Repository) current(slot *crypto.Slot) bool {
	opened := r.slot.Load()
	return r.ring != nil && slot.Actor == r.ring.Actor() && (opened == nil || slot.ID == *opened)
}

func (r *Repository) remove(ctx context.Context, slot crypto.SlotInfo) error {
	var actor ledger.Actor
	r.chain.view(func(st *ledger.State) { actor, _ = st.Actor(slot.Actor.ID()) })
	if actor.Role.Valid() && actor.RemovedAt == 0 {
		entry := &ledger.Key{Op: ledger.Remove, Role: actor.Role, Actor: actor.Actor, Slot: actor.Slot, Label: slot.Label}
		if err := r.append(ctx, entry); err != nil {
			return fmt.Errorf("removing key slot %s: %w", slot.ID, err)
		}
	}
	return r.deleteSlot(ctx, slot.ID)
}

func (r *Repository) deleteSlot(ctx context.Context, id crypto.SlotID) error {
	for _, key := range []string{slotKey(id) + slotCopy, slotKey(id)} {
		if err := r.store.Delete(ctx, key); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("deleting key slot %s: %w", id, err)
		}
	}
	return nil
}

// ChangeCredential puts the keys that were opened into a slot for another credential, and deletes the slot that they came from. Role, actor and
// data stay as they are. It returns the new slot.
func (r *Repository) ChangeCredential(ctx context.Context, label string, c crypto.Sealer) (crypto.SlotInfo, error) {
	if r.ring == nil {
		return crypto.SlotInfo{}, ErrNotAllowed
	}
	old, err := r.Keys(ctx)
	if err != nil {
		return crypto.SlotInfo{}, err
	}
	info, err := putSlot(ctx, r.store, r.ring, r.hash, label, c)
	if err != nil {
		return crypto.SlotInfo{}, err
	}
	if err := r.trySlot(ctx, info.ID, c); err != nil {
		return crypto.SlotInfo{}, errors.Join(err, r.deleteSlot(ctx, info.ID))
	}
	r.slot.Store(&info.ID)
	for _, k := range old {
		if k.Err == nil && k.Actor == r.ring.Actor() {
			if err := r.deleteSlot(ctx, k.ID); err != nil {
				return crypto.SlotInfo{}, err
			}
		}
	}
	return info, nil
}
