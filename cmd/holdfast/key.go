package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage the keys that open the repository",
		Long: `Manage the key slots: each lets one password, key file, recipient or recovery key
into the repository, in one role:

  admin      everything, and changing keys
  writer     backing up; it cannot read what was backed up
  reader     reading
  collector  verifying and collecting; it sees ids and sizes only`,
		Example: `  holdfast key list
  holdfast key add --role writer --new-key-file /root/writer.key
  holdfast key add --recovery`,
		Args: noVerb,
		RunE: func(*cobra.Command, []string) error {
			return usagef("key needs a command: add, list, passwd, remove or test")
		},
	}
	cmd.AddCommand(a.keyListCommand(), a.keyAddCommand(), a.keyPasswdCommand(), a.keyRemoveCommand(), a.keyTestCommand())
	return cmd
}

// newKeyFlags say what shall open a slot.
type newKeyFlags struct {
	passwordFile string
	keyFile      string
	recovery     bool
	recipient    string
	label        string
}

func (f *newKeyFlags) register(s *pflag.FlagSet) {
	s.StringVar(&f.passwordFile, "new-password-file", "", "read the new password from a `file`")
	s.StringVar(&f.keyFile, "new-key-file", "", "make a key `file`, which must not exist")
	s.BoolVar(&f.recovery, "recovery", false, "make a recovery key, and print it, once, to be kept on paper")
	s.StringVar(&f.recipient, "recipient", "", "let in whoever has the private key of this `recipient`: its text, or a file with it")
	s.StringVar(&f.label, "label", "", "`name` of the key, for people")
}

func (f *newKeyFlags) validate() error {
	recovery := ""
	if f.recovery {
		recovery = "yes"
	}
	if err := exclusive([]string{"--new-password-file", "--new-key-file", "--recovery", "--recipient"},
		[]string{f.passwordFile, f.keyFile, recovery, f.recipient}); err != nil {
		return err
	}
	if f.keyFile != "" {
		if _, err := os.Lstat(f.keyFile); err == nil {
			return fmt.Errorf("--new-key-file %s: it exists already, and is not overwritten", f.keyFile)
		}
	}
	return nil
}

// newKey is what shall open a slot, and what its owner must be given.
type newKey struct {
	sealer   crypto.Sealer
	recovery string // to be printed
}

// make returns the sealer. A key file is on disk before any slot needs it.
func (f *newKeyFlags) make(ctx context.Context, a *app) (newKey, error) {
	switch {
	case f.keyFile != "":
		text, k := crypto.NewKeyFile()
		return newKey{sealer: k}, writeNewFile(f.keyFile, text)
	case f.recovery:
		text, k := crypto.NewRecovery()
		return newKey{sealer: k, recovery: text}, nil
	case f.recipient != "":
		r, err := parseRecipient(f.recipient)
		return newKey{sealer: r}, err
	}
	pw, err := a.password(ctx, secret{passwordFile: f.passwordFile}, true)
	if err != nil {
		return newKey{}, advise(err, "--new-password-file FILE, --new-key-file FILE, --recipient or --recovery")
	}
	return newKey{sealer: crypto.Passphrase(pw)}, nil
}

// undo removes a key file that opens nothing.
func (f *newKeyFlags) undo(err error) error {
	if err != nil && f.keyFile != "" {
		return errors.Join(err, os.Remove(f.keyFile))
	}
	return err
}

// parseRecipient reads a recipient, or a file that holds one.
func parseRecipient(s string) (*crypto.Recipient, error) {
	r, err := crypto.ParseRecipient(s)
	if err == nil {
		return r, nil
	}
	if _, serr := os.Stat(s); serr != nil {
		return nil, usagef("--recipient: it is neither a file nor a recipient: %w", err)
	}
	text, rerr := readSecret(s, "recipient")
	if rerr != nil {
		return nil, rerr
	}
	if r, err = crypto.ParseRecipient(text); err != nil {
		return nil, fmt.Errorf("recipient file %s: %w", s, err)
	}
	return r, nil
}

