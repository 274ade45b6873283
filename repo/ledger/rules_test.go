package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// cast is a chain with one actor of each role (two writers), and with
//
//	session 1   writer, live
//	session 2   writer, committed snapshot 1 with index file 2/1
//	session 3   other, live
//	session 4   writer, committed snapshot 2, which was forgotten
//	session 5   collector, live
//	session 6   writer, revoked
//	session 7   writer, adopted by 8, adopted by 9, live
//	session 10  gone (a writer who was removed), ended by the removal
type cast struct {
	*chain
	writer, other, reader, collector, gone *crypto.Keyring
}

func newCast(t testing.TB) *cast {
	c := &cast{chain: newChain(t)}
	c.writer = c.join(crypto.Writer, 1)
	c.other = c.join(crypto.Writer, 2)
	c.reader = c.join(crypto.Reader, 3)
	c.collector = c.join(crypto.Collector, 4)
	c.gone = c.join(crypto.Writer, 5)
	c.ok(c.writer, &Open{Session: sid(1), Kind: "backup", Host: "h", Source: snap(99), Program: "p"})
	c.ok(c.writer, &Open{Session: sid(2)})
	c.ok(c.writer, &Commit{Session: sid(2), Snapshot: snap(1), IndexFiles: files(file(2, 1)), Facts: []byte("f1")})
	c.ok(c.other, &Open{Session: sid(3), Source: snap(99)})
	c.ok(c.writer, &Open{Session: sid(4)})
	c.ok(c.writer, &Commit{Session: sid(4), Snapshot: snap(2), Facts: []byte("f2")})
	c.ok(c.collector, &Forget{Snapshots: []crypto.ID{snap(2)}})
	c.ok(c.collector, &Open{Session: sid(5), Purpose: Collecting})
	c.ok(c.writer, &Open{Session: sid(6)})
	c.ok(c.collector, &Revoke{Session: sid(6)})
	c.ok(c.writer, &Open{Session: sid(7)})
	c.ok(c.writer, &Open{Session: sid(8), Adopts: []SessionID{sid(7)}})
	c.ok(c.writer, &Open{Session: sid(9), Adopts: []SessionID{sid(8)}})
	c.ok(c.gone, &Open{Session: sid(10)})
	c.ok(c.admin, &Key{Op: Remove, Role: crypto.Writer, Actor: c.gone.Actor(), Slot: SlotID{5}})
	return c
}

func TestRoles(t *testing.T) {
	c := newCast(t)
	fresh, err := c.admin.Restrict(crypto.Writer)
	require.NoError(t, err)
	rings := []*crypto.Keyring{c.admin, c.writer, c.reader, c.collector, c.gone}
	// Who may: admin, writer, reader, collector, removed.
	cases := []struct {
		body func(*crypto.Keyring) Body
		may  string
	}{
		{func(r *crypto.Keyring) Body { return &Open{Session: SessionID(r.Actor().ID())} }, "aw---"},
		{func(r *crypto.Keyring) Body { return &Open{Session: SessionID(r.Actor().ID()), Purpose: Collecting} }, "a--c-"},
		{func(*crypto.Keyring) Body { return &Protect{Snapshots: []crypto.ID{snap(1)}} }, "a----"},
		{func(*crypto.Keyring) Body { return &Unforget{Snapshots: []crypto.ID{snap(2)}} }, "a--c-"},
		{func(*crypto.Keyring) Body { return &Forget{Snapshots: []crypto.ID{snap(1)}} }, "a--c-"},
		{func(*crypto.Keyring) Body { return &Revoke{Session: sid(1)} }, "a--c-"},
		{func(*crypto.Keyring) Body { return &Tags{Snapshot: snap(1)} }, "aw---"},
		{func(*crypto.Keyring) Body { return &Features{} }, "a----"},
		{func(*crypto.Keyring) Body { return &Key{Op: Admit, Role: crypto.Reader, Actor: fresh.Actor()} }, "a----"},
		{func(*crypto.Keyring) Body { g := c.state.Genesis(); return &g }, "-----"},
		{func(*crypto.Keyring) Body { return &Progress{Session: sid(1)} }, "-----"},
	}
	for _, k := range cases {
		for i, ring := range rings {
			d := &chain{t: t, state: c.state.Clone()}
			body := k.body(ring)
			checked := d.state.Check(ring.Actor().ID(), body)
			why := d.put(ring, body)
			require.Equal(t, k.may[i] != '-', why == "", "%v by %v: %s", body.Type(), ring.Role(), why)
			require.Equal(t, why == "", checked == nil)
		}
	}
	// COMMIT and CLOSE, each of its own session.
	own := map[*crypto.Keyring]byte{c.writer: 1, c.collector: 5}
	for ring, id := range own {
		d := &chain{t: t, state: c.state.Clone()}
		require.Equal(t, ring == c.writer, d.put(ring, &Commit{Session: sid(id)}) == "")
		d = &chain{t: t, state: c.state.Clone()}
		require.Empty(t, d.put(ring, &Close{Session: sid(id)}))
	}
	for _, ring := range []*crypto.Keyring{c.reader, c.gone} {
		require.NotEmpty(t, c.put(ring, &Commit{Session: sid(1)}))
		require.NotEmpty(t, c.put(ring, &Close{Session: sid(1)}))
	}
}

