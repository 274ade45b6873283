package main

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// What the default settings give for data that compresses to a third: packs of 32 MiB with 90 segments of 16 chunks of 64 KiB, and
// index files of 16 MiB.
const (
	chunkLength      = 64 << 10
	chunksPerSegment = 16
	segmentsPerPack  = 90
	chunksPerFile    = 320 * segmentsPerPack * chunksPerSegment
	packSize         = 32 << 20
)

// chunkID returns the id of chunk n of the synthetic repository; negative numbers are of chunks that it does not have. Ids are
// spread like hashes.
func chunkID(n int64) (id crypto.ID) {
	for i := range 4 {
		x := uint64(n)*4 + uint64(i) + 1 // splitmix64 of that
		x *= 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(id[8*i:], x^x>>31)
	}
	return id
}

// fillChunks makes a repository of n chunks: sessions that each committed one index file of so many.
func fillChunks(ctx context.Context, dir string, n, each int64) error {
	r, err := initRepository(ctx, dir)
	if err != nil {
		return err
	}
	if err := r.Close(); err != nil {
		return err
	}
	a, err := newAppender(ctx, dir)
	if err != nil {
		return err
	}
	key, err := a.ring.MapKey(a.ring.Epoch())
	if err != nil {
		return err
	}
	params := &pack.Params{Suite: a.ring.Suite(), Domain: a.ring.Domain(), Epoch: a.ring.Epoch(), MapKey: key}
	for next := int64(0); next < n; {
		err := a.session(func(id ledger.SessionID) (*ledger.Commit, error) {
			var f index.File
			if f, next, err = syntheticFile(a.ring, id, next, min(n, next+each)); err != nil {
				return nil, err
			}
			hash, b, err := index.Encode(params, &f)
			if err != nil {
				return nil, err
			}
			file := ledger.IndexFile{Session: id, Hash: hash, Size: uint32(len(b))}
			return &ledger.Commit{Session: id, IndexFiles: []ledger.IndexFile{file}},
				a.write(index.Name{Session: id, Hash: hash}.FileKey(), b)
		})
		if err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "chunks"), []byte(strconv.FormatInt(n, 10)), 0o666)
}

// syntheticFile makes an index file of the chunks from next to before end, and returns end.
func syntheticFile(ring *crypto.Keyring, session ledger.SessionID, next, end int64) (f index.File, rest int64, err error) {
	_, key, err := ring.NewSessionKey(crypto.Data)
	if err != nil {
		return f, 0, err
	}
	keys := []crypto.KeyEntry{key}
	body := uint32(pack.HeaderSize + 1 + len(key.Append(nil)))
	for next < end {
		p := index.Pack{Name: index.Name{Session: session, Hash: chunkID(-1 - next)}, Class: crypto.Data, Size: packSize, Keys: keys, BodyOffset: body}
		for len(p.Segments) < segmentsPerPack && next < end {
			s := pack.Segment{Codec: pack.Zstd, Stored: 340 << 10, Salt: [crypto.SaltSize]byte(chunkID(-1 - next))}
			for len(s.Chunks) < chunksPerSegment && next < end {
				s.Chunks = append(s.Chunks, pack.Chunk{ID: chunkID(next), Length: chunkLength})
				s.Length += chunkLength
				next++
			}
			if s.Stored >= s.Length {
				s.Stored = s.Length / 2
			}
			p.Segments = append(p.Segments, s)
		}
		f.Packs = append(f.Packs, p)
	}
	return f, next, nil
}

// chunksIn returns how many chunks the repository in dir has.
func chunksIn(dir string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(dir, "chunks"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(b), 10, 64)
}

// bytesIn returns the size of all files below a folder.
func bytesIn(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return total, err
}
