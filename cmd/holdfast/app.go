package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/backend"
)

// app is one run of the command: what it talks to, and the flags that all verbs share.
type app struct {
	stdin  *os.File
	getenv func(string) string
	out    *output
	global globalFlags
	// started is set once flags and arguments were accepted: errors before that are bad usage.
	started bool
	// networks are the stores that were opened and are behind one.
	networks []backend.Traffic
}

func newApp() *app {
	return &app{stdin: os.Stdin, getenv: os.Getenv, out: newOutput(os.Stdout, os.Stderr)}
}

// execute runs the verb that the arguments name.
func (a *app) execute(ctx context.Context, args []string) error {
	a.out.json = wantsJSON(args) // so that errors in the flags are told in the right form, too
	root, err := a.rootCommand()
	if err != nil {
		return err
	}
	root.SetArgs(verbFirst(root, args))
	err = root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = asUsage(err)
	}
	return err
}

// finish prints what went wrong, if anything did, and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	if ferr := a.out.close(); err == nil {
		err = ferr
	}
	if err == nil {
		return exitOK
	}
	f := explain(ctx, err)
	a.out.failure(f)
	return f.code
}

func (a *app) rootCommand() (*cobra.Command, error) {
	root := &cobra.Command{
		Use:   "holdfast COMMAND [flags]",
		Short: "Back up disks, database dumps and file trees, encrypted and deduplicated",
		Long: `Holdfast backs up disks, database dumps and file trees into an encrypted,
deduplicating repository, and gets them back.

The repository and its key are given by flags or the environment (a flag wins):

  HOLDFAST_REPOSITORY        -r, --repo
  HOLDFAST_PASSWORD_FILE     -p, --password-file
  HOLDFAST_PASSWORD_COMMAND  --password-command
  HOLDFAST_PASSWORD          the password itself
  HOLDFAST_KEY_FILE          --key-file
  HOLDFAST_CACHE_DIR         --cache-dir

Flags may stand anywhere before "--". Exit codes: 0 done, 1 failed, 2 bad usage,
3 some source data could not be read, or a change map was found wrong, 10 no
repository there, 11 repository busy, 12 wrong password or key, 130 interrupted.`,
		Example: `  holdfast init -r /srv/backups --new-key-file ~/holdfast.key
  export HOLDFAST_REPOSITORY=/srv/backups HOLDFAST_KEY_FILE=~/holdfast.key
  holdfast backup /etc /home
  holdfast backup /dev/vg0/db-snapshot
  pg_dump mydb | holdfast backup --stdin --stdin-filename mydb.sql
  holdfast snapshots
  holdfast restore latest --target /tmp/restored`,
		SilenceErrors: true,

		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		Args:                  noVerb,
		RunE: func(*cobra.Command, []string) error {
			return usagef("no command was given: 'holdfast help' lists them")
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(notEmpty(cmd.Flags()), a.global.validate()); err != nil {
				return err
			}
			a.started = true
			a.out.configure(&a.global)
			return nil
		},
	}
	root.SetOut(io.Writer(a.out))
	root.SetErr(os.Stderr)
	a.global.register(root.PersistentFlags())
	root.AddCommand(
		a.initCommand(), a.backupCommand(), a.snapshotsCommand(), a.lsCommand(), a.findCommand(), a.diffCommand(), a.catCommand(),
		a.dumpCommand(), a.restoreCommand(), a.checkCommand(), a.statsCommand(), a.keyCommand(), a.tagCommand(), a.forgetCommand(), a.pruneCommand(), a.sessionsCommand(), a.repairCommand(),
		a.protectCommand(), a.unprotectCommand(), a.logCommand(), a.scrubCommand(), a.rewriteCommand(),
		a.versionCommand(),
	)
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	return root, completeRest(root)
}

// helpCommand prints the help of a verb, or of all.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Print help",
		Long:    "Print help on a command, or on all of them.",
		Example: "  holdfast help backup\n  holdfast help key add",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if cmd, rest, err := root.Find(args); err == nil && len(rest) == 0 {
				for _, sub := range cmd.Commands() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("unknown command %q: 'holdfast help' lists them", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

func noVerb(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown command %q: 'holdfast help' lists them", args[0])
	}
	return nil
}
