package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// collecting is a chain with a writer, session 1, that was open when session 9 condemned, by entry n, what session 2 had committed as
// snapshot 1, which was forgotten.
func collecting(t *testing.T) (c *chain, w *crypto.Keyring, n uint64) {
	c = newChain(t)
	w = c.join(crypto.Writer, 1)
	c.ok(w, &Open{Session: sid(2)})
	c.ok(w, &Commit{Session: sid(2), Snapshot: snap(1), IndexFiles: files(file(2, 1)), Facts: []byte("one")})
	c.ok(w, &Open{Session: sid(1)})
	c.ok(c.admin, &Forget{Snapshots: []crypto.ID{snap(1)}})
	c.ok(c.admin, &Open{Session: sid(9), Purpose: Collecting})
	n, _ = c.state.Head()
	c.ok(c.admin, &Condemn{Session: sid(9), Marked: n, Retired: files(file(2, 1)), Added: files(file(9, 1))})
	return c, w, n
}

func TestDeleteWaits(t *testing.T) {
	c, w, n := collecting(t)
	require.Equal(t, files(file(9, 1)), c.state.IndexFiles())
	require.Equal(t, files(file(2, 1)), c.state.CondemnedFiles())
	require.Equal(t, files(file(9, 1), file(2, 1)), c.state.NamedFiles())
	require.Equal(t, []Condemned{{N: n, Session: sid(9), Marked: n, Retired: files(file(2, 1)), Added: files(file(9, 1))}}, c.state.Condemned())
	older := c.state.WritersBefore(n)
	require.Len(t, older, 1)
	require.Equal(t, sid(1), older[0].ID)
	gone := func() *Delete { return &Delete{Session: sid(9), Condemned: n, Marked: c.state.NeededAt()} }
	require.Contains(t, c.put(c.admin, gone()), "was opened before entry")

	// It commits: now what it needs must have been marked.
	early := gone()
	c.ok(w, &Commit{Session: sid(1), Snapshot: snap(2), Facts: []byte("two")})
	require.Contains(t, c.put(c.admin, early), "more may be needed")
	c.ok(w, &Open{Session: sid(3)}) // a later writer holds up nothing
	at := c.state.IndexedAt()
	late := gone()
	late.Added = files(file(9, 2))
	c.ok(c.admin, late)
	require.Greater(t, c.state.IndexedAt(), at)
	require.Empty(t, c.state.Condemned())
	require.Equal(t, files(file(9, 1), file(9, 2)), c.state.IndexFiles())
	require.Contains(t, c.put(c.admin, gone()), "condemns nothing that is left")

	// What was deleted cannot be taken back.
	require.True(t, c.state.Gone(snap(1)))
	s, _ := c.state.Snapshot(snap(1))
	require.Nil(t, s.Facts)
	require.Contains(t, c.put(c.admin, &Unforget{Snapshots: []crypto.ID{snap(1)}}), "let go")
}

// Two collections that did not know of each other must not both take one of two copies.
func TestCondemnIsFenced(t *testing.T) {
	c, w, n := collecting(t)
	c.ok(w, &Commit{Session: sid(1), Snapshot: snap(2), IndexFiles: files(file(1, 1)), Facts: []byte("two")})
	c.ok(c.admin, &Open{Session: sid(8), Purpose: Collecting})
	second := &Condemn{Session: sid(8), Marked: n, Retired: files(file(1, 1))}
	require.Contains(t, c.put(c.admin, second), "another collection came")
	second.Marked, _ = c.state.Head()
	second.Added = files(file(8, 1))
	c.ok(c.admin, second)
	require.Contains(t, c.put(c.admin, &Condemn{Session: sid(8), Marked: c.state.next, Retired: files(file(9, 1)), Added: files(file(8, 1))}), "added before")
}

func TestUnforget(t *testing.T) {
	c, _, n := collecting(t)
	marked := c.state.NeededAt()
	require.False(t, c.state.Gone(snap(1)))
	c.ok(c.admin, &Unforget{Snapshots: []crypto.ID{snap(1)}, Reason: "needed after all"})
	s, _ := c.state.Snapshot(snap(1))
	require.Equal(t, []byte("one"), s.Facts)
	require.Greater(t, s.LiveSince, n)
	require.Greater(t, c.state.NeededAt(), marked, "a DELETE that was decided before is void")
}

