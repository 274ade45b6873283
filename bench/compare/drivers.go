//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
)

// password opens every repository that is opened by one.
const password = "correct horse battery staple"

// holdfast uses a key file, like a nightly job would.
type holdfast struct{ s2, maps bool }

func (*holdfast) name() string      { return "holdfast" }
func (*holdfast) version() []string { return []string{"version"} }

func (h *holdfast) probe(help func(...string) string) {
	text := help("backup", "--help")
	h.s2, h.maps = strings.Contains(text, "s2"), strings.Contains(text, "--change-map")
}

func (*holdfast) env(p place) []string {
	return []string{"HOLDFAST_REPOSITORY=" + p.repo(), "HOLDFAST_CACHE_DIR=" + p.cache(), "HOLDFAST_KEY_FILE=" + keyFile(p)}
}

func keyFile(p place) string { return filepath.Join(p.dir, "key") }

func (h *holdfast) commands(p place, t task) []process {
	switch t.job {
	case jobInit:
		return run("init", "-q", "--new-key-file", keyFile(p))
	case jobBackup:
		return run("backup", "-q", "--tag", t.label, t.source)
	case jobFast:
		if h.s2 {
			return run("backup", "-q", "--compression", "s2", "--tag", t.label, t.source)
		}
	case jobStream:
		return run("backup", "-q", "--tag", t.label, "--stdin", "--stdin-filename", filepath.Base(t.source))
	case jobReread:
		return run("backup", "-q", "--force", "--tag", t.label, t.source)
	case jobMapped:
		if h.maps {
			return run("backup", "-q", "--change-map", t.clean, "--tag", t.label, t.source)
		}
	case jobRestore:
		return run("restore", "-q", "--tag", t.label, "latest:"+t.source, "--to-file", filepath.Join(t.target, filepath.Base(t.source)))
	case jobInPlace:
		return run("restore", "-q", "--tag", t.label, "latest:"+t.source, "--to-file", t.target)
	case jobCheck:
		return run("check", "-q", "--read-data")
	case jobList:
		return run("snapshots", "--json")
	case jobForget:
		return run("forget", "-q", "--tag", t.label, "--prune", "latest")
	}
	return nil
}

// restic writes repositories of version 2, which compress; 0.14 has them and does not make them by default. Sparse restores came with 0.15.
type restic struct{ sparse bool }

func (*restic) name() string      { return "restic" }
func (*restic) version() []string { return []string{"version"} }

func (r *restic) probe(help func(...string) string) {
	r.sparse = strings.Contains(help("restore", "--help"), "--sparse")
}

func (*restic) env(p place) []string {
	return []string{"RESTIC_REPOSITORY=" + p.repo(), "RESTIC_CACHE_DIR=" + p.cache(), "RESTIC_PASSWORD=" + password}
}

func (r *restic) commands(_ place, t task) []process {
	switch t.job {
	case jobInit:
		return run("init", "-q", "--repository-version", "2")
	case jobBackup:
		return run("backup", "-q", "--tag", t.label, t.source)
	case jobStream:
		return run("backup", "-q", "--tag", t.label, "--stdin", "--stdin-filename", filepath.Base(t.source))
	case jobReread:
		return run("backup", "-q", "--force", "--tag", t.label, t.source)
	case jobRestore:
		args := []string{"restore", "-q", "latest", "--tag", t.label, "--target", t.target}
		if r.sparse {
			args = append(args, "--sparse")
		}
		return run(args...)
	case jobCheck:
		return run("check", "-q", "--read-data")
	case jobList:
		return run("snapshots", "--json")
	case jobForget:
		return run("forget", "-q", "--tag", t.label, "--prune", "latest")
	}
	return nil
}

// kopia has compression off by default, so it is told to use the cheapest zstd.
type kopia struct{}

func (kopia) name() string      { return "kopia" }
func (kopia) version() []string { return []string{"--version"} }

func (kopia) env(p place) []string {
	return []string{"KOPIA_PASSWORD=" + password, "KOPIA_CONFIG_PATH=" + filepath.Join(p.dir, "kopia.config"), "KOPIA_CACHE_DIRECTORY=" + p.cache(),
		"KOPIA_LOG_DIR=" + filepath.Join(p.dir, "log"), "KOPIA_CHECK_FOR_UPDATES=false"}
}

