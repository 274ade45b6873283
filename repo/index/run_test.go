package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/stretchr/testify/require"
)

var testRepository = [16]byte{7}

func testPlace(t testing.TB, dir string) *place {
	sum, err := newChecksum(nil, testRepository)
	require.NoError(t, err)
	return &place{dir: dir, repository: testRepository, sum: sum}
}

// lives makes all packs of a run count.
func (r *run) lives() *run {
	r.live.Store(newLiveSet(r.header.packs, func(uint32) bool { return true }))
	return r
}

// answers asks a run for everything it was made of, and for what it does not have. The first error is returned; wrong answers fail the test.
func answers(t testing.TB, r *run, f *File, strangers []crypto.ID) error {
	for i := range f.Packs {
		var first error
		p := &f.Packs[i]
		p.spots(func(id crypto.ID, want spot, seg *pack.Segment) {
			has := r.mayHave(prefixOf(&id).hi) && r.has(prefixOf(&id))
			list, err := r.lookup(nil, prefixOf(&id), 100)
			for j := range list {
				if l := &list[j]; spotOf(l) == want {
					k, s := &p.Keys[seg.Key], &l.Segment
					if !has || l.Class != p.Class || l.PackSize != p.Size || l.Key.Commitment != k.Commitment || !bytes.Equal(l.Key.Wrapped, k.Wrapped) ||
						s.Codec != seg.Codec || s.Stored != seg.Stored || s.Length != seg.Length || s.Salt != seg.Salt {
						t.Fatalf("wrong location %+v", l)
					}
					return
				}
			}
			if err == nil {
				t.Fatal("a chunk is lost without notice")
			}
			first = errors.Join(first, err)
		})
		if first != nil {
			return first
		}
	}
	for i := range strangers {
		if r.has(prefixOf(&strangers[i])) {
			t.Fatal("a chunk that was never added")
		}
		list, err := r.lookup(nil, prefixOf(&strangers[i]), 100)
		if len(list) > 0 {
			t.Fatal("a chunk that was never added")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func strangers(r *rand.Rand, n int) (ids []crypto.ID) {
	for range n {
		ids = append(ids, randomID(r))
	}
	return ids
}

func TestRunSizes(t *testing.T) {
	r := newRand(t)
	p := testPlace(t, t.TempDir())
	for _, n := range []int{0, 1, 2, 3, 4, 5, 127, 128, 129, 256, 1000, 5000} {
		f := fileOf(r, n)
		run, err := p.fromFiles([]NamedFile{{randomName(r), f}})
		require.NoError(t, err)
		require.NoError(t, answers(t, run.lives(), f, strangers(r, 1000)), n)
		require.NoError(t, run.release())
	}
}

// TestRunShards has several shards, one of them full of ids that start alike, as no hash would make them.
func TestRunShards(t *testing.T) {
	r := newRand(t)
	p := testPlace(t, t.TempDir())
	f := fileOf(r, shardTarget*5/2)
	for i := range f.Packs[:20] {
		for j := range f.Packs[i].Segments {
			for k := range f.Packs[i].Segments[j].Chunks {
				copy(f.Packs[i].Segments[j].Chunks[k].ID[:], "same beginning"[:8+i%2])
			}
		}
	}
	run, err := p.fromFiles([]NamedFile{{randomName(r), f}})
	require.NoError(t, err)
	defer run.release()
	require.Len(t, run.shards, 4)
	some := &File{Packs: append(slices.Clone(f.Packs[:40]), f.Packs[len(f.Packs)-100:]...)}
	require.NoError(t, answers(t, run.lives(), some, strangers(r, 10000)))
	false_ := 0
	for _, id := range strangers(r, 20000) {
		if run.mayHave(prefixOf(&id).hi) {
			false_++
		}
	}
	require.Less(t, false_, 200, "filters let 0.4 %% pass")
	require.Less(t, float64(run.size)/float64(run.header.entries), 26.2+52.6/8+1.5) // with 8 chunks in a segment
	require.Less(t, float64(run.private())/float64(run.header.entries), 1.35)
}

func TestMergeKeepsEverything(t *testing.T) {
	r := newRand(t)
	p := testPlace(t, t.TempDir())
	all := &File{}
	var inputs []*input
	var files []Name
	for _, n := range []int{0, 3000, 1, 700, 20000} {
		f := fileOf(r, n)
		all.Packs = append(all.Packs, f.Packs...)
		files = append(files, randomName(r))
		run, err := p.fromFiles([]NamedFile{{files[len(files)-1], f}})
		require.NoError(t, err)
		defer run.release()
		inputs = append(inputs, &input{run: run, keep: func(packRecord) bool { return true }})
	}
	run, err := p.merge(t.Context(), true, inputs, files)
	require.NoError(t, err)
	defer run.release()
	require.Equal(t, files, run.files)
	require.NoError(t, answers(t, run.lives(), all, strangers(r, 1000)))
}

// TestEveryByteOfARun flips each byte of a small run: it is refused, or a lookup reports it, or it makes no difference.
func TestEveryByteOfARun(t *testing.T) {
	r := newRand(t)
	dir := t.TempDir()
	p := testPlace(t, dir)
	f := &File{}
	keys := keyEntries(r, crypto.Map, 2)
	for range 2 {
		f.Packs = append(f.Packs, randomPack(r, keys, 12, func() crypto.ID { return randomID(r) }))
	}
	run, err := p.fromFiles([]NamedFile{{randomName(r), f}})
	require.NoError(t, err)
	path := run.path
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	used := headerBytes
	for _, s := range run.header.section {
		used += int(s.length)
	}
	require.NoError(t, run.release())
	noise := strangers(r, 10)
	refused, reported, harmless := 0, 0, 0
	for i := range good {
		if good[i] == 0 && i%29 != 0 && i > 0 && good[i-1] == 0 { // gaps and padding
			continue
		}
		bad := slices.Clone(good)
		bad[i] ^= byte(1 + r.IntN(255))
		switch tryRun(t, p, bad, f, noise) {
		case 0:
			refused++
		case 1:
			reported++
		default:
			harmless++
		}
	}
	t.Logf("refused %d, reported %d, harmless %d", refused, reported, harmless)
	require.Positive(t, refused)
	require.Positive(t, reported)
	for _, n := range []int{0, 1, 100, headerBytes, blockSize, len(good) / 2, len(good) - 1} {
		require.Equal(t, 0, tryRun(t, p, good[:n], f, noise), "cut to %d bytes", n)
	}
	require.Equal(t, 0, tryRun(t, p, append(slices.Clone(good), 0), f, noise))
	require.Equal(t, 2, tryRun(t, p, good, f, noise))
}

// tryRun returns 0 if the run is refused, 1 if it reports damage, 2 if all answers are right.
func tryRun(t *testing.T, p *place, b []byte, f *File, noise []crypto.ID) int {
	path := filepath.Join(p.dir, "run-x.idx")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	run, err := p.open(path)
	var bad *RunError
	if err != nil {
		require.ErrorAs(t, err, &bad)
		require.True(t, errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign))
		return 0
	}
	defer run.release()
	if err := answers(t, run.lives(), f, noise); err != nil {
		require.ErrorAs(t, err, &bad)
		require.ErrorIs(t, err, ErrDamaged)
		require.True(t, run.damaged.Load())
		return 1
	}
	return 2
}

func TestForeignRuns(t *testing.T) {
	r := newRand(t)
	p := testPlace(t, t.TempDir())
	run, err := p.fromFiles([]NamedFile{{randomName(r), fileOf(r, 100)}})
	require.NoError(t, err)
	defer run.release()
	key := crypto.NewKey()
	sum, err := newChecksum(&key, testRepository)
	require.NoError(t, err)
	other := *p
	other.sum = sum
	_, err = other.open(run.path)
	require.ErrorIs(t, err, ErrForeign)
	other = *p
	other.repository[3]++
	_, err = other.open(run.path)
	require.ErrorIs(t, err, ErrForeign)
	b, err := os.ReadFile(run.path)
	require.NoError(t, err)
	b[6]++ // version
	require.NoError(t, os.WriteFile(run.path+"2", b, 0o600))
	_, err = p.open(run.path + "2")
	require.ErrorIs(t, err, ErrForeign)
}

// resign makes the checksums of a changed run right again.
func resign(p *place, b []byte) {
	if len(b) < headerBytes {
		return
	}
	var h runHeader
	at := 6 + 2 + 16 + 8 + 8 + 5*4
	for i := range h.section {
		h.section[i].offset = binary.LittleEndian.Uint64(b[at+16*i:])
		h.section[i].length = binary.LittleEndian.Uint64(b[at+16*i+8:])
	}
	part := func(i int) []byte {
		s := h.section[i]
		if s.offset > uint64(len(b)) || s.length > uint64(len(b))-s.offset {
			return nil
		}
		return b[s.offset : s.offset+s.length]
	}
	for i := 0; (i+1)*blockSize <= len(part(sectionEntries)) && (i+1)*blockInfoSize <= len(part(sectionBlocks)); i++ {
		binary.LittleEndian.PutUint64(part(sectionBlocks)[i*blockInfoSize+8:], p.sum.tag(part(sectionEntries)[i*blockSize:(i+1)*blockSize]))
	}
	for i := 0; (i+1)*blockSize <= len(part(sectionSegments)) && (i+1)*tagSize <= len(part(sectionTags)); i++ {
		binary.LittleEndian.PutUint64(part(sectionTags)[i*tagSize:], p.sum.tag(part(sectionSegments)[i*blockSize:(i+1)*blockSize]))
	}
	var parts [][]byte
	for _, i := range small {
		parts = append(parts, part(i))
	}
	sum := p.sum.sum(parts...)
	copy(b[headerBytes-64:], sum[:])
	sum = p.sum.sum(b[:headerBytes-32])
	copy(b[headerBytes-32:], sum[:])
}

// FuzzRun changes parts of a run and makes its checksums right again: what is wrong then must not make anything panic.
func FuzzRun(f *testing.F) {
	r := newRand(f)
	p := testPlace(f, f.TempDir())
	file := fileOf(r, 300)
	made, err := p.fromFiles([]NamedFile{{randomName(r), file}})
	require.NoError(f, err)
	good, err := os.ReadFile(made.path)
	require.NoError(f, err)
	f.Add(uint32(0), []byte{})
	for _, s := range made.header.section {
		f.Add(uint32(s.offset), []byte{0xff, 0xff, 0xff, 0xff})
	}
	f.Add(uint32(6+2+16+8), []byte{1, 2, 3, 4, 5, 6, 7, 8})
	require.NoError(f, made.release())
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := slices.Clone(good)
		if int(at) > len(b) {
			b = b[:len(b)-int(at)%len(b)]
		} else {
			copy(b[at:], patch)
		}
		resign(p, b)
		path := filepath.Join(p.dir, "run-fuzz.idx")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		run, err := p.open(path)
		if err != nil {
			return
		}
		defer run.release()
		run.lives()
		for i := range file.Packs {
			file.Packs[i].spots(func(id crypto.ID, _ spot, _ *pack.Segment) {
				run.has(prefixOf(&id))
				run.lookup(nil, prefixOf(&id), 10)
			})
		}
		run.each(func(Chunk, error) bool { return true })
		if m, err := p.merge(t.Context(), false, []*input{{run: run, keep: func(packRecord) bool { return true }}}, run.files); err == nil {
			require.NoError(t, m.release())
		}
	})
}

