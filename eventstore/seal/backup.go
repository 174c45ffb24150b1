package seal

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	sumsFile    = "SHA256SUMS" // written last: a backup without it was cut off
	keyFileMax  = 16 << 20
	restoredDir = ".restoring" // behind the folder's name, until all is there
)

// Errors of Restore.
var (
	ErrNoBackup = errors.New("no whole backup of keys")
	ErrNotEmpty = errors.New("there are keys already")
)

// keyFile is how the files of a keyring are named that a backup holds.
var keyFile = regexp.MustCompile(`^(root|secrets|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\.key$`)

// Backup writes the keyring in dir as a tar archive that ends with the SHA-256 of
// every file in it, and returns how many files those are. Other processes may go
// on using the keyring, but change it only afterwards. Whoever has the archive can
// open every value.
func Backup(dir string, to io.Writer) (files int, err error) {
	f := folder{dir}
	unlock, err := f.share()
	if err != nil {
		return 0, err
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("read the keys: %w", err)
	}
	archive, sums := tar.NewWriter(to), &strings.Builder{}
	for _, entry := range entries {
		if !keyFile.MatchString(entry.Name()) {
			continue
		}
		content, err := os.ReadFile(f.path(entry.Name()))
		if err != nil {
			return files, fmt.Errorf("read the keys: %w", err)
		}
		if err := pack(archive, entry.Name(), content); err != nil {
			return files, err
		}
		fmt.Fprintf(sums, "%s  %s\n", sumOf(content), entry.Name())
		files++
	}
	return files, errors.Join(pack(archive, sumsFile, []byte(sums.String())), archive.Close())
}

func pack(archive *tar.Writer, name string, content []byte) error {
	err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = archive.Write(content)
	}
	if err != nil {
		return fmt.Errorf("write the backup of the keys: %w", err)
	}
	return nil
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Restore makes the keyring in dir out of what Backup wrote, whole or not at all:
// ErrNoBackup for what is cut off or altered, ErrNotEmpty where there are keys.
// Keys that were destroyed after the backup are back, and must be destroyed again.
func Restore(from io.Reader, dir string) (files int, err error) {
	dir = filepath.Clean(dir)
	if there, err := os.ReadDir(dir); err == nil && slices.ContainsFunc(there, func(e fs.DirEntry) bool { return e.Name() != lockFile }) {
		return 0, fmt.Errorf("%w in %s", ErrNotEmpty, dir)
	}
	stage := dir + restoredDir
	if err := os.RemoveAll(stage); err != nil { // of a restore that was cut off
		return 0, err
	}
	if err := os.MkdirAll(stage, 0o700); err != nil {
		return 0, fmt.Errorf("make the folder of keys: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	if files, err = unpack(from, folder{stage}); err != nil {
		return 0, err
	}
	if _, err := open(folder{stage}); err != nil {
		return 0, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(stage, dir)); err != nil {
		return 0, fmt.Errorf("put the keys in their place: %w", err)
	}
	return files, folder{filepath.Dir(dir)}.sync()
}

// unpack writes the files of an archive whose sums are right.
func unpack(from io.Reader, to folder) (files int, err error) {
	sums := &strings.Builder{}
	for archive := tar.NewReader(from); ; files++ {
		header, err := archive.Next()
		if err != nil {
			return files, fmt.Errorf("%w: it is cut off, or none", ErrNoBackup)
		}
		content, err := io.ReadAll(io.LimitReader(archive, keyFileMax))
		switch {
		case err != nil || int64(len(content)) != header.Size:
			return files, fmt.Errorf("%w: %s is cut off", ErrNoBackup, header.Name)
		case header.Name == sumsFile && !bytes.Equal(content, []byte(sums.String())):
			return files, fmt.Errorf("%w: its files are not as they were saved", ErrNoBackup)
		case header.Name == sumsFile:
			return files, to.sync()
		case !keyFile.MatchString(header.Name):
			return files, fmt.Errorf("%w: %q is no file of a keyring", ErrNoBackup, header.Name)
		}
		fmt.Fprintf(sums, "%s  %s\n", sumOf(content), header.Name)
		if err := writeSynced(to.path(header.Name), content, os.O_CREATE|os.O_EXCL); err != nil {
			return files, fmt.Errorf("write the keys: %w", err)
		}
	}
}