func TestRules(t *testing.T) {
	c := newCast(t)
	fresh, err := c.admin.Restrict(crypto.Admin)
	require.NoError(t, err)
	remove := func(r *crypto.Keyring, role crypto.Role, slot byte) *Key {
		return &Key{Op: Remove, Role: role, Actor: r.Actor(), Slot: SlotID{slot}}
	}
	cases := map[string]struct {
		by   *crypto.Keyring
		body Body
		void string // part of why; "" when valid
	}{
		"open":                      {c.writer, &Open{Session: sid(20)}, ""},
		"open again":                {c.writer, &Open{Session: sid(1)}, "opened before"},
		"open another's":            {c.writer, &Open{Session: sid(3)}, "opened before"},
		"open ended":                {c.writer, &Open{Session: sid(2)}, "opened before"},
		"adopt":                     {c.writer, &Open{Session: sid(20), Adopts: []SessionID{sid(1), sid(9)}}, ""},
		"adopt unknown":             {c.writer, &Open{Session: sid(20), Adopts: []SessionID{sid(21)}}, "never opened"},
		"adopt another's":           {c.writer, &Open{Session: sid(20), Adopts: []SessionID{sid(1), sid(3)}}, "another actor's"},
		"adopt revoked":             {c.writer, &Open{Session: sid(20), Adopts: []SessionID{sid(6)}}, "is revoked"},
		"adopt committed":           {c.writer, &Open{Session: sid(20), Adopts: []SessionID{sid(2)}}, "is committed"},
		"adopt adopted":             {c.writer, &Open{Session: sid(20), Adopts: []SessionID{sid(7)}}, "is adopted"},
		"adopt another's, as admin": {c.admin, &Open{Session: sid(20), Adopts: []SessionID{sid(1)}}, "another actor's"},

		"commit":                    {c.writer, &Commit{Session: sid(1), Snapshot: snap(20), IndexFiles: files(file(1, 1)), Facts: []byte("x")}, ""},
		"commit nothing":            {c.writer, &Commit{Session: sid(1)}, ""},
		"commit unknown":            {c.writer, &Commit{Session: sid(20)}, "never opened"},
		"commit twice":              {c.writer, &Commit{Session: sid(2)}, "is committed"},
		"commit revoked":            {c.writer, &Commit{Session: sid(6)}, "is revoked"},
		"commit adopted":            {c.writer, &Commit{Session: sid(7)}, "is adopted"},
		"commit another's":          {c.writer, &Commit{Session: sid(3)}, "another actor's"},
		"commit another's as admin": {c.admin, &Commit{Session: sid(3)}, "another actor's"},
		"commit live snapshot":      {c.writer, &Commit{Session: sid(1), Snapshot: snap(1), Facts: []byte("x")}, "committed before"},
		"commit forgotten snapshot": {c.writer, &Commit{Session: sid(1), Snapshot: snap(2), Facts: []byte("x")}, "committed before"},
		"commit live index file":    {c.writer, &Commit{Session: sid(1), IndexFiles: files(file(2, 1))}, "not adopted"},
		"commit other's index file": {c.writer, &Commit{Session: sid(1), IndexFiles: files(file(1, 1), file(3, 1))}, "not adopted"},
		"commit not adopted":        {c.writer, &Commit{Session: sid(1), IndexFiles: files(file(7, 1))}, "not adopted"},
		"commit adopted files":      {c.writer, &Commit{Session: sid(9), IndexFiles: files(file(7, 1), file(9, 1), file(8, 1), file(7, 2))}, ""},
		"commit beyond adopted":     {c.writer, &Commit{Session: sid(9), IndexFiles: files(file(7, 1), file(1, 1))}, "not adopted"},

		"adopt a collection":     {c.collector, &Open{Session: sid(20), Purpose: Collecting, Adopts: []SessionID{sid(5)}}, "not both are for writing"},
		"open for collecting":    {c.writer, &Open{Session: sid(20), Purpose: Collecting}, "may not open a session for collecting"},
		"collector's to write":   {c.collector, &Open{Session: sid(20)}, "may not open a session for writing"},
		"hold":                   {c.writer, &Hold{Session: sid(1), Snapshots: []crypto.ID{snap(1)}}, ""},
		"hold by a collection":   {c.collector, &Hold{Session: sid(5), Snapshots: []crypto.ID{snap(1)}}, ""},
		"hold by another":        {c.other, &Hold{Session: sid(1), Snapshots: []crypto.ID{snap(1)}}, "another actor's"},
		"hold by none":           {c.writer, &Hold{Session: sid(2), Snapshots: []crypto.ID{snap(1)}}, "is committed"},
		"hold forgotten":         {c.writer, &Hold{Session: sid(1), Snapshots: []crypto.ID{snap(1), snap(2)}}, "was forgotten"},
		"condemn":                {c.collector, &Condemn{Session: sid(5), Marked: 21, Retired: files(file(2, 1)), Added: files(file(5, 1))}, ""},
		"condemn at once":        {c.collector, &Condemn{Session: sid(5), Marked: 1, Retired: files(file(2, 1))}, ""},
		"condemn ahead":          {c.collector, &Condemn{Session: sid(5), Marked: 22, Retired: files(file(2, 1))}, "marked after 22"},
		"condemn what is not":    {c.collector, &Condemn{Session: sid(5), Marked: 21, Retired: files(file(2, 1), file(2, 2))}, "is not live"},
		"condemn without":        {c.writer, &Condemn{Session: sid(1), Marked: 21, Retired: files(file(2, 1))}, "may not write CONDEMN"},
		"condemn for another":    {c.admin, &Condemn{Session: sid(5), Marked: 21, Retired: files(file(2, 1))}, "another actor's"},
		"delete without":         {c.collector, &Delete{Session: sid(5), Condemned: 9, Marked: 22}, "condemns nothing"},
		"delete by a writer":     {c.writer, &Delete{Session: sid(1), Condemned: 9, Marked: 22}, "may not write DELETE"},
		"open to repair":         {c.collector, &Open{Session: sid(20), Purpose: Repairing}, ""},
		"open without right":     {c.writer, &Open{Session: sid(20), Purpose: Repairing}, "may not open a session for repairing"},
		"sweep":                  {c.collector, &Sweep{Session: sid(5), List: snap(1), Packs: 1}, ""},
		"sweep by a writer":      {c.writer, &Sweep{Session: sid(1), List: snap(1), Packs: 1}, "may not write SWEEP"},
		"sweep for another":      {c.admin, &Sweep{Session: sid(5), List: snap(1), Packs: 1}, "another actor's"},
		"sweep for a writer":     {c.admin, &Sweep{Session: sid(1), List: snap(1), Packs: 1}, "another actor's"},
		"sweep ends what is not": {c.collector, &Sweep{Session: sid(5), Ended: []uint64{9}}, "announces nothing that is left"},
		"commit by a collector":  {c.collector, &Commit{Session: sid(5)}, "may not write COMMIT"},

		"close":            {c.writer, &Close{Session: sid(1)}, ""},
		"close unknown":    {c.writer, &Close{Session: sid(20)}, "never opened"},
		"close ended":      {c.writer, &Close{Session: sid(2)}, "is committed"},
		"close another's":  {c.other, &Close{Session: sid(1)}, "another actor's"},
		"admin's close":    {c.admin, &Close{Session: sid(1)}, "another actor's"},
		"revoke":           {c.collector, &Revoke{Session: sid(1)}, ""},
		"revoke own":       {c.collector, &Revoke{Session: sid(5)}, ""},
		"revoke unknown":   {c.collector, &Revoke{Session: sid(20)}, "never opened"},
		"revoke committed": {c.collector, &Revoke{Session: sid(2)}, "is committed"},
		"revoke revoked":   {c.admin, &Revoke{Session: sid(6)}, "is revoked"},
		"revoke removed":   {c.admin, &Revoke{Session: sid(10)}, "is removed"},

		"forget":             {c.admin, &Forget{Snapshots: []crypto.ID{snap(1)}}, ""},
		"forget unknown":     {c.admin, &Forget{Snapshots: []crypto.ID{snap(1), snap(20)}}, "unknown"},
		"forget forgotten":   {c.admin, &Forget{Snapshots: []crypto.ID{snap(1), snap(2)}}, "was forgotten"},
		"forget none (zero)": {c.admin, &Forget{Snapshots: []crypto.ID{{}}}, "unknown"},
		"protect":            {c.admin, &Protect{Snapshots: []crypto.ID{snap(1)}}, ""},
		"protect forgotten":  {c.admin, &Protect{Snapshots: []crypto.ID{snap(2)}}, "was forgotten"},
		"unprotect":          {c.admin, &Unprotect{Snapshots: []crypto.ID{snap(1)}}, "is not protected"},
		"unforget":           {c.collector, &Unforget{Snapshots: []crypto.ID{snap(2)}}, ""},
		"unforget live":      {c.collector, &Unforget{Snapshots: []crypto.ID{snap(2), snap(1)}}, "is not forgotten"},
		"unforget unknown":   {c.collector, &Unforget{Snapshots: []crypto.ID{snap(20)}}, "unknown"},
		"tags":               {c.other, &Tags{Snapshot: snap(1), Tags: []string{"a"}}, ""},
		"tags unknown":       {c.other, &Tags{Snapshot: snap(20)}, "unknown"},
		"tags forgotten":     {c.other, &Tags{Snapshot: snap(2)}, "was forgotten"},

		"admit":             {c.admin, &Key{Op: Admit, Role: crypto.Admin, Actor: fresh.Actor()}, ""},
		"admit again":       {c.admin, &Key{Op: Admit, Role: crypto.Writer, Actor: c.writer.Actor(), Slot: SlotID{1}}, "admitted before"},
		"admit other role":  {c.admin, &Key{Op: Admit, Role: crypto.Admin, Actor: c.writer.Actor()}, "admitted before"},
		"admit removed":     {c.admin, &Key{Op: Admit, Role: crypto.Writer, Actor: c.gone.Actor(), Slot: SlotID{5}}, "admitted before"},
		"remove":            {c.admin, remove(c.writer, crypto.Writer, 1), ""},
		"remove unknown":    {c.admin, remove(fresh, crypto.Admin, 0), "not admitted"},
		"remove removed":    {c.admin, remove(c.gone, crypto.Writer, 5), "not admitted"},
		"remove wrong role": {c.admin, remove(c.writer, crypto.Reader, 1), "is writer"},
		"remove wrong slot": {c.admin, remove(c.writer, crypto.Writer, 2), "of slot"},
		"remove last admin": {c.admin, remove(c.admin, crypto.Admin, 0), "last admin"},
		"features":          {c.admin, &Features{Add: FeatureSets{Read: []string{"z"}}}, ""},
	}
	before := publicOf(c.state)
	for name, k := range cases {
		d := &chain{t: t, state: c.state.Clone()}
		err := d.state.Check(k.by.Actor().ID(), k.body)
		n, last := d.state.Head()
		b, nerr := d.state.Next(k.by, k.body, 5)
		if k.void == "" {
			require.NoError(t, err, name)
			require.NoError(t, nerr, name)
			require.Empty(t, d.apply(b), name)
			continue
		}
		var void *VoidError
		require.ErrorAs(t, err, &void, name)
		require.ErrorContains(t, err, k.void, name)
		require.Equal(t, err, nerr, name)
		require.Equal(t, void.Why, d.put(k.by, k.body), name)

		// A void entry changes nothing but the head and the list of void entries.
		want, got := before, publicOf(d.state)
		want.Next++
		want.Last = got.Last
		require.NotEqual(t, last, got.Last)
		want.Void = append(want.Void[:len(want.Void):len(want.Void)], VoidEntry{N: n, Type: k.body.Type(), Actor: k.by.Actor().ID(), Why: void.Why})
		require.Equal(t, want, got, name)
	}
	require.Equal(t, before, publicOf(c.state), "clones do not disturb their origin")
}

