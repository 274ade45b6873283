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

func (f *Forget) appendClear(b []byte) []byte { return appendSnapshots(b, f.Snapshots) }
func (f *Forget) decodeClear(d *wire.Decoder) { f.Snapshots = decodeSnapshots(d) }

func appendSnapshots(b []byte, list []crypto.ID) []byte {
	b = wire.AppendUvarint(b, uint64(len(list)))
	for _, id := range list {
		b = append(b, id[:]...)
	}
	return b
}

func decodeSnapshots(d *wire.Decoder) []crypto.ID {
	list := decodeDistinct(d, "snapshots", func(id *crypto.ID) []byte { return id[:] })
	if len(list) == 0 {
		d.Fail("no snapshot named")
	}
	return list
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
