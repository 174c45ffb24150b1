package seal

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestGivenNoKeyringWhenOpenedThenItDoesNotExist(t *testing.T) {
	t.Parallel()
	_, err := Open(filepath.Join(t.TempDir(), "keys"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.Mkdir(empty, 0o700))
	_, err = Open(empty)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestGivenKeysWhenOpenedAgainThenTheyOpenAndNothingIsMadeAnew(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	for _, again := range []func(string) (*Keyring, error){Open, Create} {
		other, err := again(k.folder.dir)
		require.NoError(t, err)
		opened, err := other.Open(stream, fact, stored)
		require.NoError(t, err)
		require.Equal(t, string(hired()), string(opened))
		require.Equal(t, k.Secret("request"), other.Secret("request"))
		require.Equal(t, k.MAC("employee_no", "E-1"), other.MAC("employee_no", "E-1"))
	}
}

func TestSecretsAndMACsDifferByName(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	require.Len(t, k.Secret("a"), 32)
	require.NotEqual(t, k.Secret("a"), k.Secret("b"))
	require.NotEqual(t, k.MAC("a", "x"), k.MAC("b", "x"))
	require.NotEqual(t, k.MAC("a", "x"), k.MAC("a", "y"))
	require.NotEqual(t, k.Secret("a"), newKeyring(t).Secret("a"))
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	_ = mustSeal(t, k, hired())
	files, err := filepath.Glob(filepath.Join(k.folder.dir, "*"))
	require.NoError(t, err)
	require.Len(t, files, 4, "root, secrets, lock and one subject")
	for _, file := range files {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), file)
	}

	require.NoError(t, os.Chmod(k.folder.path(rootFile), 0o640))
	_, err = Open(k.folder.dir)
	require.ErrorContains(t, err, "chmod go-rwx")
	require.NoError(t, os.Chmod(k.folder.dir, 0o755))
	_, err = Create(k.folder.dir)
	require.ErrorContains(t, err, "chmod go-rwx")
}

func TestALostRootKeyIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	_ = mustSeal(t, k, hired())
	require.NoError(t, os.Remove(k.folder.path(rootFile)))
	_, err := Create(k.folder.dir)
	require.ErrorContains(t, err, "restore it")
}

func TestALostOrForeignKeyIsAnErrorAndNotAnErasure(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	file := k.folder.subjectPath(ann)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	open := func() error {
		fresh, err := Open(k.folder.dir)
		require.NoError(t, err)
		_, err = fresh.Open(stream, fact, stored)
		return err
	}

	require.NoError(t, os.Remove(file))
	require.ErrorIs(t, open(), ErrKeyMissing)
	require.NoError(t, os.WriteFile(file, content[:len(content)/2], 0o600))
	require.ErrorIs(t, open(), ErrKeyMissing)
	require.NoError(t, os.WriteFile(file, bytes.Replace(content, []byte("nonce"), []byte("nance"), 1), 0o600))
	require.ErrorContains(t, open(), "root key")
	require.NoError(t, os.WriteFile(file, content[5:], 0o600))
	require.ErrorContains(t, open(), "damaged")
	other := newKeyring(t)
	require.NoError(t, os.WriteFile(other.folder.subjectPath(ann), content, 0o600))
	_, err = other.Open(stream, fact, stored)
	require.ErrorContains(t, err, "root key")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	require.NoError(t, open())
}

func TestADestroyedKeyIsNowhereOnDisk(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	_ = mustSeal(t, k, hired())
	s, err := k.load(ann)
	require.NoError(t, err)
	wrapped := s.entries[slices.IndexFunc(s.entries, func(e entry) bool { return e.Purpose == "contact" })]
	old, err := os.Open(k.folder.subjectPath(ann)) // keeps the old file for us to look into
	require.NoError(t, err)
	defer old.Close()

	require.NoError(t, k.Destroy(ann, "contact"))
	left := make([]byte, 4096)
	n, err := old.ReadAt(left, 0)
	require.Error(t, err, "the whole file was read")
	require.Positive(t, n)
	require.Empty(t, strings.Trim(string(left[:n]), "\x00"), "the old file was overwritten")
	entries, err := os.ReadDir(k.folder.dir)
	require.NoError(t, err)
	require.Len(t, entries, 4)
	content, err := os.ReadFile(k.folder.subjectPath(ann))
	require.NoError(t, err)
	require.Contains(t, string(content), wrapped.Key.String(), "remembered as destroyed")
	require.NotContains(t, string(content), base64.StdEncoding.EncodeToString(wrapped.Wrapped))
}

func TestOtherProcessesForgetADestroyedKeyWithinAMinute(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	other, err := Open(k.folder.dir)
	require.NoError(t, err)
	clock := time.Now()
	other.now = func() time.Time { return clock }
	_, err = other.Open(stream, fact, stored)
	require.NoError(t, err)

	require.NoError(t, k.Destroy(ann, "contact"))
	clock = clock.Add(cacheFor)
	opened, err := other.Open(stream, fact, stored)
	require.NoError(t, err)
	require.Contains(t, string(opened), `"erased":true`)
}

