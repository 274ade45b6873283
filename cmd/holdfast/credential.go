package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// credentialFlags name where a password or key comes from; at most one is set.
type credentialFlags struct {
	passwordFile    string
	passwordCommand string
	keyFile         string
	none            bool // go without
}

// registerNoKey adds the flag of verbs that an auditor, who holds no key, can use.
func (f *credentialFlags) registerNoKey(s *pflag.FlagSet) {
	s.BoolVar(&f.none, "no-key", false, "do without a key, as an auditor: see what is not sealed")
}

// secret is where a password or key comes from. At most one field is set; none means the terminal.
type secret struct {
	password        string
	passwordFile    string
	passwordCommand string
	keyFile         string
}

// maxSecret is the size of the largest password or key file in bytes.
const maxSecret = 64 << 10

// exclusive fails if more than one of several sources is set.
func exclusive(names []string, values []string) error {
	var set []string
	for i, v := range values {
		if v != "" {
			set = append(set, names[i])
		}
	}
	if len(set) > 1 {
		return usagef("%s exclude each other: give one of them", strings.Join(set, " and "))
	}
	return nil
}

// secretFrom chooses between flags and the environment; a flag wins.
func (a *app) secretFrom(f credentialFlags) (secret, error) {
	flags := []string{f.passwordFile, f.passwordCommand, f.keyFile}
	if err := exclusive([]string{"--password-file", "--password-command", "--key-file"}, flags); err != nil {
		return secret{}, err
	}
	if strings.Join(flags, "") != "" {
		return secret{passwordFile: f.passwordFile, passwordCommand: f.passwordCommand, keyFile: f.keyFile}, nil
	}
	names := []string{"HOLDFAST_PASSWORD", "HOLDFAST_PASSWORD_FILE", "HOLDFAST_PASSWORD_COMMAND", "HOLDFAST_KEY_FILE"}
	values := make([]string, len(names))
	for i, n := range names {
		values[i] = a.getenv(n)
	}
	return secret{values[0], values[1], values[2], values[3]}, exclusive(names, values)
}

// credential returns what opens the repository; nil if that was asked for.
func (a *app) credential(ctx context.Context) (crypto.Credential, error) {
	if f := a.global.credential; f.none {
		return nil, exclusive([]string{"--no-key", "--password-file", "--password-command", "--key-file"}, []string{"yes", f.passwordFile, f.passwordCommand, f.keyFile})
	}
	s, err := a.secretFrom(a.global.credential)
	if err != nil {
		return nil, err
	}
	if s.keyFile != "" {
		return readKey(s.keyFile)
	}
	pw, err := a.password(ctx, s, false)
	if err != nil {
		return nil, advise(err, "-p FILE, --key-file FILE or HOLDFAST_PASSWORD_FILE")
	}
	r, err := crypto.ParseRecovery(pw)
	switch {
	case err == nil:
		return r, nil // its checksum makes a password that looks like one as good as impossible
	case recoveryForm.MatchString(pw):
		return nil, fmt.Errorf("%w: there is a mistake in the recovery key: %w", repo.ErrWrongCredential, err)
	}
	return crypto.Passphrase(pw), nil
}

// recoveryForm is what recovery keys look like, and new passwords must not.
var recoveryForm = regexp.MustCompile(`^[0-9A-Za-z]{5}([- ][0-9A-Za-z]{5}){11}$`)

// sealer returns what makes the first key slot of a new repository.
func (a *app) sealer(ctx context.Context) (crypto.Sealer, error) {
	s, err := a.secretFrom(a.global.credential)
	if err != nil {
		return nil, err
	}
	if s.keyFile != "" {
		text, err := readSecret(s.keyFile, "key file")
		if err != nil {
			return nil, err
		}
		k, err := crypto.ParseKeyFile(text)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", s.keyFile, err)
		}
		return k, nil
	}
	pw, err := a.password(ctx, s, true)
	if err != nil {
		return nil, advise(err, "-p FILE, --new-key-file FILE or HOLDFAST_PASSWORD_FILE")
	}
	return crypto.Passphrase(pw), nil
}

// readKey reads a key file, or the private key of a recipient.
func readKey(path string) (crypto.Credential, error) {
	text, err := readSecret(path, "key file")
	if err != nil {
		return nil, err
	}
	k, err := crypto.ParseKeyFile(text)
	if err == nil {
		return k, nil
	}
	if id, err := crypto.ParseIdentity(text); err == nil {
		return id, nil
	}
	return nil, fmt.Errorf("key file %s: %w", path, err)
}

func readSecret(path, what string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(b) > maxSecret {
		return nil, fmt.Errorf("%s %s: it is larger than %d KiB", what, path, maxSecret>>10)
	}
	return b, nil
}

