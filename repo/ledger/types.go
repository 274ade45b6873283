package ledger

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Type says what an entry does.
type Type uint8

// The types of entries. TypeProgress stands beside the ledger, never in it.
const (
	TypeGenesis    Type = 1
	TypeOpen       Type = 2
	TypeCommit     Type = 3
	TypeClose      Type = 4
	TypeForget     Type = 5
	TypeCondemn    Type = 6
	TypeDelete     Type = 7
	TypeRevoke     Type = 8
	TypeHold       Type = 9
	TypeKey        Type = 10
	TypeCheckpoint Type = 11
	TypeTags       Type = 12
	TypeFeatures   Type = 13
	TypeUnforget   Type = 14
	TypeProtect    Type = 15
	TypeUnprotect  Type = 16
	TypeSweep      Type = 17
	TypeProgress   Type = 64
)

// String returns the name of t as the format document writes it.
func (t Type) String() string {
	switch t {
	case TypeGenesis:
		return "GENESIS"
	case TypeOpen:
		return "OPEN"
	case TypeCommit:
		return "COMMIT"
	case TypeClose:
		return "CLOSE"
	case TypeForget:
		return "FORGET"
	case TypeCondemn:
		return "CONDEMN"
	case TypeDelete:
		return "DELETE"
	case TypeRevoke:
		return "REVOKE"
	case TypeHold:
		return "HOLD"
	case TypeKey:
		return "KEY"
	case TypeCheckpoint:
		return "CHECKPOINT"
	case TypeTags:
		return "TAGS"
	case TypeFeatures:
		return "FEATURES"
	case TypeUnforget:
		return "UNFORGET"
	case TypeProtect:
		return "PROTECT"
	case TypeUnprotect:
		return "UNPROTECT"
	case TypeSweep:
		return "SWEEP"
	case TypeProgress:
		return "PROGRESS"
	}
	return "type " + strconv.Itoa(int(t))
}

// allows reports whether an actor of role r may write entries of type t.
func (t Type) allows(r crypto.Role) bool {
	switch t {
	case TypeOpen, TypeClose, TypeHold:
		return r == crypto.Admin || r == crypto.Writer || r == crypto.Collector
	case TypeCommit, TypeTags:
		return r == crypto.Admin || r == crypto.Writer
	case TypeForget, TypeRevoke, TypeCondemn, TypeDelete, TypeUnforget, TypeCheckpoint, TypeSweep:
		return r == crypto.Admin || r == crypto.Collector
	case TypeKey, TypeFeatures, TypeProtect, TypeUnprotect:
		return r == crypto.Admin
	}
	return false
}

// newBody returns an empty body for t, or nil when this version does not know t.
func (t Type) newBody() Body {
	switch t {
	case TypeGenesis:
		return new(Genesis)
	case TypeOpen:
		return new(Open)
	case TypeCommit:
		return new(Commit)
	case TypeClose:
		return new(Close)
	case TypeForget:
		return new(Forget)
	case TypeCondemn:
		return new(Condemn)
	case TypeDelete:
		return new(Delete)
	case TypeRevoke:
		return new(Revoke)
	case TypeHold:
		return new(Hold)
	case TypeKey:
		return new(Key)
	case TypeCheckpoint:
		return new(Checkpoint)
	case TypeTags:
		return new(Tags)
	case TypeFeatures:
		return new(Features)
	case TypeUnforget:
		return new(Unforget)
	case TypeProtect:
		return new(Protect)
	case TypeUnprotect:
		return new(Unprotect)
	case TypeSweep:
		return new(Sweep)
	case TypeProgress:
		return new(Progress)
	}
	return nil
}

// SessionID names a session; 16 random bytes, never all zero.
type SessionID [16]byte

// String returns 32 hexadecimal digits.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// ParseSessionID reads what String writes.
func ParseSessionID(s string) (id SessionID, err error) {
	if len(s) != 2*len(id) || strings.ToLower(s) != s {
		return id, fmt.Errorf("%.80q is not the id of a session", s)
	}
	_, err = hex.Decode(id[:], []byte(s))
	return id, err
}

// SlotID names a key slot; all zero in the actor that GENESIS admits.
type SlotID [16]byte

// String returns 32 hexadecimal digits.
func (id SlotID) String() string { return hex.EncodeToString(id[:]) }

// EntryPrefix begins the object keys of ledger entries.
const EntryPrefix = "log/"

const (
	keyDigits = 12
	numbers   = 1_000_000_000_000 // entries are numbered 0 to numbers-1
)

// EntryKey returns the object key of ledger entry n, such as "log/000000000012".
func EntryKey(n uint64) string { return fmt.Sprintf("%s%0*d", EntryPrefix, keyDigits, n) }

// ParseEntryKey returns the number of the ledger entry that key names.
func ParseEntryKey(key string) (uint64, error) {
	digits, ok := strings.CutPrefix(key, EntryPrefix)
	if !ok || len(digits) != keyDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not the key of a ledger entry", key)
	}
	return strconv.ParseUint(digits, 10, 64)
}

// ProgressKey returns the object key of progress record n of a session.
func ProgressKey(id SessionID, n uint64) string {
	return fmt.Sprintf("sessions/%s/%0*d", id, keyDigits, n)
}
