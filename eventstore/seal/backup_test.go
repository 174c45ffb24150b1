package seal

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// saved is a keyring with a sealed value, and its backup.
func saved(t *testing.T) (stream string, event uuid.UUID, sealed, backup []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := Create(dir)
	require.NoError(t, err)
	stream, event = "employee-1", uuid.New()
	sealed, err = k.Seal(stream, event, []byte(`{"name":{"$personal":{"subject":"`+uuid.NewString()+`","purpose":"person","value":"Ada"}}}`))
	require.NoError(t, err)
	var to bytes.Buffer
	files, err := Backup(dir, &to)
	require.NoError(t, err)
	require.Equal(t, 3, files, "the root key, the secrets and one subject")
	return stream, event, sealed, to.Bytes()
}

func TestRestoredKeysOpenWhatWasSealed(t *testing.T) {
	t.Parallel()
	stream, event, sealed, backup := saved(t)
	dir := filepath.Join(t.TempDir(), "keys")

	files, err := Restore(bytes.NewReader(backup), dir)

	require.NoError(t, err)
	require.Equal(t, 3, files)
	k, err := Open(dir)
	require.NoError(t, err)
	opened, err := k.Open(stream, event, sealed)
	require.NoError(t, err)
	require.Contains(t, string(opened), "Ada")
	info, err := os.Stat(filepath.Join(dir, rootFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// And they are not put over others
	_, err = Restore(bytes.NewReader(backup), dir)
	require.ErrorIs(t, err, ErrNotEmpty)
}

func TestABackupOfKeysThatIsNotWholeIsRefused(t *testing.T) {
	t.Parallel()
	_, _, _, backup := saved(t)
	altered := bytes.Clone(backup)
	at := bytes.Index(altered, []byte(`"key"`))
	require.Positive(t, at)
	altered[at+1] ^= 1
	var foreign bytes.Buffer
	archive := tar.NewWriter(&foreign)
	require.NoError(t, pack(archive, "../../passwd", []byte("x")))
	require.NoError(t, archive.Close())
	cases := map[string][]byte{"nothing": nil, "no archive": []byte("hello"), "altered": altered, "a strange name": foreign.Bytes()}
	for cut := 100; cut < len(backup)-2*512; cut += 700 { // an archive ends with two empty blocks
		cases["cut off at "+string(rune('a'+cut/700))] = backup[:cut]
	}
	for name, content := range cases {
		dir := filepath.Join(t.TempDir(), "keys")
		_, err := Restore(bytes.NewReader(content), dir)
		require.ErrorIs(t, err, ErrNoBackup, name)
		require.NoDirExists(t, dir, name)
		require.NoDirExists(t, dir+restoredDir, name)
	}
}
