package ledger

import "github.com/holdfast-backup/holdfast/crypto"

// Actor is one who may sign entries.
type Actor struct {
	crypto.Actor
	ID         crypto.ActorID
	Role       crypto.Role
	Slot       SlotID // zero for the admin of GENESIS
	Label      string // empty when the key is not held
	AdmittedAt uint64 // entry number
	RemovedAt  uint64 // entry number; 0: not removed

	place uint64 // in the order of admission
}

// End says how a session ended.
type End uint8

// How a session ended. Live sessions have not.
const (
	Live      End = 0
	Committed End = 1
	Closed    End = 2
	Revoked   End = 3
	Adopted   End = 4 // by another OPEN of its actor
	Removed   End = 5 // with its actor
)

// String returns the end in a word.
func (e End) String() string {
	switch e {
	case Live:
		return "live"
	case Committed:
		return "committed"
	case Closed:
		return "closed"
	case Revoked:
		return "revoked"
	case Adopted:
		return "adopted"
	case Removed:
		return "removed"
	}
	return "unknown"
}

// Session is a session as the ledger tells it.
type Session struct {
	ID       SessionID
	Actor    crypto.ActorID
	OpenedAt uint64    // entry number of its OPEN
	Open     crypto.ID // hash of its OPEN
	Time     int64     // unix nanoseconds, as claimed by its OPEN
	Purpose  Purpose
	Adopts   []SessionID
	End      End
	EndedAt  uint64    // entry number; 0 while live
	Adopter  SessionID // who adopted it; zero if nobody did

	Unsealed bool // whether the fields below were opened; they are zero otherwise
	Kind     string
	Host     string
	Source   crypto.ID
	Program  string

	entry []byte // its OPEN, while live
	place int    // in the order of the OPENs
}

// Snapshot is a committed snapshot as the ledger tells it.
type Snapshot struct {
	ID          crypto.ID
	CommittedAt uint64 // entry number of its COMMIT
	Session     SessionID
	Actor       crypto.ActorID
	Time        int64  // unix nanoseconds, as claimed by its COMMIT
	Facts       []byte // read only; nil when they were not opened, and once forgotten and deleted
	TagsAt      uint64 // entry number of the TAGS that set Tags; 0: the facts' own tags stand
	Tags        []string
	TagsOpened  bool   // whether Tags were opened; they are nil otherwise
	ForgottenAt uint64 // entry number; 0: live
	ProtectedAt uint64 // entry number; 0: not protected
	LiveSince   uint64 // entry number of its COMMIT, or of the last UNFORGET

	commit, tags []byte // its COMMIT and the TAGS that set Tags; nil once forgotten and deleted
}

// VoidEntry is an entry that stays in the chain and changed nothing.
type VoidEntry struct {
	N     uint64
	Type  Type
	Actor crypto.ActorID
	Why   string
}

// Flaw is a valid entry whose sealed part does not open or decode under the right key: its writer sealed nonsense. What it would
// have told stays unknown.
type Flaw struct {
	N   uint64
	Err error // wraps crypto.ErrAuth or wire.ErrFormat
}
