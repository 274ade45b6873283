package specreader

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// The types of entries.
const typeGenesis, typeOpen, typeCommit, typeClose, typeForget, typeCondemn, typeDelete, typeRevoke = 1, 2, 3, 4, 5, 6, 7, 8
const typeHold, typeKey, typeCheckpoint, typeTags, typeFeatures, typeUnforget, typeProtect, typeUnprotect, typeProgress = 9, 10, 11, 12, 13, 14, 15, 16, 64

type entry struct {
	kind, suite                       uint8
	epoch                             uint32
	n                                 uint64
	previous, aad, hash               ID
	actor                             name16
	clear, sealed, message, signature []byte
}

func parseEntry(b []byte) *entry {
	check(len(b) <= 16<<20, "entry of %d bytes", len(b))
	return whole(b, func(d *decoder) *entry {
		d.header("HFLOGE")
		e := &entry{kind: d.u8(), suite: d.among(1, 2), epoch: d.u32(), n: d.u64(), previous: d.id(), actor: d.name(), hash: hash(b)}
		d.i64() // when, as the writer claimed
		e.clear = d.bytes()
		e.aad = hash(d.before())
		e.sealed = d.bytes()
		e.message = d.before()
		e.signature = d.fixed(64)
		check(e.n < 1e12, "number %d", e.n)
		check(e.epoch == 0 && len(e.sealed) == 0 || e.epoch > 0 && len(e.sealed) >= boxOverhead, "epoch %d, %d sealed bytes", e.epoch, len(e.sealed))
		return e
	})
}

func (e *entry) by(public ID) bool {
	return signed(public, "holdfast v1 ledger entry", e.message, e.signature)
}

// genesis is what entry 0 says.
type genesis struct {
	repository, domain name16
	admin              ID
	data, meta         []byte
	suite              uint8
	packSize           uint32
	parity             uint8
	features           [3][]string
}

func readGenesis(d *decoder) *genesis {
	g := &genesis{repository: d.name(), domain: d.name(), admin: d.id()}
	check(d.u32() == 1, "another first epoch than 1")
	g.data, g.meta, g.suite = d.fixed(publicSize), d.fixed(publicSize), d.among(1, 2)
	mean, segment, pack := d.u32(), d.u32(), d.u32()
	check(mean >= 4<<10 && mean <= 256<<10 && mean&(mean-1) == 0, "chunk mean %d", mean)
	check(segment >= 64<<10 && segment <= 16<<20 && segment >= 4*mean, "segment size %d", segment)
	check(pack >= 1<<20 && pack <= 1<<30 && pack >= 2*segment, "pack size %d", pack)
	d.among(1, 2) // primitive
	g.packSize, g.features = pack, readFeatures(d)
	if len(d.b) > 0 {
		g.parity = d.among(1, 50)
	}
	return g
}

func readFeatures(d *decoder) (sets [3][]string) {
	for i := range sets {
		sets[i] = distinct(d.texts(256, 64))
		check(slices.IsSorted(sets[i]) && !slices.Contains(sets[i], ""), "features out of order")
	}
	return sets
}

type indexFile struct {
	session name16
	hash    ID
	size    uint32
}

func readIndexFiles(d *decoder) []indexFile {
	seen := map[indexFile]bool{}
	return list(d, unlimited, func(d *decoder) indexFile {
		name := indexFile{session: d.name(), hash: d.id()}
		size := d.u32()
		check(size > 0 && !seen[name], "index file %s of %d bytes is listed twice or empty", name.hash, size)
		seen[name] = true
		return indexFile{name.session, name.hash, size}
	})
}

// body is the clear part of any entry but GENESIS; fields that its type does not have are zero.
type body struct {
	session, slot   name16
	adopts          []name16
	snapshot, actor ID
	files           []indexFile
	snapshots       []ID // those of FORGET, UNFORGET, HOLD and TAGS
	purpose         uint8
	number, marked  uint64
	retired         []indexFile
	operation, role uint8
	features        [3][]string
	sealed          bool // whether the entry has a sealed part
}

