package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/projections/postgres/postgrestest"
)

// database is one of the tests' own server: a private one takes longer to make.
func database(t *testing.T) []string {
	t.Helper()
	return []string{"DAYBOOK_DATABASE=" + postgrestest.New(t).Config().ConnString()}
}

func TestAFirstStartLetsItsOperatorIn(t *testing.T) {
	t.Parallel()
	// Given a folder that does not exist
	dir := filepath.Join(folder(t), "books")

	// When a server is started on it
	p := start(t, "serve", "--dir", dir)

	// Then it issues one token, keeps its secrets, and says where it is
	for name, mode := range map[string]os.FileMode{"": 0o700, "keys": 0o700, "admin.token": 0o600, "addresses.json": 0o600, "LOCK": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), "mode of %q", name)
	}
	at := addressesOf(t, dir)
	require.Equal(t, p.of("API"), at["http"])
	require.Contains(t, at["eventstore"], "esdb://127.0.0.1:")
	require.Contains(t, at["database"], "postgres://daybook_report:")
	require.Contains(t, p.out.String(), filepath.Join(dir, "admin.token"))

	// And every verb finds it
	require.Eventually(t, func() bool {
		return strings.Count(must(t, "audit", "log", "--dir", dir), "\n") == 5
	}, readyMax, readyMax/1000)
	running := verbs(t, dir)

	// When it stops
	p.stop(t)

	// Then it is not to be found any more, and the verbs work all the same
	require.NoFileExists(t, filepath.Join(dir, "addresses.json"))
	require.Equal(t, running, verbs(t, dir))

	// And another start issues no second token
	start(t, "serve", "--dir", dir).stop(t)
	require.Equal(t, running, verbs(t, dir))
}

// verbs asks all that only reads, and returns what each answered, but for times.
func verbs(t *testing.T, dir string) (answers []string) {
	t.Helper()
	for _, verb := range [][]string{
		{"events", "read"}, {"events", "read", "--output", "json", "--type", "access-token-issued"}, {"audit", "log"},
		{"audit", "log", "--type", "log-named", "--output", "json"}, {"token", "list"}, {"token", "list", "--output", "json"},
	} {
		answers = append(answers, must(t, append(verb, "--dir", dir)...))
	}
	models := must(t, "projections", "list", "--dir", dir)
	for _, name := range []string{"audit_log", "employee_fact", "journal_line"} {
		require.Contains(t, models, name)
	}
	return answers
}

func TestTokensAreIssuedListedAndRevoked(t *testing.T) {
	t.Parallel()
	dir, env := folder(t), database(t)
	// Given a token of a folder without a server
	r := daybookWith(t, env, "token", "issue", "--role", "auditor", "--dir", dir)
	require.Zero(t, r.code, r.err)
	auditor := strings.TrimSpace(r.out)
	require.True(t, strings.HasPrefix(auditor, "daybook_"))

	// Then it opens what an auditor may see, and nothing else
	p := startWith(t, env, "serve", "--dir", dir)
	require.Zero(t, daybook(t, "audit", "log", "--dir", dir, "--token", auditor).code)
	r = daybook(t, "token", "issue", "--role", "admin", "--dir", dir, "--token", auditor)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "forbidden: the role of this token does not allow this")

	// When it is revoked
	id := ""
	for line := range strings.Lines(must(t, "token", "list", "--dir", dir)) {
		if fields := strings.Fields(line); fields[1] == "auditor" {
			id = fields[0]
		}
	}
	require.Equal(t, id+" opens nothing any more\n", must(t, "token", "revoke", id, "--dir", dir))

	// Then it opens nothing at once
	r = daybook(t, "audit", "log", "--dir", dir, "--token", auditor)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "token-revoked")
	require.Contains(t, r.err, "daybook token issue makes one")

	// And whoever can read the folder comes in again, also when its token opens nothing
	require.NoError(t, os.WriteFile(filepath.Join(dir, "admin.token"), []byte("daybook_stale\n"), 0o600))
	r = daybook(t, "token", "list", "--dir", dir)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "token-unknown")
	fresh := strings.TrimSpace(must(t, "token", "issue", "--role", "admin", "--dir", dir))
	require.Zero(t, daybook(t, "token", "list", "--dir", dir, "--token", fresh).code)
	require.Zero(t, daybookWith(t, []string{"DAYBOOK_TOKEN=" + fresh}, "token", "list", "--dir", dir).code)
	p.stop(t)
}

