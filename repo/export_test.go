package repo

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// Credential opens slots in tests.
type Credential = crypto.Credential

// Record writes what is pending to an index file and a progress record.
func (s *Session) Record(ctx context.Context) error { return s.record(ctx) }

// ReleaseLock lets go of the session's kernel lock.
func (s *Session) ReleaseLock() error { return s.lock.Close() }

// SetIndexStep sets how many bytes of index files are taken in first for one who looks for a chunk.
func (r *Repository) SetIndexStep(n int64) { r.committed.step = n }

// SetCompress makes a writer compress in another way, which the decompressor understands.
func (w *Writer) SetCompress(f func(dst, plain []byte) ([]byte, pack.Codec)) {
	w.compressor = compress(f)
}

type compress func(dst, plain []byte) ([]byte, pack.Codec)

func (f compress) Compress(dst, plain []byte) ([]byte, pack.Codec) { return f(dst, plain) }

// SetCheckpointEvery sets after how many entries a repository that is opened with these options adds a CHECKPOINT.
func (o *Options) SetCheckpointEvery(n uint64) *Options {
	o.checkpointEvery = n
	return o
}

// SetClock sets the clock of the host of a repository that is opened with these options.
func (o *Options) SetClock(now func() time.Time) *Options {
	o.clock = now
	return o
}

// SetClock sets the clock of the host of an open repository.
func (r *Repository) SetClock(now func() time.Time) { r.now = now }

// ListAgain lists all packs of the first live index file once more, in a further one, as somebody's faulty program might.
func (r *Repository) ListAgain(ctx context.Context) (err error) {
	c := &collector{repo: r, start: time.Now()}
	if c.session, err = r.beginCollecting(ctx, &ledger.Open{Purpose: ledger.Collecting}, &c.opts); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close(ctx, err)) }()
	var files []ledger.IndexFile
	r.chain.view(func(st *ledger.State) { files = st.IndexFiles(); c.marked, _ = st.Head() })
	packs, err := r.readIndexFile(ctx, files[0])
	if err != nil {
		return err
	}
	for i := range packs {
		if err := c.session.list(ctx, &packs[i]); err != nil {
			return err
		}
	}
	if err := c.session.writeListed(ctx); err != nil {
		return err
	}
	return c.condemn(ctx, nil, &round{})
}
