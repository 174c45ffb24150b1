package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startMax   = 60 * time.Second // recovery after a crash included
	killAfter  = time.Second      // a harder signal, where one was not enough
	orphanStop = 3 * time.Second
	lookEvery  = 10 * time.Millisecond
	portsTried = 5
)

// A process is a server, be it this program's child or one that a crashed
// program left behind.
type process struct {
	pid  int
	done <-chan struct{} // closed when it has ended; an orphan's end is looked for
}

// launch starts the server on the report's port, or another one if it is taken.
func (s *Server) launch(ctx context.Context) error {
	var err error
	for range portsTried {
		if s.report.Port == 0 || !free(s.report.Port) {
			if s.report.Port, err = pickPort(); err != nil {
				return err
			}
			if err = s.report.write(s.place); err != nil {
				return err
			}
		}
		if err = s.spawn(ctx); err == nil {
			return nil
		}
		if free(s.report.Port) {
			return err // the port was not the reason
		}
	}
	return err
}

// spawn starts the server and waits until it takes connections.
func (s *Server) spawn(ctx context.Context) error {
	_ = os.Rename(s.file("postgres.log"), s.file("postgres.log.1")) // what the one before it died of; at first there is none
	log, err := os.Create(s.file("postgres.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// Its life is not ctx's: Stop ends it in order.
	cmd := s.account.command(context.WithoutCancel(ctx), s.folder, s.installed.program("postgres"), s.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the private Postgres: %w", err)
	}
	s.process = process{cmd.Process.Pid, waited(cmd)}
	if err := s.process.ready(ctx, s.place); err != nil {
		return errors.Join(fmt.Errorf("start the private Postgres: %w", err), s.process.stop(ctx))
	}
	return nil
}

func waited(cmd *exec.Cmd) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log says why
		close(done)
	}()
	return done
}

// arguments configure the server. Its log holds no statement and no value: an
// error's text may repeat what is personal, and the program has it anyway.
func (s *Server) arguments() []string {
	settings := []string{
		"unix_socket_directories=" + s.folder, "unix_socket_permissions=0700",
		"listen_addresses=127.0.0.1", "max_connections=100", "shared_buffers=64MB",
		"wal_level=minimal", "max_wal_senders=0", "max_wal_size=512MB",
		"jit=off", "timezone=UTC", "log_timezone=UTC",
		"log_min_messages=log", "log_min_error_statement=panic", "log_error_verbosity=terse",
	}
	if s.unsafe {
		settings = append(settings, "fsync=off", "full_page_writes=off", "max_connections=300", "max_wal_size=128MB", "autovacuum=off")
	}
	arguments := []string{"-D", s.data(), "-p", strconv.Itoa(s.report.Port)}
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	return arguments
}

// ready waits until the server says so in its pid file.
func (p process) ready(ctx context.Context, at place) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	for {
		if running, err := readPidFile(at); err == nil && running.pid == p.pid && running.ready {
			return nil
		}
		select {
		case <-p.done:
			return errors.New(lastWords(at))
		case <-ctx.Done():
			return fmt.Errorf("it was not ready in time (%s says more): %w", at.file("postgres.log"), ctx.Err())
		case <-time.After(lookEvery):
		}
	}
}

// lastWords is what the server complained of.
func lastWords(at place) string {
	text, _ := os.ReadFile(at.file("postgres.log"))
	return complaint(text)
}

// stop shuts the server down in order; when ctx ends, at once.
func (p process) stop(ctx context.Context) error {
	select {
	case <-p.done: // its number may be another's by now
		return nil
	default:
	}
	_ = syscall.Kill(p.pid, syscall.SIGINT) // fast shutdown: sessions end, nothing is lost
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		_ = syscall.Kill(p.pid, signal)
		select {
		case <-p.done:
			return fmt.Errorf("the private Postgres had to be stopped at once: %w", ctx.Err())
		case <-time.After(killAfter):
		}
	}
	return fmt.Errorf("the private Postgres, process %d, does not end", p.pid)
}

// A pidFile is what the server writes about itself.
type pidFile struct {
	pid, port int
	ready     bool
}

// readPidFile reads what there is of it so far.
func readPidFile(at place) (f pidFile, err error) {
	text, err := os.ReadFile(at.data() + "/postmaster.pid")
	if err != nil {
		return f, err
	}
	lines := append(strings.Split(string(text), "\n"), make([]string, 8)...)
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	f.ready = lines[7] == "ready"
	if f.pid, err = strconv.Atoi(lines[0]); err != nil {
		return f, fmt.Errorf("the server's pid file is damaged: %w", err)
	}
	f.port, _ = strconv.Atoi(lines[3]) // not there yet while it starts
	return f, nil
}
