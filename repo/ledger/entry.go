package ledger

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MaxEntry is the size of the largest entry in bytes.
const MaxEntry = 16 << 20

const (
	magic            = "HFLOGE"
	version          = 1
	signatureSize    = 64
	signatureContext = "holdfast v1 ledger entry"
	sealPurpose      = "entry"
)

// Opener hands out the keys that sealed parts are under. *crypto.Keyring is one.
type Opener interface {
	// MapKey returns K_map of an epoch, or an error when it is not held.
	MapKey(epoch uint32) (*crypto.Key, error)
}

// Entry is a decoded entry whose signature was not checked yet. Its slices alias the bytes it was decoded from.
type Entry struct {
	Type      Type
	Suite     crypto.Suite
	Epoch     uint32 // of Sealed; 0 when that is empty
	N         uint64
	Previous  crypto.ID
	Actor     crypto.ActorID
	Time      int64 // unix nanoseconds, as claimed by the writer
	Clear     []byte
	Sealed    []byte
	Signature [signatureSize]byte

	raw    []byte
	sealAt int // where the field of Sealed starts in raw
}

// Decode takes b apart. It checks the form of everything but the body (Entry.Body does) and no signature. Errors wrap
// wire.ErrFormat, wire.ErrVersion or ErrTooLarge. The result aliases b.
func Decode(b []byte) (*Entry, error) {
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrTooLarge, len(b), MaxEntry)
	}
	e := &Entry{raw: b}
	d := wire.NewDecoder(b)
	d.Magic(magic, version)
	e.Type = Type(d.U8())
	e.Suite = crypto.Suite(d.U8())
	e.Epoch = d.U32()
	e.N = d.U64()
	d.Copy(e.Previous[:])
	d.Copy(e.Actor[:])
	e.Time = d.I64()
	e.Clear = d.Bytes(MaxEntry, "clear part")
	e.sealAt = d.Offset()
	e.Sealed = d.Bytes(MaxEntry, "sealed part")
	d.Copy(e.Signature[:])
	switch {
	case !e.Suite.Valid():
		d.Fail("unknown %v", e.Suite)
	case e.N >= numbers:
		d.Fail("number %d is out of range", e.N)
	case (e.Epoch == 0) != (len(e.Sealed) == 0):
		d.Fail("epoch %d with %d sealed bytes", e.Epoch, len(e.Sealed))
	case e.Epoch != 0 && len(e.Sealed) < crypto.BoxOverhead:
		d.Fail("a box of %d bytes", len(e.Sealed))
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return e, nil
}

// Hash returns the hash of the whole entry: what the next one names as its previous.
func (e *Entry) Hash() crypto.ID { return crypto.Hash(e.raw) }

// Verify checks that the entry was signed by actor. The error wraps crypto.ErrAuth.
func (e *Entry) Verify(actor crypto.Actor) error {
	return actor.Verify(signatureContext, e.raw[:len(e.raw)-signatureSize], e.Signature[:])
}

// Body decodes the clear part; the body's sealed fields stay empty until Unseal. Errors are *UnknownTypeError or wrap
// wire.ErrFormat. The body does not alias the entry.
func (e *Entry) Body() (Body, error) {
	body := e.Type.newBody()
	if body == nil {
		return nil, &UnknownTypeError{N: e.N, Type: e.Type}
	}
	d := wire.NewDecoder(e.Clear)
	body.decodeClear(d)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("%v: %w", e.Type, err)
	}
	if want := body.hasSealed(); want != (len(e.Sealed) > 0) {
		return nil, fmt.Errorf("%v: %w: sealed part of %d bytes", e.Type, wire.ErrFormat, len(e.Sealed))
	}
	return body, nil
}

// Unseal opens the sealed part and fills the sealed fields of body, which Body returned (ErrInvalid if it cannot have). The error wraps ErrNoKey when o is nil
// or does not hold the key, and otherwise crypto.ErrAuth or wire.ErrFormat: the writer sealed something that no reader can use.
// After an error body is as it was. An entry without a sealed part is no error.
func (e *Entry) Unseal(o Opener, body Body) error {
	if body.Type() != e.Type {
		return fmt.Errorf("unsealing entry %d: %w: %v for %v", e.N, ErrInvalid, body.Type(), e.Type)
	}
	if len(e.Sealed) == 0 {
		return nil
	}
	plain, err := e.open(o)
	if err != nil {
		return fmt.Errorf("unsealing entry %d: %w", e.N, err)
	}
	d := wire.NewDecoder(plain)
	e.Type.newBody().decodeSealed(d)
	if err := d.Finish(); err != nil {
		return fmt.Errorf("unsealing entry %d: %v: %w", e.N, e.Type, err)
	}
	body.decodeSealed(wire.NewDecoder(plain))
	return nil
}

func (e *Entry) open(o Opener) ([]byte, error) {
	if o == nil {
		return nil, ErrNoKey
	}
	key, err := o.MapKey(e.Epoch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	aad := crypto.Hash(e.raw[:e.sealAt])
	return crypto.OpenBox(nil, e.Suite, key, sealPurpose, e.Sealed, aad[:])
}

// New makes entry n, which follows the entry (or, for a Progress, what section 7.3 says) whose hash is previous, signed by the
// actor of ring. time is in unix nanoseconds. It does not know whether the entry would be valid: State.Check does. Errors
// wrap ErrInvalid, ErrTooLarge, or are the keyring's.
func New(ring *crypto.Keyring, body Body, n uint64, previous crypto.ID, time int64) ([]byte, error) {
	b, err := encode(ring, body, n, previous, time)
	if err != nil {
		return nil, fmt.Errorf("making ledger entry %d (%v): %w", n, body.Type(), err)
	}
	return b, nil
}

func encode(ring *crypto.Keyring, body Body, n uint64, previous crypto.ID, time int64) ([]byte, error) {
	if n >= numbers {
		return nil, fmt.Errorf("%w: number %d is out of range", ErrInvalid, n)
	}
	clear, sealed, err := encodeBody(body)
	if err != nil {
		return nil, err
	}
	var epoch uint32
	if body.hasSealed() {
		epoch = ring.Epoch()
	}
	b := append(make([]byte, 0, 512), magic...)
	b = wire.AppendU16(b, version)
	b = append(b, byte(body.Type()), byte(ring.Suite()))
	b = wire.AppendU32(b, epoch)
	b = wire.AppendU64(b, n)
	b = append(b, previous[:]...)
	actor := ring.Actor().ID()
	b = append(b, actor[:]...)
	b = wire.AppendI64(b, time)
	b = wire.AppendBytes(b, clear)
	if b, err = appendSealed(b, ring, epoch, sealed); err != nil {
		return nil, err
	}
	sig := ring.Sign(signatureContext, b)
	b = append(b, sig[:]...)
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrTooLarge, len(b), MaxEntry)
	}
	return b, nil
}

func appendSealed(b []byte, ring *crypto.Keyring, epoch uint32, plain []byte) ([]byte, error) {
	if epoch == 0 {
		return wire.AppendUvarint(b, 0), nil
	}
	key, err := ring.MapKey(epoch)
	if err != nil {
		return nil, err
	}
	aad := crypto.Hash(b)
	return wire.AppendBytes(b, crypto.SealBox(nil, ring.Suite(), key, sealPurpose, plain, aad[:])), nil
}
