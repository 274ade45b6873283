package specreader

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// failure is what the package throws: see during.
type failure struct{ err error }

func check(ok bool, format string, args ...any) {
	if !ok {
		panic(failure{fmt.Errorf(format, args...)})
	}
}

func must[T any](v T, err error) T {
	check(err == nil, "%w", err)
	return v
}

// during, deferred, adds to a failure what was being done, and turns it into an error if err is not nil.
func during(err *error, format string, args ...any) {
	switch p := recover().(type) {
	case nil:
	case failure:
		p.err = fmt.Errorf(format+": %w", append(args, p.err)...)
		if err == nil {
			panic(p)
		}
		*err = p.err
	default:
		panic(p)
	}
}

// ID is a BLAKE3-256 hash: the keyed one of a chunk, or that of an object.
type ID [32]byte

// String returns the id as hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// name16 is a session, actor, slot, domain or repository.
type name16 [16]byte

// decoder reads primitive values; b is what is left of all.
type decoder struct{ all, b []byte }

// whole reads all of b.
func whole[T any](b []byte, read func(*decoder) T) T {
	d := &decoder{b, b}
	v := read(d)
	check(len(d.b) == 0, "%d bytes left over", len(d.b))
	return v
}

func (d *decoder) before() []byte { return d.all[:len(d.all)-len(d.b)] }

func (d *decoder) fixed(n uint64) []byte {
	check(n <= uint64(len(d.b)), "ends too early")
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() uint8     { return d.fixed(1)[0] }
func (d *decoder) u16() uint16   { return binary.LittleEndian.Uint16(d.fixed(2)) }
func (d *decoder) u32() uint32   { return binary.LittleEndian.Uint32(d.fixed(4)) }
func (d *decoder) u64() uint64   { return binary.LittleEndian.Uint64(d.fixed(8)) }
func (d *decoder) i64() int64    { return int64(d.u64()) }
func (d *decoder) id() ID        { return ID(d.fixed(32)) }
func (d *decoder) name() name16  { return name16(d.fixed(16)) }
func (d *decoder) bytes() []byte { return d.fixed(d.uv()) }

// among reads a u8 between two bounds.
func (d *decoder) among(low, high uint8) uint8 {
	v := d.u8()
	check(v >= low && v <= high, "%d is not from %d to %d", v, low, high)
	return v
}

// uv reads LEB128 in its shortest form.
func (d *decoder) uv() (v uint64) {
	for i := 0; ; i++ {
		c := d.u8()
		check(i < 9 || c <= 1, "a number does not fit 64 bits")
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			check(c != 0 || i == 0, "a number is not in its shortest form")
			return v
		}
	}
}

// within reads a number between two bounds.
func (d *decoder) within(low, high uint64) uint64 {
	v := d.uv()
	check(v >= low && v <= high, "%d is not from %d to %d", v, low, high)
	return v
}

// text reads bytes or str of at most limit bytes.
func (d *decoder) text(limit uint64) string { return string(d.fixed(d.within(0, limit))) }

func (d *decoder) texts(count int, limit uint64) []string {
	return list(d, count, func(d *decoder) string { return d.text(limit) })
}

func (d *decoder) header(magic string) {
	got, version := string(d.fixed(6)), d.u16()
	check(got == magic && version == 1, "version %d of %q, not 1 of %q", version, got, magic)
}

// list reads a list of at most limit elements.
func list[T any](d *decoder, limit int, read func(*decoder) T) (out []T) {
	n := d.uv()
	check(n <= uint64(limit) && n <= uint64(len(d.b)), "a list of %d", n)
	for range n {
		out = append(out, read(d))
	}
	return out
}

func distinct[T comparable](list []T) []T {
	seen := map[T]bool{}
	for _, v := range list {
		check(!seen[v], "%v is listed twice", v)
		seen[v] = true
	}
	return list
}

// The classes of chunks, and so the kinds of key entries.
const classData, classMeta, classMap = 1, 2, 3

// Sizes in bytes; hpkeSize is that of an encapsulated key. Lists are always limited by the bytes that are there.
const saltSize, tagSize, boxOverhead, hpkeSize, publicSize, unlimited = 32, 16, 48, 1120, 1216, 1 << 30

func hash(b []byte) ID { return blake3.Sum256(b) }

func derive(context string, size int, material ...[]byte) []byte {
	h := blake3.NewDeriveKey(context)
	h.Write(bytes.Join(material, nil))
	out := make([]byte, size)
	must(h.Digest().Read(out))
	return out
}

