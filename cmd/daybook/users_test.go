package main_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore/node"
)

// appendAs appends with the official client, as somebody, to the event store of a
// server's folder.
func appendAs(t *testing.T, dir, login, password, stream string) error {
	t.Helper()
	config, err := esdb.ParseConnectionString(addressesOf(t, dir)["eventstore"] + "&maxDiscoverAttempts=1&defaultDeadline=60000") // a password is slow to check
	require.NoError(t, err)
	config.Username, config.Password, config.Logger = login, password, esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
		esdb.EventData{EventID: uuid.New(), EventType: "noted", ContentType: esdb.ContentTypeJson, Data: []byte("{}")})
	return err
}

func refused(t *testing.T, err error) {
	t.Helper()
	known, ok := esdb.FromError(err)
	require.False(t, ok)
	require.Contains(t, []esdb.ErrorCode{esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated}, known.Code(), err)
}

// users runs a verb of daybook node users with a password piped in.
func users(t *testing.T, dir, password string, args ...string) result {
	t.Helper()
	cmd := program(t, nil, append([]string{"node", "users", "--dir", dir}, args...)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	return finish(t, cmd)
}

func TestOverTLSTheEventStoreIsOpenToItsUsers(t *testing.T) {
	t.Parallel()
	// Given a server whose event store is served over TLS
	dir := folder(t)
	p := start(t, "serve", "--roles", "node", "--node-tls", "--dir", dir)
	require.Contains(t, p.out.String(), "tls=true")
	require.Contains(t, p.out.String(), "node.password")
	for name, mode := range map[string]os.FileMode{"tls": 0o700, "tls/node.key": 0o600, "node.password": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), "mode of %q", name)
	}
	content, err := os.ReadFile(filepath.Join(dir, "node.password"))
	require.NoError(t, err)
	first := strings.TrimSpace(string(content))

	// Then its administrator may write with the password on file, and a stranger may not
	require.NoError(t, appendAs(t, dir, "admin", first, "$notes"))
	refused(t, appendAs(t, dir, "admin", "not-the-password", "notes"))
	refused(t, appendAs(t, dir, "", "", "notes"))

	// When a user is added beside the running server, then it may do what users may
	require.Zero(t, users(t, dir, "a long password", "add", "reporting").code)
	require.NoError(t, appendAs(t, dir, "reporting", "a long password", "notes"))
	refused(t, appendAs(t, dir, "reporting", "a long password", "$notes"))
	require.Regexp(t, `(?m)^LOGIN +GROUPS +DISABLED\n(admin +\$admins +false\nops +\$ops|ops +\$ops +false\nadmin +\$admins) +false\nreporting +- +false\n$`,
		users(t, dir, "", "list").out)
	r := users(t, dir, "another password", "add", "reporting")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "there is a user reporting already")

	// When it gets another password, then that one counts
	require.Zero(t, users(t, dir, "another password", "password", "reporting").code)
	refused(t, appendAs(t, dir, "reporting", "a long password", "notes"))
	require.NoError(t, appendAs(t, dir, "reporting", "another password", "notes"))

	// When it is disabled, then it may do nothing, until it is let in again
	require.Zero(t, users(t, dir, "", "disable", "reporting").code)
	refused(t, appendAs(t, dir, "reporting", "another password", "notes"))
	p.stop(t)
	require.Zero(t, users(t, dir, "", "enable", "reporting").code) // no server needed
	p = start(t, "serve", "--roles", "node", "--node-tls", "--dir", dir)
	require.NoError(t, appendAs(t, dir, "reporting", "another password", "notes"))
	require.Contains(t, users(t, dir, "", "list", "--output", "json").out, `{"disabled":false,"groups":[],"login":"reporting"}`)
	p.stop(t)
}

func TestUsersThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	start(t, "serve", "--roles", "node", "--dir", dir).stop(t)
	for want, args := range map[string][]string{
		"the event store has no users yet": {"list"},
		"no such user: nobody":             {"disable", "nobody"},
		"without colon, dollar and space":  {"add", "a:b"},
		"at least 12 characters":           {"add", "somebody"},
		"are those of the event store":     {"list", "--eventstore", "esdb://127.0.0.1:1?tls=false"},
	} {
		r := users(t, dir, "short", args...)
		require.Equal(t, 1, r.code, args)
		require.Contains(t, r.err, want)
	}
	for want, args := range map[string][]string{
		"a certificate needs its key":         {"--node-tls-cert", "cert.pem"},
		"leave one of them out":               {"--node-tls", "--node-allow-writes"},
		"name PEM files that belong together": {"--node-tls-cert", "none.pem", "--node-tls-key", "none.pem"},
	} {
		r := daybook(t, append([]string{"serve", "--roles", "node", "--dir", dir}, args...)...)
		require.Equal(t, 1, r.code, args)
		require.Contains(t, r.err, want)
	}
}

// The tests of the node make cheaper ones.
func TestANewPasswordIsSlowToGuess(t *testing.T) {
	t.Parallel()
	kept, err := node.NewPassword("changeit")
	require.NoError(t, err)
	require.Equal(t, "pbkdf2-sha256", kept.Algorithm)
	require.GreaterOrEqual(t, kept.Iterations, 600_000, "as OWASP asks")
}
