package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// Template is the empty database, with the rights of the report role, that each
// test's own is copied from.
const Template = "daybook"

// Shared is the one cluster that all tests of a user share. A power cut may
// destroy it; the next test makes it anew.
type Shared struct {
	place place
	port  int
	users *os.File // locked shared by each process that uses the cluster
}

// OpenShared starts the tests' cluster, or finds it started by another process.
func OpenShared(ctx context.Context) (*Shared, error) {
	at, err := sharedPlace()
	if err != nil {
		return nil, err
	}
	if err := at.make(); err != nil {
		return nil, err
	}
	users, err := lockFile(at.file("users.lock"), unix.LOCK_SH) // waits for one who is stopping it
	if err != nil {
		return nil, err
	}
	starting, err := lockFile(at.file("starting.lock"), unix.LOCK_EX)
	if err != nil {
		return nil, errors.Join(err, users.Close())
	}
	defer starting.Close()
	shared := &Shared{place: at, users: users}
	if err := shared.open(ctx); err != nil {
		return nil, errors.Join(err, users.Close())
	}
	return shared, nil
}

// sharedPlace is in memory where there is plenty of it: each test makes some hundred
// files and removes them, and a file system may pay for that for minutes.
func sharedPlace() (place, error) {
	as, err := serverAccount()
	if err != nil {
		return place{}, err
	}
	if folder, ok := inMemory(); ok {
		return place{filepath.Join(folder, "tests"), as}, nil
	}
	if as.other {
		return place{filepath.Join(systemFolder, "tests"), as}, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return place{}, fmt.Errorf("folder of the tests' Postgres: %w", err)
	}
	return place{filepath.Join(cache, "daybook", "tests"), as}, nil
}

const (
	memoryFolder  = "/dev/shm"
	memoryFreeMin = 2 << 30 // bytes
)

// inMemory is a folder of this user's on the memory file system, if there is one
// with room.
func inMemory() (folder string, ok bool) {
	var room unix.Statfs_t
	if err := unix.Statfs(memoryFolder, &room); err != nil || room.Bavail*uint64(room.Bsize) < memoryFreeMin {
		return "", false
	}
	folder = filepath.Join(memoryFolder, "daybook-"+strconv.Itoa(os.Geteuid()))
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", false
	}
	var own unix.Stat_t // others might have made it: everybody may write there
	err := unix.Lstat(folder, &own)
	return folder, err == nil && own.Mode&unix.S_IFMT == unix.S_IFDIR && int(own.Uid) == os.Geteuid()
}

func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// open uses the server that runs, or starts one. The owner's lock of a server
// that runs is nobody's: all its users share it.
func (s *Shared) open(ctx context.Context) error {
	server := &Server{place: s.place, logger: slog.New(slog.DiscardHandler), unsafe: true}
	if running, err := readPidFile(s.place); err == nil && running.ready && server.serves(running.pid) {
		s.port = running.port
		return nil
	}
	if _, err := start(ctx, server); err != nil {
		// What a power cut destroyed, or another version made, is made anew.
		if err := os.RemoveAll(s.place.data()); err != nil {
			return err
		}
		if _, err = start(ctx, server); err != nil {
			return err
		}
	}
	s.port = server.report.Port
	return errors.Join(server.disown(), s.dropLeftovers(ctx))
}

// dropLeftovers drops the databases of tests that were killed.
func (s *Shared) dropLeftovers(ctx context.Context) error {
	return s.do(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "select datname from pg_database where datname like 'test\\_%'")
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			_, dropErr := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
			err = errors.Join(err, dropErr)
		}
		return err
	})
}

func (s *Shared) do(ctx context.Context, work func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return work(conn)
}

// Create makes a database as a copy of the template.
func (s *Shared) Create(ctx context.Context, name string) error {
	return s.do(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()+" template "+Template)
		return err
	})
}

// Drop drops a database, whoever is still in it.
func (s *Shared) Drop(ctx context.Context, name string) error {
	return s.do(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
		return err
	})
}

// URL is a database of the cluster, over the unix socket.
func (s *Shared) URL(database string) string { return s.place.socketURL(s.port, database) }

// ReportURL is a database as dashboards see it.
func (s *Shared) ReportURL(database string) (string, error) {
	found, err := readReport(s.place)
	return found.url(database), err
}

// Close gives the cluster up. The last user stops it: who can lock out all
// others is alone.
func (s *Shared) Close(ctx context.Context) error {
	defer s.users.Close()
	if unix.Flock(int(s.users.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	running, err := readPidFile(s.place)
	if err != nil {
		return nil // somebody has stopped it
	}
	return process{running.pid, ended(running.pid)}.stop(ctx)
}
