package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

const (
	password = "frozen"
	host     = "frozen-host"
	program  = "frozen 1"
)

// maker makes the repository.
type maker struct {
	store backend.Store
	files string
	admin *repo.Repository
	list  listing
}

func makeRepository(ctx context.Context, dir, files string) (*listing, error) {
	store, err := local.Create(dir, nil)
	if err != nil {
		return nil, err
	}
	m := &maker{store: store, files: files}
	err = m.make(ctx)
	if m.admin != nil {
		err = errors.Join(err, m.admin.Close())
	}
	return &m.list, errors.Join(err, store.Close())
}

func (m *maker) make(ctx context.Context) error {
	pass := crypto.Passphrase(password)
	pass.Argon2 = crypto.Argon2{Time: 1, Memory: 8, Lanes: 1}
	var err error
	m.admin, err = repo.Init(ctx, m.store, &repo.InitOptions{
		Options: repo.Options{Credential: pass}, Sealer: pass, Label: "the first admin",
		Config: repo.Config{ChunkMean: 16 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20},
	})
	if err != nil {
		return err
	}
	m.list.Credentials = append(m.list.Credentials, credential{"password", "admin", password})
	writer, err := m.addKeys(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		m.collected, m.trees, m.rich, func(ctx context.Context) error { return m.stream(ctx, writer) }, m.giveUp, m.disk, m.deltas, m.adopt, m.tag,
	} {
		if err := m.admin.Refresh(ctx); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addKeys adds slots of every kind and role, and one that is removed again. It returns the writer's credential.
func (m *maker) addKeys(ctx context.Context) (crypto.Credential, error) {
	writerText, writer := crypto.NewKeyFile()
	readerText, reader := crypto.NewKeyFile()
	removedText, removed := crypto.NewKeyFile()
	recoveryText, recovery := crypto.NewRecovery()
	collectorText, collector := crypto.NewRecovery()
	identityText, identity, err := crypto.NewIdentity()
	if err != nil {
		return nil, err
	}
	m.list.Removed = credential{"keyfile", "reader", strings.TrimSpace(string(removedText))}
	var last crypto.SlotInfo
	for _, k := range []struct {
		credential
		sealer crypto.Sealer
	}{
		{credential{"keyfile", "writer", string(writerText)}, writer},
		{credential{"keyfile", "reader", string(readerText)}, reader},
		{credential{"recovery", "collector", collectorText}, collector},
		{credential{"identity", "reader", string(identityText)}, identity.Recipient()},
		{credential{"", "admin", ""}, removed},
		{credential{"", "reader", ""}, removed},
	} {
		role, err := crypto.ParseRole(k.Role)
		if err != nil {
			return nil, err
		}
		if last, err = m.admin.AddKey(ctx, role, "a "+k.Role+" with "+k.Kind, k.sealer); err != nil {
			return nil, err
		}
		if k.Kind != "" {
			k.Secret = strings.TrimSpace(k.Secret)
			m.list.Credentials = append(m.list.Credentials, k.credential)
		}
		if k.Role == "admin" { // its actor moves to a slot with another id, and another kind
			if err := m.change(ctx, removed, recovery); err != nil {
				return nil, err
			}
			m.list.Credentials = append(m.list.Credentials, credential{"recovery", "admin", recoveryText})
		}
	}
	return writer, m.admin.RemoveKey(ctx, last.ID)
}

func (m *maker) change(ctx context.Context, from crypto.Credential, to crypto.Sealer) error {
	r, err := repo.Open(ctx, m.store, &repo.Options{Credential: from})
	if err != nil {
		return err
	}
	_, err = r.ChangeCredential(ctx, "an admin's recovery key", to)
	return errors.Join(err, r.Close())
}

// at is the time given for snapshot number n.
func at(n int) time.Time { return time.Unix(1_750_000_000+86_400*int64(n), 5) }

func options(n int) *snapshot.BackupOptions {
	return &snapshot.BackupOptions{Host: host, User: "frozen-user", Program: program, Time: at(n), Workers: 1}
}

// expect notes what a snapshot must be read as.
func (m *maker) expect(s *snapshot.Manifest, o *snapshot.BackupOptions, paths []string, entries []*entry) {
	e := &expected{ID: s.ID.String(), Time: o.Time.UnixNano(), Host: o.Host, User: o.User, Class: o.Class, Program: o.Program, Tags: o.Tags,
		Paths: paths, Complete: true, Entries: entries}
	for _, entry := range entries {
		e.Complete = e.Complete && !entry.Incomplete
	}
	m.list.Snapshots = append(m.list.Snapshots, e)
}

// collected makes two snapshots, forgets them, takes one back and forgets it again, and collects while a writer is open and after it is closed, so that
// there are entries of every kind. Nothing of it is left but the ledger.
func (m *maker) collected(ctx context.Context) error {
	var ids []repo.ID
	for i := range 2 {
		stream := source.NewStream(ctx, bytes.NewReader(noise(uint64(90+i), 300_000)))
		s, err := snapshot.Backup(ctx, m.admin, []snapshot.Item{snapshot.Stream("/frozen-db/old.sql", stream)}, options(i))
		if err = errors.Join(err, stream.Close()); err != nil {
			return err
		}
		ids = append(ids, s.ID)
	}
	writer, err := m.admin.Begin(ctx, &repo.SessionOptions{Kind: "waits", Host: host, Program: program})
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return m.admin.Protect(ctx, ids, "for a while") },
		func() error { return m.admin.Unprotect(ctx, ids, "no longer") },
		func() error { return m.admin.Forget(ctx, ids, "to be collected") },
		func() error { return m.admin.Unforget(ctx, ids[:1], "a mistake") },
		func() error { return m.collect(ctx, 1) },
		func() error { return writer.Close(ctx, "waited for") },
		func() error { return m.admin.Forget(ctx, ids[:1], "no mistake") },
		func() error { return m.collect(ctx, 0) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// collect collects, and returns an error unless so many sessions were waited for.
func (m *maker) collect(ctx context.Context, waiting int) error {
	report, err := m.admin.Collect(ctx, &repo.CollectOptions{MaxUnused: &repo.Limit{}, Host: host, Program: program})
	if err == nil && len(report.Waiting) != waiting {
		err = fmt.Errorf("%w: a collection waits for %d sessions", errPoor, len(report.Waiting))
	}
	return err
}

// trees makes two snapshots of a folder, before and after changes.
func (m *maker) trees(ctx context.Context) error {
	dir := m.files + "/tree"
	for i, change := range []func(string) error{makeTree, changeTree} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), change(dir)); err != nil {
			return err
		}
		time.Sleep(2100 * time.Millisecond) // until nothing is racy
		o := options(i)
		o.Tags, o.Class = [][]string{{"nightly", "first"}, {}}[i], []string{"", "weekly"}[i]
		if i == 0 {
			if err := os.WriteFile(dir+"/racy", []byte("just written\n"), 0o600); err != nil {
				return err
			}
		}
		before, err := list(dir)
		if err != nil {
			return err
		}
		if i == 0 {
			named(before, dir+"/racy").Racy = true
		}
		s, err := m.backup(ctx, m.admin, dir, o)
		if err != nil {
			return err
		}
		m.expect(s, o, []string{dir}, before)
		if i == 1 {
			m.list.Snapshots[1].Parent = m.list.Snapshots[0].ID
		}
		after, err := list(dir)
		if err != nil {
			return err
		}
		if i == 0 {
			named(after, dir+"/racy").Racy = true
		}
		if !reflect.DeepEqual(before, after) {
			return fmt.Errorf("%w: something in %s changed meanwhile", errPoor, m.files)
		}
	}
	return nil
}

