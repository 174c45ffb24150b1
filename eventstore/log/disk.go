package log

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// A disk is where a log keeps its files: the machine's, or in tests one in
// memory that loses what was never synced, or fails. Every access goes through it.
type disk interface {
	claim(dir string) (io.Closer, error) // makes the folder where there is none and holds it alone
	open(path string, flag int) (file, error)
	rename(from, to string) error
	remove(path string) error
	list(dir string) ([]string, error) // the files' names, sorted
	syncFolder(dir string) error       // makes what was created, renamed and removed there durable
}

// A file is one of a disk's.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	size() (int64, error)
	sync() error     // data and size
	syncData() error // enough when the size has not changed
}

// localDisk is the disk of the machine.
type localDisk struct{}

func (localDisk) claim(dir string) (io.Closer, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("log %s is in use by another process: stop that one, or choose another --dir: %w", dir, err), lock.Close())
	}
	return claimed{lock}, nil
}

// makeFolder makes a folder and those above it, each of them durable: a log is
// lost as well when the name of its folder is.
func makeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeFolder(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return localDisk{}.syncFolder(above)
}

// claimed is a folder that is held.
type claimed struct{ lock *os.File }

// Close gives the lock up by name: a child process that is just being started
// still holds a copy of the file for a moment.
func (c claimed) Close() error {
	return errors.Join(syscall.Flock(int(c.lock.Fd()), syscall.LOCK_UN), c.lock.Close())
}

func (localDisk) open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return localFile{f}, nil
}

func (localDisk) rename(from, to string) error { return os.Rename(from, to) }
func (localDisk) remove(path string) error     { return os.Remove(path) }

func (localDisk) list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

func (localDisk) syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type localFile struct{ *os.File }

func (f localFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f localFile) sync() error { return f.Sync() }

func (f localFile) syncData() error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// freeSpace tells how many bytes an ordinary user can still write.
func freeSpace(dir string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}
