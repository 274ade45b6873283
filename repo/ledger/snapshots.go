package ledger

import (
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Forget (FORGET) takes snapshots out of the live ones.
type Forget struct {
	Snapshots []crypto.ID // at least one, each once
	Reason    string      // sealed; at most MaxReason bytes
}

// Type returns TypeForget.
func (*Forget) Type() Type { return TypeForget }

func (f *Forget) appendClear(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(f.Snapshots)))
	for _, id := range f.Snapshots {
		b = append(b, id[:]...)
	}
	return b
}

func (f *Forget) decodeClear(d *wire.Decoder) {
	f.Snapshots = decodeDistinct(d, "snapshots", func(id *crypto.ID) []byte { return id[:] })
	if len(f.Snapshots) == 0 {
		d.Fail("no snapshot named")
	}
}

func (*Forget) hasSealed() bool                { return true }
func (f *Forget) appendSealed(b []byte) []byte { return wire.AppendBytes(b, f.Reason) }
func (f *Forget) decodeSealed(d *wire.Decoder) { f.Reason = decodeReason(d) }

// Tags (TAGS) replaces the tags of a snapshot.
type Tags struct {
	Snapshot crypto.ID
	Tags     []string // sealed; at most MaxTags of at most MaxText bytes
}

// Type returns TypeTags.
func (*Tags) Type() Type { return TypeTags }

func (t *Tags) appendClear(b []byte) []byte  { return append(b, t.Snapshot[:]...) }
func (t *Tags) decodeClear(d *wire.Decoder)  { d.Copy(t.Snapshot[:]) }
func (*Tags) hasSealed() bool                { return true }
func (t *Tags) appendSealed(b []byte) []byte { return wire.AppendStrings(b, t.Tags) }
func (t *Tags) decodeSealed(d *wire.Decoder) { t.Tags = d.Strings(MaxTags, MaxText, "tags") }
