package repo

import (
	"errors"
	"sync"

	"github.com/holdfast-backup/holdfast/crypto"
)

// sessionKeys holds the session keys that were opened, by their commitments: opening one costs a key encapsulation, and packs
// of one session share theirs. Safe for concurrent use.
//
// A writer cannot open META keys. So that it can still tell which of its own files are unchanged, the META keys of its own
// sessions are kept in the local cache, sealed under its slot (docs/adr/0003-writer-state.md).
type sessionKeys struct {
	ring  *crypto.Keyring
	cache *cacheDir

	mu   sync.Mutex
	keys map[[32]byte]*crypto.Key
	own  []byte // commitment and key of each META key kept in the cache
}

const (
	stateName = "meta-keys"
	stateItem = 64
	// maxState bounds how many META keys are kept; the oldest go first.
	maxState = 4096 * stateItem
)

func newSessionKeys(ring *crypto.Keyring, cache *cacheDir) *sessionKeys {
	k := &sessionKeys{ring: ring, cache: cache, keys: map[[32]byte]*crypto.Key{}}
	if ring == nil || ring.Role() != crypto.Writer {
		return k
	}
	own, ok := cache.readSealed(stateName)
	if !ok || len(own)%stateItem != 0 {
		return k
	}
	k.own = own
	for ; len(own) > 0; own = own[stateItem:] {
		key := crypto.Key(own[32:64])
		k.keys[[32]byte(own[:32])] = &key
	}
	return k
}

// open returns the key of an entry.
func (k *sessionKeys) open(c Class, e *crypto.KeyEntry) (*crypto.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[e.Commitment]; ok {
		return key, nil
	}
	if k.ring == nil {
		return nil, ErrNotAllowed
	}
	key, err := k.ring.OpenSessionKey(c, e)
	if err != nil {
		return nil, err
	}
	k.keys[e.Commitment] = key
	return key, nil
}

// add remembers the key of a session of one's own.
func (k *sessionKeys) add(c Class, e *crypto.KeyEntry, key crypto.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[e.Commitment] = &key
	if c == Meta && k.ring.Role() == crypto.Writer {
		k.own = append(append(k.own, e.Commitment[:]...), key[:]...)
		k.own = k.own[max(0, len(k.own)-maxState):]
	}
}

// save keeps what a writer needs next time, beside what other processes have kept meanwhile.
func (k *sessionKeys) save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.own) == 0 || !k.cache.on() {
		return nil
	}
	if kept, ok := k.cache.readSealed(stateName); ok && len(kept)%stateItem == 0 {
		k.own = mergeState(kept, k.own)
	}
	return k.cache.writeSealed(stateName, k.own)
}

// mergeState appends the items of more that kept does not have, and drops the oldest if there are too many.
func mergeState(kept, more []byte) []byte {
	have := map[[32]byte]bool{}
	for i := 0; i < len(kept); i += stateItem {
		have[[32]byte(kept[i:])] = true
	}
	for ; len(more) > 0; more = more[stateItem:] {
		if !have[[32]byte(more)] {
			kept = append(kept, more[:stateItem]...)
		}
	}
	return kept[max(0, len(kept)-maxState):]
}

// isNoKey reports whether err says that the role does not hold the key, rather than that something is damaged.
func isNoKey(err error) bool {
	_, ok := errors.AsType[*crypto.NoKeyError](err)
	return ok || errors.Is(err, ErrNotAllowed)
}