func (a *app) keyAddCommand() *cobra.Command {
	var f newKeyFlags
	var role string
	cmd := &cobra.Command{
		Use:   "add [flags]",
		Short: "Add a key in a role",
		Long: `Add a key slot for another password (asked for, unless a flag says otherwise), key file,
recipient or recovery key. Only an administrator's key can.`,
		Example: `  holdfast key add --role reader --new-password-file /root/reader-password
  holdfast key add --role writer --new-key-file /root/writer.key --label "backup job"
  holdfast key add --recovery`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runKeyAdd(cmd.Context(), &f, role) },
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&role, "role", "admin", "`what` the key may do: admin, writer, reader or collector")
	return cmd
}

func (a *app) runKeyAdd(ctx context.Context, f *newKeyFlags, roleName string) (err error) {
	role, err := crypto.ParseRole(roleName)
	if err != nil {
		return usagef("--role %q: it is admin, writer, reader or collector", roleName)
	}
	if err := f.validate(); err != nil {
		return err
	}
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	if r.Role() != crypto.Admin {
		return fmt.Errorf("%w: only an admin's key can add keys, this one is a %s's", repo.ErrNotAllowed, r.Role())
	}
	k, err := f.make(ctx, a)
	if err != nil {
		return err
	}
	info, err := r.AddKey(ctx, role, f.label, k.sealer)
	if err != nil {
		return f.undo(err)
	}
	a.printNewKey("key_added", "added", info, k)
	return nil
}

func (a *app) printNewKey(messageType, verb string, info crypto.SlotInfo, k newKey) {
	if a.out.json {
		a.out.object(struct {
			Type     string `json:"message_type"`
			ID       string `json:"id"`
			Role     string `json:"role"`
			Kind     string `json:"kind"`
			Recovery string `json:"recovery_key,omitempty"`
		}{messageType, info.ID.String(), info.Role.String(), kindText(info.Kind), k.recovery})
		return
	}
	a.out.infof("%s key %s (%s, %s)\n", verb, info.ID, info.Role, kindText(info.Kind))
	if k.recovery != "" {
		a.out.infof("write this recovery key down; it is not shown again, and opens the repository wherever a password is asked for:\n\n")
		a.out.printf("%s\n", k.recovery)
	}
}

