package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrMissing says what to install.
var ErrMissing = errors.New(`no Postgres server binaries (initdb, postgres) found: install them (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@16), put their folder on PATH, or name a server with DAYBOOK_DATABASE`)

// folders are where packages put the binaries, one folder a version.
var folders = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binaries finds the folder with the newest server, that on PATH first.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link stands for the folder it leads to: the server looks for its
		// parts beside itself.
		if real, err := filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
	}
	var found []string
	for _, pattern := range folders {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for Postgres: %w", err)
		}
		found = append(found, matches...)
	}
	found = slices.DeleteFunc(found, func(dir string) bool { return !complete(dir) })
	if len(found) == 0 {
		return "", ErrMissing
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o111 == 0 {
			return false
		}
	}
	return true
}

// version is the first number in the path.
func version(dir string) int {
	for _, part := range strings.FieldsFunc(dir, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(part); err == nil {
			return n
		}
	}
	return 0
}