func TestHold(t *testing.T) {
	c := newChain(t)
	c.ok(c.admin, &Open{Session: sid(2)})
	c.ok(c.admin, &Commit{Session: sid(2), Snapshot: snap(1), IndexFiles: files(file(2, 1)), Facts: []byte("one")})
	c.ok(c.admin, &Open{Session: sid(1), Purpose: Collecting})
	c.ok(c.admin, &Hold{Session: sid(1), Snapshots: []crypto.ID{snap(1)}})
	c.ok(c.admin, &Forget{Snapshots: []crypto.ID{snap(1)}})
	needed := c.state.Needed()
	require.Len(t, needed, 1)
	require.Equal(t, []byte("one"), needed[0].Facts)

	c.ok(c.admin, &Open{Session: sid(9), Purpose: Collecting})
	n, _ := c.state.Head()
	c.ok(c.admin, &Condemn{Session: sid(9), Marked: n, Retired: files(file(2, 1)), Added: files(file(9, 1))})
	c.ok(c.admin, &Delete{Session: sid(9), Condemned: n, Marked: n + 1})
	require.False(t, c.state.Gone(snap(1)), "it is held")
	require.Len(t, c.state.Needed(), 1)
	c.ok(c.admin, &Close{Session: sid(1)})
	require.Empty(t, c.state.Needed())
	require.True(t, c.state.Gone(snap(1)))
	require.NotEmpty(t, c.put(c.admin, &Unforget{Snapshots: []crypto.ID{snap(1)}}))
}

// A snapshot whose packs may be condemned is not taken over unread by sessions that were opened after.
func TestReusable(t *testing.T) {
	c := newChain(t)
	w := c.join(crypto.Writer, 1)
	commit := func(session, id byte) {
		c.ok(w, &Commit{Session: sid(session), Snapshot: snap(id), IndexFiles: files(file(session, 1)), Facts: []byte("x")})
	}
	open := func(session byte) uint64 {
		n, _ := c.state.Head()
		c.ok(w, &Open{Session: sid(session)})
		return n
	}
	open(1)
	commit(1, 1)
	early := open(2)
	require.True(t, c.state.Reusable(snap(1), early))
	open(3)
	open(4)
	c.ok(c.admin, &Open{Session: sid(9), Purpose: Collecting})
	marked, _ := c.state.Head()
	commit(3, 3) // after marking
	n, _ := c.state.Head()
	c.ok(c.admin, &Condemn{Session: sid(9), Marked: marked, Retired: files(file(1, 1))})
	commit(4, 4) // after the CONDEMN, and opened before
	open(5)
	commit(5, 5) // opened after, so it uses nothing that is condemned
	late := open(6)
	for id, want := range map[byte]bool{1: true, 3: false, 4: false, 5: true, 7: false} {
		require.Equal(t, want, c.state.Reusable(snap(id), late), "snapshot %d", id)
	}
	require.False(t, c.state.Reusable(snap(3), early), "it was not there")
	c.ok(c.admin, &Forget{Snapshots: []crypto.ID{snap(1)}})
	require.False(t, c.state.Reusable(snap(1), late))
	c.ok(c.admin, &Unforget{Snapshots: []crypto.ID{snap(1)}})
	later := open(7)
	require.False(t, c.state.Reusable(snap(1), later), "it was not live when it was marked, as far as anybody can tell")

	c.ok(c.admin, &Revoke{Session: sid(2)})
	c.ok(c.admin, &Delete{Session: sid(9), Condemned: n, Marked: c.state.NeededAt(), Added: files(file(9, 1))})
	for _, id := range []byte{1, 3, 4, 5} {
		require.True(t, c.state.Reusable(snap(id), later), "snapshot %d was rescued", id)
	}
}

// Copies of a state go on independently of each other.
func TestCollectionsOfClones(t *testing.T) {
	c, w, n := collecting(t)
	a := &chain{t: t, state: c.state.Clone()}
	b := &chain{t: t, state: c.state.Clone()}
	before := publicOf(c.state)
	for i, d := range []*chain{a, b} {
		d.ok(w, &Hold{Session: sid(1), Snapshots: committedNow(d, byte(20+i), w)})
		d.ok(w, &Close{Session: sid(1)})
		d.ok(c.admin, &Delete{Session: sid(9), Condemned: n, Marked: d.state.NeededAt(), Added: files(file(9, byte(30+i)))})
		m, _ := d.state.Head()
		d.ok(c.admin, &Condemn{Session: sid(9), Marked: m, Retired: files(file(9, byte(30+i)))})
	}
	require.Equal(t, before, publicOf(c.state))
	require.Equal(t, files(file(9, 30)), a.state.CondemnedFiles())
	require.Equal(t, files(file(9, 31)), b.state.CondemnedFiles())
}

// committedNow commits a snapshot and returns it, to be held.
func committedNow(c *chain, id byte, w *crypto.Keyring) []crypto.ID {
	c.ok(w, &Open{Session: sid(id)})
	c.ok(w, &Commit{Session: sid(id), Snapshot: snap(id), Facts: []byte("x")})
	return []crypto.ID{snap(id)}
}