// rich returns an error unless the first snapshot has a content map of several levels, and one with a node that is repeated.
func (m *maker) rich(ctx context.Context) error {
	all, err := m.admin.Snapshots()
	if err != nil {
		return err
	}
	levels, repeated := false, false
	for _, name := range []string{"log.txt", "cycle.txt"} {
		image, err := snapshot.OpenImage(ctx, m.admin, all[0].ID, m.files+"/tree/"+name)
		if err != nil {
			return err
		}
		root := image.Node().Content.Root
		levels = levels || root.Level > 0
		b, err := m.admin.Load(ctx, repo.Map, root.ID, root.Length)
		if err != nil {
			return err
		}
		n, err := reftree.DecodeMapNode(b)
		if err != nil {
			return err
		}
		repeated = repeated || slices.ContainsFunc(n.Children, func(c reftree.Child) bool { return c.Count > 1 })
	}
	if !levels || !repeated {
		return fmt.Errorf("%w: content maps of several levels: %t, with repeated nodes: %t", errPoor, levels, repeated)
	}
	return nil
}

func named(list []*entry, path string) *entry {
	for _, e := range list {
		if e.Path == path {
			return e
		}
	}
	return &entry{}
}

func (m *maker) backup(ctx context.Context, r *repo.Repository, dir string, o *snapshot.BackupOptions) (*snapshot.Manifest, error) {
	t, err := source.NewTree(nil)
	if err != nil {
		return nil, err
	}
	return snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Files(t, dir)}, o)
}

