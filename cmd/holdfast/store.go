package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"strconv"
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
	if err := a.onlyForNetworks(where); err != nil {
		return nil, err
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
	o, err := a.s3Options()
	if err != nil {
		return nil, err
	}
	o.ReadOnly, o.Logger = how == reading, slog.New(&noteHandler{out: a.out})
	open := s3.Open
	if how == creating {
		open = s3.Create
	}
	s, err := open(ctx, p, o)
	if err != nil {
		return nil, err
	}
	a.networks = append(a.networks, s)
	return s, nil
}

// onlyForNetworks refuses flags that would do nothing for a local repository.
func (a *app) onlyForNetworks(where string) error {
	g := &a.global
	switch {
	case len(g.options) > 0:
		return usagef("-o %s: %s is a folder, which has no such options", g.options[0], where)
	case g.limitUp != "":
		return usagef("--limit-upload: %s is a folder, and not behind a network that holdfast knows of", where)
	case g.limitDown != "":
		return usagef("--limit-download: %s is a folder, and not behind a network that holdfast knows of", where)
	}
	return nil
}

// s3Options returns what the flags say about a bucket.
func (a *app) s3Options() (*s3.Options, error) {
	o := &s3.Options{}
	for _, text := range a.global.options {
		key, value, ok := strings.Cut(text, "=")
		if !ok || value == "" {
			return nil, usagef("-o %s: write KEY=VALUE", text)
		}
		switch key {
		case "s3.region":
			o.Region = value
		case "s3.virtual-host":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return nil, usagef("-o %s: true or false", text)
			}
			o.VirtualHost = on
		case "s3.storage-class":
			o.StorageClass = value
		case "s3.encryption":
			o.Encryption = value
		case "s3.kms-key":
			o.KMSKey = value
		default:
			return nil, usagef("-o %s: there is no such option; there are s3.region, s3.virtual-host, s3.storage-class, s3.encryption and s3.kms-key", text)
		}
	}
	if o.KMSKey != "" && !strings.HasPrefix(o.Encryption, "aws:kms") {
		return nil, usagef("-o s3.kms-key takes -o s3.encryption=aws:kms, too")
	}
	var err error
	if o.UploadLimit, err = rateOf("--limit-upload", a.global.limitUp); err != nil {
		return nil, err
	}
	o.DownloadLimit, err = rateOf("--limit-download", a.global.limitDown)
	return o, err
}

// leastRate is as slow as it may get: below, requests time out.
const leastRate = 64 << 10

func rateOf(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := parseSize(text)
	if err != nil {
		return 0, usagef("%s: %w", flag, err)
	}
	if n < leastRate {
		return 0, usagef("%s %s: at least %s a second, such as 10M", flag, text, bytesText(leastRate))
	}
	return n, nil
}

// trafficJSON is what went over the network.
type trafficJSON struct {
	Requests int64 `json:"requests"`
	Sent     int64 `json:"bytes_sent"`
	Received int64 `json:"bytes_received"`
}

// traffic returns what went over the network so far; nil if nothing that was opened is behind one.
func (a *app) traffic() *trafficJSON {
	if len(a.networks) == 0 {
		return nil
	}
	t := &trafficJSON{}
	for _, n := range a.networks {
		c := n.Traffic()
		t.Requests, t.Sent, t.Received = t.Requests+c.Requests, t.Sent+c.Sent, t.Received+c.Received
	}
	return t
}
