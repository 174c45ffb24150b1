// Package program runs the real binary, as its users do: it builds it once a
// test package, starts it on a folder, finds it by addresses.json, stops it with
// an interrupt or kills it without one.
package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"daybook.example/projections/postgres"
)

const (
	readyMax = 60 * time.Second // on a machine that does much else at the same time
	lookAt   = 10 * time.Millisecond
)

// Build builds the binary into a folder, as make does.
func Build(folder string) (binary string, err error) {
	binary = filepath.Join(folder, "daybook")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "daybook.example/cmd/daybook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if printed, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, printed)
	}
	return binary, nil
}

// Options of Start.
type Options struct {
	Binary string
	Dir    string   // empty: the program's own choice; then nobody knows when it is ready
	Verb   string   // serve by default
	Args   []string // beside --dir and the listeners, which pick free ports
	Env    []string // beside that of this process
	Live   bool     // wait until it is live only: without projectors, nobody makes it ready, and a long log takes time
}

// Process is the program at work.
type Process struct {
	Addresses
	Dir     string
	Token   string        // of the admin
	Took    time.Duration // from the start to ready
	live    bool
	began   time.Time
	cmd     *exec.Cmd
	out     output
	errors  output
	ended   chan struct{} // closed when the process is gone
	exit    error         // how it went
	cluster string        // the folder of its private Postgres
}

// Addresses are where the process can be reached, as it wrote them down.
type Addresses struct {
	HTTP       string `json:"http"`
	EventStore string `json:"eventstore"`
	Database   string `json:"database"`
}

// Start starts the program and returns when it is ready.
func Start(ctx context.Context, o Options) (*Process, error) {
	p, err := Launch(o)
	if err != nil {
		return nil, err
	}
	return p, p.Ready(ctx)
}

// Launch starts the program and returns at once.
func Launch(o Options) (*Process, error) {
	if o.Verb == "" {
		o.Verb = "serve"
	}
	args := append([]string{o.Verb, "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"}, o.Args...)
	if o.Dir != "" {
		args = append(args, "--dir", o.Dir)
	}
	p := &Process{Dir: o.Dir, live: o.Live, cmd: exec.Command(o.Binary, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), o.Env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the tests is none of the program's
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.exit = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Ready returns when the API answers that it is; a process that is not ready in
// time is killed.
func (p *Process) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	if err := p.untilReady(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("%w\n%s%s", err, p.Printed(), p.Complaints())
	}
	p.Took = time.Since(p.began)
	return nil
}

// untilReady waits for addresses.json of this start (a crash leaves an old one)
// and for the API that it names.
func (p *Process) untilReady(ctx context.Context) error {
	for !p.written() || !p.answers(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the program was not ready in time: %w", ctx.Err())
		case <-p.ended:
			return fmt.Errorf("the program ended: %w", p.exit)
		case <-time.After(lookAt):
		}
	}
	p.cluster = p.clusterFolder(ctx)
	return nil
}

func (p *Process) written() bool {
	name := filepath.Join(p.Dir, "addresses.json")
	info, err := os.Stat(name)
	if err != nil || info.ModTime().Before(p.began.Add(-lookAt)) { // files are dated by a coarser clock
		return false
	}
	content, err := os.ReadFile(name)
	return err == nil && json.Unmarshal(content, &p.Addresses) == nil
}

func (p *Process) answers(ctx context.Context) bool {
	path := "/readyz"
	if p.live {
		path = "/livez"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.HTTP+path, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	p.Token, err = adminToken(p.Dir)
	return response.StatusCode == http.StatusOK && err == nil
}

// adminToken is that of a folder that was served, or of a demo.
func adminToken(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	content, err = os.ReadFile(filepath.Join(dir, "tokens.json"))
	if err != nil {
		return "", err
	}
	var byRole map[string]string
	err = json.Unmarshal(content, &byRole)
	return byRole["admin"], err
}

// clusterFolder asks the private Postgres where it lives; none, "".
func (p *Process) clusterFolder(ctx context.Context) (folder string) {
	err := p.Query(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "show data_directory").Scan(&folder)
	})
	if err != nil {
		return ""
	}
	return filepath.Dir(folder)
}

// Query hands over a connection to the private Postgres that may see everything.
func (p *Process) Query(ctx context.Context, with func(*pgx.Conn) error) error {
	url, err := postgres.Attach(p.Dir)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return with(conn)
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Cluster is the folder of the private Postgres, "" if there is none.
func (p *Process) Cluster() string { return p.cluster }

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Printed is what the program has printed so far.
func (p *Process) Printed() string { return p.out.String() }

// Complaints are what the program has written to standard error so far.
func (p *Process) Complaints() string { return p.errors.String() }

// Kill ends the process as a power cut would end it, and its Postgres not.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Stop interrupts the process and returns how long it took to end well.
func (p *Process) Stop(within time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-p.ended:
	case <-time.After(within):
		p.Kill()
		return within, fmt.Errorf("the program did not stop within %s\n%s", within, p.Complaints())
	}
	if p.exit != nil && !p.early() {
		return time.Since(began), fmt.Errorf("the program stopped badly: %w\n%s", p.exit, p.Complaints())
	}
	return time.Since(began), nil
}

// early says that the interrupt came before the program listened to any.
func (p *Process) early() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT && p.Printed() == ""
}

// DropCluster removes the private Postgres of a process that has ended; one that
// a crash left behind is stopped first.
func (p *Process) DropCluster() error {
	if p.cluster == "" {
		return nil
	}
	if pid := firstNumber(filepath.Join(p.cluster, "data", "postmaster.pid")); pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGQUIT)
		for end := time.Now().Add(5 * time.Second); syscall.Kill(pid, 0) == nil && time.Now().Before(end); {
			time.Sleep(lookAt)
		}
	}
	return os.RemoveAll(p.cluster)
}

func firstNumber(name string) int {
	content, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	number, _ := strconv.Atoi(line)
	return number
}

// output is what a process writes, readable while it does.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
