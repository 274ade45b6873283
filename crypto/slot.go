package crypto

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MaxSlotSize is an upper bound on the size of a slot object in bytes.
const MaxSlotSize = 128 << 10

// Limits on the parts of a slot in bytes.
const (
	maxLabel      = 256
	maxParameters = 4 << 10
	maxSealed     = 64 << 10
)

// SlotKind says which sort of credential opens a slot.
type SlotKind uint8

// The kinds. Numbers are those of the format; 5 to 7 are reserved, and decode but never open.
const (
	PasswordSlot  SlotKind = 1
	KeyFileSlot   SlotKind = 2
	RecipientSlot SlotKind = 3
	RecoverySlot  SlotKind = 4
	lastSlotKind  SlotKind = 7
)

// String returns the kind's name in lower case.
func (k SlotKind) String() string {
	switch k {
	case PasswordSlot:
		return "password"
	case KeyFileSlot:
		return "key file"
	case RecipientSlot:
		return "recipient"
	case RecoverySlot:
		return "recovery key"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// SlotID names a slot; it is random.
type SlotID [16]byte

// String returns id as 32 lower-case hexadecimal digits.
func (id SlotID) String() string { return hex.EncodeToString(id[:]) }

// SlotInfo is what a slot tells without a credential. Until the slot was opened, nothing vouches for it.
type SlotInfo struct {
	Kind    SlotKind
	Role    Role // of the keyring inside
	Suite   Suite
	ID      SlotID
	Genesis ID        // hash of ledger entry 0 of its repository
	Created time.Time // UTC, by the clock of whoever made it
	Actor   Actor     // who the keyring inside signs as
	Label   string    // at most 256 bytes
}

// Slot is a decoded key slot. It is safe for concurrent use.
type Slot struct {
	SlotInfo
	params []byte
	sealed []byte
	bind   ID // hash of all bytes before sealed
}

// SlotError says that a slot object is damaged, or was altered so that it no longer opens. Its copy may be good.
type SlotError struct {
	Err error
}

// Error says what is wrong.
func (e *SlotError) Error() string { return "damaged key slot: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SlotError) Unwrap() error { return e.Err }

// SealSlot seals the keys of k, for the repository with that genesis, so that c's credential opens them. It returns the bytes of
// the slot object and what they tell. The label is at most 256 bytes of UTF-8.
func SealSlot(k *Keyring, genesis ID, label string, c Sealer) ([]byte, SlotInfo, error) {
	b, info, err := sealSlot(k, genesis, label, c, time.Now(), rand.Reader)
	if err != nil {
		return nil, SlotInfo{}, fmt.Errorf("sealing a %s slot: %w", c.slotKind(), err)
	}
	return b, info, nil
}

func sealSlot(k *Keyring, genesis ID, label string, c Sealer, now time.Time, random io.Reader) ([]byte, SlotInfo, error) {
	info := SlotInfo{Kind: c.slotKind(), Role: k.Role(), Suite: k.Suite(), Genesis: genesis, Actor: k.Actor(), Label: label,
		Created: time.Unix(0, now.UnixNano()).UTC()}
	if len(label) > maxLabel || !utf8.ValidString(label) {
		return nil, SlotInfo{}, fmt.Errorf("the label (%d bytes) is not at most %d bytes of UTF-8", len(label), maxLabel)
	}
	var salts [2][SaltSize]byte
	for _, p := range [][]byte{info.ID[:], salts[0][:], salts[1][:]} {
		if _, err := io.ReadFull(random, p); err != nil {
			return nil, SlotInfo{}, err
		}
	}
	params, err := c.parameters(&salts[0])
	if err != nil {
		return nil, SlotInfo{}, err
	}
	b := appendSlotHeader(nil, &info, params)
	bind := Hash(b)
	sealed, err := c.seal(info.Suite, params, k.appendKeys(nil), &bind, &salts[1])
	if err != nil {
		return nil, SlotInfo{}, err
	}
	if len(sealed) > maxSealed {
		return nil, SlotInfo{}, fmt.Errorf("the keys take %d bytes, at most %d fit", len(sealed), maxSealed)
	}
	b = wire.AppendBytes(b, sealed)
	sum := Hash(b)
	return append(b, sum[:]...), info, nil
}

func appendSlotHeader(b []byte, s *SlotInfo, params []byte) []byte {
	b = append(b, "HFSLOT"...)
	b = wire.AppendU16(b, 1)
	b = append(b, byte(s.Kind), byte(s.Role), byte(s.Suite))
	b = append(b, s.ID[:]...)
	b = append(b, s.Genesis[:]...)
	b = wire.AppendI64(b, s.Created.UnixNano())
	b = append(b, s.Actor.Public[:]...)
	b = wire.AppendBytes(b, s.Label)
	return wire.AppendBytes(b, params)
}

// DecodeSlot reads a slot object without opening it. Damage gives a *SlotError; an intact slot of an unknown version gives an
// error that is none. The result holds no memory of the input.
func DecodeSlot(b []byte) (*Slot, error) {
	body := len(b) - len(ID{})
	if body < 0 || len(b) > MaxSlotSize {
		return nil, &SlotError{fmt.Errorf("it has %d bytes", len(b))}
	}
	if Hash(b[:body]) != ID(b[body:]) {
		return nil, &SlotError{errors.New("its checksum does not match")}
	}
	d := wire.NewDecoder(append([]byte(nil), b[:body]...))
	d.Magic("HFSLOT", 1)
	if errors.Is(d.Err(), wire.ErrVersion) {
		return nil, fmt.Errorf("decoding a key slot: %w", d.Err())
	}
	s := &Slot{}
	decodeSlotHeader(d, s)
	s.bind = Hash(b[:d.Offset()])
	s.sealed = d.Bytes(maxSealed, "sealed keys")
	if err := d.Finish(); err != nil {
		return nil, &SlotError{err}
	}
	return s, nil
}

func decodeSlotHeader(d *wire.Decoder, s *Slot) {
	s.Kind, s.Role, s.Suite = SlotKind(d.U8()), Role(d.U8()), Suite(d.U8())
	d.Copy(s.ID[:])
	d.Copy(s.Genesis[:])
	s.Created = time.Unix(0, d.I64()).UTC()
	d.Copy(s.Actor.Public[:])
	s.Label = d.String(maxLabel, "label")
	s.params = d.Bytes(maxParameters, "parameters")
	switch {
	case d.Err() != nil:
	case s.Kind < PasswordSlot || s.Kind > lastSlotKind:
		d.Fail("unknown %s", s.Kind)
	case !s.Role.Valid():
		d.Fail("unknown %s", s.Role)
	case !s.Suite.Valid():
		d.Fail("unknown %s", s.Suite)
	case !utf8.ValidString(s.Label):
		d.Fail("the label is not UTF-8")
	default:
		if err := checkParameters(s.Kind, s.params); err != nil {
			d.Fail("parameters: %v", err)
		}
	}
}

func checkParameters(kind SlotKind, params []byte) error {
	var want int
	switch kind {
	case PasswordSlot:
		_, _, err := decodeArgon2(params)
		return err
	case KeyFileSlot, RecoverySlot:
		want = SaltSize
	case RecipientSlot:
		want = publicKeySize
	default:
		return nil
	}
	if len(params) != want {
		return fmt.Errorf("they have %d bytes, want %d", len(params), want)
	}
	return nil
}

// Matches reports whether it makes sense to try c: a password is not tried on a key file's slot, nor an identity on another's.
func (s *Slot) Matches(c Credential) bool { return c.slotKind() == s.Kind && c.fits(s.params) }

// Open returns the keyring inside, to be bound to what GENESIS says. A credential that does not open the slot gives
// ErrWrongCredential; contents that were altered or are not those of the role give a *SlotError. With a password it takes the
// time and memory of the slot's Argon2 parameters: at most 2 GiB.
func (s *Slot) Open(c Credential) (*Keyring, error) {
	if !s.Matches(c) {
		return nil, fmt.Errorf("opening %s slot %s: %w", s.Kind, s.ID, ErrWrongCredential)
	}
	plain, err := c.open(s.Suite, s.params, s.sealed, &s.bind)
	if errors.Is(err, ErrWrongCredential) {
		return nil, fmt.Errorf("opening %s slot %s: %w", s.Kind, s.ID, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s slot %s: %w", s.Kind, s.ID, &SlotError{err})
	}
	k, err := decodeKeys(s.Role, s.Suite, plain)
	if err == nil && k.Actor() != s.Actor {
		err = errors.New("its signing key is not that of its actor")
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s slot %s: %w", s.Kind, s.ID, &SlotError{err})
	}
	return k, nil
}