// plain is a folder that is not on this machine.
func plain(path string) *entry { return &entry{Path: path, Type: 2, Mode: 0o755} }

// stream makes a snapshot of a stream, by a writer.
func (m *maker) stream(ctx context.Context, writer crypto.Credential) error {
	r, err := repo.Open(ctx, m.store, &repo.Options{Credential: writer})
	if err != nil {
		return err
	}
	o := options(2)
	o.Compression = pack.LevelS2
	content := append(lines("row", 400_000), noise(3, 30_000)...)
	stream := source.NewStream(ctx, bytes.NewReader(content))
	s, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/frozen-db/dump.sql", stream)}, o)
	if err = errors.Join(err, stream.Close(), r.Close()); err != nil {
		return err
	}
	m.expect(s, o, []string{"/frozen-db/dump.sql"}, []*entry{plain("/frozen-db"), {
		Path: "/frozen-db/dump.sql", Type: 1, Mode: 0o600, MTime: o.Time.UnixNano(), Links: 1, Size: int64(len(content)), Hash: hashOf(content),
	}})
	return nil
}

// giveUp closes a session that has stored something, without a commit.
func (m *maker) giveUp(ctx context.Context) error {
	s, err := m.admin.Begin(ctx, &repo.SessionOptions{Kind: "backup", Host: host, Program: program})
	if err != nil {
		return err
	}
	_, err = s.Save(ctx, repo.Data, []byte("nobody will ever name this"))
	return errors.Join(err, s.Flush(ctx), s.Close(ctx, "given up on purpose"))
}

// broken is an image of which a part cannot be read.
type broken struct {
	*bytes.Reader
	bad [2]int64 // from, to
}

func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if off < b.bad[1] && off+int64(len(p)) > b.bad[0] {
		return 0, fs.ErrInvalid
	}
	return b.Reader.ReadAt(p, off)
}

func (b *broken) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) { yield(source.Extent{Off: off, Len: n}, nil) }
}

func (b *broken) Changed() error { return nil }
func (b *broken) Close() error   { return nil }

// disk makes an incomplete snapshot of a disk.
func (m *maker) disk(ctx context.Context) error {
	content := lines("sector", 900_000)
	image := &broken{bytes.NewReader(content), [2]int64{307_200, 348_160}}
	e := &source.Entry{Mode: 0o640, UID: 7, GID: 8, User: "seven", Group: "eight", MTime: 1, CTime: 2, ATime: 3, Device: 4, Inode: 5, Links: 6}
	want := &entry{
		Path: "/frozen-vm/disk.img", Type: 7, Incomplete: true, Mode: 0o640, UID: 7, GID: 8, User: "seven", Group: "eight", MTime: 1, CTime: 2, ATime: 3,
		Device: 4, Inode: 5, Links: 6, Size: int64(len(content)), XAttrs: map[string][]byte{}, Unread: [][2]int64{{image.bad[0], image.bad[1] - image.bad[0]}},
	}
	for i := range 6 { // more than fit in a node
		name, value := "user.long-"+strconv.Itoa(i), lines(fmt.Sprint("attribute ", i), 1000)
		e.Xattrs = append(e.Xattrs, source.Xattr{Name: name, Value: value})
		want.XAttrs[name] = value
	}
	o := options(3)
	o.WithATime = true
	s, err := snapshot.Backup(ctx, m.admin, []snapshot.Item{snapshot.Disk("/frozen-vm/disk.img", image, e, true)}, o)
	if err != nil {
		return err
	}
	clear(content[image.bad[0]:image.bad[1]])
	want.Hash = hashOf(content)
	m.expect(s, o, []string{"/frozen-vm/disk.img"}, []*entry{plain("/frozen-vm"), want})
	return nil
}

