package specreader

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// memory returns the frozen repository as a file system whose files can be changed.
func memory(t testing.TB) fstest.MapFS {
	files := fstest.MapFS{}
	store := os.DirFS(frozen)
	require.NoError(t, fs.WalkDir(store, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(store, name)
		files[name] = &fstest.MapFile{Data: b}
		return err
	}))
	return files
}

// flipped returns b with one bit of byte i changed.
func flipped(b []byte, i int) []byte {
	c := bytes.Clone(b)
	c[i] ^= 1 << (i % 8)
	return c
}

// failing returns the failure of f; anything else that f throws goes on.
func failing(f func()) (err error) {
	defer during(&err, "test")
	f()
	return nil
}

// step is from one byte that is flipped to the next.
const step = 7

// TestFlippedObjects damages packs, index files and slots at many places; some packs get the name that fits the damage.
func TestFlippedObjects(t *testing.T) {
	files := memory(t)
	r, err := OpenFS(files, Password("frozen"))
	require.NoError(t, err)
	packs := map[string]*pack{}
	for _, locations := range r.chunks {
		for _, l := range locations {
			packs[l.pack.String()] = l.pack
		}
	}
	for name, f := range files {
		b := f.Data
		for i := 0; i < len(b); i += step {
			bad := flipped(b, i)
			switch strings.SplitN(name, "/", 2)[0] {
			case "packs":
				p := packs[name]
				if p == nil {
					continue // of a session that was closed
				}
				require.Error(t, failing(func() { r.checkPack(bad, p) }), "%s at %d", name, i)
				if i%(step*37) == 0 {
					forged := *p
					forged.hash = hash(bad)
					require.Error(t, failing(func() { r.checkPack(bad, &forged) }), "%s at %d", name, i)
				}
			case "index":
				require.Error(t, failing(func() { r.parseIndex(bad) }), "%s at %d", name, i)
			case "keys":
				require.Error(t, failing(func() { parseSlot(bad) }), "%s at %d", name, i)
			}
		}
	}
}

func TestFlippedSlotsWithChecksums(t *testing.T) {
	files := memory(t)
	r, err := OpenFS(files, Credential{})
	require.NoError(t, err)
	for _, c := range wanted(t).Credentials {
		credential := c.parse(t)
		for name, f := range files {
			if !strings.HasPrefix(name, "keys/") || strings.HasSuffix(name, ".copy") {
				continue
			}
			body := f.Data[:len(f.Data)-32]
			good := parseSlot(f.Data)
			if good.open(&credential) == nil {
				continue
			}
			for i := 0; i < len(body); i += step {
				bad := flipped(body, i)
				sum := hash(bad)
				var k *keys
				err := failing(func() {
					s := parseSlot(append(bad, sum[:]...))
					if s.genesis == r.ledger.first && s.memory <= 64 && s.time <= 4 { // else it is slow
						k = s.open(&credential)
					}
				})
				require.Nil(t, k, "%s at %d: %v", name, i, err)
			}
		}
	}
}

func TestFlippedLedger(t *testing.T) {
	files := memory(t)
	for name, f := range files {
		if !strings.HasPrefix(name, "log/") {
			continue
		}
		good := f.Data
		for i := 0; i < len(good); i += 3 * step {
			f.Data = flipped(good, i)
			_, err := OpenFS(files, Credential{})
			require.Error(t, err, "%s at %d", name, i)
		}
		f.Data = good
	}
	_, err := OpenFS(files, Credential{})
	require.NoError(t, err)
}

// readWhole opens a repository and reads all of it. It returns an error, or fails the test if something wrong was read.
func readWhole(t *testing.T, store fs.FS, l *listing) error {
	r, err := OpenFS(store, Password("frozen"))
	if err != nil {
		return err
	}
	snapshots, err := r.Snapshots()
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		i := slices.IndexFunc(l.Snapshots, func(e expected) bool { return e.ID == s.ID.String() })
		require.GreaterOrEqual(t, i, 0)
		got, err := readAll(r, s)
		if err != nil {
			return err
		}
		require.True(t, reflect.DeepEqual(l.Snapshots[i].Entries, got), "another tree was read")
	}
	return nil
}

// TestDamagedRepository damages one object at a time in all kinds of ways, and reads everything.
func TestDamagedRepository(t *testing.T) {
	l, files := wanted(t), memory(t)
	require.NoError(t, readWhole(t, files, l))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	names := slices.Sorted(maps.Keys(files))
	rng.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	slices.SortStableFunc(names, func(a, b string) int { // first those whose damage is found soon
		return strings.Compare(fmt.Sprint(!needed(a)), fmt.Sprint(!needed(b)))
	})
	other := map[string]string{} // another object of the kind
	for i, name := range names {
		for _, n := range names[i+1:] {
			if strings.SplitN(n, "/", 2)[0] == strings.SplitN(name, "/", 2)[0] {
				other[name] = n
			}
		}
	}
	deadline, wrong := time.Now().Add(2*time.Second), 0
	for _, name := range names {
		good := files[name].Data
		ways := map[string]func(){
			"missing":   func() { delete(files, name) },
			"empty":     func() { files[name] = &fstest.MapFile{} },
			"truncated": func() { files[name] = &fstest.MapFile{Data: good[:rng.IntN(len(good))]} },
			"longer":    func() { files[name] = &fstest.MapFile{Data: append(bytes.Clone(good), 0)} },
			"flipped":   func() { files[name] = &fstest.MapFile{Data: flipped(good, rng.IntN(len(good)))} },
			"swapped":   func() { files[name] = files[other[name]] },
		}
		for way, damage := range ways {
			if way == "swapped" && other[name] == "" || time.Now().After(deadline) {
				continue
			}
			damage()
			err := readWhole(t, files, l)
			if err != nil {
				wrong++
			}
			if needed(name) && !(way == "missing" && isHead(files, name)) {
				require.Error(t, err, "%s %s", way, name)
			}
			files[name] = &fstest.MapFile{Data: good}
		}
	}
	require.NotZero(t, wrong)
	require.NoError(t, readWhole(t, files, l))
}

// needed says whether an object of that name is always read.
func needed(name string) bool {
	kind := strings.SplitN(name, "/", 2)[0]
	return kind == "log" || kind == "index" || kind == "snapshots"
}

// isHead reports whether name would be the next entry of the ledger: a chain cut off at its end is valid.
func isHead(files fstest.MapFS, name string) bool {
	var n uint64
	if _, err := fmt.Sscanf(path.Base(name), "%d", &n); err != nil || path.Dir(name) != "log" {
		return false
	}
	return files[entryKey(n+1)] == nil
}
