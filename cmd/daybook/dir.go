package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A dir is DIR: the log, the keys, the secrets and what is known of the process
// that runs on it.
type dir string

func (d dir) path(name ...string) string {
	return filepath.Join(append([]string{string(d)}, name...)...)
}
func (d dir) log() string            { return d.path("log") }
func (d dir) keys() string           { return d.path("keys") }
func (d dir) adminTokenFile() string { return d.path("admin.token") }
func (d dir) tokensFile() string     { return d.path("tokens.json") }
func (d dir) addressesFile() string  { return d.path("addresses.json") }

const socketPathMax = 107 // bytes that the address of a unix socket can hold

// socket is where the node listens for the processes on the folder: within it,
// or, where that path is too long for a socket, in the user's cache.
func (d dir) socket() (string, error) {
	if path := d.path("node.sock"); len(path) <= socketPathMax {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", hint(fmt.Errorf("%s is too long a path for a socket", d), "choose a shorter --dir")
	}
	sum := sha256.Sum256([]byte(d))
	folder := filepath.Join(cache, "daybook")
	path := filepath.Join(folder, hex.EncodeToString(sum[:6])+".sock")
	if len(path) > socketPathMax {
		return "", hint(fmt.Errorf("%s is too long a path for a socket, and so is your cache folder", d), "choose a shorter --dir")
	}
	return path, os.MkdirAll(folder, 0o700)
}

// begun reports whether the folder holds a log or the keys of one elsewhere.
func (d dir) begun() bool {
	_, err := os.Stat(d.keys())
	return err == nil
}

// defaultDir is $XDG_DATA_HOME/daybook.
func defaultDir() (dir, error) {
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", hint(err, "name a folder with --dir")
		}
		base = filepath.Join(home, ".local", "share")
	}
	return dir(filepath.Join(base, "daybook")), nil
}

// findDir is the folder that --dir names, or the default one.
func findDir(path string) (dir, error) {
	if path == "" {
		return defaultDir()
	}
	absolute, err := filepath.Abs(path)
	return dir(absolute), err
}

// openDir makes the folder, or refuses one that others can read: it holds keys.
func openDir(path string) (dir, error) {
	d, err := findDir(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return "", hint(err, "name a folder that you may write to with --dir")
	}
	return d, d.check()
}

func (d dir) check() error {
	info, err := os.Stat(string(d))
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return hint(fmt.Errorf("%s can be read by others (mode %04o)", d, info.Mode().Perm()), "it holds keys: run chmod 700 "+string(d))
	}
	return nil
}

// lock takes DIR/LOCK for the process that carries the node. The file names its
// holder; a file left by a crash is free.
func (d dir) lock() (release func(), err error) {
	f, err := os.OpenFile(d.path("LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(f.Name())
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", d, err)
		}
		return nil, hint(fmt.Errorf("%s is in use by %s", d, strings.TrimSpace(string(holder))), "stop that process, or name another folder with --dir")
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("daybook, process %d\n", os.Getpid()))); err != nil {
		f.Close()
		return nil, err
	}
	// By name: a child process that is just being started still holds a copy of
	// the file for a moment.
	return func() { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN); f.Close() }, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// locked reports whether a process carries the node on this folder.
func (d dir) locked() bool {
	f, err := os.Open(d.path("LOCK"))
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// addresses say where a running server can be reached; the database URL is that
// of the report role.
type addresses struct {
	HTTP       string `json:"http,omitempty"`
	EventStore string `json:"eventstore,omitempty"`
	Database   string `json:"database,omitempty"`
}

// known is what the running processes of the folder left; a file left by a crash
// is known by LOCK being free.
func (d dir) known() (a addresses, ok bool) {
	content, err := os.ReadFile(d.addressesFile())
	if err != nil || !d.locked() || json.Unmarshal(content, &a) != nil {
		return addresses{}, false
	}
	return a, true
}

// running finds the live API of the folder, if there is one.
func (d dir) running() (addresses, bool) {
	a, ok := d.known()
	return a, ok && a.HTTP != ""
}

func (d dir) writeAddresses(a addresses) error { return d.writeJSON(d.addressesFile(), a) }

func (d dir) writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return writeSecret(path, string(content)+"\n")
}

// writeSecret replaces a file that only its owner can read.
func writeSecret(path, content string) error {
	next := path + ".new"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// operatorToken finds the token of whoever can read the folder: admin.token, or
// the admin entry of tokens.json.
func (d dir) operatorToken() (string, error) {
	content, err := os.ReadFile(d.adminTokenFile())
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var byRole map[string]string
	content, err = os.ReadFile(d.tokensFile())
	if err == nil && json.Unmarshal(content, &byRole) == nil && byRole["admin"] != "" {
		return byRole["admin"], nil
	}
	return "", hint(errors.New("no access token"), "give --token or DAYBOOK_TOKEN; daybook token issue --role admin makes one")
}