func TestAQuestionLeavesNoTrace(t *testing.T) {
	t.Parallel()
	dir, env := folder(t), database(t)
	require.Zero(t, daybookWith(t, env, "token", "issue", "--role", "hr", "--dir", dir).code)
	before := daybookWith(t, env, "events", "read", "--dir", dir)
	require.Zero(t, before.code, before.err)
	for range 2 {
		require.Equal(t, before.out, daybookWith(t, env, "events", "read", "--dir", dir).out)
	}
	require.Equal(t, 3, strings.Count(before.out, "\n"), "the log's name, the operator's token and the one issued")
}

func TestATailShowsWhatHappensWhileItRuns(t *testing.T) {
	t.Parallel()
	// Given one tail from now on, and one from the start
	dir, env := folder(t), database(t)
	p := startWith(t, env, "serve", "--dir", dir)
	whole := launch(t, nil, "events", "tail", "--from", "0/0", "--category", "access", "--dir", dir)
	whole.waitFor(t, "access-tokens@0")
	late := launch(t, nil, "events", "tail", "--dir", dir)
	time.Sleep(time.Second) // nothing says when it listens

	// When something happens
	must(t, "token", "issue", "--role", "hr", "--dir", dir)

	// Then both show it, and end at an interrupt as asked
	whole.waitFor(t, "access-tokens@1")
	late.waitFor(t, "access-tokens@1")
	require.NotContains(t, late.out.String(), "access-tokens@0")
	late.stop(t)

	// And a tail whose server ends says how to go on
	p.stop(t)
	<-whole.ended
	require.Equal(t, 1, whole.ProcessState.ExitCode())
	require.Contains(t, whole.err.String(), "go on later with --from and the last position printed")
}

func TestRolesInSeveralProcesses(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	r := daybook(t, "serve", "--roles", "api", "--dir", dir)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "no process carries the event store of "+dir+" — start one with role node")

	// Given a process a role
	node := start(t, "serve", "--roles", "node", "--dir", dir)
	require.Empty(t, addressesOf(t, dir)["http"])
	projectors := start(t, "serve", "--roles", "projections", "--dir", dir)
	require.NotEmpty(t, must(t, "events", "read", "--dir", dir), "a verb works beside a node without an API")
	api := start(t, "serve", "--roles", "api", "--dir", dir)
	require.Equal(t, api.of("API"), addressesOf(t, dir)["http"])

	// Then they answer together
	must(t, "token", "issue", "--role", "hr", "--dir", dir)
	require.Contains(t, must(t, "token", "list", "--dir", dir), " hr ")
	require.Eventually(t, func() bool {
		return strings.Count(must(t, "audit", "log", "--dir", dir), "access-token-issued") == 2
	}, readyMax, readyMax/1000)

	// And each takes with it what it brought
	api.stop(t)
	require.Empty(t, addressesOf(t, dir)["http"])
	require.NotEmpty(t, addressesOf(t, dir)["eventstore"])
	projectors.stop(t)
	node.stop(t)
	require.NoFileExists(t, filepath.Join(dir, "addresses.json"))
}

func TestAServerThatWasKilledStartsAgain(t *testing.T) {
	t.Parallel()
	// Given a server that is killed, with its Postgres left behind
	dir := folder(t)
	p := start(t, "serve", "--dir", dir)
	access := []string{"events", "read", "--category", "access", "--dir", dir} // processes may have begun
	before := must(t, access...)
	p.kill()
	require.FileExists(t, filepath.Join(dir, "addresses.json"))

	// Then the old addresses deceive nobody, and the next one takes over
	require.Equal(t, before, must(t, access...))
	p = start(t, "serve", "--dir", dir)
	require.Equal(t, before, must(t, access...))
	p.stop(t)
}

