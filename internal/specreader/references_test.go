package specreader

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// records verifies the progress records of a session (section 7.3), and returns the index files that they name.
func records(r *Repository, id name16) (files []indexFile) {
	s := r.ledger.sessions[id]
	previous, by := s.open, r.ledger.actors[s.actor].public
	for n := uint64(0); ; n++ {
		b, err := fs.ReadFile(r.store, fmt.Sprintf("sessions/%x/%012d", id, n))
		if errors.Is(err, fs.ErrNotExist) {
			return files
		}
		e := parseEntry(must(b, err))
		check(e.kind == typeProgress && e.n == n && e.previous == previous && e.epoch == 0 && e.actor == s.actor && e.by(by), "record %d", n)
		body := whole(e.clear, e.readBody)
		check(body.session == id && e.suite == r.ledger.genesis.suite, "record %d of another session", n)
		for _, f := range body.files {
			check(f.session == id && !slices.Contains(files, f), "record %d names index file %s", n, f.hash)
		}
		files, previous = append(files, body.files...), e.hash
	}
}

func TestProgressRecords(t *testing.T) {
	r, err := Open(frozen, Credential{})
	require.NoError(t, err)
	recorded := 0
	for id := range r.ledger.sessions {
		for _, f := range records(r, id) {
			require.Contains(t, r.ledger.files, f) // the session that adopted this one committed it
			recorded++
		}
	}
	require.NotZero(t, recorded)
}

// mark finds every chunk of a snapshot through the reference nodes, reading nothing but class MAP.
type mark struct {
	r    *Repository
	seen map[string]bool
}

func (m *mark) add(class uint8, ref chunkRef) bool {
	key := fmt.Sprint(class, ref.id, ref.length)
	known := m.seen[key]
	m.seen[key] = true
	return !known
}

func (m *mark) directory(d *decoder) {
	m.add(classMeta, readRef(d))
	if ref := readRef(d); m.add(classMap, ref) {
		whole(m.r.chunk(classMap, ref), m.references)
	}
}

func (m *mark) references(d *decoder) any {
	d.among(3, 3)
	return list(d, 16384, func(d *decoder) any {
		switch d.among(1, 4) {
		case 1:
			m.add(classData, readRef(d))
		case 2:
			m.content(d.among(0, maxLevel), readRef(d))
		case 3:
			m.directory(d)
		case 4:
			m.add(classMeta, readRef(d))
		}
		return nil
	})
}

func (m *mark) content(level uint8, ref chunkRef) {
	if !m.add(classMap, ref) {
		return
	}
	n := whole(m.r.chunk(classMap, ref), readMapNode)
	check(n.level == level, "level %d", n.level)
	for _, s := range n.spans {
		switch s.Kind {
		case SpanChunk:
			m.add(classData, chunkRef{s.ID, s.Length})
		case spanNode:
			m.content(level-1, chunkRef{s.ID, s.node})
		}
	}
}

// TestCollectorFindsEverything: what a collector finds without a name is what a reader needs.
func TestCollectorFindsEverything(t *testing.T) {
	l := wanted(t)
	i := slices.IndexFunc(l.Credentials, func(c credential) bool { return c.Role == "collector" })
	collector, err := Open(frozen, l.Credentials[i].parse(t))
	require.NoError(t, err)
	reader, err := Open(frozen, Password("frozen"))
	require.NoError(t, err)
	found, err := collector.Snapshots()
	require.NoError(t, err)
	snapshots, err := reader.Snapshots()
	require.NoError(t, err)
	for i, s := range snapshots {
		m := &mark{collector, map[string]bool{}}
		m.add(classMeta, found[i].root.node)
		m.add(classMap, found[i].root.references)
		whole(collector.chunk(classMap, found[i].root.references), m.references)

		// A reader gets along with these chunks alone.
		few := *reader
		for class := range few.chunks {
			few.chunks[class] = map[ID]location{}
			for id, l := range reader.chunks[class] {
				if m.seen[fmt.Sprint(uint8(class), id, l.length)] {
					few.chunks[class][id] = l
				}
			}
		}
		got, err := readAll(&few, s)
		require.NoError(t, err)
		require.Equal(t, l.Snapshots[i].Entries, got)
	}
}