// deltas makes a snapshot of a disk, and two more by what changed.
func (m *maker) deltas(ctx context.Context) error {
	const path = "/frozen-vm/delta.img"
	content := append(lines("block", 700_000), make([]byte, 300_000)...)
	image := func() source.Image { return &broken{bytes.NewReader(content), [2]int64{-1, -1}} }
	var before *expected
	for i := range 3 {
		o := options(10 + i)
		item := snapshot.Disk(path, image(), nil, true)
		if i > 0 {
			off := int64(200_000 * i)
			copy(content[off:], "changed")
			list := []source.Extent{{Off: 0, Len: off, Kind: source.Unchanged}, {Off: off, Len: 7, Kind: source.Data},
				{Off: off + 7, Len: int64(len(content)) - off - 7, Kind: source.Unchanged}}
			changes, err := source.NewChangeMap("made up", list)
			if err != nil {
				return err
			}
			item = snapshot.Disk(path, image(), nil, true).Since(repo.ID{}, changes)
		}
		s, err := snapshot.Backup(ctx, m.admin, []snapshot.Item{item}, o)
		if err != nil {
			return err
		}
		m.expect(s, o, []string{path}, []*entry{plain("/frozen-vm"), {
			Path: path, Type: 7, Mode: 0o600, MTime: o.Time.UnixNano(), Size: int64(len(content)), Hash: hashOf(content),
		}})
		now := m.list.Snapshots[len(m.list.Snapshots)-1]
		if i > 0 {
			if len(s.Deltas) != 1 {
				return fmt.Errorf("%d deltas in snapshot %s", len(s.Deltas), s.ID)
			}
			now.Parent = before.ID
			now.Deltas = []delta{{path, before.ID, "made up", s.Deltas[0].Map.String(), uint64(i), at(10).UnixNano()}}
		}
		before = now
	}
	return nil
}

// adopt commits the first snapshot once more, in a session that takes over the work of one that stopped.
func (m *maker) adopt(ctx context.Context) error {
	o := &repo.SessionOptions{Kind: "copy", Host: host, Program: program, Source: [][]byte{[]byte("the first snapshot")}}
	s, err := m.admin.Begin(ctx, o)
	if err != nil {
		return err
	}
	_, err = s.Save(ctx, repo.Map, []byte("uploaded, recorded, adopted"))
	if err = errors.Join(err, s.Flush(ctx), s.Suspend(ctx)); err != nil {
		return err
	}
	if s, err = m.admin.Begin(ctx, o); err != nil {
		return err
	}
	all, err := m.admin.Snapshots()
	if err != nil {
		return err
	}
	_, err = s.Save(ctx, repo.Data, []byte("stored by the session that adopted"))
	if err = errors.Join(err, s.Flush(ctx)); err != nil {
		return err
	}
	id, err := s.Commit(ctx, all[0].Root, all[0].Manifest)
	again := *m.list.Snapshots[0]
	again.ID, again.Entries, again.Same = id.String(), nil, again.ID
	m.list.Snapshots = append(m.list.Snapshots, &again)
	return err
}

// tag replaces the tags of two snapshots.
func (m *maker) tag(ctx context.Context) error {
	all, err := m.admin.Snapshots()
	if err != nil {
		return err
	}
	for i, tags := range map[int][]string{0: {}, 2: {"kept", "für immer"}} {
		if err := m.admin.SetTags(ctx, all[i].ID, tags); err != nil {
			return err
		}
		m.list.Snapshots[i].Tags = tags
	}
	return nil
}