func TestAFolderMadeAnewGetsReadModelsOfItsOwn(t *testing.T) {
	t.Parallel()
	// Given the private database of a folder whose log was thrown away
	dir := folder(t)
	start(t, "serve", "--dir", dir).stop(t)
	for _, name := range []string{"log", "keys", "admin.token"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
	// When the folder is served again
	p := start(t, "serve", "--dir", dir)
	// Then the database belongs to the new log
	p.stop(t)
	require.Equal(t, 1, strings.Count(must(t, "audit", "log", "--dir", dir), "access-token-issued"))
}

func TestATooLongPathHasAShortSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("long/", 30), "books")
	env := append(database(t), "XDG_CACHE_HOME="+folder(t))
	p := startWith(t, env, "serve", "--dir", dir)
	require.NotEmpty(t, must(t, "events", "read", "--dir", dir))
	require.NoFileExists(t, filepath.Join(dir, "node.sock"))
	p.stop(t)
}

func TestWhatCannotBeginSaysWhyAndTheWayOut(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() }) // after the subtests
	open, file := folder(t), filepath.Join(folder(t), "file")
	require.NoError(t, os.Chmod(open, 0o755))
	require.NoError(t, os.WriteFile(file, nil, 0o600))

	own := []string{"a database of its own"}
	for name, c := range map[string]struct {
		env, args []string
		says      string
	}{
		"http port":        {own, []string{"serve", "--listen", taken.Addr().String()}, "the address is taken; choose another one with --listen"},
		"node port":        {own, []string{"serve", "--node-listen", taken.Addr().String()}, "the port is taken; choose another with --node-listen"},
		"open listener":    {own, []string{"serve", "--listen", "0.0.0.0:0"}, "accept the risk with --insecure-listen"},
		"no host":          {own, []string{"serve", "--listen", "nonsense"}, "name a host:port of this machine with --listen"},
		"readable":         {own, []string{"serve", "--dir", open}, "can be read by others (mode 0755) — it holds keys: run chmod 700 " + open},
		"no folder":        {own, []string{"serve", "--dir", file}, "name a folder that you may write to with --dir"},
		"role":             {own, []string{"serve", "--roles", "node,boss"}, `unknown role "boss" — give some of node,api,projections,processes`},
		"database":         {[]string{"DAYBOOK_DATABASE=nonsense:secret"}, []string{"serve"}, "--database is no valid connection string"},
		"database away":    {[]string{"DAYBOOK_DATABASE=postgres://u:secret@127.0.0.1:1/x"}, []string{"serve"}, "check --database (DAYBOOK_DATABASE)"},
		"event store":      {[]string{"DAYBOOK_EVENTSTORE=nonsense"}, []string{"serve"}, "DAYBOOK_EVENTSTORE"},
		"event store away": {[]string{"DAYBOOK_EVENTSTORE=esdb://127.0.0.1:1?tls=false"}, []string{"serve"}, "is the event store there? check --eventstore"},
		"environment":      {[]string{"DAYBOOK_INSECURE_LISTEN=maybe"}, []string{"serve"}, "DAYBOOK_INSECURE_LISTEN"},
		"output":           {nil, []string{"version", "--output", "xml"}, "give one of table, json"},
		"verb":             {nil, []string{"audit", "everything"}, "daybook audit --help lists them"},
		"flag":             {nil, []string{"serve", "--fast"}, "daybook serve --help lists the flags"},
		"nothing there":    {nil, []string{"audit", "log"}, "holds nothing of Daybook"},
		"at once":          {nil, []string{"serve", "--at-once", "0"}, "--at-once is 0 — give a number from 1 on"},
		"role of a token":  {nil, []string{"token", "issue", "--role", "boss"}, "role is one of employee, hr"},
		"certificate":      {own, []string{"serve", "--tls-cert", file, "--tls-key", file}, "--tls-cert and --tls-key name PEM files"},
		"import of what":   {nil, []string{"import", "adventureworks", open}, "it lacks hr/Department.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "--dir") {
				args = append(args, "--dir", folder(t))
			}
			env := c.env
			if len(env) > 0 && env[0] == own[0] {
				env = database(t)
			}
			r := daybookWith(t, env, args...)
			require.Equal(t, 1, r.code)
			require.Contains(t, r.err, c.says)
			require.Equal(t, 1, strings.Count(r.err, "\n"), "one line: %s", r.err)
			require.NotContains(t, r.err, "secret")
		})
	}
}

