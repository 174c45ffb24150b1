// Package postgres runs a private Postgres server for a folder: found, made,
// started and stopped without anybody's help, and out of the way of any other.
package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	database      = "daybook"
	owner         = "daybook"        // the program's own role, over the unix socket only
	reportRole    = "daybook_report" // dashboards, over loopback TCP, schema read only
	socketPathMax = 107              // bytes that the address of a unix socket can hold
	startMax      = 60 * time.Second
	reportMax     = 20 // connections of dashboards
)

// Options of Start.
type Options struct {
	Dir    string       // the folder whose server it is
	Logger *slog.Logger // slog.Default by default
	fast   bool         // of tests: no durability
}

// A Server is a running private Postgres.
type Server struct {
	place
	logger *slog.Logger
	lock   *os.File // owner.lock, held for life
	port   int
	cmd    *exec.Cmd
	exited chan error
}

// A place is where a cluster lives and as whom it runs.
type place struct {
	root    string // owner.lock, password and log stand here
	data    string
	socket  string // folder of the unix socket
	account *account
}

// An account is the unprivileged user as whom the server runs where the program
// is root: Postgres refuses to be root.
type account struct{ uid, gid uint32 }

// Start starts the folder's server, making the cluster first if there is none.
// A server that a crash left running is stopped and started anew.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	p, err := placeOf(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{place: p, logger: cmp.Or(o.Logger, slog.Default())}
	if err := s.own(); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, bin, o.fast); err != nil {
		s.lock.Close()
		return nil, err
	}
	return s, nil
}

// placeOf says where the cluster of a folder lives: in the folder itself, or as
// root in /var/lib/daybook, where an unprivileged user may enter.
func placeOf(dir string) (place, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return place{}, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return place{}, err
	}
	sum := sha256.Sum256([]byte(real))
	short := hex.EncodeToString(sum[:6])
	if os.Geteuid() == 0 {
		a, err := unprivileged()
		root := filepath.Join("/var/lib/daybook", short)
		return place{root, filepath.Join(root, "data"), root, a}, err
	}
	root := filepath.Join(real, "postgres")
	socket := root
	if len(filepath.Join(root, ".s.PGSQL.65535.lock")) > socketPathMax {
		socket = filepath.Join(os.TempDir(), "daybook-"+short)
	}
	return place{root, filepath.Join(root, "data"), socket, nil}, nil
}

func unprivileged() (*account, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &account{uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, errors.New("Postgres does not run as root, and there is no user postgres or nobody to run it as")
}

// own takes owner.lock: only who holds it may stop a server found running here.
func (s *Server) own() error {
	// The server's user must be able to pass through the parent.
	if err := os.MkdirAll(filepath.Dir(s.root), 0o711); err != nil {
		return fmt.Errorf("make the folder of the private Postgres: %w", err)
	}
	for _, dir := range []string{s.root, s.socket} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the folder of the private Postgres: %w", err)
		}
		if err := s.give(dir); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Join(s.root, "owner.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("the private Postgres in %s belongs to another running process", s.root)
	}
	s.lock = f
	return s.stopOrphan()
}

// give hands a path to the user as whom the server runs.
func (p place) give(path string) error {
	if p.account == nil {
		return nil
	}
	return os.Chown(path, int(p.account.uid), int(p.account.gid))
}

// stopOrphan stops a server whose program is gone.
func (s *Server) stopOrphan() error {
	content, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.SplitN(string(content), "\n", 2)[0])
	if err != nil || pid <= 1 || !isPostgres(pid, s.data) {
		return nil // a stale file, which the server itself removes
	}
	s.logger.Warn("a private Postgres was left running by a crash; it is stopped first", "process", pid)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = syscall.Kill(pid, signal)
		for range 50 {
			if syscall.Kill(pid, 0) != nil {
				return nil
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return fmt.Errorf("the Postgres process %d in %s does not stop", pid, s.root)
}

// isPostgres guards against a process that has inherited the number.
func isPostgres(pid int, data string) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	working, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err != nil || working == data // a server works in its data folder
}

