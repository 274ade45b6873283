package source

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Type is the type of an entry of a tree, with the numbers that the repository format gives them.
type Type uint8

// The types that are stored.
const (
	TypeFile        Type = 1
	TypeDirectory   Type = 2
	TypeSymlink     Type = 3
	TypeFifo        Type = 4
	TypeCharDevice  Type = 5
	TypeBlockDevice Type = 6
)

// String returns the type in words.
func (t Type) String() string {
	names := [...]string{"", "file", "directory", "symlink", "fifo", "character device", "block device"}
	if t == 0 || int(t) >= len(names) {
		return fmt.Sprintf("type(%d)", uint8(t))
	}
	return names[t]
}

// Xattr is one extended attribute. Both fields are raw bytes.
type Xattr struct {
	Name  string
	Value []byte
}

// Entry is everything known about one file, folder or other node, its content excepted.
type Entry struct {
	Name   string // raw bytes, the last component of the path
	Type   Type
	Mode   uint32 // permission bits with setuid, setgid and sticky: st_mode & 07777
	UID    uint32
	GID    uint32
	User   string // name of UID, empty when the system knows none
	Group  string
	MTime  int64 // nanoseconds since 1970, as are the other two; 0 where the system has none
	CTime  int64
	ATime  int64
	Device uint64 // as in stat, and only good for comparing
	Inode  uint64
	Links  uint32
	Size   int64   // bytes, of a file; 0 for everything else
	Target string  // raw bytes, of a symlink
	RDev   uint64  // major << 32 | minor, of a device
	Xattrs []Xattr // sorted by name

	// Warning tells which metadata could not be read: attributes, mostly. It is nil when all of it was.
	Warning error
}

// racyWindow is how long after its last change a file may change again without its times showing it: file systems
// count in steps of up to two seconds (FAT), and caches of remote ones lag.
const racyWindow = 2 * time.Second

// Racy reports whether the entry changed so shortly before it was read (or after, by a clock that disagrees) that a
// later change might leave its times as they are. Such a file is read again next time, whatever its times.
func (e *Entry) Racy(read time.Time) bool {
	limit := read.Add(-racyWindow).UnixNano()
	return e.MTime >= limit || e.CTime >= limit
}

// owners remembers the names of users and groups, since every lookup reads a file or asks a server.
type owners struct {
	mu     sync.Mutex
	users  map[uint32]string
	groups map[uint32]string
}

// maxOwners bounds the memory for names in a tree with hostile owners.
const maxOwners = 1 << 16

func (o *owners) user(id uint32) string {
	return o.lookup(&o.users, id, func(s string) (string, error) {
		u, err := user.LookupId(s)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (o *owners) group(id uint32) string {
	return o.lookup(&o.groups, id, func(s string) (string, error) {
		g, err := user.LookupGroupId(s)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// lookup asks once; an owner without a name, or one that cannot be asked for, has the name "".
func (o *owners) lookup(cache *map[uint32]string, id uint32, ask func(string) (string, error)) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name, ok := (*cache)[id]; ok {
		return name
	}
	name, err := ask(strconv.FormatUint(uint64(id), 10))
	if err != nil {
		name = ""
	}
	if *cache == nil || len(*cache) >= maxOwners {
		*cache = make(map[uint32]string)
	}
	(*cache)[id] = strings.Clone(name)
	return name
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
