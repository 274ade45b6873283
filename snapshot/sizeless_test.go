package snapshot

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// madeUpFile claims a size that says nothing about what it gives.
type madeUpFile struct {
	memImage
	claims int64
	fails  error // in place of the end
}

func (m *madeUpFile) Size() int64  { return m.claims }
func (m *madeUpFile) MadeUp() bool { return true }

func (m *madeUpFile) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		if end := min(off+n, m.claims); off < end {
			yield(source.Extent{Off: off, Len: end - off}, nil)
		}
	}
}

func (m *madeUpFile) ReadPast(p []byte, off int64) (int, error) {
	n, err := m.memImage.ReadAt(p, off)
	if err == io.EOF && m.fails != nil {
		err = m.fails
	}
	return n, err
}

// TestSizelessEqualsOnePass: what a file holds that says to be empty, or to have a page, is what it would be with its size known.
func TestSizelessEqualsOnePass(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s := testScanner(t, testRepo(t))
	for _, c := range testChunkers(t, 16<<10) {
		for range 2 {
			data := testFile(rng, 1+rng.IntN(4<<20))
			known := &contents{image: &memImage{data: data}, size: int64(len(data)), chunker: c}
			want, err := s.scanPart(t.Context(), known, 0, known.size)
			require.NoError(t, err)
			for _, claims := range []int64{0, int64(len(data)) + 1 + rng.Int64N(8192)} {
				file := &madeUpFile{memImage: memImage{data: data}, claims: claims}
				r := &reading{image: file}
				got, err := r.scanSmall(t.Context(), s, &contents{image: file, size: claims, chunker: c, unreadable: r.unreadable})
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.Nil(t, r.bad.Load())
			}
		}
	}
}

// endless gives as much as is asked for.
type endless struct{ madeUpFile }

func (*endless) ReadPast(p []byte, _ int64) (int, error) { return len(p), nil }

func TestEndlessFile(t *testing.T) {
	s := testScanner(t, testRepo(t))
	c, err := chunk.New(chunk.Gear, chunk.Params{Mean: 16 << 10}, &[32]byte{1})
	require.NoError(t, err)
	var bad []source.Range
	f := &contents{chunker: c, unreadable: func(r source.Range) { bad = append(bad, r) }}
	p, err := s.scanSizeless(t.Context(), f, &endless{}, 3<<20)
	require.NoError(t, err)
	require.GreaterOrEqual(t, p.end, int64(3<<20))
	require.LessOrEqual(t, p.end, int64(4<<20))
	require.Equal(t, []source.Range{{Off: p.end, Err: errEndless}}, bad)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.scanSizeless(ctx, f, &endless{}, 3<<20)
	require.ErrorIs(t, err, context.Canceled)
}

// testRun runs what a backup does between its first file and its last, and returns what became of one.
func testRun(t *testing.T, workers int, store func(ctx context.Context, b *backup) *pending) (*tree.Node, []Event, *backup) {
	t.Helper()
	var events []Event
	o, err := (&BackupOptions{Workers: workers, Report: func(e Event) { events = append(events, e) }}).withDefaults()
	require.NoError(t, err)
	b := &backup{repo: testRepo(t), opts: o, start: time.Now()}
	b.session, err = b.repo.Begin(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, b.prepare(t.Context()))
	n := store(b.pool.ctx, b)
	require.NoError(t, n.wait(b.pool.ctx))
	require.NoError(t, b.pool.wait())
	require.NoError(t, b.session.Close(t.Context(), "test"))
	return n.node, events, b
}

// TestEmptyMadeUpFile: one that was found empty is looked at again next time, since its times need not change when it fills.
func TestEmptyMadeUpFile(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		image source.Image
		flags tree.Flags
	}{
		"made up": {&madeUpFile{}, tree.Racy},
		"real":    {&memImage{}, 0},
		"broken":  {&madeUpFile{fails: broken}, tree.Racy | tree.Incomplete},
	} {
		t.Run(name, func(t *testing.T) {
			node, events, _ := testRun(t, 1, func(_ context.Context, b *backup) *pending {
				n := unfinished("/f")
				r := &reading{backup: b, path: "/f", entry: &source.Entry{Name: "f", Type: source.TypeFile}, image: c.image, close: c.image.Close, opened: b.start}
				require.NoError(t, b.pool.submit(func(ctx context.Context, s *scanner) error { return b.small(ctx, s, r, n) }))
				return n
			})
			require.Equal(t, c.flags, node.Flags)
			require.Zero(t, node.Content.Size)
			if c.flags&tree.Incomplete != 0 {
				require.ErrorIs(t, events[0].Err, broken)
				require.EqualError(t, events[0].Err, "what follows offset 0 cannot be read: broken")
			}
		})
	}
}
