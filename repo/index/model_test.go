package index

import (
	"math/rand/v2"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/stretchr/testify/require"
)

// model is the same set as plain maps.
type model struct {
	t      *testing.T
	r      *rand.Rand
	opt    Options
	set    *Set
	ids    []crypto.ID    // a small pool, so that chunks repeat
	files  map[Name]*File // of the repository
	wanted []Name         // as named to Sync, and added since
	own    map[Name]bool  // files and packs of the running session
	dead   map[Name]bool  // packs
	added  []Pack         // by Add in this session
	loose  []Pack         // of added, those no file lists yet
	counts map[string]int // how often what was done
	keys   []crypto.KeyEntry
}

func (m *model) pack() Pack {
	if m.r.IntN(4) == 0 {
		m.keys = keyEntries(m.r, crypto.Class(1+m.r.IntN(3)), 1+m.r.IntN(2))
	}
	return randomPack(m.r, m.keys, 1+m.r.IntN(60), func() crypto.ID {
		if m.r.IntN(3) == 0 {
			return m.ids[m.r.IntN(len(m.ids))]
		}
		id := randomID(m.r)
		if m.r.IntN(8) == 0 { // an id whose start is taken
			copy(id[:8+8*m.r.IntN(2)], m.ids[m.r.IntN(len(m.ids))][:])
		}
		m.ids = append(m.ids, id)
		return id
	})
}

func (m *model) live(_, p Name) bool { return !m.dead[p] }

func (m *model) step() {
	switch k := m.r.IntN(20); {
	case k < 8:
		p := m.pack()
		require.NoError(m.t, m.set.Add(m.t.Context(), &p))
		m.added, m.loose = append(m.added, p), append(m.loose, p)
	case k < 11: // the session writes an index file of some of its packs
		n := m.r.IntN(len(m.loose) + 1)
		f := &File{Packs: append([]Pack{}, m.loose[:n]...)}
		m.loose = m.loose[n:]
		name := randomName(m.r)
		m.files[name], m.own[name] = f, true
		for i := range f.Packs {
			m.own[f.Packs[i].Name] = true
		}
		require.NoError(m.t, m.set.AddFile(m.t.Context(), name, f))
		m.wanted = append(m.wanted, name)
	case k < 15: // another session wrote one
		f := &File{}
		for range m.r.IntN(4) {
			f.Packs = append(f.Packs, m.pack())
		}
		if len(m.files) > 0 && m.r.IntN(3) == 0 { // it lists packs that others list too
			for _, other := range m.files {
				f.Packs = append(f.Packs, other.Packs...)
				break
			}
		}
		m.files[randomName(m.r)] = f
	case k < 17:
		m.sync()
	case k < 18:
		require.NoError(m.t, m.set.Settle(m.t.Context()))
	case k < 19 && m.r.IntN(3) == 0:
		m.reopen()
	default:
		m.check(20)
	}
}

// sync wants the files of the session and some others, and lets some packs die.
func (m *model) sync() {
	m.wanted = nil
	for n, f := range m.files {
		if m.own[n] || m.r.IntN(4) > 0 {
			m.wanted = append(m.wanted, n)
		}
		for i := range f.Packs {
			if p := f.Packs[i].Name; !m.own[p] && m.r.IntN(10) == 0 {
				m.dead[p] = true
			}
		}
	}
	for i := range m.added {
		delete(m.dead, m.added[i].Name)
	}
	missing, err := m.set.Sync(m.wanted, m.live)
	require.NoError(m.t, err)
	m.counts["missing"] += len(missing)
	m.counts["had"] += len(m.wanted) - len(missing)
	for _, n := range missing {
		require.NoError(m.t, m.set.AddFile(m.t.Context(), n, m.files[n]))
	}
	missing, err = m.set.Sync(m.wanted, m.live)
	require.NoError(m.t, err)
	require.Empty(m.t, missing)
}

