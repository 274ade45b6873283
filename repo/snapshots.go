package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Snapshot is a committed root, as the ledger has it.
type Snapshot struct {
	// ID is the hash of the snapshot's object.
	ID ID
	// Root is the root directory with its reference node.
	Root Pair
	// Manifest is what the writer said about it.
	Manifest []byte
	// Tags are the tags set since; nil if those of the manifest stand.
	Tags []string
	// Number is its place in the order in which the repository received snapshots: the number of its COMMIT.
	Number uint64
	// Committed is when, as its writer's clock had it.
	Committed time.Time
	// Actor is who signed it: 32 hexadecimal digits.
	Actor string
	// Protected: it cannot be forgotten.
	Protected bool
	// Order is the number of the OPEN of its session, and Opened the time that this entry claims.
	Order  uint64
	Opened time.Time
}

const (
	snapshotMagic   = "HFSNAP"
	snapshotContext = "holdfast v1 snapshot"
	snapshotPrefix  = "snapshots/"
	snapshotHead    = 6 + 2 + 1 + 4 + 3*16 // bytes
	maxSnapshot     = 16 << 20
)

func snapshotKey(id ID) string { return snapshotPrefix + id.String() }

// snapshotHeader is what stands before the sealed part of a snapshot.
type snapshotHeader struct {
	suite      crypto.Suite
	epoch      uint32
	repository [16]byte
	session    ledger.SessionID
	actor      crypto.ActorID
}

func decodeSnapshotHead(d *wire.Decoder) (h snapshotHeader) {
	d.Magic(snapshotMagic, 1)
	h.suite, h.epoch = crypto.Suite(d.U8()), d.U32()
	d.Copy(h.repository[:])
	d.Copy(h.session[:])
	d.Copy(h.actor[:])
	return h
}

func hashOf(b []byte) ID { return crypto.Hash(b) }

// Snapshots returns the snapshots that are not forgotten, in the order in which they were committed, as of the last time that
// the ledger was read. Those whose facts cannot be read are reported together as an error, after the others.
func (r *Repository) Snapshots() ([]Snapshot, error) { return r.snapshots((*ledger.State).Snapshots) }

