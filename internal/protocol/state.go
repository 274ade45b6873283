package protocol

// set is a set of chunks, packs or snapshots: of small numbers.
type set uint8

func (s set) has(i int) bool { return s&(1<<i) != 0 }

// The chunks. A snapshot refers to the node, or to the first leaf alone.
const (
	leafA set = 1 << iota
	leafB
	node

	all = leafA | leafB | node
)

// Bounds of the model.
const (
	maxPacks      = 6
	maxSnapshots  = 4
	maxWriters    = 2
	perWriter     = 2 // sessions
	maxCollectors = 2
	maxSessions   = maxWriters*perWriter + maxCollectors + 1
	maxCondemns   = 2
)

// status says what the ledger says of a pack.
type status uint8

const (
	unlisted  status = iota // stored by a session, if at all, and named by nothing
	live                    // listed by a live index file
	condemned               // listed by a retired one only
	gone                    // let go by a DELETE
)

type pack struct {
	chunks  set
	session uint8
	by      uint8 // the CONDEMN that condemned it
	status  status
	exists  bool
}

type snapshot struct {
	root      set // what it refers to, directly or not; 0: there is none
	opened    uint8
	since     uint8
	forgotten uint8 // entries up to its FORGET; 0: live
}

type sessionState uint8

const (
	none sessionState = iota
	open
	ended
)

type session struct {
	opened uint8
	state  sessionState
}

type condemn struct {
	n, marked uint8
	pending   bool
}

// State is one state of everything. It is comparable, and small.
type State struct {
	n         uint8 // entries of the ledger
	packs     [maxPacks]pack
	snapshots [maxSnapshots]snapshot
	sessions  [maxSessions]session
	condemns  [maxCondemns]condemn
	collected uint8 // entries up to the last CONDEMN or DELETE
	needed    uint8 // entries up to the last COMMIT, UNFORGET, CONDEMN or DELETE
	deleted   uint8 // entries up to the last DELETE

	writers    [maxWriters]writer
	collectors [maxCollectors]collector
	reader     reader
	repairer   repairer
	forgets    uint8 // how many there may still be
	unforgets  uint8
}

// start is a repository with two snapshots and two packs, which both have one of the leaves.
func start() State {
	s := State{n: 2}
	s.packs[0] = pack{chunks: node | leafA, session: maxSessions - 1, status: live, exists: true}
	s.packs[1] = pack{chunks: leafA | leafB, session: maxSessions - 1, status: live, exists: true}
	s.snapshots[0] = snapshot{root: all, since: 0}
	s.snapshots[1] = snapshot{root: leafA, since: 1}
	return s
}

// listed returns the packs of a status, live ones or those a reader may use.
func (s *State) listed(want ...status) (packs set) {
	for i := range s.packs {
		for _, w := range want {
			if s.packs[i].status == w && s.packs[i].chunks != 0 {
				packs |= 1 << i
			}
		}
	}
	return packs
}

// chunksOf returns what packs contain.
func (s *State) chunksOf(packs set) (chunks set) {
	for i := range s.packs {
		if packs.has(i) {
			chunks |= s.packs[i].chunks
		}
	}
	return chunks
}

// readable returns the chunks of those of the packs that exist.
func (s *State) readable(packs set) (chunks set) {
	for i := range s.packs {
		if packs.has(i) && s.packs[i].exists {
			chunks |= s.packs[i].chunks
		}
	}
	return chunks
}

// marks returns what live snapshots need.
func (s *State) marks() (chunks set) {
	for i := range s.snapshots {
		if s.snapshots[i].root != 0 && s.snapshots[i].forgotten == 0 {
			chunks |= s.snapshots[i].root
		}
	}
	return chunks
}

// store puts chunks into a new pack of a session; -1 if the model has no room.
func (s *State) store(chunks set, session uint8) int {
	for i := range s.packs {
		if s.packs[i].chunks == 0 {
			s.packs[i] = pack{chunks: chunks, session: session, exists: true}
			return i
		}
	}
	return -1
}

// olderWriters reports whether a writer is open that was opened before entry n.
func (s *State) olderWriters(n uint8) bool {
	for i := range maxWriters * perWriter {
		if s.sessions[i].state == open && s.sessions[i].opened < n {
			return true
		}
	}
	return false
}

// broken says which invariant does not hold; "" if all do.
func (s *State) broken() string {
	there := s.readable(s.listed(live, condemned))
	for i := range s.snapshots {
		snap := &s.snapshots[i]
		if snap.root == 0 {
			continue
		}
		if snap.forgotten == 0 && snap.root&^there != 0 {
			return "a live snapshot is not whole"
		}
		if snap.forgotten != 0 && snap.forgotten > s.deleted && snap.root&^there != 0 {
			return "a snapshot that can be taken back is not whole"
		}
	}
	for i := range s.packs {
		p := &s.packs[i]
		if p.status == unlisted && !p.exists && p.chunks != 0 && s.sessions[p.session].state == open {
			return "what an open session stored was deleted"
		}
		if p.status == live && !p.exists {
			return "what the index lists was deleted"
		}
	}
	if s.reader.failed {
		return "a reader of a live snapshot did not find it"
	}
	return ""
}
