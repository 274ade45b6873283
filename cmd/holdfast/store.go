package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/backend/s3"
	"github.com/holdfast-backup/holdfast/repo"
)

// scheme matches what looks like a URL and not like a path; one letter is a drive.
var scheme = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]+):`)

const s3Scheme = "s3:"

// repoAddress returns where the repository is: the absolute path of a folder, or what begins with a scheme.
func (a *app) repoAddress() (string, error) {
	where, from := a.global.repo, "--repo"
	if where == "" {
		where, from = a.getenv("HOLDFAST_REPOSITORY"), "HOLDFAST_REPOSITORY"
	}
	if where == "" {
		return "", usagef("no repository was given: use -r or HOLDFAST_REPOSITORY")
	}
	return address(where, from)
}

// address returns where a repository is that was given by a flag or variable.
func address(where, from string) (string, error) {
	if strings.HasPrefix(where, s3Scheme) {
		p, err := s3.Parse(where)
		if err != nil {
			return "", usagef("%s: %w", from, err)
		}
		return p.String(), nil
	}
	path := strings.TrimPrefix(where, "local:")
	if m := scheme.FindStringSubmatch(path); m != nil {
		return "", usagef("%s %q: %s repositories are not supported by this build; give a path (./%s if it is a folder) or s3:https://HOST/BUCKET/PREFIX", from, where, m[1], where)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", from, where, err)
	}
	return abs, nil
}

// access says what a verb does with the store.
type access int

const (
	reading access = iota
	writing
	creating // makes the folder or bucket if it is missing
)

// unlessDry is writing, and reading for a dry run.
func unlessDry(dryRun bool) access {
	if dryRun {
		return reading
	}
	return writing
}

func (a *app) openStore(ctx context.Context, how access) (backend.Store, error) {
	where, err := a.repoAddress()
	if err != nil {
		return nil, err
	}
	return a.openAt(ctx, where, how)
}

// openAt opens the store at an address.
func (a *app) openAt(ctx context.Context, where string, how access) (backend.Store, error) {
	if strings.HasPrefix(where, s3Scheme) {
		return a.openS3(ctx, where, how)
	}
	if how == creating {
		return local.Create(where, nil)
	}
	s, err := local.Open(where, &local.Options{ReadOnly: how == reading})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", where, repo.ErrNoRepository)
	}
	return s, err
}

func (a *app) openS3(ctx context.Context, where string, how access) (backend.Store, error) {
	p, err := s3.Parse(where)
	if err != nil {
		return nil, err
	}
	if p.Exposed() {
		a.out.note("%s: requests go over the network without encryption; use https", p)
	}
	o := &s3.Options{ReadOnly: how == reading, Logger: slog.New(&noteHandler{out: a.out})}
	if how == creating {
		return s3.Create(ctx, p, o)
	}
	return s3.Open(ctx, p, o)
}
