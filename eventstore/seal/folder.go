package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// The files of a keyring beside those of the subjects.
const (
	rootFile    = "root.key"
	secretsFile = "secrets.key"
	lockFile    = "lock"

	keySuffix    = ".key"
	doomedSuffix = ".doomed" // an old file that is being overwritten
	newSuffix    = ".new"    // a file that is not complete yet
)

// A folder is where a keyring lives. Its methods that write want the lock.
type folder struct{ dir string }

func (f folder) path(name string) string              { return filepath.Join(f.dir, name) }
func (f folder) subjectPath(subject uuid.UUID) string { return f.path(subject.String() + keySuffix) }

// lock holds the folder against all others, in this process too.
func (f folder) lock() (unlock func(), err error) { return f.flock(unix.LOCK_EX) }

// share holds it against those who change it.
func (f folder) share() (unlock func(), err error) { return f.flock(unix.LOCK_SH) }

func (f folder) flock(how int) (unlock func(), err error) {
	if err := private(f.dir); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the keys: %w", err)
	}
	if err := retryInterrupted(func() error { return unix.Flock(int(file.Fd()), how) }); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock the keys: %w", err)
	}
	return func() { _ = file.Close() }, nil // closing lets go
}

func retryInterrupted(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// private refuses what others than the owner can read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others: run chmod go-rwx on it", path)
	}
	return nil
}

// found makes the root key and the secrets of a new keyring. A folder that has
// subjects but no root key is not new: its root key was lost.
func (f folder) found(random io.Reader) error {
	for _, name := range []string{secretsFile, rootFile} { // the root last: with it the keyring is complete
		if _, err := os.Stat(f.path(name)); err == nil {
			continue
		}
		subjects, err := filepath.Glob(f.path("????????-*" + keySuffix))
		if err != nil || len(subjects) > 0 {
			return fmt.Errorf("%s is missing in a folder that holds keys: restore it from the backup of the keys", name)
		}
		secret := make([]byte, 32)
		if _, err := io.ReadFull(random, secret); err != nil {
			return err
		}
		if err := f.replace(f.path(name), []byte(base64.StdEncoding.EncodeToString(secret)+"\n")); err != nil {
			return err
		}
	}
	return nil
}

// readKey reads the root key or the secrets: 32 bytes in base64.
func (f folder) readKey(name string) ([]byte, error) {
	if err := private(f.path(name)); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("%s is damaged: restore it from the backup of the keys", name)
	}
	return secret, nil
}

// extend adds lines to the file at path, whose whole lines take up size bytes;
// what stands behind them was cut off by a crash.
func (f folder) extend(path string, size int, lines []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = file.Truncate(int64(size))
	if err == nil {
		_, err = file.WriteAt(lines, int64(size))
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil || size > 0 {
		return err
	}
	return f.sync() // the file is new
}

// replace stores content at path, durably and whole or not at all, and leaves
// nothing readable of what was there: the old file is overwritten.
func (f folder) replace(path string, content []byte) error {
	if err := writeSynced(path+newSuffix, content, os.O_CREATE|os.O_TRUNC); err != nil {
		return err
	}
	doomed := path + doomedSuffix
	if err := f.finishDestruction(doomed); err != nil { // of a process that died since this one opened
		return err
	}
	err := os.Link(path, doomed)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	replaces := err == nil
	if replaces {
		if err := f.sync(); err != nil { // before the old file loses its other name
			return err
		}
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return err
	}
	if err := f.sync(); err != nil || !replaces {
		return err
	}
	return f.overwrite(doomed)
}

// overwrite makes a file's content unreadable and removes it.
func (f folder) overwrite(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := writeSynced(path, make([]byte, info.Size()), 0); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return f.sync()
}

// finishDestructions completes what a crash interrupted.
func (f folder) finishDestructions() error {
	halfWritten, _ := filepath.Glob(f.path("*" + newSuffix)) // the pattern is well-formed
	for _, path := range halfWritten {
		if err := f.overwrite(path); err != nil {
			return err
		}
	}
	doomed, _ := filepath.Glob(f.path("*" + doomedSuffix))
	for _, path := range doomed {
		if err := f.finishDestruction(path); err != nil {
			return err
		}
	}
	return nil
}

// finishDestruction must not overwrite a file that is still in use under its
// own name: then the crash came before the new content took its place.
func (f folder) finishDestruction(doomed string) error {
	old, err := os.Stat(doomed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	live, err := os.Stat(strings.TrimSuffix(doomed, doomedSuffix))
	if err == nil && os.SameFile(old, live) {
		return os.Remove(doomed)
	}
	return f.overwrite(doomed)
}

func writeSynced(path string, content []byte, flags int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|flags, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// sync makes the folder's names durable.
func (f folder) sync() error {
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