func TestVoidForms(t *testing.T) {
	c := newCast(t)
	session := sid(1)
	cases := map[string]forged{
		"clear too short":       {typ: TypeClose, epoch: 1, clear: session[:15], plain: []byte{0}},
		"clear left over":       {typ: TypeClose, epoch: 1, clear: append(session[:], 0), plain: []byte{0}},
		"no sealed part":        {typ: TypeClose, clear: session[:]},
		"sealed part too many":  {typ: TypeFeatures, epoch: 1, clear: []byte{0, 0, 0}},
		"sealed without a snap": {typ: TypeCommit, epoch: 1, clear: append(session[:], make([]byte, 33)...), plain: []byte{0}},
		"unknown epoch":         {typ: TypeClose, epoch: 2, clear: session[:], plain: []byte{0}},
		"other suite":           {typ: TypeClose, suite: crypto.XChaCha20Poly1305, epoch: 1, clear: session[:], plain: []byte{0}},
	}
	for name, f := range cases {
		ring := c.writer
		if f.typ == TypeFeatures {
			ring = c.admin
		}
		require.NotEmpty(t, c.apply(c.forge(ring, f)), name)
	}
	require.Empty(t, c.apply(c.forge(c.writer, forged{typ: TypeClose, epoch: 1, clear: session[:], plain: []byte{0}})))
	require.Equal(t, publicOf(c.state), publicOf(c.replay(nil)))
}