func (kopia) commands(p place, t task) []process {
	create := []string{"snapshot", "create", "--no-progress", "--tags", "step:" + t.label}
	switch t.job {
	case jobInit:
		return append(run("repository", "create", "filesystem", "--path", p.repo()), run("policy", "set", "--global", "--compression", "zstd-fastest")...)
	case jobBackup:
		return run(append(create, t.source)...)
	case jobStream:
		return run(append(create, "--stdin-file", filepath.Base(t.source), filepath.Dir(t.source))...)
	case jobReread:
		return run(append(create, "--force-hash", "100", t.source)...)
	case jobRestore: // the latest of that path, which holds what day 1 held
		return run("restore", "--no-progress", "--write-sparse-files", "--mode", "local", "--snapshot-time", "latest", t.source, filepath.Join(t.target, filepath.Base(t.source)))
	case jobCheck:
		return run("snapshot", "verify", "--no-progress", "--verify-files-percent", "100")
	case jobList:
		return run("snapshot", "list", "--all", "--json")
	}
	return nil
}

// borg encrypts with the fastest of its modes for this kind of processor, and compresses by its default, lz4.
type borg struct{}

func (borg) name() string      { return "borg" }
func (borg) version() []string { return []string{"--version"} }

func (borg) env(p place) []string {
	return []string{"BORG_REPO=" + p.repo(), "BORG_PASSPHRASE=" + password, "BORG_BASE_DIR=" + p.home(), "BORG_CACHE_DIR=" + p.cache(),
		"BORG_RELOCATED_REPO_ACCESS_IS_OK=yes", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"}
}

func (borg) commands(_ place, t task) []process {
	switch t.job {
	case jobInit:
		return run("init", "--encryption", "repokey-blake2")
	case jobBackup:
		return run("create", "::"+t.label, t.source)
	case jobStream:
		return run("create", "--stdin-name", filepath.Base(t.source), "::"+t.label, "-")
	case jobReread:
		return run("create", "--files-cache", "disabled", "::"+t.label, t.source)
	case jobRestore:
		return []process{{args: []string{"extract", "--sparse", "::" + t.label}, dir: t.target}}
	case jobCheck:
		return run("check", "--verify-data")
	case jobList:
		return run("list", "--json")
	case jobForget:
		return append(run("delete", "::"+t.label), run("compact")...)
	}
	return nil
}

// plakar has no way to read again what did not change, other than being started without its cache.
type plakar struct{}

func (plakar) name() string      { return "plakar" }
func (plakar) version() []string { return []string{"version"} }
func (plakar) env(place) []string {
	return []string{"PLAKAR_PASSPHRASE=" + password}
}

func (plakar) commands(p place, t task) []process {
	at := func(args ...string) []process {
		return run(append([]string{"-cachedir", p.cache(), "at", p.repo()}, args...)...)
	}
	switch t.job {
	case jobInit:
		return at("create")
	case jobBackup:
		return at("backup", "-tag", t.label, t.source)
	case jobStream:
		return at("backup", "-tag", t.label, "stdin://"+filepath.Base(t.source))
	case jobRestore: // of the working directory, out of the last snapshot with that tag
		c := at("restore", "-tag", t.label, "-to", t.target)
		c[0].dir = filepath.Dir(t.source)
		return c
	case jobCheck:
		return at("check")
	case jobList:
		return at("ls")
	}
	return nil
}

// desync has no encryption, no repository to make and no list: an index file for each snapshot, and a store of chunks.
type desync struct{}

func (desync) name() string       { return "desync" }
func (desync) version() []string  { return []string{"version"} }
func (desync) env(place) []string { return nil }

// prepare makes the store: desync wants it to be there.
func (desync) prepare(p place) error { return os.MkdirAll(filepath.Join(p.repo(), "store"), 0o700) }

func (desync) commands(p place, t task) []process {
	index := filepath.Join(p.repo(), t.label+".caibx")
	store := filepath.Join(p.repo(), "store")
	switch t.job {
	case jobBackup, jobReread:
		return run("make", "-s", store, index, t.source)
	case jobRestore:
		return run("extract", "-s", store, index, filepath.Join(t.target, filepath.Base(t.source)))
	case jobInPlace:
		return run("extract", "-k", "-s", store, index, t.target)
	case jobCheck:
		return run("verify", "-s", store)
	}
	return nil
}
