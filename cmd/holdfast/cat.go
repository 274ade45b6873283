package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

func (a *app) catCommand() *cobra.Command {
	var f filterFlags
	cmd := &cobra.Command{
		Use:   "cat config | log [NUMBER] | snapshot SNAPSHOT | node SNAPSHOT:PATH",
		Short: "Print what the repository says of itself, as JSON",
		Long: `Print, as JSON, the configuration of the repository, an entry of its ledger or all of
them, a snapshot's manifest, or all that is known of one file or folder. Keys are never
printed. With --no-key, config and log show what anybody can see: of what is sealed only
its size.`,
		Example: `  holdfast cat config
  holdfast cat log 12
  holdfast cat snapshot latest
  holdfast cat node latest:/etc/fstab`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runCat(cmd.Context(), &f, args) },
	}
	f.register(cmd.Flags())
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			names = []string{"config", "log", "snapshot", "node"}
		case len(args) == 1 && args[0] != "config" && args[0] != "log":
			names = a.suggest(cmd.Context(), snapshotNames)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	a.global.credential.registerNoKey(cmd.Flags())
	return cmd
}

func (a *app) runCat(ctx context.Context, f *filterFlags, args []string) (err error) {
	what := args[0]
	named := what == "snapshot" || what == "manifest" || what == "node"
	switch {
	case !named && what != "config" && what != "log":
		return usagef("cat %q: it is config, log, snapshot or node", what)
	case what == "config" && len(args) > 1:
		return usagef("cat config takes no more arguments: %q", args[1])
	case named && len(args) < 2:
		return usagef("cat %s: which one?", what)
	case named && a.global.credential.none:
		return usagef("cat %s needs a key: what it prints is sealed", what)
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	switch what {
	case "config":
		return a.printJSON(newConfigJSON(r.Repository))
	case "log":
		return a.runCatLog(ctx, r, args[1:])
	}
	name, p := snapshot.SplitPath(args[1])
	m, err := f.find(ctx, r, name)
	if err != nil {
		return err
	}
	if what != "node" {
		return a.printJSON(newManifestJSON(m))
	}
	n, err := resolve(ctx, r, m, p)
	if err != nil {
		return err
	}
	j, err := newFullNodeJSON(ctx, r, path.Clean("/"+p), n)
	if err != nil {
		return err
	}
	return a.printJSON(j)
}

// printJSON prints a value on several lines.
func (a *app) printJSON(v any) error {
	b, err := marshal(v)
	if err != nil {
		return err
	}
	var text json.RawMessage = b
	out, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return err
	}
	a.out.printf("%s\n", out)
	return nil
}

type configJSON struct {
	ID          string `json:"id"`
	Location    string `json:"location"`
	ChunkSize   int    `json:"chunk_size"`
	SegmentSize int    `json:"segment_size"`
	PackSize    int    `json:"pack_size"`
	Parity      int    `json:"parity_percent"`
	Cipher      string `json:"cipher"`
	Role        string `json:"role"`
}

func newConfigJSON(r *repo.Repository) configJSON {
	c, role := r.Config(), "auditor"
	if r.Role().Valid() {
		role = r.Role().String()
	}
	return configJSON{r.ID(), jsonName(r.Location()), c.ChunkMean, c.SegmentSize, c.PackSize, c.Parity, c.Suite.String(), role}
}

// chunkJSON names a chunk.
type chunkJSON struct {
	ID     string `json:"id"`
	Length uint32 `json:"length"`
}

func newChunkJSON(r repo.Ref) chunkJSON { return chunkJSON{r.ID.String(), r.Length} }

// manifestJSON is a snapshot with where its tree begins.
type manifestJSON struct {
	snapshotJSON
	Point     jsonTime  `json:"point_in_time"`
	Tree      chunkJSON `json:"tree"`
	Reference chunkJSON `json:"reference_tree"`
}

func newManifestJSON(m *snapshot.Manifest) manifestJSON {
	return manifestJSON{newSnapshotJSON(m), jsonTime(m.Point), newChunkJSON(m.Root.Meta), newChunkJSON(m.Root.Map)}
}

// fullNodeJSON is all that is known of an entry.
type fullNodeJSON struct {
	nodeJSON
	Racy      bool        `json:"racy,omitempty"`
	Xattrs    []xattrJSON `json:"xattrs,omitempty"`
	Tree      *chunkJSON  `json:"tree,omitempty"`
	Reference *chunkJSON  `json:"reference_tree,omitempty"`
	Map       *chunkJSON  `json:"content_map,omitempty"`
	Spans     []spanJSON  `json:"content,omitempty"`
	Chunker   string      `json:"chunker,omitempty"`
}

type xattrJSON struct {
	Name  string `json:"name"`
	Value []byte `json:"value"` // in base64
}

// spanJSON is a piece of a content.
type spanJSON struct {
	Kind   string `json:"kind"`
	ID     string `json:"id,omitempty"`
	Length int64  `json:"length"`
	Count  int64  `json:"count,omitempty"`
}

func newFullNodeJSON(ctx context.Context, r *openRepo, p string, n *tree.Node) (*fullNodeJSON, error) {
	j := &fullNodeJSON{nodeJSON: newNodeJSON(p, n), Racy: n.Flags&tree.Racy != 0}
	xattrs, err := tree.LoadXattrs(ctx, r, n)
	if err != nil {
		return nil, err
	}
	for _, x := range xattrs {
		j.Xattrs = append(j.Xattrs, xattrJSON{jsonName(x.Name), []byte(x.Value)})
	}
	if n.Type == tree.Directory {
		dir, ref := newChunkJSON(n.Dir.Meta), newChunkJSON(n.Dir.Map)
		j.Tree, j.Reference = &dir, &ref
	}
	if n.Content.Mapped() {
		m := newChunkJSON(n.Content.Root.Ref)
		j.Map = &m
	}
	for _, s := range n.Content.Spans {
		span := spanJSON{Kind: s.Kind.String(), Length: s.Length}
		if s.Kind == reftree.Chunk {
			span.ID, span.Count = s.ID.String(), s.Count
		}
		j.Spans = append(j.Spans, span)
	}
	if c := n.Content.Chunker; c != 0 {
		j.Chunker = fmt.Sprintf("%s, mean %d KiB", chunk.Kind(c>>4), 1<<(c&15))
	}
	return j, nil
}
