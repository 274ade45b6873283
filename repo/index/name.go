package index

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Name names a pack or an index file: by the session that wrote it and the hash of its bytes.
type Name struct {
	Session [16]byte
	Hash    crypto.ID
}

// Prefixes of object keys.
const (
	PackPrefix = "packs/"
	FilePrefix = "index/"
)

// String returns the session and the hash in hexadecimal, with a slash between.
func (n Name) String() string { return hex.EncodeToString(n.Session[:]) + "/" + n.Hash.String() }

// PackKey returns the object key of the pack of that name.
func (n Name) PackKey() string { return PackPrefix + n.String() }

// FileKey returns the object key of the index file of that name.
func (n Name) FileKey() string { return FilePrefix + n.String() }

// ParsePackKey returns the name in a pack's object key.
func ParsePackKey(key string) (Name, error) { return parseKey(PackPrefix, key) }

// ParseFileKey returns the name in an index file's object key.
func ParseFileKey(key string) (Name, error) { return parseKey(FilePrefix, key) }

func parseKey(prefix, key string) (Name, error) {
	var n Name
	rest, ok := strings.CutPrefix(key, prefix)
	session, hash, cut := strings.Cut(rest, "/")
	if !ok || !cut || len(session) != 2*len(n.Session) {
		return Name{}, fmt.Errorf("object key %.160q is not %s<session>/<hash>", key, prefix)
	}
	if _, err := hex.Decode(n.Session[:], []byte(session)); err != nil || strings.ToLower(session) != session {
		return Name{}, fmt.Errorf("object key %.160q: bad session id", key)
	}
	var err error
	if n.Hash, err = crypto.ParseID(hash); err != nil {
		return Name{}, fmt.Errorf("object key %.160q: %w", key, err)
	}
	return n, nil
}
