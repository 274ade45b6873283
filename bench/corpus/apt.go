//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// aptSource is one Debian mirror as this machine's apt is configured to use it.
type aptSource struct {
	uri, suite string
	components []string
	signedBy   string
}

// line is the source in the one-line form of sources.list.
func (s aptSource) line() string {
	opt := ""
	if s.signedBy != "" {
		opt = "[signed-by=" + s.signedBy + "] "
	}
	return fmt.Sprintf("deb %s%s %s %s\n", opt, s.uri, s.suite, strings.Join(s.components, " "))
}

// findMirror returns the first source in apt's configuration folder that has the suite and the component main.
func findMirror(etc, suite string) (aptSource, error) {
	files := []string{filepath.Join(etc, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := filepath.Glob(filepath.Join(etc, "sources.list.d", pattern))
		if err != nil {
			return aptSource{}, fmt.Errorf("listing apt's sources: %w", err)
		}
		files = append(files, found...)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return aptSource{}, fmt.Errorf("reading apt's sources: %w", err)
		}
		parse := parseOneLine
		if strings.HasSuffix(path, ".sources") {
			parse = parseDeb822
		}
		for _, s := range parse(string(data)) {
			if s.suite == suite && contains(s.components, "main") {
				s.components = []string{"main"}
				return s, nil
			}
		}
	}
	return aptSource{}, fmt.Errorf("no Debian %s mirror in %s/sources.list*", suite, etc)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// parseOneLine reads lines like "deb [signed-by=KEYS] URI SUITE COMPONENT...".
func parseOneLine(text string) []aptSource {
	re := regexp.MustCompile(`^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)`)
	var out []aptSource
	for _, line := range strings.Split(text, "\n") {
		m := re.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		s := aptSource{uri: m[2], suite: m[3], components: strings.Fields(m[4])}
		for _, opt := range strings.Fields(m[1]) {
			if key, ok := strings.CutPrefix(opt, "signed-by="); ok {
				s.signedBy = key
			}
		}
		out = append(out, s)
	}
	return out
}

// parseDeb822 reads stanzas of "Types: deb", "URIs:", "Suites:", "Components:" and "Signed-By:", one source for each URI and suite.
func parseDeb822(text string) []aptSource {
	var out []aptSource
	for _, stanza := range regexp.MustCompile(`\n[ \t]*\n`).Split(text, -1) {
		fields := map[string]string{}
		key := ""
		for _, line := range strings.Split(stanza, "\n") {
			switch {
			case strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
				fields[key] += " " + strings.TrimSpace(line)
			default:
				k, v, _ := strings.Cut(line, ":")
				key = strings.ToLower(strings.TrimSpace(k))
				fields[key] = strings.TrimSpace(v)
			}
		}
		if !contains(strings.Fields(fields["types"]), "deb") || strings.EqualFold(fields["enabled"], "no") {
			continue
		}
		for _, uri := range strings.Fields(fields["uris"]) {
			for _, suite := range strings.Fields(fields["suites"]) {
				s := aptSource{uri: uri, suite: suite, components: strings.Fields(fields["components"])}
				if strings.HasPrefix(fields["signed-by"], "/") {
					s.signedBy = fields["signed-by"]
				}
				out = append(out, s)
			}
		}
	}
	return out
}

// packages downloads what a system needs to have the given packages installed, and returns the files in the order of installation.
// The host's apt does it, with the host's network settings and keys, but for the dpkg status of the system at root.
func (b *builder) packages(ctx context.Context, mirror aptSource, root string, names ...string) ([]string, error) {
	apt := filepath.Join(b.cache, "apt")
	debs := filepath.Join(apt, "archives")
	for _, dir := range []string{filepath.Join(apt, "lists", "partial"), filepath.Join(debs, "partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making apt's cache: %w", err)
		}
	}
	list := filepath.Join(apt, "sources.list")
	if err := os.WriteFile(list, []byte(mirror.line()), 0o644); err != nil {
		return nil, fmt.Errorf("writing the source for apt: %w", err)
	}
	opts := []string{"-q", "-o", "Dir::State::lists=" + filepath.Join(apt, "lists"), "-o", "Dir::Cache=" + apt, "-o", "Dir::Cache::archives=" + debs,
		"-o", "Dir::State::status=" + filepath.Join(root, "var/lib/dpkg/status"), "-o", "Dir::State::extended_states=" + filepath.Join(apt, "extended"),
		"-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=/dev/null", "-o", "APT::Install-Recommends=false", "-o", "APT::Sandbox::User=root"}
	install := append(append([]string{}, opts...), "-y", "install")
	download := append(append(append([]string{}, opts...), "-y", "-d", "install"), names...)
	if err := b.run.simple(ctx, "apt-get", download...); err != nil { // no lists yet, or too old ones
		b.say("fetching the package lists")
		if err := b.run.simple(ctx, "apt-get", append(append([]string{}, opts...), "update")...); err != nil {
			return nil, err
		}
		if err := b.run.simple(ctx, "apt-get", download...); err != nil {
			return nil, err
		}
	}
	plan, err := b.run.output(ctx, command{name: "apt-get", args: append(append(install, "-s"), names...)})
	if err != nil {
		return nil, err
	}
	return debFiles(plan, debs)
}