func (m *model) reopen() {
	require.NoError(m.t, m.set.Close())
	require.False(m.t, m.set.Has(m.ids[0]))
	m.set = openSet(m.t, &m.opt)
	require.Empty(m.t, m.set.Damage())
	require.False(m.t, m.set.Has(m.ids[0]), "nothing counts before Sync")
	m.added, m.loose, m.own = nil, nil, map[Name]bool{}
	m.sync()
}

// expected returns the places of all chunks, by what runs keep of their ids.
func (m *model) expected() map[prefix]map[spot]bool {
	want := map[prefix]map[spot]bool{}
	put := func(p *Pack) {
		p.spots(func(id crypto.ID, s spot, _ *pack.Segment) {
			k := prefixOf(&id)
			if want[k] == nil {
				want[k] = map[spot]bool{}
			}
			want[k][s] = true
		})
	}
	for _, n := range m.wanted {
		for i := range m.files[n].Packs {
			if p := &m.files[n].Packs[i]; !m.dead[p.Name] {
				put(p)
			}
		}
	}
	for i := range m.added {
		put(&m.added[i])
	}
	return want
}

func (m *model) check(n int) {
	want := m.expected()
	for range n {
		id := m.ids[m.r.IntN(len(m.ids))]
		if m.r.IntN(4) == 0 {
			id = randomID(m.r)
		}
		m.checkID(id, want[prefixOf(&id)])
	}
}

func (m *model) checkID(id crypto.ID, want map[spot]bool) {
	require.Equal(m.t, len(want) > 0, m.set.Has(id))
	one, err := m.set.Lookup(id)
	if len(want) == 0 {
		require.ErrorIs(m.t, err, ErrNotFound)
		_, err = m.set.LookupAll(id)
		require.ErrorIs(m.t, err, ErrNotFound)
		return
	}
	require.NoError(m.t, err)
	require.True(m.t, want[spotOf(&one)])
	list, err := m.set.LookupAll(id)
	require.NoError(m.t, err)
	got := map[spot]bool{}
	for i := range list {
		got[spotOf(&list[i])] = true
	}
	require.Equal(m.t, want, got)
}

// checkAll compares everything, by lookups and by walking.
func (m *model) checkAll() {
	want := m.expected()
	for _, id := range m.ids {
		m.checkID(id, want[prefixOf(&id)])
	}
	got := map[prefix]map[spot]bool{}
	for c, err := range m.set.Chunks() {
		require.NoError(m.t, err)
		id := crypto.ID(append(c.Prefix[:], make([]byte, 16)...))
		k := prefixOf(&id)
		if got[k] == nil {
			got[k] = map[spot]bool{}
		}
		got[k][spotOf(&c.Location)] = true
	}
	require.Equal(m.t, want, got)
	packs := map[Name]bool{}
	for _, spots := range want {
		for s := range spots {
			packs[s.pack] = true
		}
	}
	n := 0
	for p := range m.set.Packs() {
		require.True(m.t, packs[p.Name])
		n++
	}
	require.Equal(m.t, len(packs), n)
	require.Equal(m.t, n, m.set.Stats().Packs)
}

func TestModel(t *testing.T) {
	r := newRand(t)
	for _, dir := range []string{"", t.TempDir(), t.TempDir()} {
		m := &model{t: t, r: r, files: map[Name]*File{}, own: map[Name]bool{}, dead: map[Name]bool{}, counts: map[string]int{}}
		m.opt = Options{Dir: dir, MemoryChunks: 300, MaxRuns: 2 + r.IntN(4), Repository: [16]byte{1}}
		m.ids = []crypto.ID{randomID(r)}
		m.keys = keyEntries(r, crypto.Data, 1)
		m.set = openSet(t, &m.opt)
		for range 250 {
			m.step()
		}
		m.checkAll()
		m.reopen()
		m.checkAll()
		require.NoError(t, m.set.Settle(t.Context()))
		m.checkAll()
		require.LessOrEqual(t, m.set.Stats().Runs, m.opt.MaxRuns)
		require.NoError(t, m.set.Close())
		require.ErrorIs(t, m.set.Close(), ErrClosed)
		t.Logf("%v", m.counts)
		if dir != "" {
			require.Positive(t, m.counts["had"])
		}
	}
}