func TestAKeyIsNotUsedBeforeItsMakerHasSyncedIt(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	unlock, err := k.folder.lock() // as its maker does, until the sync is done
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { _, err := k.subject(ann); done <- err }()
	select {
	case <-done:
		require.Fail(t, "the keys were read")
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	require.NoError(t, <-done)
}

func TestManyProcessesMakeOneKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	const processes = 8
	keyrings, sealedBy := make([]*Keyring, processes), make([][]byte, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			k, err := Create(dir)
			if err != nil {
				return
			}
			keyrings[i] = k
			for range 4 {
				sealedBy[i], _ = k.Seal(stream, fact, hired())
			}
		})
	}
	all.Wait()
	for i := range processes {
		require.NotNil(t, keyrings[i])
		for _, stored := range sealedBy {
			opened, err := keyrings[i].Open(stream, fact, stored)
			require.NoError(t, err)
			require.Equal(t, string(hired()), string(opened))
		}
	}
}

func TestACrashInTheMiddleOfADestructionIsFinished(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	file := k.folder.subjectPath(ann)

	t.Run("before the new file took its place nothing is lost", func(t *testing.T) {
		require.NoError(t, os.Link(file, file+doomedSuffix))
		require.NoError(t, os.WriteFile(file+newSuffix, []byte("half"), 0o600))
		again, err := Open(k.folder.dir)
		require.NoError(t, err)
		opened, err := again.Open(stream, fact, stored)
		require.NoError(t, err)
		require.Equal(t, string(hired()), string(opened))
	})
	t.Run("after it the old one is overwritten", func(t *testing.T) {
		require.NoError(t, os.WriteFile(file+doomedSuffix, []byte("old keys"), 0o600))
		old, err := os.Open(file + doomedSuffix)
		require.NoError(t, err)
		defer old.Close()
		require.NoError(t, k.Destroy(ann, "contact"), "another process goes on without reopening")
		left := make([]byte, 8)
		_, err = old.ReadAt(left, 0)
		require.NoError(t, err)
		require.Equal(t, make([]byte, 8), left)
	})
	entries, err := os.ReadDir(k.folder.dir)
	require.NoError(t, err)
	require.Len(t, entries, 4)
}

func TestDestroyingNothingChangesNothing(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	require.Error(t, k.Destroy(ann))
	require.NoError(t, k.Destroy(uuid.New(), "contact"))
	entries, err := os.ReadDir(k.folder.dir)
	require.NoError(t, err)
	require.Len(t, entries, 3)
}

func TestTheKeyFileIsAsItEverWas(t *testing.T) {
	t.Parallel()
	root, err := newKey(uuid.Nil, make([]byte, 32))
	require.NoError(t, err)
	s, err := parseSubject(root, ann, nil)
	require.NoError(t, err)
	_, err = s.add(root, new(counting), "identity", "contact", "bank", "contact")
	require.NoError(t, err)
	require.True(t, s.destroy("bank"))
	golden(t, "subject.golden", string(s.content()))

	again, err := parseSubject(root, ann, s.content())
	require.NoError(t, err)
	require.Equal(t, s.keys["identity"].secret, again.keys["identity"].secret)
	require.Equal(t, s.entries, again.entries)
	_, err = parseSubject(root, bob, s.content())
	require.ErrorContains(t, err, "root key", "another's file")
	_, err = parseSubject(root, ann, append(s.content(), s.content()...))
	require.ErrorContains(t, err, "damaged")
}

// TestTheDerivationsAreAsTheyEverWere pins what follows from the two secret files:
// requests, claims and keys must be known again for ever.
func TestTheDerivationsAreAsTheyEverWere(t *testing.T) {
	t.Parallel()
	f := folder{t.TempDir()}
	require.NoError(t, os.Chmod(f.dir, 0o700))
	require.NoError(t, f.found(new(counting)))
	k, err := open(f)
	require.NoError(t, err)
	k.random = new(counting)
	_, err = k.addKeys(ann, "identity")
	require.NoError(t, err)
	keys, err := os.ReadFile(f.subjectPath(ann))
	require.NoError(t, err)
	golden(t, "keyring.golden", fmt.Sprintf("request_mac %x\ntokens %x\nemployee_no E-1 %x\nreversal %x\n%s",
		k.Secret("request_mac"), k.Secret("tokens"), k.MAC("employee_no", "E-1"), k.MAC("reversal", ann.String()), keys))
}

// A crash while a key is added leaves a part of its line, under which nothing
// was sealed yet.
func TestAHalfWrittenKeyIsMadeAnew(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	whole, err := os.ReadFile(k.folder.subjectPath(ann))
	require.NoError(t, err)
	for _, tail := range []string{`{"key":"0198a000`, "\x00\x00\x00\x00", strings.Repeat("\x00", 512) + "\"}\n", strings.Repeat("x", 4096)} {
		require.NoError(t, os.WriteFile(k.folder.subjectPath(ann), append(bytes.Clone(whole), tail...), 0o600))
		again, err := Open(k.folder.dir)
		require.NoError(t, err)
		note := []byte(marked(ann, "note", `"left early"`))
		noted := mustSeal(t, again, note)
		for _, reader := range []*Keyring{again, k} {
			opened, err := reader.Open(stream, fact, noted)
			require.NoError(t, err)
			require.Equal(t, string(note), string(opened))
			opened, err = reader.Open(stream, fact, stored)
			require.NoError(t, err)
			require.Equal(t, string(hired()), string(opened))
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	for range cacheMax + 10 {
		k.keep(&subject{id: uuid.New()})
	}
	require.LessOrEqual(t, len(k.subjects), cacheMax)
}
