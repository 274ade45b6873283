package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version names the build: the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v != "" && v != "(devel)" {
		return v
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+changes"
			}
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision + modified
}

// programVersion is what snapshots say of the program that made them.
func programVersion() string { return "holdfast " + version() }

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of the program, that of Go, and the platform it was built for.",
		Example: "  holdfast version",
		Args:    between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if a.out.json {
				a.out.object(struct {
					Type    string `json:"message_type"`
					Version string `json:"version"`
					Go      string `json:"go_version"`
					OS      string `json:"go_os"`
					Arch    string `json:"go_arch"`
				}{"version", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
				return nil
			}
			a.out.printf("holdfast %s, %s, %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
