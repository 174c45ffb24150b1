// Package postgres runs a private Postgres server for a data folder: it finds
// the programs, makes the cluster, starts and stops it, out of the way of every
// other server on the machine. What is in it can be projected again from the log.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options of Start.
type Options struct {
	Dir    string       // the data folder whose server it is
	Logger *slog.Logger // slog.Default by default
}

// Server is a running server that this process owns.
type Server struct {
	place
	logger    *slog.Logger
	unsafe    bool // of tests: a power cut may destroy it
	installed installation
	lock      *os.File
	report    report
	process   process // the keeper's, until that has ended
	keeper    keeper
}

// Start starts the server of a data folder, which must exist, and makes it first
// if there is none. A server that a crashed process left running is adopted.
func Start(ctx context.Context, o Options) (*Server, error) {
	at, err := placeOf(o.Dir)
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, &Server{place: at, logger: cmp.Or(o.Logger, slog.Default())})
	if err != nil {
		return nil, err
	}
	s.keep()
	return s, nil
}

func start(ctx context.Context, s *Server) (_ *Server, err error) {
	if s.installed, err = find(ctx, s.account, s.major()); err != nil {
		return nil, err
	}
	if err := s.own(); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.disown())
	}
	return s, nil
}

// begin leaves a server running, or an error and none.
func (s *Server) begin(ctx context.Context) (err error) {
	if s.report, err = readReport(s.place); err != nil {
		return fmt.Errorf("read how reports reach the private Postgres: %w", err)
	}
	adopted, err := s.adopt(ctx)
	if err != nil {
		return err
	}
	if !adopted {
		if err = s.prepare(ctx); err != nil {
			return err
		}
		if err = s.launch(ctx); err != nil {
			return err
		}
	}
	if err := s.furnish(ctx); err != nil {
		return errors.Join(err, s.process.stop(ctx))
	}
	return nil
}

// own makes the folder and takes its lock for the life of this process. A pid
// file cannot tell a server left behind from a neighbour's; the lock can: who
// gets it knows that no living process owns what runs there.
func (s *Server) own() error {
	if err := s.make(); err != nil {
		return err
	}
	lock, err := os.OpenFile(s.file("owner.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock the private Postgres: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("the private Postgres in %s belongs to another process that runs: stop that, or choose another --dir", s.folder)
	}
	s.lock = lock
	return nil
}

// disown gives the lock up by name: a child process that is just being started
// still holds a copy of the file for a moment.
func (s *Server) disown() error {
	return errors.Join(unix.Flock(int(s.lock.Fd()), unix.LOCK_UN), s.lock.Close())
}

// adopt takes over a server that was left behind, if it works; if it does not it
// is stopped.
func (s *Server) adopt(ctx context.Context) (bool, error) {
	found, err := readPidFile(s.place)
	if err != nil || !s.serves(found.pid) {
		return false, s.forget(found.pid)
	}
	s.process = process{found.pid, ended(found.pid)}
	s.report.Port = found.port
	if s.report.Password != "" && s.exec(ctx, database, "select 1") == nil {
		s.logger.Info("adopted the private Postgres that a process before this one left running", "process", found.pid)
		return true, nil
	}
	s.logger.Warn("stopping the private Postgres that a process before this one left running", "process", found.pid)
	ctx, cancel := context.WithTimeout(ctx, orphanStop)
	defer cancel()
	if err := s.process.stop(ctx); err != nil && s.serves(found.pid) {
		return false, err
	}
	return false, nil
}

// serves reports whether the process is a server of this cluster, not one that
// was given the same number later: a server's working folder is its cluster.
func (s *Server) serves(pid int) bool {
	if !alive(pid) {
		return false
	}
	folder, err1 := workingFolder(pid)
	there, err2 := os.Stat(folder)
	here, err3 := os.Stat(s.data())
	return errors.Join(err1, err2, err3) == nil && os.SameFile(here, there)
}

// forget removes a pid file whose number belongs to a stranger now: the server
// would take it for one of its own and refuse to start. One whose process is
// dead stays, for by it the server finds out whether parts of that are alive.
func (s *Server) forget(pid int) error {
	if !alive(pid) {
		return nil
	}
	return os.Remove(s.data() + "/postmaster.pid")
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

// ended is closed when a process that is no child has ended.
func ended(pid int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for alive(pid) {
			time.Sleep(10 * lookEvery)
		}
	}()
	return done
}

// URL is the database for the program itself, over the unix socket.
func (s *Server) URL() string { return s.socketURL(s.report.Port, database) }

// ReportURL is the database for dashboards: what is in schema read, over
// loopback. It holds a password.
func (s *Server) ReportURL() string { return s.report.url(database) }

// Stop shuts the server down and gives it up. When ctx ends first it is stopped
// at once, which costs the next start a recovery and nothing else.
func (s *Server) Stop(ctx context.Context) error {
	s.keeper.stop()
	return errors.Join(s.process.stop(ctx), s.disown())
}

// Remove deletes the cluster of a stopped server.
func (s *Server) Remove() error { return os.RemoveAll(s.folder) }

// Remove deletes the cluster of a data folder, also one that Start did not bring
// to its end. Its server is stopped.
func Remove(dir string) error {
	at, err := placeOf(dir)
	if err != nil {
		return err
	}
	return removeAll(at.folder)
}

// Attach is the database of the server that another process runs for a data
// folder, over the unix socket.
func Attach(dir string) (string, error) {
	at, err := placeOf(dir)
	if err != nil {
		return "", err
	}
	return at.attach()
}

func (p place) attach() (string, error) {
	running, err := readPidFile(p)
	if err != nil || !running.ready {
		return "", fmt.Errorf("no private Postgres runs in %s: start the process with role node, or set DAYBOOK_DATABASE", p.folder)
	}
	return p.socketURL(running.port, database), nil
}
