package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// versionMin is the oldest Postgres with ICU as a cluster's own collation.
const versionMin = 15

// ErrMissing says what to install.
var ErrMissing = errors.New("no Postgres server found (initdb and postgres, version 15 or later): " +
	"install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), " +
	"or name a running one with DAYBOOK_DATABASE=postgres://user@host/database")

// packaged are the folders where packages put the programs, one a version.
var packaged = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // Fedora and its kin, from postgresql.org
	"/usr/lib/postgresql*/bin",          // SUSE
	"/usr/libexec/postgresql*",          // Alpine
	"/usr/local/pgsql/bin",              // from source
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew
	"/usr/local/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// An installation is a folder of programs that belong together.
type installation struct {
	folder string
	major  int
}

func (i installation) program(name string) string { return filepath.Join(i.folder, name) }

// find returns the installation to use: one on PATH, else the newest. A cluster
// that exists can only be served by programs of its own version; 0 is any.
func find(ctx context.Context, as account, major int) (installation, error) {
	var other []string
	for _, found := range installations(ctx, as) {
		if major == 0 || found.major == major {
			return found, nil
		}
		other = append(other, strconv.Itoa(found.major))
	}
	if len(other) == 0 {
		return installation{}, ErrMissing
	}
	return installation{}, fmt.Errorf("the read models were made by Postgres %d, and only %s is installed: install version %d again",
		major, strings.Join(other, ", "), major)
}

// installations lists what works, in order of preference.
func installations(ctx context.Context, as account) []installation {
	var found []installation
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		found = appendWorking(ctx, found, as, folder)
	}
	onPath := len(found)
	for _, pattern := range packaged {
		folders, _ := filepath.Glob(pattern) // its one error is a bad pattern
		for _, folder := range folders {
			found = appendWorking(ctx, found, as, folder)
		}
	}
	slices.SortStableFunc(found[onPath:], func(a, b installation) int { return b.major - a.major })
	return found
}

// appendWorking adds a folder if its programs can be run. A link stands for the
// folder it leads to, where the server finds its other parts.
func appendWorking(ctx context.Context, found []installation, as account, folder string) []installation {
	server, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres"))
	if err != nil {
		return found
	}
	folder = filepath.Dir(server)
	known := func(i installation) bool { return i.folder == folder }
	if slices.ContainsFunc(found, known) {
		return found
	}
	major := versionOf(ctx, as, filepath.Join(folder, "initdb"))
	if major < versionMin || versionOf(ctx, as, server) != major {
		return found
	}
	return append(found, installation{folder, major})
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// versionOf is the major version that a program says it has, 0 if it does not run.
func versionOf(ctx context.Context, as account, program string) int {
	out, err := as.command(ctx, "/", program, "--version").Output()
	match := versionText.FindSubmatch(out)
	if err != nil || match == nil {
		return 0
	}
	major, _ := strconv.Atoi(string(match[1])) // digits
	return major
}

// run runs a program to its end. What it complained of is in the error.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, complaint(out))
	}
	return nil
}

// complaint is the first line that tells an error: what follows is what came of
// it. It is the last line of a program that says none is one.
func complaint(out []byte) string {
	for line := range bytes.Lines(out) {
		for _, mark := range []string{"FATAL:", " error:"} {
			if _, reason, found := bytes.Cut(line, []byte(mark)); found {
				return string(bytes.TrimSpace(reason))
			}
		}
	}
	out = bytes.TrimSpace(out)
	return string(out[bytes.LastIndexByte(out, '\n')+1:])
}