func keyedHash(key, b []byte) (id ID) {
	h := must(blake3.NewKeyed(key))
	h.Write(b)
	h.Sum(id[:0])
	return id
}

func padme(n uint64) uint64 {
	if n < 2 {
		return n
	}
	e := bits.Len64(n) - 1
	mask := uint64(1)<<(e-bits.Len(uint(e))) - 1
	return (n + mask) &^ mask
}

// openUnit opens ciphertext and tag of a box whose salt lies elsewhere.
func openUnit(suite uint8, key []byte, purpose string, aad, salt, sealed []byte) []byte {
	okm := derive("holdfast v1 box "+purpose, 32+24, key, salt, []byte{suite})
	var aead cipher.AEAD
	switch suite {
	case 1:
		aead = must(cipher.NewGCM(must(aes.NewCipher(okm[:32]))))
	case 2:
		aead = must(chacha20poly1305.NewX(okm[:32]))
	}
	check(aead != nil, "unknown suite %d", suite)
	plain, err := aead.Open(nil, okm[32:][:aead.NonceSize()], sealed, aad)
	check(err == nil, "box %q: %w", purpose, err)
	return plain
}

func openBox(suite uint8, key []byte, purpose string, aad, box []byte) []byte {
	check(len(box) >= boxOverhead, "box %q of %d bytes", purpose, len(box))
	return openUnit(suite, key, purpose, aad, box[:saltSize], box[saltSize:])
}

func openHPKE(private hpke.PrivateKey, info, sealed []byte) []byte {
	check(len(sealed) >= hpkeSize+tagSize, "wrapped value of %d bytes", len(sealed))
	r := must(hpke.NewRecipient(sealed[:hpkeSize], private, hpke.HKDFSHA256(), hpke.AES256GCM(), info))
	return must(r.Open(nil, sealed[hpkeSize:]))
}

func privateKey(seed []byte) hpke.PrivateKey { return must(hpke.MLKEM768X25519().NewPrivateKey(seed)) }

func signed(public ID, context string, message, signature []byte) bool {
	return ed25519.Verify(public[:], append([]byte(context+"\x00"), message...), signature)
}

type keyEntry struct {
	kind       uint8
	epoch      uint32
	wrapped    string
	commitment ID
}

// wrappedSize is the size of a wrapped key in bytes, by kind.
var wrappedSize = [...]int{classData: hpkeSize + boxOverhead, classMeta: hpkeSize + boxOverhead, classMap: 32 + boxOverhead}

func readKeyEntry(d *decoder) keyEntry {
	e := keyEntry{d.among(classData, classMap), d.u32(), d.text(hpkeSize + boxOverhead), d.id()}
	check(e.epoch >= 1 && len(e.wrapped) == wrappedSize[e.kind], "key entry of epoch %d, %d bytes", e.epoch, len(e.wrapped))
	return e
}

// keys are the fields of a slot by tag and epoch, 0 where there is none.
type keys [8]map[uint32][]byte

const tagID, tagMapID, tagMapKey, tagDataKey, tagMetaKey, tagSeed = 1, 3, 4, 5, 6, 7

func (k *keys) mapKey(epoch uint32) []byte {
	check(k != nil && k[tagMapKey][epoch] != nil, "K_map of epoch %d: %w", epoch, ErrNotAllowed)
	return k[tagMapKey][epoch]
}

func (k *keys) chunkID(class uint8, chunk []byte) ID {
	if k[tagMapID] != nil && class == classMap {
		return keyedHash(k[tagMapID][0], chunk)
	}
	check(k[tagID] != nil, "id key of class %d: %w", class, ErrNotAllowed)
	name := []string{classData: "DATA", classMeta: "META", classMap: "MAP"}[class]
	return keyedHash(derive("holdfast v1 chunk id "+name, 32, k[tagID][0]), chunk)
}

func (k *keys) sessionKey(e keyEntry, domain name16, suite uint8) []byte {
	defer during(nil, "key entry of kind %d, epoch %d", e.kind, e.epoch)
	info := append(append([]byte("holdfast v1 session key"), domain[:]...), suite, e.kind)
	wrap := k[[]uint8{classData: tagDataKey, classMeta: tagMetaKey, classMap: tagMapKey}[e.kind]][e.epoch]
	check(wrap != nil, "%w", ErrNotAllowed)
	var key []byte
	if e.kind == classMap {
		key = openBox(suite, wrap, "session key", info, []byte(e.wrapped))
	} else {
		key = openHPKE(privateKey(wrap), info, []byte(e.wrapped))
	}
	check(ID(derive("holdfast v1 key commitment", 32, key)) == e.commitment, "the key does not fit its commitment")
	return key
}
