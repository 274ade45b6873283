package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verbFirst moves the verb to the front of the arguments, so that flags may stand anywhere before "--", those of a verb before it
// too. It knows which flags take a value from the flags of all verbs.
func verbFirst(root *cobra.Command, args []string) []string {
	flags := allFlags(root)
	cmd := root
	var verbs, rest []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if strings.HasPrefix(arg, "-") && arg != "-" {
			rest = append(rest, arg)
			if takesNext(flags, arg) && i+1 < len(args) {
				i++
				rest = append(rest, args[i])
			}
			continue
		}
		sub := subcommand(cmd, arg)
		if sub == nil || len(rest) > 0 && cmd != root && hasOperand(rest, flags) {
			rest = append(rest, arg)
			if cmd == root {
				return args // not a verb: cobra says so
			}
			continue
		}
		verbs = append(verbs, arg)
		cmd = sub
	}
	return append(verbs, rest...)
}

func subcommand(cmd *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
	if i < 0 {
		return nil
	}
	return cmd.Commands()[i]
}

// hasOperand reports whether args hold anything but flags and their values.
func hasOperand(args []string, flags map[string]*pflag.Flag) bool {
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			return true
		}
		if takesNext(flags, args[i]) {
			i++
		}
	}
	return false
}

// allFlags returns the flags of all verbs by their names, and by their one-letter names after a dash.
func allFlags(root *cobra.Command) map[string]*pflag.Flag {
	flags := map[string]*pflag.Flag{}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		add := func(f *pflag.Flag) {
			flags["--"+f.Name] = f
			if f.Shorthand != "" {
				flags["-"+f.Shorthand] = f
			}
		}
		c.PersistentFlags().VisitAll(add)
		c.LocalFlags().VisitAll(add)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	return flags
}

// takesNext reports whether the value of a flag is the next argument.
func takesNext(flags map[string]*pflag.Flag, arg string) bool {
	if strings.HasPrefix(arg, "--") {
		f := flags[arg]
		return f != nil && f.NoOptDefVal == ""
	}
	for i, letter := range arg[1:] {
		f := flags["-"+string(letter)]
		if f == nil {
			return false
		}
		if f.NoOptDefVal == "" {
			return i+2 == len(arg)
		}
	}
	return false
}

// wantsJSON looks for --json ahead of the parsing of flags.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true":
			return true
		}
	}
	return false
}

// between accepts from least to most arguments; most < 0 means any number.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		usage := strings.TrimPrefix(cmd.UseLine(), "holdfast ")
		switch {
		case len(args) < least:
			return usagef("%s: an argument is missing: holdfast %s", cmd.Name(), usage)
		case most == 0 && len(args) > 0:
			return usagef("%s takes no arguments: %q", cmd.Name(), args[0])
		case most >= 0 && len(args) > most:
			return usagef("%s: there is an argument too many: %q", cmd.Name(), args[most])
		}
		return nil
	}
}