// Whether a sealed part opens must not decide about validity, since not everyone can tell.
func TestFlaws(t *testing.T) {
	c := newCast(t)
	session, id := sid(1), snap(50)
	commit := append(append(session[:], id[:]...), 0)
	put := func(ring *crypto.Keyring, f forged) { require.Empty(t, c.apply(c.forge(ring, f))) }
	opened := sid(40)
	put(c.writer, forged{typ: TypeOpen, epoch: 1, clear: append(opened[:], 0, 0), plain: []byte("nonsense")})
	put(c.writer, forged{typ: TypeCommit, epoch: 1, clear: commit, plain: nil})
	put(c.writer, forged{typ: TypeTags, epoch: 1, clear: id[:], box: make([]byte, 60)})
	c.ok(c.writer, &Tags{Snapshot: snap(1), Tags: []string{"kept"}})

	require.Len(t, c.state.Flaws(), 3)
	for _, f := range c.state.Flaws() {
		require.NotErrorIs(t, f.Err, ErrNoKey)
	}
	s, _ := c.state.Snapshot(id)
	require.Nil(t, s.Facts)
	require.NotZero(t, s.TagsAt)
	require.False(t, s.TagsOpened)
	o, _ := c.state.Session(opened)
	require.False(t, o.Unsealed)

	blind := c.replay(nil)
	require.Empty(t, blind.Flaws())
	require.Equal(t, publicOf(c.state), publicOf(blind))
	s, _ = blind.Snapshot(snap(1))
	require.Nil(t, s.Facts)
	require.False(t, s.TagsOpened)
}

