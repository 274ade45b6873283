package main

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/s3server"
)

// noRaceWait lets commands under the race detector end without the second that they wait otherwise.
const noRaceWait = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs the scripts of all verbs. Each has a repository at repo, not yet made, a key file at key, and a cache of its own.
func TestScripts(t *testing.T) {
	server, err := s3server.Start("../../.tools")
	if err == nil {
		t.Cleanup(func() { require.NoError(t, server.Stop()) })
	} else {
		require.ErrorIs(t, err, s3server.ErrNotInstalled)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for name, path := range map[string]string{"REPOSITORY": "repo", "KEY_FILE": "key", "CACHE_DIR": "cache"} {
				env.Setenv("HOLDFAST_"+name, filepath.Join(env.WorkDir, path))
			}
			env.Setenv("HOME", env.WorkDir)
			if server != nil {
				env.Setenv("S3_BUCKET", "s3:"+server.URL+"/"+strings.ToLower(crand.Text()))
				env.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKey)
				env.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretKey)
			}
			env.Setenv("GORACE", noRaceWait)
			text, _ := crypto.NewKeyFile()
			return os.WriteFile(filepath.Join(env.WorkDir, "key"), text, 0o600)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "s3":
				return server != nil, nil
			case "loop":
				return loopDevices(), nil
			case "fuse":
				_, err := os.Stat("/dev/fuse")
				return os.Geteuid() == 0 && err == nil, nil
			case "tmpfs":
				return os.Geteuid() == 0 && runtime.GOOS == "linux" && exec.Command("unshare", "--mount", "true").Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "last": cmdLast, "random": cmdRandom, "sparse": cmdSparse, "damage": cmdDamage, "identity": cmdIdentity, "settle": cmdSettle, "loop": cmdLoop, "tmpfs": cmdTmpfs,
		},
	})
}

// cmdCode runs a command and fails unless it ends with that exit code. If that is not 0, standard error must end with exactly
// one line that says why; what went before it are errors and notes of single paths.
//
//	code 1 holdfast snapshots
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command args")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	stderr := ts.ReadFile("stderr")
	if got != want {
		ts.Fatalf("exit code %d, want %d; standard error:\n%s", got, want, stderr)
	}
	if want == 0 || slices.Contains(args, "--json") {
		return
	}
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	for i, line := range lines {
		early := strings.HasPrefix(line, "holdfast: error: ") || strings.HasPrefix(line, "holdfast: note: ")
		if !strings.HasPrefix(line, "holdfast: ") || early != (i < len(lines)-1) {
			ts.Fatalf("standard error is not one clear line:\n%s", stderr)
		}
	}
}

// cmdRandom writes a file of random bytes that look the same each time.
//
//	random NAME SIZE SEED
func cmdRandom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: random NAME SIZE SEED")
	}
	size, err := parseSize(args[1])
	ts.Check(err)
	seed, err := strconv.ParseUint(args[2], 10, 64)
	ts.Check(err)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), seed))).Read(b)
	name := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(name), 0o777))
	ts.Check(os.WriteFile(name, b, 0o666))
}

// cmdSparse writes a file of a size with one random MiB at an offset, and holes around it.
//
//	sparse NAME SIZE OFFSET
func cmdSparse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: sparse NAME SIZE OFFSET")
	}
	size, err := parseSize(args[1])
	ts.Check(err)
	off, err := parseSize(args[2])
	ts.Check(err)
	cmdRandom(ts, false, []string{args[0], "1M", "1"})
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	f, err := os.Create(name)
	ts.Check(err)
	defer f.Close()
	ts.Check(f.Truncate(size))
	_, err = f.WriteAt(b, off)
	ts.Check(err)
}

// cmdSettle waits until files made before are old enough to be taken for unchanged later.
func cmdSettle(*testscript.TestScript, bool, []string) { time.Sleep(2100 * time.Millisecond) }

// cmdIdentity makes the two files of a recipient.
//
//	identity PRIVATE PUBLIC
func cmdIdentity(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: identity PRIVATE PUBLIC")
	}
	text, id, err := crypto.NewIdentity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), id.Recipient().Text(), 0o644))
}

// cmdDamage harms files, the objects of a repository: it flips one bit of each, cuts each in half, empties or removes them, or
// swaps the first two.
//
//	damage flip|cut|empty|remove|swap PATTERN
func cmdDamage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage HOW PATTERN")
	}
	names, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("nothing matches %s", args[1])
	}
	if args[0] == "swap" {
		if len(names) < 2 {
			ts.Fatalf("%s matches one file", args[1])
		}
		ts.Check(os.Rename(names[0], names[0]+".x"))
		ts.Check(os.Rename(names[1], names[0]))
		ts.Check(os.Rename(names[0]+".x", names[1]))
		return
	}
	for _, name := range names {
		ts.Check(damage(args[0], name))
	}
}

func damage(how, name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	switch how {
	case "flip":
		b[len(b)/2] ^= 4
	case "cut":
		b = b[:len(b)/2]
	case "empty":
		b = nil
	case "remove":
		return os.Remove(name)
	default:
		return fmt.Errorf("unknown damage %q", how)
	}
	return os.WriteFile(name, b, 0o600)
}

// loopDevices reports whether files can be made block devices here.
func loopDevices() bool {
	return os.Geteuid() == 0 && exec.Command("losetup", "--find").Run() == nil
}

// cmdLoop makes a file a block device for the time of the script, and writes the device's path to another file.
//
//	loop FILE NAME
func cmdLoop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: loop FILE NAME")
	}
	out, err := exec.Command("losetup", "--find", "--show", ts.MkAbs(args[0])).Output()
	ts.Check(err)
	dev := strings.TrimSpace(string(out))
	ts.Defer(func() { _ = exec.Command("losetup", "--detach", dev).Run() })
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(dev), 0o600))
}

// cmdTmpfs mounts a small file system on a new folder for the time of the script, or makes one that was mounted read-only.
//
//	tmpfs FOLDER SIZE|ro
func cmdTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs FOLDER SIZE|ro")
	}
	dir := ts.MkAbs(args[0])
	if args[1] == "ro" {
		if err := exec.Command("mount", "-o", "remount,ro", dir).Run(); err != nil {
			ts.Fatalf("making a file system read-only: %v", err)
		}
		return
	}
	ts.Check(os.Mkdir(dir, 0o700))
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1], "tmpfs", dir).Run(); err != nil {
		ts.Fatalf("mounting a small file system: %v", err)
	}
	ts.Defer(func() { _ = exec.Command("umount", dir).Run() })
}
