package snapshot

import (
	"context"
	"errors"
	"sync/atomic"
)

// largeFile is a file whose parts are read by any number of workers.
type largeFile struct {
	*reading
	node     *pending
	contents *contents
	assembly *assembly
	left     atomic.Int64 // parts under way, and one while parts are handed out
}

// large stores a file in parts, as n.
func (b *backup) large(ctx context.Context, r *reading, n *pending) error {
	c, err := r.contents()
	if err != nil {
		return errors.Join(err, r.close())
	}
	f := &largeFile{reading: r, node: n, contents: c, assembly: newAssembly(c, b.session)}
	f.assembly.verify = r.verify
	f.left.Store(1)
	return f.done(ctx, f.submit(ctx))
}

// submit hands the parts to workers.
func (f *largeFile) submit(ctx context.Context) error {
	for i, part := range f.contents.ranges(partSize) {
		select {
		case f.assembly.tokens <- struct{}{}:
		case <-f.delta.broken():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		f.left.Add(1)
		err := f.backup.pool.submit(func(ctx context.Context, s *scanner) error {
			p, err := s.scanPart(ctx, f.contents, part.Off, part.End)
			if err == nil {
				err = f.assembly.add(ctx, s, i, p)
			}
			return f.done(ctx, err)
		})
		if err != nil {
			f.left.Add(-1)
			return err
		}
	}
	return nil
}

// done is called after each part, and once more. The last call completes the file.
func (f *largeFile) done(ctx context.Context, err error) error {
	if f.delta.blame(ctx, err) {
		err = nil
	}
	if f.left.Add(-1) > 0 {
		return err
	}
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return errors.Join(err, f.close())
	}
	if err := f.delta.damage(); err != nil {
		f.node.completeErr(err)
		return f.close()
	}
	found, err := f.assembly.finish(ctx)
	if err != nil {
		return errors.Join(err, f.close())
	}
	node, err := f.finish(found, f.assembly.holes)
	if err != nil {
		return err
	}
	f.node.complete(node)
	return nil
}
