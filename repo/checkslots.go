package repo

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// slots reads both copies of each key slot, and makes sure that each actor that the ledger admits has one.
func (c *checker) slots(ctx context.Context) error {
	slots, err := readSlots(ctx, c.repo.store, c.repo.hash)
	if err != nil {
		return c.fault(err)
	}
	if len(c.repo.withoutSlot(slots)) > 0 { // one may have been removed, or changed, since the ledger was read
		if err := c.repo.chain.advance(ctx); err != nil {
			return c.fault(err)
		}
		if slots, err = readSlots(ctx, c.repo.store, c.repo.hash); err != nil {
			return c.fault(err)
		}
	}
	for _, s := range slots {
		for _, key := range []string{s.key, s.key + slotCopy} {
			c.live.add(key)
			if err := checkSlotCopy(ctx, c.repo.store, key); err != nil {
				if err := c.fault(err); err != nil {
					return err
				}
			}
		}
	}
	for _, a := range c.repo.withoutSlot(slots) {
		if err := c.fault(lostSlot(&a)); err != nil {
			return err
		}
	}
	return nil
}

// withoutSlot returns the admitted actors of which no slot was found. A slot is found by the actor that it names, since who changes a
// credential keeps the actor and gets another slot; one that cannot be read, by the slot that the ledger names.
func (r *Repository) withoutSlot(slots []storedSlot) (list []ledger.Actor) {
	found := map[crypto.ActorID]bool{}
	unreadable := map[string]bool{}
	for _, s := range slots {
		if s.err != nil {
			unreadable[s.key] = true
			continue
		}
		found[s.slot.Actor.ID()] = true
	}
	r.chain.view(func(st *ledger.State) {
		for _, a := range st.Actors() {
			if a.RemovedAt == 0 && !found[a.ID] && !unreadable[slotKey(crypto.SlotID(a.Slot))] {
				list = append(list, a)
			}
		}
	})
	return list
}

// lostSlot is the fault of an actor without a slot.
func lostSlot(a *ledger.Actor) error {
	who := a.Role.String()
	if a.Label != "" {
		who = fmt.Sprintf("%s %q", who, a.Label)
	}
	err := fmt.Errorf("no slot and no copy of one is there for the %s (actor %s) that ledger entry %d admits: that key opens nothing any more", who, a.ID, a.AdmittedAt)
	if a.Slot == (ledger.SlotID{}) {
		return &CorruptError{Key: slotPrefix[:len(slotPrefix)-1], Offset: -1, Err: err}
	}
	return &CorruptError{Key: slotKey(crypto.SlotID(a.Slot)), Offset: -1, Err: err}
}