func (s *Server) launch(ctx context.Context, bin string, fast bool) error {
	fresh := false
	if _, err := os.Stat(filepath.Join(s.root, "made")); err != nil {
		fresh = true
		if err := s.initialise(ctx, bin); err != nil {
			return err
		}
	}
	var err error
	for range 5 { // another process may take the port between the look and the start
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.serve(ctx, bin, fast); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if fresh {
		err = s.furnish(ctx)
	}
	if err == nil {
		err = s.setReportPassword(ctx)
	}
	if err != nil {
		return errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return nil
}

// initialise makes the cluster. Its password file is there for initdb alone: the
// user as whom it runs can read neither DIR nor a terminal.
func (s *Server) initialise(ctx context.Context, bin string) error {
	if err := os.RemoveAll(s.data); err != nil {
		return err
	}
	secret := filepath.Join(s.root, "password")
	if err := os.WriteFile(secret, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if err := s.give(secret); err != nil {
		return err
	}
	cmd := s.command(ctx, filepath.Join(bin, "initdb"), "-D", s.data, "-U", owner, "--pwfile="+secret, "-E", "UTF8",
		"--locale=C", "--locale-provider=icu", "--icu-locale=und", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the private Postgres: %w: %s", err, lastLine(out))
	}
	return nil
}

// command runs as the server's user, in a folder which that user can enter and
// in a process group of its own, so that Ctrl-C reaches the program first.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.root
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.account != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.account.uid, Gid: s.account.gid}
	}
	return cmd
}

// serve starts the server and waits until it takes connections.
func (s *Server) serve(ctx context.Context, bin string, fast bool) error {
	out, err := os.OpenFile(filepath.Join(s.root, "postgres.log"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	settings := []string{
		"unix_socket_directories=" + s.socket, "unix_socket_permissions=0700", "listen_addresses=127.0.0.1",
		"max_connections=100", "shared_buffers=64MB", "max_wal_size=1GB", "jit=off", "timezone=UTC", "log_timezone=UTC",
		"tcp_keepalives_idle=5", "tcp_keepalives_interval=2", "tcp_keepalives_count=3",
	}
	if fast {
		settings = append(settings, "fsync=off", "full_page_writes=off", "synchronous_commit=off")
	}
	args := []string{"-D", s.data, "-p", strconv.Itoa(s.port)}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	s.cmd = s.command(context.WithoutCancel(ctx), filepath.Join(bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the private Postgres: %w", err)
	}
	s.exited = make(chan error, 1)
	go func() { s.exited <- s.cmd.Wait() }()
	return s.ready(ctx)
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	for {
		if err := s.ping(ctx); err == nil {
			return nil
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			content, _ := os.ReadFile(filepath.Join(s.root, "postgres.log"))
			return fmt.Errorf("the private Postgres did not start: %s", lastLine(content))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the private Postgres was not ready in time: %w", ctx.Err()), s.stop(context.WithoutCancel(ctx)))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is the server for the program itself, over the unix socket.
func (s *Server) URL() string { return s.place.url(s.port, database) }

func (p place) url(port int, name string) string {
	q := url.Values{"host": {p.socket}, "port": {strconv.Itoa(port)}}
	return (&url.URL{Scheme: "postgres", User: url.User(owner), Path: "/" + name, RawQuery: q.Encode()}).String()
}

// ReportURL is the server for dashboards: schema read only, over loopback.
func (s *Server) ReportURL() string {
	secret, _ := os.ReadFile(filepath.Join(s.root, "report.password"))
	host := "127.0.0.1:" + strconv.Itoa(s.port)
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(reportRole, strings.TrimSpace(string(secret))), Host: host, Path: "/" + database}).String()
}

// Attach finds the server that another process runs for the folder.
func Attach(dir string) (string, error) {
	p, err := placeOf(dir)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(filepath.Join(p.data, "postmaster.pid"))
	lines := strings.Split(string(content), "\n")
	if err != nil || len(lines) < 4 {
		return "", fmt.Errorf("no private Postgres runs for %s: start a process with role node first", dir)
	}
	port, err := strconv.Atoi(strings.TrimSpace(lines[3]))
	if err != nil {
		return "", fmt.Errorf("read the port of the private Postgres: %w", err)
	}
	return p.url(port, database), nil
}

// Stop stops the server cleanly, and at once when ctx ends first.
func (s *Server) Stop(ctx context.Context) error {
	defer s.lock.Close()
	return s.stop(ctx)
}

func (s *Server) stop(ctx context.Context) error {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fast: sessions end, nothing is lost
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.exited
		return fmt.Errorf("the private Postgres was stopped at once: %w", ctx.Err())
	}
}

// Remove deletes the cluster of a stopped server.
func (s *Server) Remove() error {
	return errors.Join(os.RemoveAll(s.root), os.RemoveAll(s.socket))
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