func (e *entry) readBody(d *decoder) *body {
	b := &body{sealed: !slices.Contains([]uint8{typeFeatures, typeProgress, typeCondemn, typeDelete, typeHold, typeCheckpoint}, e.kind)}
	switch e.kind {
	case typeOpen:
		b.session, b.purpose, b.adopts = readSession(d), d.among(0, 1), distinct(list(d, 4096, (*decoder).name))
	case typeCommit:
		b.session, b.snapshot, b.files = readSession(d), d.id(), readIndexFiles(d)
		b.sealed = b.snapshot != ID{}
	case typeClose, typeRevoke:
		b.session = readSession(d)
	case typeForget, typeUnforget, typeProtect, typeUnprotect:
		b.snapshots = readSnapshots(d)
	case typeHold:
		b.session, b.snapshots = readSession(d), readSnapshots(d)
	case typeCondemn:
		b.session, b.marked, b.retired, b.files = readSession(d), d.within(0, 1e12), readIndexFiles(d), readOwn(d, &b.session)
		check(len(b.retired)+len(b.files) > 0, "retires and adds nothing")
	case typeDelete:
		b.session, b.number, b.marked, b.files = readSession(d), d.within(0, 1e12), d.within(0, 1e12), readOwn(d, &b.session)
	case typeKey:
		b.operation, b.role, b.actor, b.slot = d.among(1, 2), d.among(roleAdmin, roleCollector), d.id(), d.name()
	case typeCheckpoint: // whether it is right or void makes no difference here
		d.id()
		d.within(1, 1<<28)
	case typeTags:
		b.snapshots = []ID{d.id()}
	case typeFeatures:
		b.features = readFeatures(d)
	case typeProgress:
		b.session, b.files = readSession(d), readIndexFiles(d)
	}
	return b
}

func readSnapshots(d *decoder) []ID {
	ids := distinct(list(d, unlimited, (*decoder).id))
	check(len(ids) > 0, "names no snapshot")
	return ids
}

// readOwn reads index files that must lie in the folder of the session.
func readOwn(d *decoder, session *name16) []indexFile {
	files := readIndexFiles(d)
	for _, f := range files {
		check(f.session == *session, "an index file of another session")
	}
	return files
}

func readSession(d *decoder) name16 {
	s := d.name()
	check(s != name16{}, "session is zero")
	return s
}

// unseal returns the texts in the sealed part, if there is one and the key is held. Those of COMMIT are the facts.
func (e *entry) unseal(k *keys) (texts []string, err error) {
	defer during(&err, "sealed part")
	if k == nil || len(e.sealed) == 0 {
		return nil, nil
	}
	plain := openBox(e.suite, k.mapKey(e.epoch), "entry", e.aad[:], e.sealed)
	return whole(plain, func(d *decoder) []string {
		switch e.kind {
		case typeOpen: // kind, host, source, program
			return []string{d.text(256), d.text(256), string(d.fixed(32)), d.text(256)}
		case typeCommit:
			return []string{string(d.fixed(uint64(len(plain))))}
		case typeTags:
			return d.texts(1024, 256)
		case typeKey:
			return []string{d.text(256)}
		}
		return []string{d.text(4096)}
	}), nil
}

type actor struct {
	public  ID
	role    uint8
	slot    name16
	removed bool
}

type session struct {
	actor  name16
	open   ID // hash of its OPEN
	live   bool
	opened uint64
	writes bool
	covers []name16 // itself and what it adopted, in any number of steps
}

type committed struct {
	Snapshot
	session, actor name16
	facts          string // empty if not opened
	forgotten      bool
	forgottenAt    uint64
	protected      bool
}

// ledger is the state of a replay.
type ledger struct {
	genesis     *genesis
	first, head ID
	next        uint64
	void        map[uint64]error // entries that change nothing, and why
	unknown     map[uint64]error // entries whose sealed part does not open or decode
	actors      map[name16]*actor
	sessions    map[name16]*session
	snapshots   map[ID]*committed
	order       []ID
	files       []indexFile // live
	condemned   map[uint64][]indexFile
	collected   uint64 // entries up to the last CONDEMN or DELETE
	needed      uint64 // entries up to the last COMMIT, HOLD, UNFORGET, CONDEMN or DELETE
	deleted     uint64 // entries up to the last DELETE
	features    [3][]string
}

func actorName(public ID) name16 {
	h := hash(public[:])
	return name16(h[:16])
}

func entryKey(n uint64) string { return fmt.Sprintf("log/%012d", n) }

func startLedger(store fs.FS) *ledger {
	defer during(nil, "reading %s", entryKey(0))
	e := parseEntry(must(fs.ReadFile(store, entryKey(0))))
	check(e.kind == typeGenesis && e.n == 0 && e.previous == ID{} && e.epoch == 0, "no GENESIS")
	g := whole(e.clear, readGenesis)
	name := actorName(g.admin)
	check(g.suite == e.suite && name == e.actor && e.by(g.admin), "GENESIS does not stand for itself")
	return &ledger{genesis: g, first: e.hash, head: e.hash, next: 1, actors: map[name16]*actor{name: {public: g.admin, role: roleAdmin}},
		void: map[uint64]error{}, unknown: map[uint64]error{}, sessions: map[name16]*session{}, snapshots: map[ID]*committed{}, condemned: map[uint64][]indexFile{}, features: g.features}
}

