package repo

import (
	"context"
	"time"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// quietFor is how long a session must not have been heard of before another one of the same source continues it, on a store that cannot tell
// whether its process is there.
const quietFor = 15 * time.Minute

// OpenSession is a session that has not ended, and what this client knows of it.
type OpenSession struct {
	ledger.Session
	// Label is that of the key that opened it.
	Label string
	// Beat is the number of its newest heartbeat, -1 if it wrote none; Quiet how long this client has seen no newer one.
	Beat  int64
	Quiet time.Duration
	// Dead: its process is gone for certain.
	Dead bool
}

// OpenSessions returns the sessions that have not ended, in the order of their OPEN. What is seen of their heartbeats is kept in the local cache, so that
// what several runs saw adds up.
func (r *Repository) OpenSessions(ctx context.Context) (list []OpenSession, err error) {
	if err := r.chain.advance(ctx); err != nil {
		return nil, err
	}
	r.chain.view(func(st *ledger.State) {
		for _, s := range st.LiveSessions() {
			a, _ := st.Actor(s.Actor)
			list = append(list, OpenSession{Session: s, Label: a.Label})
		}
	})
	if err := r.sightings.turn.take(ctx); err != nil {
		return nil, err
	}
	defer r.sightings.turn.pass()
	seen := r.sightings.load(r.cache)
	now := r.now()
	for i := range list {
		o := &list[i]
		if o.Beat, err = r.lastBeat(ctx, o.ID); err != nil {
			return nil, err
		}
		o.Quiet = seen.look(o.ID, o.Beat, now)
		if o.Dead, err = r.knownDead(ctx, o.ID); err != nil {
			return nil, err
		}
	}
	seen.forget(list)
	if err := r.sightings.save(r.cache, seen); err != nil {
		r.log.Warn("keeping what was seen of other sessions", "error", err)
	}
	return list, nil
}

// sighting is when which heartbeat of a session was first seen. A clock that jumps makes somebody be taken for dead too early or too late, which is safe.
type sighting struct {
	beat int64
	at   time.Time
}

type sightings map[ledger.SessionID]sighting

// look notes a heartbeat, and returns how long it has been the newest.
func (s sightings) look(id ledger.SessionID, beat int64, now time.Time) time.Duration {
	before, known := s[id]
	if !known || before.beat != beat || before.at.After(now) {
		s[id] = sighting{beat, now}
		return 0
	}
	return now.Sub(before.at)
}

// forget drops what is known of sessions that are not in the list.
func (s sightings) forget(list []OpenSession) {
	open := map[ledger.SessionID]bool{}
	for i := range list {
		open[list[i].ID] = true
	}
	for id := range s {
		if !open[id] {
			delete(s, id)
		}
	}
}

// sightingStore keeps sightings in the cache, or without one as long as the repository is open.
type sightingStore struct {
	turn turn // while sightings are used
	last []byte
}

const sightingFile = "sightings"

func (k *sightingStore) load(c *cacheDir) sightings {
	b, ok := c.readSealed(sightingFile)
	if !ok {
		b = k.last
	}
	seen := sightings{}
	d := wire.NewDecoder(b)
	for range d.Count(16+8+8, "sightings") {
		var id ledger.SessionID
		d.Copy(id[:])
		seen[id] = sighting{d.I64(), time.Unix(0, d.I64())}
	}
	if d.Finish() != nil {
		return sightings{}
	}
	return seen
}

func (k *sightingStore) save(c *cacheDir, seen sightings) error {
	b := wire.AppendUvarint(nil, uint64(len(seen)))
	for id, s := range seen {
		b = append(b, id[:]...)
		b = wire.AppendI64(wire.AppendI64(b, s.beat), s.at.UnixNano())
	}
	k.last = b
	if !c.on() {
		return nil
	}
	return c.writeSealed(sightingFile, b)
}
