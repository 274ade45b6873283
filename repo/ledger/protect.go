package ledger

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Protect (PROTECT) keeps snapshots from being forgotten, until an UNPROTECT.
type Protect struct {
	Snapshots []crypto.ID // at least one, each once
	Reason    string      // sealed; at most MaxReason bytes
}

// Type returns TypeProtect.
func (*Protect) Type() Type { return TypeProtect }

func (p *Protect) appendClear(b []byte) []byte  { return appendSnapshots(b, p.Snapshots) }
func (p *Protect) decodeClear(d *wire.Decoder)  { p.Snapshots = decodeSnapshots(d) }
func (*Protect) hasSealed() bool                { return true }
func (p *Protect) appendSealed(b []byte) []byte { return wire.AppendBytes(b, p.Reason) }
func (p *Protect) decodeSealed(d *wire.Decoder) { p.Reason = decodeReason(d) }

// Unprotect (UNPROTECT) ends the protection of snapshots.
type Unprotect struct {
	Snapshots []crypto.ID // at least one, each once
	Reason    string      // sealed; at most MaxReason bytes
}

// Type returns TypeUnprotect.
func (*Unprotect) Type() Type { return TypeUnprotect }

func (u *Unprotect) appendClear(b []byte) []byte  { return appendSnapshots(b, u.Snapshots) }
func (u *Unprotect) decodeClear(d *wire.Decoder)  { u.Snapshots = decodeSnapshots(d) }
func (*Unprotect) hasSealed() bool                { return true }
func (u *Unprotect) appendSealed(b []byte) []byte { return wire.AppendBytes(b, u.Reason) }
func (u *Unprotect) decodeSealed(d *wire.Decoder) { u.Reason = decodeReason(d) }

// judgeProtected says why not every one of the snapshots is live, and protected or not as wanted.
func (s *State) judgeProtected(ids []crypto.ID, want bool) string {
	for _, id := range ids {
		if why := s.liveSnapshot(id); why != "" {
			return why
		}
		at := s.snapshots[s.places[id]].ProtectedAt
		switch {
		case at == 0 && want:
			return fmt.Sprintf("snapshot %s is not protected", id)
		case at != 0 && !want:
			return fmt.Sprintf("snapshot %s is protected by entry %d", id, at)
		}
	}
	return ""
}

// protect sets by which entry snapshots are protected; 0: by none.
func (s *State) protect(ids []crypto.ID, at uint64) {
	for _, id := range ids {
		s.change(id, func(snap *Snapshot) { snap.ProtectedAt = at })
	}
}
