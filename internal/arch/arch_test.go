package arch

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/holdfast-backup/holdfast"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Name, Doc string
	GoFiles                    []string
	Imports                    []string
	TestImports, XTestImports  []string
	Deps                       []string
}

// house lists the top folders of each floor, from the ground up. Imports only look down.
var house = [][]string{
	{"internal"},
	{"backend", "crypto", "chunk"},
	{"repo"},
	{"snapshot"},
	{"cmd", "examples", "bench"},
}

// forbidden says which folder may never see which, whatever the floors allow, and why.
var forbidden = []struct{ from, to, why string }{
	{"snapshot", "backend", "snapshots are stored through repo, so that every rule about storage is in one place"},
	{"snapshot", "crypto", "keys stay below repo; use the aliases that repo offers"},
	{"repo/pack", "backend", "a format knows no storage"},
	{"repo/index", "backend", "a format knows no storage"},
	{"repo/ledger", "backend", "a format knows no storage"},
	{"repo/reftree", "backend", "a format knows no storage"},
	{"snapshot/retention", "repo", "retention is a pure function"},
	{"internal/specreader", "", "the specification's reader uses the document alone"},
}

// heavy lists libraries and the only folders that may link them.
var heavy = []struct {
	library string
	allowed []string
}{
	{"github.com/aws/", []string{"backend/s3", "cmd", "bench"}},
	{"github.com/hanwen/go-fuse", []string{"snapshot/export/fuse", "cmd", "bench"}},
	{"github.com/jackc/", []string{"snapshot/source/postgres", "cmd", "bench"}},
	{"github.com/spf13/", []string{"cmd"}},
	{"github.com/schollz/progressbar", []string{"cmd"}},
	{"github.com/pkg/sftp", []string{"backend/sftp", "cmd", "bench"}},
	{"net/http", []string{"backend/s3", "backend/backendtest", "cmd", "examples", "bench"}}, // backendtest by way of testify
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,GoFiles,Imports,TestImports,XTestImports,Deps", module+"/...")
	out, err := cmd.Output()
	require.NoError(t, err)
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else {
			require.NoError(t, err)
		}
		pkgs = append(pkgs, p)
	}
}

func local(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

func floor(p string) int {
	return slices.IndexFunc(house, func(folders []string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return within(p, f) })
	})
}

func top(p string) string { return strings.SplitN(p, "/", 2)[0] }

// complaint says why from must not import to, or nothing.
func complaint(from, to string) string {
	for _, rule := range forbidden {
		if within(from, rule.from) && within(to, rule.to) || within(from, rule.from) && rule.to == "" {
			return rule.why
		}
	}
	switch a, b := floor(from), floor(to); {
	case b > a:
		return "imports only look down: " + path.Base(to) + " is on a higher floor"
	case a == b && top(from) != top(to):
		return "a package never imports one of its own floor outside its own folder"
	}
	return ""
}

func TestImportsLookDown(t *testing.T) {
	for _, p := range list(t) {
		from, ok := local(p.ImportPath)
		require.True(t, ok, p.ImportPath)
		require.NotEqual(t, -1, floor(from), "%s is in no known top-level folder", from)
		for _, imp := range p.Imports {
			if to, ok := local(imp); ok {
				if why := complaint(from, to); why != "" {
					t.Errorf("%s must not import %s: %s", from, to, why)
				}
			}
		}
	}
}

func TestRulesSee(t *testing.T) {
	for _, c := range [][2]string{
		{"chunk", "crypto"}, {"crypto", "repo"}, {"repo/pack", "backend"}, {"snapshot", "crypto"}, {"snapshot/source", "backend/local"},
		{"internal/wire", "chunk"}, {"internal/specreader", "internal/wire"}, {"bench", "cmd/holdfast"},
	} {
		require.NotEmpty(t, complaint(c[0], c[1]), fmt.Sprint(c))
	}
	for _, c := range [][2]string{{"repo", "backend"}, {"snapshot", "repo"}, {"cmd/holdfast", "crypto"}, {"snapshot/restore", "snapshot"}} {
		require.Empty(t, complaint(c[0], c[1]), fmt.Sprint(c))
	}
}

func TestHeavyLibrariesStayOut(t *testing.T) {
	for _, p := range list(t) {
		from, _ := local(p.ImportPath)
		for _, rule := range heavy {
			if slices.ContainsFunc(rule.allowed, func(f string) bool { return within(from, f) }) {
				continue
			}
			for _, dep := range p.Deps {
				if strings.HasPrefix(dep, rule.library) && p.Name != "main" {
					t.Errorf("%s links %s: only %v may, so that a service importing the core does not carry it", from, dep, rule.allowed)
				}
			}
		}
	}
}

func TestNoCgoInCore(t *testing.T) {
	for _, p := range list(t) {
		if slices.Contains(p.Imports, "C") {
			t.Errorf("%s uses cgo: the core is pure Go", p.ImportPath)
		}
	}
}
