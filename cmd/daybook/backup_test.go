package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorded are the events of a folder's log, as the API reads them.
func recorded(t *testing.T, dir string) string {
	t.Helper()
	return must(t, "events", "read", "--output", "json", "--dir", dir)
}

// headcount is an answer of a read model, with a person's name in it.
func headcount(t *testing.T, dir string) string {
	t.Helper()
	p := start(t, "demo", "--dir", dir)
	defer p.stop(t)
	a := apiOf(t, p, dir)
	r := a.send(t, request{as: "hr", method: http.MethodGet, path: "/v1/employees?valid_at=2025-06-30&limit=200"})
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	var list struct{ Items []json.RawMessage }
	require.NoError(t, json.Unmarshal(r.body, &list))
	require.NotEmpty(t, list.Items)
	text, err := json.Marshal(list.Items)
	require.NoError(t, err)
	return string(text)
}

// apiOf is the API of a server, for its operator.
func apiOf(t *testing.T, p *process, dir string) api {
	t.Helper()
	a := api{base: p.of("API"), tokens: map[string]string{}}
	if content, err := os.ReadFile(filepath.Join(dir, "tokens.json")); err == nil {
		require.NoError(t, json.Unmarshal(content, &a.tokens))
		return a
	}
	content, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	require.NoError(t, err)
	a.tokens["admin"] = strings.TrimSpace(string(content))
	return a
}

// T23: a company comes back from its two backups, which were made while it ran.
func TestACompanyComesBackFromItsBackups(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	// Given a company whose log and keys are saved while its server runs
	books, backup, keys := filepath.Join(dir, "books"), filepath.Join(dir, "backup"), filepath.Join(dir, "books.keys")
	p := start(t, "demo", "--dir", books)
	must(t, "node", "backup", backup, "--dir", books)
	must(t, "keys", "backup", keys, "--dir", books)
	require.Contains(t, must(t, "node", "fsck", "--dir", backup), "all is well")
	require.Contains(t, must(t, "node", "info", "--dir", books), "events")
	p.stop(t)
	events, people := recorded(t, books), headcount(t, books)

	// When both are restored elsewhere, then all is there again, names too
	restored := filepath.Join(dir, "restored")
	require.Contains(t, must(t, "node", "restore", backup, "--dir", restored), "daybook keys restore FILE")
	r := daybook(t, "serve", "--demo", "--dir", restored)
	require.Equal(t, 1, r.code, "a log without its keys is not served")
	require.Contains(t, r.err, "restore the folder keys from its backup")
	must(t, "keys", "restore", keys, "--dir", restored)
	require.Equal(t, people, headcount(t, restored))
	require.Equal(t, events, recorded(t, restored))

	// And neither is put over what is there, nor taken from what is not whole
	for _, refused := range []struct {
		args []string
		want string
	}{
		{[]string{"node", "restore", backup, "--dir", restored}, "is not empty"},
		{[]string{"keys", "restore", keys, "--dir", restored}, "there are keys already"},
		{[]string{"keys", "backup", keys, "--dir", books}, "is not overwritten"},
		{[]string{"keys", "restore", filepath.Join(backup, "backup.json"), "--dir", filepath.Join(dir, "new")}, "no whole backup of keys"},
		{[]string{"node", "restore", filepath.Join(dir, "nowhere"), "--dir", filepath.Join(dir, "new")}, "no finished backup"},
		{[]string{"node", "restore", backup, "--log-id", "0b3f2c9e-54a1-4d3e-9d5c-3f4b5a6c7d8e", "--dir", filepath.Join(dir, "new")}, "name the backup of that log"},
		{[]string{"node", "restore", backup, "--accept-loss", "--dir", filepath.Join(dir, "new")}, "--reason"},
	} {
		r := daybook(t, refused.args...)
		require.Equal(t, 1, r.code, "%v", refused.args)
		require.Contains(t, r.err, refused.want)
	}
	segment := filepath.Join(backup, "00000000000000000000.seg")
	info, err := os.Stat(segment)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(segment, info.Size()/2))
	r = daybook(t, "node", "restore", backup, "--dir", filepath.Join(dir, "new"))
	require.Equal(t, 1, r.code)
	require.NoDirExists(t, filepath.Join(dir, "new", "log"))
	r = daybook(t, "node", "fsck", "--dir", backup)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "faults")
	require.Contains(t, r.out, "00000000000000000000.seg at byte")
}

// An older log under read models that know more is refused, until the loss is
// accepted: then it is another log.
func TestAnOlderBackupIsRefusedUntilItsLossIsAccepted(t *testing.T) {
	t.Parallel()
	dir, env := folder(t), database(t)
	books, backup := filepath.Join(dir, "books"), filepath.Join(dir, "backup")
	start := func() *process { return startWith(t, env, "serve", "--dir", books) }
	start().stop(t)
	must(t, "node", "backup", backup, "--dir", books)
	p := start()
	require.Zero(t, daybook(t, "token", "issue", "--role", "auditor", "--dir", books).code)
	before := apiOf(t, p, books).send(t, request{as: "admin", method: http.MethodGet, path: "/v1/projections"})
	require.Eventually(t, func() bool { // the read model knows of it
		return strings.Contains(must(t, "audit", "log", "--output", "json", "--dir", books), `"auditor"`)
	}, readyMax, readyMax/100)
	p.stop(t)

	// When the log is replaced by the older backup
	require.NoError(t, os.Rename(filepath.Join(books, "log"), filepath.Join(dir, "lost")))
	must(t, "node", "restore", backup, "--dir", books)

	// Then the server does not start, and says what to do
	r := daybookWith(t, env, "serve", "--dir", books)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "--accept-loss")

	// When the loss is accepted
	require.NoError(t, os.RemoveAll(filepath.Join(books, "log")))
	must(t, "node", "restore", backup, "--dir", books, "--accept-loss", "--reason", "disk-lost")

	// Then it is another log, which says so, and knows nothing of the positions that are lost
	other := database(t)
	p = startWith(t, other, "serve", "--dir", books)
	require.Contains(t, must(t, "events", "read", "--type", "log-restored", "--output", "json", "--dir", books), "disk-lost")
	answer := apiOf(t, p, books).send(t, request{as: "admin", method: http.MethodGet, path: "/v1/projections",
		header: http.Header{"Daybook-Log": before.header["Daybook-Log"]}})
	require.Equal(t, "other-log", answer.code(), "%s", answer.body)
	p.stop(t)
}