func (a *app) keyPasswdCommand() *cobra.Command {
	var f newKeyFlags
	cmd := &cobra.Command{
		Use:   "passwd [flags]",
		Short: "Change the password or key in use",
		Long: `Replace the password, or key, that the repository was opened with by another one. Role
and data stay as they are. The old one opens nothing any more.`,
		Example: `  holdfast key passwd
  holdfast key passwd --key-file old.key --new-key-file new.key`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runKeyPasswd(cmd.Context(), &f, cmd.Flags().Changed("label"))
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func (a *app) runKeyPasswd(ctx context.Context, f *newKeyFlags, relabel bool) (err error) {
	if err := f.validate(); err != nil {
		return err
	}
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	current, err := currentKey(ctx, r)
	if err != nil {
		return err
	}
	if !relabel {
		f.label = current.Label
	}
	k, err := f.make(ctx, a)
	if err != nil {
		return err
	}
	info, err := r.ChangeCredential(ctx, f.label, k.sealer)
	if err != nil {
		return err // the new key file stays: its slot may be there
	}
	a.printNewKey("key_changed", "changed to", info, k)
	return nil
}

func currentKey(ctx context.Context, r *openRepo) (repo.KeySlot, error) {
	keys, err := r.Keys(ctx)
	if err != nil {
		return repo.KeySlot{}, err
	}
	for _, k := range keys {
		if k.Current {
			return k, nil
		}
	}
	return repo.KeySlot{}, fmt.Errorf("the key slot in use: %w", repo.ErrNotFound)
}

// keyJSON is a key slot as `key list --json` prints it; `key test --json` gives it a type.
type keyJSON struct {
	Type     string    `json:"message_type,omitempty"`
	Current  bool      `json:"current"`
	ID       string    `json:"id,omitempty"`
	Role     string    `json:"role,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Label    string    `json:"label,omitempty"`
	Created  *jsonTime `json:"created,omitempty"`
	Actor    string    `json:"actor,omitempty"`
	Admitted bool      `json:"admitted"`
	Lost     bool      `json:"lost,omitempty"`
	Error    string    `json:"error,omitempty"`
}

func newKeyJSON(k *repo.KeySlot) keyJSON {
	if k.Err != nil {
		return keyJSON{Error: oneLine(k.Err.Error())}
	}
	j := keyJSON{
		Current: k.Current, ID: k.ID.String(), Role: k.Role.String(), Label: jsonName(k.Label),
		Actor: k.Actor.ID().String(), Admitted: k.Admitted, Lost: k.Lost,
	}
	if !k.Lost {
		created := jsonTime(k.Created)
		j.Kind, j.Created = k.Kind.String(), &created
	}
	return j
}

// kindText names the kind of a slot; the ledger, which is all that is left of a lost one, does not tell it.
func kindText(k crypto.SlotKind) string {
	if k == 0 {
		return "lost"
	}
	return k.String()
}

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys",
		Long:    "List the key slots. The one in use is marked with a star; one that was removed, never admitted or lost opens nothing.",
		Example: "  holdfast key list",
		Args:    between(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runKeyList(cmd.Context()) },
	}
}

func (a *app) runKeyList(ctx context.Context) (err error) {
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	if a.out.json {
		arr := &array{o: a.out}
		for i := range keys {
			arr.add(newKeyJSON(&keys[i]))
		}
		arr.end()
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, " ID\tRole\tKind\tCreated\tLabel")
	for i := range keys {
		printKey(w, &keys[i])
	}
	return w.Flush()
}

func printKey(w *tabwriter.Writer, k *repo.KeySlot) {
	if k.Err != nil {
		fmt.Fprintf(w, " damaged\t\t\t\t%s\n", oneLine(k.Err.Error()))
		return
	}
	if k.Lost {
		fmt.Fprintf(w, " %s\t%s\tlost\t\t%s\n", k.ID, k.Role, printable(k.Label))
		return
	}
	mark, label := " ", printable(k.Label)
	if k.Current {
		mark = "*"
	}
	if !k.Admitted {
		label += " (not admitted)"
	}
	fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", mark, k.ID, k.Role, k.Kind, localTime(k.Created), label)
}

func (a *app) keyRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a key",
		Long: `Remove a key slot: what opened it opens nothing any more. Whoever has opened it before
may have kept a copy of the keys inside.`,
		Example: "  holdfast key remove 5c9a",
		Args:    between(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runKeyRemove(cmd.Context(), args[0]) },
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) == 0 {
			names = a.suggest(cmd.Context(), keyNames)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (a *app) runKeyRemove(ctx context.Context, id string) (err error) {
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	k, err := r.FindKey(ctx, id)
	if err != nil {
		return err
	}
	if err := r.RemoveKey(ctx, k.ID); err != nil {
		return err
	}
	a.printNewKey("key_removed", "removed", k.SlotInfo, newKey{})
	return nil
}

func (a *app) keyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Try a key, and say what it is",
		Long: `Open the repository with the password, key file or recovery key given, and say which key
that is and what it may do. Exit code 12 says that it opens nothing.`,
		Example: `  holdfast key test
  holdfast key test --key-file /mnt/usb/holdfast.key`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runKeyTest(cmd.Context()) },
	}
}

func (a *app) runKeyTest(ctx context.Context) (err error) {
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	k, err := currentKey(ctx, r)
	if err != nil {
		return err
	}
	if a.out.json {
		j := newKeyJSON(&k)
		j.Type = "key"
		a.out.object(j)
		return nil
	}
	a.out.printf("key %s opens the repository: %s, %s", k.ID, k.Role, k.Kind)
	if k.Label != "" {
		a.out.printf(", %q", k.Label)
	}
	a.out.printf("\n")
	return nil
}
