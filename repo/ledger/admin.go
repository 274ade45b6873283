package ledger

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Primitive is what every writer must be able to do on the repository's store.
type Primitive uint8

// The primitives.
const (
	CreateIfAbsent Primitive = 1 // writers create log entries atomically if absent
	OneWriter      Primitive = 2 // one writer at a time, held by a lock
)

const publicKeySize = 1216

// maxParity is the most parity that packs can have, in percent.
const maxParity = 50

// Genesis (GENESIS) is entry 0: the repository's identity, first admin, first epoch and fixed parameters.
type Genesis struct {
	unsealed
	Repository [16]byte
	Domain     [16]byte
	Admin      crypto.Actor
	Keys       crypto.PublicKeys // epoch 1
	Suite      crypto.Suite

	ChunkMean   uint32 // bytes; a power of two from 4 KiB to 256 KiB
	SegmentSize uint32 // bytes of plaintext; 64 KiB to 16 MiB, at least four times ChunkMean
	PackSize    uint32 // bytes; 1 MiB to 1 GiB, at least twice SegmentSize

	Primitive Primitive
	Features  FeatureSets
	Parity    uint8 // of packs, in percent, up to 50; 0: none
}

// Type returns TypeGenesis.
func (*Genesis) Type() Type { return TypeGenesis }

func (g *Genesis) appendClear(b []byte) []byte {
	b = append(b, g.Repository[:]...)
	b = append(b, g.Domain[:]...)
	b = append(b, g.Admin.Public[:]...)
	b = wire.AppendU32(b, g.Keys.Epoch)
	if len(g.Keys.Data) == publicKeySize && len(g.Keys.Meta) == publicKeySize { // else no decoder accepts it
		b = append(b, g.Keys.Data...)
		b = append(b, g.Keys.Meta...)
	}
	b = append(b, byte(g.Suite))
	b = wire.AppendU32(b, g.ChunkMean)
	b = wire.AppendU32(b, g.SegmentSize)
	b = wire.AppendU32(b, g.PackSize)
	b = append(b, byte(g.Primitive))
	if b = g.Features.append(b); g.Parity > 0 {
		b = append(b, g.Parity)
	}
	return b
}

func (g *Genesis) decodeClear(d *wire.Decoder) {
	d.Copy(g.Repository[:])
	d.Copy(g.Domain[:])
	d.Copy(g.Admin.Public[:])
	g.Keys.Epoch = d.U32()
	g.Keys.Data = bytes.Clone(d.Fixed(publicKeySize))
	g.Keys.Meta = bytes.Clone(d.Fixed(publicKeySize))
	g.Suite = crypto.Suite(d.U8())
	g.ChunkMean = d.U32()
	g.SegmentSize = d.U32()
	g.PackSize = d.U32()
	g.Primitive = Primitive(d.U8())
	g.Features.decode(d)
	if d.Err() == nil && d.Len() > 0 {
		if g.Parity = d.U8(); g.Parity == 0 || g.Parity > maxParity {
			d.Fail("parity of %d %%", g.Parity)
		}
	}
	g.check(d)
}

func (g *Genesis) check(d *wire.Decoder) {
	const ki, mi, gi = 1 << 10, 1 << 20, 1 << 30
	mean, segment, pack := uint64(g.ChunkMean), uint64(g.SegmentSize), uint64(g.PackSize)
	if g.Keys.Epoch != 1 {
		d.Fail("first epoch is %d", g.Keys.Epoch)
	}
	if !g.Suite.Valid() {
		d.Fail("unknown %v", g.Suite)
	}
	if mean < 4*ki || mean > 256*ki || bits.OnesCount64(mean) != 1 {
		d.Fail("chunk mean %d is not a power of two from 4 KiB to 256 KiB", mean)
	}
	if segment < 64*ki || segment > 16*mi || segment < 4*mean {
		d.Fail("segment size %d is not from 64 KiB to 16 MiB, or less than four times the chunk mean", segment)
	}
	if pack < mi || pack > gi || pack < 2*segment {
		d.Fail("pack size %d is not from 1 MiB to 1 GiB, or less than twice the segment size", pack)
	}
	if g.Primitive != CreateIfAbsent && g.Primitive != OneWriter {
		d.Fail("unknown primitive %d", g.Primitive)
	}
}

// KeyOp is what a KEY entry does.
type KeyOp uint8

// The operations of KEY.
const (
	Admit  KeyOp = 1
	Remove KeyOp = 2
)

// Key (KEY) admits an actor or removes it for good.
type Key struct {
	Op    KeyOp
	Role  crypto.Role // to remove: as admitted
	Actor crypto.Actor
	Slot  SlotID // to remove: as admitted

	Label string // sealed; the slot's label, or why it is removed
}

// Type returns TypeKey.
func (*Key) Type() Type { return TypeKey }

func (k *Key) appendClear(b []byte) []byte {
	b = append(b, byte(k.Op), byte(k.Role))
	b = append(b, k.Actor.Public[:]...)
	return append(b, k.Slot[:]...)
}

func (k *Key) decodeClear(d *wire.Decoder) {
	k.Op = KeyOp(d.U8())
	k.Role = crypto.Role(d.U8())
	d.Copy(k.Actor.Public[:])
	d.Copy(k.Slot[:])
	if k.Op != Admit && k.Op != Remove {
		d.Fail("unknown operation %d", k.Op)
	}
	if !k.Role.Valid() {
		d.Fail("unknown %v", k.Role)
	}
}

func (*Key) hasSealed() bool                { return true }
func (k *Key) appendSealed(b []byte) []byte { return wire.AppendBytes(b, k.Label) }
func (k *Key) decodeSealed(d *wire.Decoder) { k.Label = d.String(MaxText, "label") }

// FeatureSets name what a program must know for each use of the repository. Each set is in ascending order.
type FeatureSets struct {
	Read    []string
	Write   []string
	Collect []string
}

// Bounds of one set, and of the bytes of one name.
const (
	maxFeatures    = 256
	maxFeatureName = 64
)

func (f *FeatureSets) sets() []*[]string { return []*[]string{&f.Read, &f.Write, &f.Collect} }

func (f *FeatureSets) append(b []byte) []byte {
	for _, set := range f.sets() {
		b = wire.AppendStrings(b, *set)
	}
	return b
}

func (f *FeatureSets) decode(d *wire.Decoder) {
	for _, set := range f.sets() {
		*set = d.Strings(maxFeatures, maxFeatureName, "features")
		for i, name := range *set {
			if name == "" || i > 0 && name <= (*set)[i-1] {
				d.Fail("features are not in ascending order")
			}
		}
	}
}

// with returns the sets with others added, in new memory.
func (f FeatureSets) with(add *FeatureSets) FeatureSets {
	return FeatureSets{union(f.Read, add.Read), union(f.Write, add.Write), union(f.Collect, add.Collect)}
}

// Features (FEATURES) adds to the repository's feature sets.
type Features struct {
	unsealed
	Add FeatureSets
}

// Type returns TypeFeatures.
func (*Features) Type() Type { return TypeFeatures }

func (s *State) judgeFeatures(f *Features) string {
	all := s.features.with(&f.Add)
	for _, set := range all.sets() {
		if len(*set) > maxFeatures {
			return fmt.Sprintf("there would be %d features, more than %d", len(*set), maxFeatures)
		}
	}
	return ""
}

func (f *Features) appendClear(b []byte) []byte { return f.Add.append(b) }
func (f *Features) decodeClear(d *wire.Decoder) { f.Add.decode(d) }