func TestALockedFolderNamesItsHolder(t *testing.T) {
	t.Parallel()
	dir, env := folder(t), database(t)
	p := startWith(t, env, "serve", "--dir", dir)
	for _, verb := range []string{"serve", "demo"} {
		r := daybookWith(t, env, verb, "--dir", dir)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, "is in use by daybook, process ")
	}
	p.stop(t)
}

func TestPostgresMissingSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("hiding the machine's Postgres takes a mount namespace, which takes root")
	}
	cmd := program(t, nil, "serve", "--dir", folder(t))
	cmd.Args = []string{"sh", "-c", `for d in /usr/lib/postgresql /usr/local/pgsql /usr/libexec; do
		test -d $d && mount -t tmpfs none $d; done; PATH=/nowhere exec "$0" "$@"`, binary, "serve", "--dir", cmd.Args[len(cmd.Args)-1]}
	cmd.Path, cmd.SysProcAttr = "/bin/sh", &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if probe := program(t, nil); probe != nil {
		probe.Path, probe.Args, probe.SysProcAttr = "/bin/true", []string{"true"}, cmd.SysProcAttr
		if probe.Run() != nil {
			t.Skip("this machine allows no mount namespace")
		}
	}
	r := finish(t, cmd)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "apt-get install postgresql")
	require.Contains(t, r.err, "DAYBOOK_DATABASE")
}

func TestASecondInterruptStopsAtOnce(t *testing.T) {
	t.Parallel()
	// Given a server that cannot stop in order, for its Postgres does not move
	dir := folder(t)
	p := start(t, "serve", "--dir", dir)
	stuck := postmaster(t, dir)
	require.NoError(t, syscall.Kill(stuck, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(stuck, syscall.SIGKILL) })
	require.NoError(t, p.Process.Signal(os.Interrupt))
	select {
	case <-p.ended:
		require.Fail(t, "it does not wait for its Postgres")
	case <-time.After(time.Second):
	}

	// When it is interrupted again
	require.NoError(t, p.Process.Signal(os.Interrupt))

	// Then it is gone in a moment, and says so
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		require.Fail(t, "it does not stop at once")
	}
	require.Equal(t, 130, p.ProcessState.ExitCode())
	require.Contains(t, p.err.String(), "stopped at once; the next start recovers what was acknowledged")
}

func TestAStuckPartDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	p := start(t, "serve", "--dir", dir)
	stuck := postmaster(t, dir)
	require.NoError(t, syscall.Kill(stuck, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(stuck, syscall.SIGKILL) })
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(stopMax):
		require.Fail(t, "it does not stop in time")
	}
	require.Equal(t, 1, p.ProcessState.ExitCode())
	require.Contains(t, p.err.String(), "the private Postgres had to be stopped at once")
}

// postmaster is the private Postgres of a running process.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(clusterOf(t, dir), "data", "postmaster.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.Fields(string(content))[0])
	require.NoError(t, err)
	return pid
}

func TestRequestsOfALongImportDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	// Given a caller who keeps an import open
	dir, env := folder(t), database(t)
	p := startWith(t, env, "serve", "--dir", dir)
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	require.NoError(t, err)
	body, caller := net.Pipe()
	defer caller.Close()
	req, err := http.NewRequest(http.MethodPost, p.of("API")+"/v1/imports", body)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()

	// Then the server stops in time all the same
	p.stop(t)
}

func TestVerbsTrustTheCertificateThatTheyAreGiven(t *testing.T) {
	t.Parallel()
	// Given a server behind TLS
	dir, env, keys := folder(t), database(t), folder(t)
	cert, key := certificate(t, keys, "server")
	p := startWith(t, env, "serve", "--dir", dir, "--tls-cert", cert, "--tls-key", key)
	require.True(t, strings.HasPrefix(p.of("API"), "https://"))

	// Then a verb talks to it that knows its certificate, and no other one
	require.NotEmpty(t, must(t, "token", "list", "--dir", dir, "--tls-cert", cert))
	r := daybook(t, "token", "list", "--dir", dir)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "name the server's certificate with --tls-cert")
	other, _ := certificate(t, keys, "other")
	r = daybook(t, "token", "list", "--dir", dir, "--tls-cert", other)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "the server shows another certificate")
	p.stop(t)
}

// certificate makes one that signs for itself.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}
