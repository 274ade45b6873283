package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/stretchr/testify/require"
)

// fullPack is a pack of 32 MiB or so: segments of 16 chunks of 64 KiB.
func fullPack(r *rand.Rand, keys []crypto.KeyEntry, segments int) Pack {
	p := Pack{Name: randomName(r), Class: crypto.Data, Keys: keys, Size: 64 << 20}
	p.BodyOffset = pack.HeaderSize + 1 + uint32(len(keys[0].Append(nil)))
	for range segments {
		s := pack.Segment{Codec: pack.Zstd, Length: 1 << 20, Stored: 350 << 10, Salt: randomID(r), Chunks: make([]pack.Chunk, 16)}
		for i := range s.Chunks {
			s.Chunks[i] = pack.Chunk{ID: randomID(r), Length: 64 << 10}
		}
		p.Segments = append(p.Segments, s)
	}
	return p
}

// bigSet makes a set of n chunks in the given number of runs, and returns some of their ids.
func bigSet(b *testing.B, n, runs int) (*Set, []crypto.ID) {
	r := rand.New(rand.NewPCG(1, 1))
	s := openSet(b, &Options{Dir: b.TempDir(), MaxRuns: 64})
	keys := keyEntries(r, crypto.Data, 1)
	var ids []crypto.ID
	var parts []*input
	var files []Name
	var small []*run
	for left := n; left > 0; {
		f := &File{}
		for range 100 {
			f.Packs = append(f.Packs, fullPack(r, keys, 90))
			left -= 90 * 16
		}
		for i := range f.Packs {
			for j := range f.Packs[i].Segments {
				ids = append(ids, f.Packs[i].Segments[j].Chunks[i%16].ID)
			}
		}
		files = append(files, randomName(r))
		run, err := s.place.fromFiles([]NamedFile{{files[len(files)-1], f}})
		require.NoError(b, err)
		small = append(small, run)
		parts = append(parts, &input{run: run, keep: func(packRecord) bool { return true }})
	}
	for i := range runs {
		from, to := len(parts)*i/runs, len(parts)*(i+1)/runs
		m, err := s.place.merge(b.Context(), true, parts[from:to], files[from:to])
		require.NoError(b, err)
		s.mu.Lock()
		for _, n := range m.files {
			s.owners[n] = m
		}
		s.mark(m)
		s.publish(&view{memory: s.view.memory, runs: s.view.with(nil, m)})
		s.mu.Unlock()
	}
	for _, run := range small {
		require.NoError(b, run.release())
	}
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return s, ids
}

func BenchmarkLookup(b *testing.B) {
	sizes := []int{1e6}
	if !testing.Short() {
		sizes = append(sizes, 1e7)
	}
	for _, n := range sizes {
		for _, runs := range []int{1, 6} {
			s, ids := bigSet(b, n, runs)
			st := s.Stats()
			b.Run(fmt.Sprintf("%.0e/%druns/miss", float64(n), runs), func(b *testing.B) {
				r := rand.New(rand.NewPCG(2, 2))
				unknown := strangers(r, 1<<16)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					s.Has(unknown[i&(1<<16-1)])
					i++
				}
				b.ReportMetric(float64(st.RunBytes)/float64(st.Chunks), "diskB/chunk")
				b.ReportMetric(float64(st.PrivateBytes)/float64(st.Chunks), "memB/chunk")
			})
			b.Run(fmt.Sprintf("%.0e/%druns/has", float64(n), runs), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if !s.Has(ids[i%len(ids)]) {
						b.Fatal("lost")
					}
					i++
				}
			})
			b.Run(fmt.Sprintf("%.0e/%druns/lookup", float64(n), runs), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if _, err := s.Lookup(ids[i%len(ids)]); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
			require.NoError(b, s.Close())
		}
	}
}

// BenchmarkBuild makes a run of an index file of 16 MiB.
func BenchmarkBuild(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	f := &File{}
	keys := keyEntries(r, crypto.Data, 1)
	for range 320 {
		f.Packs = append(f.Packs, fullPack(r, keys, 90))
	}
	p := testPlace(b, b.TempDir())
	b.SetBytes(320 * 90 * 16 * entrySize)
	b.ReportAllocs()
	for b.Loop() {
		run, err := p.fromFiles([]NamedFile{{Name{}, f}})
		require.NoError(b, err)
		require.NoError(b, run.release())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(320*90*16), "ns/chunk")
}

// BenchmarkMerge merges eight runs of 144000 chunks.
func BenchmarkMerge(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	keys := keyEntries(r, crypto.Data, 1)
	p := testPlace(b, b.TempDir())
	var inputs []*input
	var files []Name
	for range 8 {
		f := &File{}
		for range 100 {
			f.Packs = append(f.Packs, fullPack(r, keys, 90))
		}
		files = append(files, randomName(r))
		run, err := p.fromFiles([]NamedFile{{files[len(files)-1], f}})
		require.NoError(b, err)
		inputs = append(inputs, &input{run: run, keep: func(packRecord) bool { return true }})
	}
	b.SetBytes(8 * 144000 * entrySize)
	b.ReportAllocs()
	for b.Loop() {
		run, err := p.merge(b.Context(), false, inputs, files)
		require.NoError(b, err)
		require.NoError(b, run.release())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(8*144000), "ns/chunk")
}

func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	keys := keyEntries(r, crypto.Data, 1)
	s := openSet(b, &Options{Dir: b.TempDir()})
	p := fullPack(r, keys, 90)
	b.ReportAllocs()
	for b.Loop() {
		for i := range p.Segments {
			for j := range p.Segments[i].Chunks {
				p.Segments[i].Chunks[j].ID = randomID(r)
			}
		}
		require.NoError(b, s.Add(b.Context(), &p))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(90*16), "ns/chunk")
	require.NoError(b, s.Close())
}

func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	ring, params := newParams(b, crypto.AES256GCM)
	f := &File{}
	keys := keyEntries(r, crypto.Data, 1)
	for range 100 {
		f.Packs = append(f.Packs, fullPack(r, keys, 90))
	}
	_, p, err := Encode(params, f)
	require.NoError(b, err)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			_, _, err := Encode(params, f)
			require.NoError(b, err)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			_, err := Decode(ring, p)
			require.NoError(b, err)
		}
	})
}