// replay reads the entries after entry 0, and makes sure that they do not go on after a gap.
func (l *ledger) replay(store fs.FS, k *keys) {
	for l.apply(store, k) {
	}
	for step := uint64(1); step <= 64; step *= 2 {
		_, err := fs.Stat(store, entryKey(l.next+step))
		check(errors.Is(err, fs.ErrNotExist), "%s is missing, and a later entry is there", entryKey(l.next))
	}
}

// apply replays the next entry, if there is one.
func (l *ledger) apply(store fs.FS, k *keys) bool {
	defer during(nil, "reading %s", entryKey(l.next))
	b, err := fs.ReadFile(store, entryKey(l.next))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	e := parseEntry(must(b, err))
	check(e.n == l.next && e.previous == l.head, "number %d after %s does not continue the chain", e.n, e.previous)
	by := l.actors[e.actor]
	check(by != nil && e.by(by.public), "not signed by an admitted actor %x", e.actor)
	_, known := writers[e.kind]
	check(known || by.removed, "type %d is of a newer program", e.kind)
	if void := l.obey(e, by, k); void != nil {
		l.void[e.n] = void
		delete(l.unknown, e.n)
	}
	l.head, l.next = e.hash, l.next+1
	return true
}

// writers says who may write each type.
var writers = map[uint8][]uint8{
	typeGenesis: {}, typeProgress: {}, typeKey: {roleAdmin}, typeFeatures: {roleAdmin},
	typeOpen: {roleWriter, roleCollector, roleAdmin}, typeClose: {roleWriter, roleCollector, roleAdmin},
	typeCommit: {roleWriter, roleAdmin}, typeTags: {roleWriter, roleAdmin},
	typeForget: {roleCollector, roleAdmin}, typeRevoke: {roleCollector, roleAdmin}, typeUnforget: {roleCollector, roleAdmin},
	typeProtect: {roleAdmin}, typeUnprotect: {roleAdmin}, typeCheckpoint: {roleCollector, roleAdmin},
	typeCondemn: {roleCollector, roleAdmin}, typeDelete: {roleCollector, roleAdmin}, typeHold: {roleWriter, roleCollector, roleAdmin},
}

// obey does what the entry says, or returns why it is void.
func (l *ledger) obey(e *entry, by *actor, k *keys) (void error) {
	defer during(&void, "type %d", e.kind)
	check(!by.removed, "its actor was removed")
	check(slices.Contains(writers[e.kind], by.role), "role %d may not write type %d", by.role, e.kind)
	check(e.suite == l.genesis.suite && e.epoch <= 1, "suite %d, epoch %d", e.suite, e.epoch)
	b := whole(e.clear, e.readBody)
	check(b.sealed == (len(e.sealed) > 0), "a sealed part too many or too few")
	sealed, err := e.unseal(k)
	if err != nil {
		l.unknown[e.n] = err
	}
	switch e.kind {
	case typeOpen:
		check(l.sessions[b.session] == nil, "the session was opened before")
		check(by.role == roleAdmin || b.purpose == 0 == (by.role == roleWriter), "role %d opens a session for %d", by.role, b.purpose)
		s := &session{actor: e.actor, open: e.hash, live: true, opened: e.n, writes: b.purpose == 0, covers: []name16{b.session}}
		for _, id := range b.adopts {
			check(s.writes && l.open(id, e.actor).writes, "not both sessions write")
			s.covers = append(s.covers, l.open(id, e.actor).covers...)
		}
		for _, id := range b.adopts {
			l.sessions[id].live = false
		}
		l.sessions[b.session] = s
	case typeCommit:
		l.commit(e, b, l.open(b.session, e.actor), strings.Join(sealed, ""))
	case typeClose:
		l.open(b.session, e.actor).live = false
	case typeRevoke:
		l.open(b.session).live = false
	case typeForget, typeTags, typeProtect, typeUnprotect:
		for _, id := range b.snapshots {
			s := l.snapshots[id]
			check(s != nil && !s.forgotten, "no snapshot %s", id)
			check(e.kind == typeTags || s.protected == (e.kind == typeUnprotect), "snapshot %s is protected: %t", id, s.protected)
		}
		for _, id := range b.snapshots {
			s := l.snapshots[id]
			if e.kind == typeForget {
				s.forgotten, s.forgottenAt = true, e.n
				continue
			}
			if e.kind != typeTags {
				s.protected = e.kind == typeProtect
				continue
			}
			s.tagsSet, s.Tags = err == nil, sealed
		}
	case typeUnforget:
		for _, id := range b.snapshots {
			s := l.snapshots[id]
			check(s != nil && s.forgotten && s.forgottenAt+1 > l.deleted, "snapshot %s cannot be taken back", id)
		}
		for _, id := range b.snapshots {
			l.snapshots[id].forgotten = false
		}
		l.needed = e.n + 1
	case typeHold:
		l.open(b.session, e.actor)
		for _, id := range b.snapshots {
			check(l.snapshots[id] != nil && !l.snapshots[id].forgotten, "no snapshot %s", id)
		}
		l.needed = e.n + 1
	case typeCondemn, typeDelete:
		l.collect(e, b)
	case typeKey:
		l.admit(b)
	case typeFeatures:
		var all [3][]string
		for i := range l.features {
			all[i] = slices.Compact(slices.Sorted(slices.Values(slices.Concat(l.features[i], b.features[i]))))
			check(len(all[i]) <= 256, "%d features", len(all[i]))
		}
		for i := range l.features {
			l.features[i] = all[i]
		}
	}
	return nil
}

