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
	operands := false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if strings.HasPrefix(arg, "-") && arg != "-" {
			rest = append(rest, arg)
			if i+1 < len(args) && flags.takesNext(arg, subcommand(cmd, args[i+1]) != nil) {
				i++
				rest = append(rest, args[i])
			}
			continue
		}
		if sub := subcommand(cmd, arg); sub != nil && !operands {
			verbs = append(verbs, arg)
			cmd = sub
			continue
		}
		if cmd == root {
			return args // not a verb: cobra says so
		}
		operands = true
		rest = append(rest, arg)
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

// flagForms says of each flag, by its name with dashes, whether it takes a value. A few short ones do with one verb and not with
// another.
type flagForms map[string]struct{ with, without bool }

// allFlags returns the flags of all verbs.
func allFlags(root *cobra.Command) flagForms {
	flags := flagForms{}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		add := func(f *pflag.Flag) {
			for _, name := range []string{"--" + f.Name, "-" + f.Shorthand} {
				form := flags[name]
				form.with = form.with || f.NoOptDefVal == ""
				form.without = form.without || f.NoOptDefVal != ""
				flags[name] = form
			}
		}
		c.PersistentFlags().VisitAll(add)
		c.LocalFlags().VisitAll(add)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	delete(flags, "-")
	return flags
}

// takesNext reports whether the next argument is the value of a flag. Where that depends on the verb, a next argument that is one is
// taken for it.
func (flags flagForms) takesNext(arg string, verb bool) bool {
	takes := func(name string) bool { return flags[name].with && !(flags[name].without && verb) }
	if strings.HasPrefix(arg, "--") {
		return takes(arg)
	}
	for i, letter := range arg[1:] {
		if takes("-" + string(letter)) {
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
