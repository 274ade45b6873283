package local_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
)

// helperVar makes the test binary act as another process that uses a store: "<what>" with the folder as argument.
const helperVar = "HOLDFAST_LOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	what := os.Getenv(helperVar)
	if what == "" {
		os.Exit(m.Run())
	}
	if err := help(what, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func help(what, dir string) error {
	s, err := local.Open(dir, nil)
	if err != nil {
		return err
	}
	switch what {
	case "hold":
		err = holdLock(s)
	case "race":
		err = raceForKeys(s)
	case "write":
		err = writeForever(s)
	}
	return errors.Join(err, s.Close())
}

func holdLock(s *local.Store) error {
	if _, err := s.TryLock(context.Background(), "collector"); err != nil {
		return err
	}
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

const raceKeys = 100

// raceForKeys creates all keys that nobody has, and prints those that it created.
func raceForKeys(s *local.Store) error {
	for i := range raceKeys {
		b := []byte(strconv.Itoa(os.Getpid()))
		err := backend.PutBytes(context.Background(), s, fmt.Sprintf("log/%d", i), b, &backend.PutOptions{IfAbsent: true})
		switch {
		case err == nil:
			fmt.Println(i)
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	}
	return nil
}

// writeForever stores objects and prints their keys once they are stored.
func writeForever(s *local.Store) error {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for w := range errs {
		wg.Go(func() {
			for i := 0; errs[w] == nil; i++ {
				key := fmt.Sprintf("packs/%d-%d/%d", w, i/20, i)
				errs[w] = backend.PutBytes(context.Background(), s, key, contentOf(key), &backend.PutOptions{IfAbsent: i%2 == 0})
				if errs[w] == nil {
					fmt.Println(key)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// contentOf returns the bytes that belong to key: up to 256 KiB, different for each.
func contentOf(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	n := 1 + int(sum[0])*32
	if sum[1]%8 == 0 {
		n += 1 << 15 // large enough to go past the page cache, with a tail that does not
	}
	return bytes.Repeat(sum[:], n)
}

func command(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, dir)
	cmd.Env = append(os.Environ(), helperVar+"="+what)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestLockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	cmd := command(t, "hold", dir)
	_, err := cmd.StdinPipe() // keeps the process waiting
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)

	_, err = s.TryLock(t.Context(), "collector")
	require.ErrorIs(t, err, backend.ErrLocked)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	lock, err := s.TryLock(t.Context(), "collector")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
}

func TestProcessesRace(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	outputs := make([]bytes.Buffer, 4)
	owner := map[string]string{}
	var cmds []*exec.Cmd
	for i := range outputs {
		cmd := command(t, "race", dir)
		cmd.Stdout = &outputs[i]
		require.NoError(t, cmd.Start())
		cmds = append(cmds, cmd)
	}
	for i, cmd := range cmds {
		require.NoError(t, cmd.Wait())
		for n := range strings.FieldsSeq(outputs[i].String()) {
			require.NotContains(t, owner, n, "two processes created one key")
			owner[n] = strconv.Itoa(cmd.Process.Pid)
		}
	}
	require.Len(t, owner, raceKeys)
	for n, pid := range owner {
		requireValue(t, s, "log/"+n, pid)
	}
}

// TestKilledWhileWriting kills a process in the middle of its Puts: what it stored is whole, and what it printed is
// there.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	cmd := command(t, "write", dir)
	var out bytes.Buffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	left, err := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	require.NoError(t, err)
	for _, path := range left {
		makeOld(t, path)
	}
	s := create(t, dir)
	requireEmptyFolder(t, filepath.Join(dir, "tmp"))
	printed := out.String()
	requireWholeObjects(t, s, strings.Fields(printed[:strings.LastIndexByte(printed, '\n')+1]))
}

// requireWholeObjects requires every object to have the bytes that belong to its key, and the stored ones to be there.
func requireWholeObjects(t *testing.T, s backend.Store, stored []string) {
	t.Helper()
	require.NotEmpty(t, stored)
	found := map[string]bool{}
	for info, err := range s.List(t.Context(), "") {
		require.NoError(t, err)
		b, err := backend.ReadAll(t.Context(), s, info.Key, 2<<20)
		require.NoError(t, err)
		require.True(t, bytes.Equal(contentOf(info.Key), b), "object %s is damaged", info.Key)
		found[info.Key] = true
	}
	for _, key := range stored {
		require.True(t, found[key], "object %s is gone", key)
	}
	t.Logf("%d objects stored, %d found", len(stored), len(found))
}