// open returns an open session, of a certain actor if one is given.
func (l *ledger) open(id name16, owner ...name16) *session {
	s := l.sessions[id]
	check(s != nil && s.live && (len(owner) == 0 || s.actor == owner[0]), "session %x is not an open one of its actor", id)
	return s
}

// collect does what a CONDEMN or a DELETE says.
func (l *ledger) collect(e *entry, b *body) {
	check(!l.open(b.session, e.actor).writes, "the session is to write")
	for _, f := range b.files {
		check(!slices.Contains(l.files, f), "an index file is added twice")
		for _, retired := range l.condemned {
			check(!slices.Contains(retired, f), "an index file is condemned")
		}
	}
	check(b.marked <= e.n, "marked ahead")
	if e.kind == typeCondemn {
		check(b.marked >= l.collected, "another collection came first")
		for _, f := range b.retired {
			check(slices.Contains(l.files, f), "index file %s is not live", f.hash)
		}
		l.files = slices.DeleteFunc(l.files, func(f indexFile) bool { return slices.Contains(b.retired, f) })
		if len(b.retired) > 0 {
			l.condemned[e.n] = b.retired
		}
	} else {
		check(l.condemned[b.number] != nil && b.marked >= l.needed, "no such CONDEMN, or more may be needed")
		for _, s := range l.sessions {
			check(!s.live || !s.writes || s.opened > b.number, "an older session is open")
		}
		delete(l.condemned, b.number)
		l.deleted = e.n + 1
	}
	l.files = append(l.files, b.files...)
	l.collected, l.needed = e.n+1, e.n+1
}

// named returns the live and the condemned index files.
func (l *ledger) named() []indexFile {
	files := slices.Clone(l.files)
	for _, retired := range l.condemned {
		files = append(files, retired...)
	}
	return files
}

func (l *ledger) commit(e *entry, b *body, s *session, facts string) {
	check(s.writes, "the session is to collect")
	l.needed = e.n + 1
	for _, f := range b.files {
		check(slices.Contains(s.covers, f.session), "an index file of a session that was not adopted")
	}
	check(l.snapshots[b.snapshot] == nil, "the snapshot was committed before")
	s.live, l.files = false, append(l.files, b.files...)
	if b.snapshot != (ID{}) {
		l.order = append(l.order, b.snapshot)
		l.snapshots[b.snapshot] = &committed{Snapshot: Snapshot{ID: b.snapshot}, session: b.session, actor: e.actor, facts: facts}
	}
}

// admit admits an actor or removes one.
func (l *ledger) admit(b *body) {
	name := actorName(b.actor)
	a := l.actors[name]
	if b.operation == 1 {
		check(a == nil, "the actor was admitted before")
		l.actors[name] = &actor{public: b.actor, role: b.role, slot: b.slot}
		return
	}
	check(a != nil && *a == actor{public: b.actor, role: b.role, slot: b.slot}, "no such actor is admitted")
	admins := 0
	for _, other := range l.actors {
		if other.role == roleAdmin && !other.removed {
			admins++
		}
	}
	check(a.role != roleAdmin || admins > 1, "it is the last admin")
	a.removed = true
	for _, s := range l.sessions {
		s.live = s.live && s.actor != name
	}
}