// password returns the password that s leads to. A new one is asked for twice.
func (a *app) password(ctx context.Context, s secret, isNew bool) (string, error) {
	pw, from := s.password, "HOLDFAST_PASSWORD"
	switch {
	case s.password != "":
	case s.passwordFile != "":
		b, err := readSecret(s.passwordFile, "password file")
		if err != nil {
			return "", err
		}
		pw, from = cutNewline(b), "password file "+s.passwordFile
	case s.passwordCommand != "":
		b, err := a.runPasswordCommand(ctx, s.passwordCommand)
		if err != nil {
			return "", err
		}
		pw, from = cutNewline(b), "the password command"
	default:
		var err error
		if pw, err = a.prompt(ctx, isNew); err != nil {
			return "", err
		}
		from = "terminal"
	}
	if pw == "" {
		return "", fmt.Errorf("%s: the password is empty", from)
	}
	if _, err := crypto.ParseRecovery(pw); isNew && (err == nil || recoveryForm.MatchString(pw)) {
		// It would be taken for a recovery key, and open nothing.
		return "", fmt.Errorf("%s: that is a recovery key, which cannot be a password", from)
	}
	return pw, nil
}

func cutNewline(b []byte) string {
	s := strings.TrimSuffix(string(b), "\n")
	return strings.TrimSuffix(s, "\r")
}

func (a *app) runPasswordCommand(ctx context.Context, command string) ([]byte, error) {
	argv, err := splitCommand(command)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stderr = a.stdin, os.Stderr
	out := &capped{max: maxSecret}
	cmd.Stdout = out
	cmd.WaitDelay = time.Second // its children may outlive it
	err = cmd.Run()
	if out.full {
		err = fmt.Errorf("its output is larger than %d KiB", maxSecret>>10)
	}
	if err != nil {
		return nil, fmt.Errorf("password command %q: %w", argv[0], err)
	}
	return out.kept.Bytes(), nil
}

// capped keeps what is written to it, and fails when that gets too long: a command then finds its pipe closed.
type capped struct {
	kept bytes.Buffer // not embedded: its ReadFrom knows no bound
	max  int
	full bool
}

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	if c.kept.Len()+len(p) > c.max {
		c.full = true
		return 0, io.ErrShortWrite
	}
	return c.kept.Write(p)
}

// splitCommand splits a command at blanks; quotes and backslashes work as in a shell, nothing else does.
func splitCommand(s string) ([]string, error) {
	var argv []string
	var word strings.Builder
	var quote rune
	inWord, escaped := false, false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				argv = append(argv, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, usagef("command %q: a quote or backslash at its end is open", s)
	}
	if inWord {
		argv = append(argv, word.String())
	}
	if len(argv) == 0 {
		return nil, usagef("the password command is empty")
	}
	return argv, nil
}

var errNoTerminal = errors.New("no password was given, and there is no terminal to ask for one")

// advise adds what to use where no terminal can be asked.
func advise(err error, what string) error {
	if errors.Is(err, errNoTerminal) {
		return fmt.Errorf("%w: use %s", err, what)
	}
	return err
}

// terminal returns the terminal to ask at: standard input, or where a pipe takes its place, that of the session if it would be seen
// there. done closes it.
func (a *app) terminal() (t *os.File, done func(), err error) {
	if term.IsTerminal(int(a.stdin.Fd())) {
		return a.stdin, func() {}, nil
	}
	if !a.out.errTerm {
		return nil, nil, errNoTerminal
	}
	if t, err = os.OpenFile("/dev/tty", os.O_RDWR, 0); err != nil {
		return nil, nil, errNoTerminal
	}
	return t, func() { t.Close() }, nil
}

// prompt asks for a password on the terminal, twice for a new one.
func (a *app) prompt(ctx context.Context, isNew bool) (string, error) {
	t, done, err := a.terminal()
	if err != nil {
		return "", err
	}
	defer done()
	label := "Password: "
	if isNew {
		label = "New password: "
	}
	pw, err := ask(ctx, t, label)
	if err != nil || !isNew || pw == "" {
		return pw, err
	}
	again, err := ask(ctx, t, "The same again: ")
	if err == nil && again != pw {
		err = errors.New("the two passwords are not the same")
	}
	return pw, err
}

// ask reads a line from the terminal without showing it. It gives up, with the terminal as it was, when ctx ends.
func ask(ctx context.Context, t *os.File, label string) (string, error) {
	fd := int(t.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(os.Stderr, label)
	defer fmt.Fprintln(os.Stderr)
	type answer struct {
		pw  []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		pw, err := term.ReadPassword(fd)
		answers <- answer{pw, err}
	}()
	select {
	case got := <-answers:
		if got.err != nil {
			return "", fmt.Errorf("reading the password: %w", got.err)
		}
		return string(got.pw), nil
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}