// debFiles reads apt's simulated "Inst NAME (VERSION ORIGIN [ARCH])" lines and returns the downloaded files' paths.
func debFiles(plan, dir string) ([]string, error) {
	re := regexp.MustCompile(`(?m)^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) .*\[([a-z0-9]+)\]\)`)
	var files []string
	for _, m := range re.FindAllStringSubmatch(plan, -1) {
		path := filepath.Join(dir, fmt.Sprintf("%s_%s_%s.deb", strings.SplitN(m[1], ":", 2)[0], strings.ReplaceAll(m[2], ":", "%3a"), m[3]))
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("apt planned a package that it did not download: %w", err)
		}
		files = append(files, path)
	}
	if len(files) == 0 {
		return nil, errors.New("apt planned to install nothing")
	}
	return files, nil
}

// install puts packages into the system at root and returns the bytes of their files. With keep, they stay in apt's archive there,
// as after a real installation.
func (b *builder) install(ctx context.Context, root string, debs []string, keep bool) (int64, error) {
	args := []string{"--force-unsafe-io", "--skip-same-version", "-i"}
	var total int64
	var copies []string
	for _, deb := range debs {
		inside := filepath.Join("/var/cache/apt/archives", filepath.Base(deb))
		data, err := os.ReadFile(deb)
		if err != nil {
			return 0, fmt.Errorf("reading a package: %w", err)
		}
		if err := os.WriteFile(root+inside, data, 0o644); err != nil {
			return 0, fmt.Errorf("copying a package: %w", err)
		}
		total += int64(len(data))
		copies = append(copies, root+inside)
		args = append(args, inside)
	}
	sort.Strings(copies)
	// dpkg unpacks all before it configures any, so a pre-dependency may only hold in a later pass, which skips what is done.
	for pass := 1; ; pass++ {
		err := b.inside(ctx, root, "dpkg", args...)
		if err == nil {
			break
		}
		if pass == 5 || ctx.Err() != nil {
			return 0, err
		}
	}
	for _, path := range copies {
		if keep {
			break
		}
		if err := os.Remove(path); err != nil {
			return 0, fmt.Errorf("removing a package file: %w", err)
		}
	}
	return total, nil
}

// inside runs a program in the system at root.
func (b *builder) inside(ctx context.Context, root, name string, args ...string) error {
	path := ""
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"} {
		if _, err := os.Stat(root + filepath.Join(dir, name)); err == nil {
			path = filepath.Join(dir, name)
			break
		}
	}
	if path == "" {
		return fmt.Errorf("the Debian system has no %s", name)
	}
	return b.run.exec(ctx, command{name: path, args: args, root: root, env: cleanEnv("TMPDIR=/tmp")})
}
