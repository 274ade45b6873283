package main

// listing is what must be read from the repository: the contents of frozen-v1.json.
type listing struct {
	// Credentials open the repository; Removed once did.
	Credentials []credential `json:"credentials"`
	Removed     credential   `json:"removed"`
	Snapshots   []*expected  `json:"snapshots"`
}

// credential is a way into the repository.
type credential struct {
	Kind   string `json:"kind"` // password, keyfile, identity, recovery
	Role   string `json:"role"`
	Secret string `json:"secret"`
}

// expected is a snapshot. Times are in nanoseconds since 1970.
type expected struct {
	ID       string   `json:"id"`
	Time     int64    `json:"time"`
	Host     string   `json:"host"`
	User     string   `json:"user"`
	Class    string   `json:"class,omitempty"`
	Program  string   `json:"program"`
	Tags     []string `json:"tags"`
	Paths    []string `json:"paths"`
	Complete bool     `json:"complete"`
	Parent   string   `json:"parent,omitempty"`
	Deltas   []delta  `json:"deltas,omitempty"`
	Entries  []*entry `json:"entries,omitempty"`
	Same     string   `json:"same,omitempty"` // instead of entries: the id of a snapshot that has the same
}

// delta says that a file was read by a change map.
type delta struct {
	Path     string `json:"delta_path"`
	Parent   string `json:"parent"`
	Kind     string `json:"kind"`
	Map      string `json:"change_map"`
	Deltas   uint64 `json:"deltas"`
	FullRead int64  `json:"full_read"`
}

// entry is a node of the file system. Path and Target are quoted as in Go, without the quotation marks.
type entry struct {
	Path       string            `json:"path"`
	Type       uint8             `json:"type"`
	Incomplete bool              `json:"incomplete,omitempty"`
	Racy       bool              `json:"racy,omitempty"`
	Mode       uint32            `json:"mode"`
	UID        uint32            `json:"uid,omitempty"`
	GID        uint32            `json:"gid,omitempty"`
	User       string            `json:"user,omitempty"`
	Group      string            `json:"group,omitempty"`
	MTime      int64             `json:"mtime,omitempty"`
	CTime      int64             `json:"ctime,omitempty"`
	ATime      int64             `json:"atime,omitempty"`
	Device     uint64            `json:"device,omitempty"`
	Inode      uint64            `json:"inode,omitempty"`
	Links      uint32            `json:"links,omitempty"`
	XAttrs     map[string][]byte `json:"xattrs,omitempty"`
	Target     string            `json:"target,omitempty"`
	Rdev       uint64            `json:"rdev,omitempty"`
	Size       int64             `json:"size,omitempty"`
	Hash       string            `json:"blake3,omitempty"` // of the content, with zeros where it was not read
	Unread     [][2]int64        `json:"unread,omitempty"` // offset and length of what was not read
}