func (r *Repository) snapshots(which func(*ledger.State) []ledger.Snapshot) ([]Snapshot, error) {
	var stored []ledger.Snapshot
	var sessions []ledger.Session
	r.chain.view(func(st *ledger.State) {
		stored = which(st)
		for i := range stored {
			session, _ := st.Session(stored[i].Session)
			sessions = append(sessions, session)
		}
	})
	var errs []error
	list := make([]Snapshot, 0, len(stored))
	for i := range stored {
		s, err := openFacts(&stored[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Order, s.Opened = sessions[i].OpenedAt, time.Unix(0, sessions[i].Time).UTC()
		list = append(list, s)
	}
	return list, errors.Join(errs...)
}

func openFacts(s *ledger.Snapshot) (Snapshot, error) {
	if s.Facts == nil {
		return Snapshot{}, &CorruptError{Key: ledger.EntryKey(s.CommittedAt), Offset: -1, Err: fmt.Errorf("the facts of snapshot %s cannot be read", s.ID)}
	}
	d := wire.NewDecoder(s.Facts)
	out := Snapshot{ID: s.ID, Number: s.CommittedAt, Committed: time.Unix(0, s.Time).UTC(), Actor: s.Actor.String(), Protected: s.ProtectedAt != 0}
	out.Root = reftree.DecodePair(d)
	out.Manifest = bytes.Clone(d.Bytes(maxSnapshot, "manifest"))
	if err := d.Finish(); err != nil {
		return Snapshot{}, &CorruptError{Key: ledger.EntryKey(s.CommittedAt), Offset: -1, Err: fmt.Errorf("facts of snapshot %s: %w", s.ID, err)}
	}
	if s.TagsOpened {
		out.Tags = append([]string{}, s.Tags...)
	}
	return out, nil
}

// SetTags replaces the tags of a snapshot by an entry of the ledger; the snapshot's object and id stay.
func (r *Repository) SetTags(ctx context.Context, id ID, tags []string) error {
	if err := r.mayWrite(); err != nil {
		return err
	}
	_, err := r.chain.append(ctx, r.ring, func(st *ledger.State) (ledger.Body, error) {
		if s, ok := st.Snapshot(id); !ok || s.ForgottenAt != 0 {
			return nil, fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
		}
		return &ledger.Tags{Snapshot: id, Tags: tags}, nil
	})
	return err
}

// sealSnapshot makes a snapshot's object of its facts.
func (r *Repository) sealSnapshot(session ledger.SessionID, facts []byte) ([]byte, error) {
	epoch := r.ring.Epoch()
	key, err := r.ring.MapKey(epoch)
	if err != nil {
		return nil, err
	}
	actor := r.ring.Actor().ID()
	b := wire.AppendU16([]byte(snapshotMagic), 1)
	b = append(b, byte(r.config.Suite))
	b = wire.AppendU32(b, epoch)
	b = append(b, r.genesis.Repository[:]...)
	b = append(b, session[:]...)
	b = append(b, actor[:]...)
	head := hashOf(b)
	b = wire.AppendBytes(b, crypto.SealBox(nil, r.config.Suite, key, "snapshot", facts, head[:]))
	signature := r.ring.Sign(snapshotContext, b)
	return append(b, signature[:]...), nil
}

// checkSnapshot verifies a snapshot's object: its name, its signature, and, given K_map, that it says what the ledger says.
func (r *Repository) checkSnapshot(ctx context.Context, s *ledger.Snapshot) error {
	key := snapshotKey(s.ID)
	b, err := backend.ReadAll(ctx, r.store, key, maxSnapshot)
	if err != nil {
		return missing(key, err)
	}
	if err := r.verifySnapshot(s, b); err != nil {
		return &CorruptError{Key: key, Offset: -1, Err: err}
	}
	return nil
}

func (r *Repository) verifySnapshot(s *ledger.Snapshot, b []byte) error {
	h, facts, err := r.openSnapshot(s.ID, b)
	switch {
	case err != nil:
	case h.session != s.Session || h.actor != s.Actor:
		err = errors.New("it belongs to another session or actor than its COMMIT says")
	case facts != nil && !bytes.Equal(facts, s.Facts):
		err = errors.New("its facts are not those of its COMMIT")
	}
	return err
}

// openSnapshot verifies the bytes of the snapshot of that id, and returns its facts; nil for an auditor.
func (r *Repository) openSnapshot(id ID, b []byte) (h snapshotHeader, facts []byte, err error) {
	if hashOf(b) != id {
		return h, nil, errors.New("its bytes do not have the hash that names it")
	}
	d := wire.NewDecoder(b)
	h = decodeSnapshotHead(d)
	head := d.Offset()
	box := d.Bytes(maxSnapshot, "sealed part")
	signed := d.Offset()
	signature := d.Fixed(64)
	if err := d.Finish(); err != nil {
		return h, nil, err
	}
	if h.suite != r.config.Suite || h.repository != r.genesis.Repository {
		return h, nil, errors.New("it belongs to another repository")
	}
	var signer ledger.Actor
	var known bool
	r.chain.view(func(st *ledger.State) { signer, known = st.Actor(h.actor) })
	if known || !r.chain.salvaged { // else that it is sealed must do: who its signer was is lost
		if err := signer.Verify(snapshotContext, b[:signed], signature); err != nil {
			return h, nil, err
		}
	}
	if r.ring == nil {
		return h, nil, nil
	}
	mapKey, err := r.ring.MapKey(h.epoch)
	if err != nil {
		return h, nil, err
	}
	aad := hashOf(b[:head])
	facts, err = crypto.OpenBox([]byte{}, h.suite, mapKey, "snapshot", box, aad[:])
	return h, facts, err
}