// TestRecords keeps the largest numbers that records are made for.
func TestRecords(t *testing.T) {
	e := entry{prefix: prefix{1 << 63, 2}, segment: 1<<32 - 1, offset: 1<<24 - 1, length: 1 << 24}
	b := make([]byte, entrySize)
	for _, e.length = range []uint32{1, 1<<24 - 1, 1 << 24} {
		e.put(b)
		require.Equal(t, e, getEntry(b))
	}
	s := segmentRecord{offset: 1<<30 - 1, stored: 1<<24 + 16, key: 1<<32 - 1, pack: 1<<31 - 1, codec: 255, salt: [32]byte{31: 9}}
	b = make([]byte, segmentSize)
	for _, s.length = range []uint32{1, 1<<24 - 1, 1 << 24} {
		s.put(b)
		require.Equal(t, s, getSegment(b))
	}
}

func TestLargePages(t *testing.T) {
	for _, n := range []int{0, 1, largeTest - 1, largeTest, 2*largeTest + 5} {
		mem, unmap := largePages(n)
		require.Len(t, mem, n)
		for i := 0; i < n; i += 4096 {
			require.Zero(t, mem[i])
			mem[i] = 1
		}
		if unmap != nil {
			require.NoError(t, unmap())
		}
	}
}

const largeTest = 2 << 20

// TestLiveSet tells packs that count from those that do not, with and without exceptions.
func TestLiveSet(t *testing.T) {
	require.True(t, newLiveSet(3, func(uint32) bool { return true }).has(2))
	some := newLiveSet(100, func(n uint32) bool { return n != 70 })
	require.False(t, some.has(70))
	require.True(t, some.has(71))
	require.False(t, some.has(1000))
	require.False(t, (&liveSet{}).has(0))
}