func TestRemovalEndsSessions(t *testing.T) {
	c := newCast(t)
	o, ok := c.state.Session(sid(10))
	require.True(t, ok)
	require.Equal(t, Removed, o.End)
	n, _ := c.state.Head()
	require.Equal(t, n-1, o.EndedAt)

	second := c.join(crypto.Admin, 9)
	c.ok(second, &Open{Session: sid(60)})
	c.ok(second, &Key{Op: Remove, Role: crypto.Admin, Actor: c.admin.Actor()})
	require.Contains(t, c.put(c.admin, &Features{}), "removed")
	require.Contains(t, c.put(second, &Key{Op: Remove, Role: crypto.Admin, Actor: second.Actor(), Slot: SlotID{9}}), "last admin")
	o, _ = c.state.Session(sid(60))
	require.Equal(t, Live, o.End)
	require.ErrorContains(t, c.state.Check(c.admin.Actor().ID(), &Features{}), "removed")
	// A removed actor's entries are void whatever they are; what nobody can apply is refused from all others.
	require.Contains(t, c.apply(c.forge(c.admin, forged{typ: Type(60)})), "removed")
	var unknown *UnknownTypeError
	require.ErrorAs(t, c.state.Apply(c.forge(second, forged{typ: Type(60)})), &unknown)
	require.ErrorAs(t, c.state.Apply(c.forge(c.reader, forged{typ: 200})), &unknown)
}

// TestManyFeatures: no set grows beyond what a state may have.
func TestManyFeatures(t *testing.T) {
	c := newCast(t)
	var list []string
	for i := range 256 {
		list = append(list, fmt.Sprintf("zz%03d", i))
	}
	c.ok(c.admin, &Features{Add: FeatureSets{Collect: list}})
	c.ok(c.admin, &Features{Add: FeatureSets{Collect: list[:1], Read: []string{"a"}}})
	require.Contains(t, c.put(c.admin, &Features{Add: FeatureSets{Collect: []string{"a"}}}), "more than 256")
	_, err := Resume(c.raw[0], c.state.Encode(), nil)
	require.NoError(t, err)
}
