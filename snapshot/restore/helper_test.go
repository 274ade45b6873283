package restore_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/zero"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// small makes repositories whose segments and packs fill up quickly.
var small = repo.Config{ChunkMean: 4 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20}

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// bench is a repository that contents and trees are put into, and then restored from.
type bench struct {
	t       testing.TB
	store   *mem.Store
	faults  *fault.Store
	key     *crypto.KeyFile
	repo    *repo.Repository
	session *repo.Session
	writer  *repo.Writer
	chunker chunk.Chunker
}

func newBench(t testing.TB, c repo.Config) *bench {
	t.Helper()
	_, key := crypto.NewKeyFile()
	b := &bench{t: t, store: mem.New(nil), key: key}
	r, err := repo.Init(t.Context(), b.store, &repo.InitOptions{Config: c, Sealer: key})
	require.NoError(t, err)
	b.repo = r
	b.begin()
	return b
}

func (b *bench) begin() {
	var err error
	b.session, err = b.repo.Begin(b.t.Context(), nil)
	require.NoError(b.t, err)
	b.writer, err = b.session.NewWriter(repo.Data)
	require.NoError(b.t, err)
	b.chunker, err = b.repo.NewChunker(chunk.Gear)
	require.NoError(b.t, err)
}

// save stores data as one content. Ranges in bad are stored as unread.
func (b *bench) save(data []byte, bad ...span) content.Content {
	b.t.Helper()
	return b.saveWith(b.session, data, bad...)
}

// saveWith stores the nodes of the content map elsewhere.
func (b *bench) saveWith(s reftree.Saver, data []byte, bad ...span) content.Content {
	b.t.Helper()
	builder := content.NewBuilder(s, 0x22)
	add := func(s reftree.Span) { require.NoError(b.t, builder.Add(b.t.Context(), s)) }
	off := 0
	for _, u := range append(bad, span{int64(len(data)), 0}) {
		for run := range zero.Runs(data[off:u.off], int64(off)) {
			p := data[off+run.Off:][:run.Len]
			if run.Hole {
				add(reftree.Span{Kind: reftree.Hole, Length: int64(run.Len), Count: 1})
				continue
			}
			for len(p) > 0 {
				n := b.chunker.Next(p, true)
				id, _, err := b.writer.Save(b.t.Context(), p[:n])
				require.NoError(b.t, err)
				add(reftree.Span{ID: id, Length: int64(n), Count: 1})
				p = p[n:]
			}
		}
		if u.n > 0 {
			add(reftree.Span{Kind: reftree.Unread, Length: u.n, Count: 1})
		}
		off = int(u.off + u.n)
	}
	c, err := builder.Finish(b.t.Context())
	require.NoError(b.t, err)
	return c
}

// span is a range of bytes.
type span struct{ off, n int64 }

// commit makes what was saved readable, through a store that can be made to fail.
func (b *bench) commit(c ...content.Content) *repo.Repository {
	b.t.Helper()
	dir := tree.NewDirBuilder(b.session)
	for i := range c {
		name := string(rune('a' + i))
		require.NoError(b.t, dir.Add(b.t.Context(), &tree.Node{Name: name, Type: tree.File, Mode: 0o600, Content: c[i]}))
	}
	root, err := dir.Finish(b.t.Context())
	require.NoError(b.t, err)
	return b.commitTree(root)
}

func (b *bench) commitTree(root repo.Pair) *repo.Repository {
	b.t.Helper()
	require.NoError(b.t, b.writer.Flush(b.t.Context()))
	_, err := b.session.Commit(b.t.Context(), root, nil)
	require.NoError(b.t, err)
	require.NoError(b.t, b.repo.Close())
	b.faults, err = fault.New(b.store, nil)
	require.NoError(b.t, err)
	return b.open(b.faults)
}

func (b *bench) open(s backend.Store) *repo.Repository {
	b.t.Helper()
	r, err := repo.Open(b.t.Context(), s, &repo.Options{Credential: b.key})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, r.Close()) })
	return r
}

// randomBytes returns bytes that do not compress.
func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rng.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(p)
	return p
}

// randomImage returns an image of several textures: fresh bytes, text, holes, small zeros, repeats of what was before, and constant bytes.
func randomImage(rng *rand.Rand, size int) []byte {
	p := make([]byte, 0, size+(512<<10))
	for len(p) < size {
		n := 1 + rng.IntN(256<<10)
		switch rng.IntN(7) {
		case 0, 1:
			p = append(p, randomBytes(rng, n)...)
		case 2:
			p = append(p, bytes.Repeat([]byte("lorem ipsum "), n/12+1)...)
		case 3:
			p = append(p, make([]byte, 2*n)...)
		case 4:
			p = append(append(p, make([]byte, n&0x7fff)...), randomBytes(rng, 100)...)
		case 5:
			if len(p) > 0 {
				off := rng.IntN(len(p))
				p = append(p, p[off:min(len(p), off+2*n)]...)
			}
		case 6:
			p = append(p, bytes.Repeat([]byte{0xff}, n)...)
		}
	}
	return p[:size]
}

// memFile is a target in memory that counts what is written to it.
type memFile struct {
	mu      sync.Mutex
	data    []byte
	written int64
	ranges  []span
	failAt  int64 // writes that touch this offset fail, if it is not 0
	err     error
}

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failAt > 0 && off <= m.failAt && m.failAt < off+int64(len(p)) {
		return 0, m.err
	}
	m.written += int64(len(p))
	m.ranges = append(m.ranges, span{off, int64(len(p))})
	return copy(m.data[off:], p), nil
}

func (m *memFile) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(p, m.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// writerOnly hides that a target can be read.
type writerOnly struct{ io.WriterAt }

func requireFile(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	requireBytes(t, want, got)
}

// requireBytes compares without printing megabytes.
func requireBytes(t testing.TB, want, got []byte) {
	t.Helper()
	require.Equal(t, len(want), len(got), "length")
	if bytes.Equal(want, got) {
		return
	}
	for i := range want {
		require.Equal(t, want[i], got[i], "byte %d", i)
	}
}

func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "out") }
