package main

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// runCatLog prints one entry of the ledger, or all of them.
func (a *app) runCatLog(ctx context.Context, r *openRepo, args []string) error {
	if len(args) > 0 {
		n, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return usagef("cat log %q: give the number of an entry", args[0])
		}
		e, err := r.Entry(ctx, n)
		if err != nil {
			return err
		}
		return a.printJSON(newEntryJSON(e))
	}
	arr := &array{o: a.out}
	defer arr.end()
	for n := uint64(0); ; n++ {
		e, err := r.Entry(ctx, n)
		if errors.Is(err, repo.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		arr.add(newEntryJSON(e))
	}
}

// entryJSON is an entry of the ledger. What its sealed part says is under "sealed"; of one that was not opened there is only its size.
type entryJSON struct {
	Number      uint64   `json:"number"`
	Type        string   `json:"type"`
	Time        jsonTime `json:"time"`
	Actor       string   `json:"actor"`
	Role        string   `json:"role"`
	Label       string   `json:"label,omitempty"`
	Void        string   `json:"void,omitempty"`
	Clear       any      `json:"clear"`
	Sealed      any      `json:"sealed,omitempty"`
	SealedBytes int      `json:"sealed_bytes"`
	Size        int      `json:"size"`
	Previous    string   `json:"previous"`
	Hash        string   `json:"hash"`
}

func newEntryJSON(e *repo.Entry) *entryJSON {
	j := &entryJSON{
		Number: e.Number, Type: e.Type.String(), Time: jsonTime(e.Time), Actor: e.Actor.ID.String(), Role: e.Actor.Role.String(), Label: jsonName(e.Actor.Label),
		Void: oneLine(e.Void), SealedBytes: e.Sealed, Size: e.Size, Previous: e.Previous.String(), Hash: e.Hash.String(),
	}
	if e.Body == nil {
		return j
	}
	clear, sealed := bodyJSON(e)
	j.Clear = clear
	if e.Opened {
		j.Sealed = sealed
	}
	return j
}

// fields are what a part of an entry says.
type fields map[string]any

// bodyJSON returns the parts of an entry's body.
func bodyJSON(e *repo.Entry) (clear, sealed fields) {
	switch b := e.Body.(type) {
	case *ledger.Genesis:
		return genesisJSON(b), nil
	case *ledger.Open:
		return fields{"session": b.Session.String(), "purpose": b.Purpose.String(), "adopts": texts(b.Adopts)},
			fields{"kind": jsonName(b.Kind), "host": jsonName(b.Host), "source": b.Source.String(), "program": jsonName(b.Program)}
	case *ledger.Commit:
		return commitJSON(e, b)
	case *ledger.Close:
		return fields{"session": b.Session.String()}, fields{"reason": jsonName(b.Reason)}
	case *ledger.Forget:
		return fields{"snapshots": texts(b.Snapshots)}, fields{"reason": jsonName(b.Reason)}
	case *ledger.Unforget:
		return fields{"snapshots": texts(b.Snapshots)}, fields{"reason": jsonName(b.Reason)}
	case *ledger.Protect:
		return fields{"snapshots": texts(b.Snapshots)}, fields{"reason": jsonName(b.Reason)}
	case *ledger.Unprotect:
		return fields{"snapshots": texts(b.Snapshots)}, fields{"reason": jsonName(b.Reason)}
	case *ledger.Hold:
		return fields{"session": b.Session.String(), "snapshots": texts(b.Snapshots)}, nil
	case *ledger.Condemn:
		return fields{"session": b.Session.String(), "marked": b.Marked, "retired": indexFilesJSON(b.Retired), "added": indexFilesJSON(b.Added)}, nil
	case *ledger.Delete:
		return fields{"session": b.Session.String(), "condemned": b.Condemned, "marked": b.Marked, "added": indexFilesJSON(b.Added)}, nil
	case *ledger.Sweep:
		return fields{"session": b.Session.String(), "list": b.List.String(), "packs": b.Packs, "ended": append([]uint64{}, b.Ended...)}, nil
	case *ledger.Revoke:
		return fields{"session": b.Session.String()}, fields{"reason": jsonName(b.Reason)}
	case *ledger.Key:
		op := "admit"
		if b.Op == ledger.Remove {
			op = "remove"
		}
		return fields{"operation": op, "role": b.Role.String(), "actor": b.Actor.ID().String(), "slot": b.Slot.String()}, fields{"label": jsonName(b.Label)}
	case *ledger.Checkpoint:
		return fields{"state": b.State.String(), "state_bytes": b.Size}, nil
	case *ledger.Tags:
		return fields{"snapshot": b.Snapshot.String()}, fields{"tags": jsonNames(b.Tags)}
	case *ledger.Features:
		return featuresJSON(&b.Add), nil
	}
	return nil, nil
}

func genesisJSON(g *ledger.Genesis) fields {
	primitive := "create-if-absent"
	if g.Primitive == ledger.OneWriter {
		primitive = "one-writer"
	}
	return fields{
		"repository": hex.EncodeToString(g.Repository[:]), "domain": hex.EncodeToString(g.Domain[:]), "admin": g.Admin.ID().String(), "epoch": g.Keys.Epoch,
		"cipher": g.Suite.String(), "chunk_size": g.ChunkMean, "segment_size": g.SegmentSize, "pack_size": g.PackSize, "parity_percent": g.Parity,
		"primitive": primitive, "features": featuresJSON(&g.Features),
	}
}

func featuresJSON(f *ledger.FeatureSets) fields {
	return fields{"read": jsonNames(f.Read), "write": jsonNames(f.Write), "collect": jsonNames(f.Collect)}
}

type indexFileJSON struct {
	Session string `json:"session"`
	Hash    string `json:"hash"`
	Size    uint32 `json:"size"`
}

func indexFilesJSON(list []ledger.IndexFile) []indexFileJSON {
	files := []indexFileJSON{}
	for _, f := range list {
		files = append(files, indexFileJSON{f.Session.String(), f.Hash.String(), f.Size})
	}
	return files
}

func commitJSON(e *repo.Entry, c *ledger.Commit) (clear, sealed fields) {
	clear = fields{"session": c.Session.String(), "index_files": indexFilesJSON(c.IndexFiles)}
	if !c.Snapshot.IsZero() {
		clear["snapshot"] = c.Snapshot.String()
	}
	sealed = fields{"facts_size": len(c.Facts)}
	if e.Root != nil {
		sealed["tree"], sealed["reference_tree"] = newChunkJSON(e.Root.Meta), newChunkJSON(e.Root.Map)
	}
	return clear, sealed
}

// texts prints ids.
func texts[T interface{ String() string }](ids []T) []string {
	list := []string{}
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}
