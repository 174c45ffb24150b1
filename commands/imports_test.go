package commands

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
)

// imports sends lines and returns the answers by line.
func (s *site) imports(role access.Role, body io.Reader) map[int]ImportAnswer {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url+importPath, body)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.tokens[role])
	r.Header.Set("Content-Type", "application/x-ndjson")
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	answers := map[int]ImportAnswer{}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a ImportAnswer
		require.NoError(s.t, json.Unmarshal(lines.Bytes(), &a), lines.Text())
		require.NotContains(s.t, answers, a.Line, "a line is answered once")
		answers[a.Line] = a
	}
	require.NoError(s.t, lines.Err())
	return answers
}

func importLine(key, command, target, body string) string {
	line, _ := json.Marshal(ImportLine{Key: key, Source: domain.Source{System: "old", Ref: key}, Command: command, Target: target, Body: json.RawMessage(body)})
	return string(line) + "\n"
}

func importedHire(row int) string {
	body := strings.Replace(hireBody(fmt.Sprintf("OLD-%d", row)), `"legal_name":{"given":"Ada","family":"Example"},`, "", 1)
	return importLine(fmt.Sprintf("people.csv:%d", row), "employees.hire", "", body)
}

func TestAnImportCarriesOutEachLineOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var first strings.Builder
	for row := range 100 {
		first.WriteString(importedHire(row))
	}

	answers := s.imports(access.Admin, strings.NewReader(first.String()))

	require.Len(t, answers, 100)
	for line, a := range answers {
		require.Equal(t, 200, a.Status, "%+v", a.Error)
		require.Equal(t, ImportID("old", fmt.Sprintf("people.csv:%d", line-1)).String(), a.ID, "a file can name what it makes")
		require.NotEmpty(t, a.Position)
		require.False(t, a.Repeated)
	}
	event := s.events("employee-" + answers[1].ID)[0]
	require.Equal(t, "people.csv:0", s.metadata(event).Source.Ref)
	require.NotContains(t, string(event.Data), "legal_name")

	s.issue(access.Admin, "-next-day", time.Now().Add(time.Hour))
	require.Eventually(t, func() bool {
		return s.post("admin-next-day", "/v1/tokens?dry_run=true", `{}`).status == 422
	}, 5*time.Second, 10*time.Millisecond)
	again := s.imports("admin-next-day", strings.NewReader(first.String()))
	require.Len(t, again, 100)
	for line, a := range again {
		require.True(t, a.Repeated)
		a.Repeated = false
		require.Equal(t, answers[line], a)
	}
	require.Len(t, s.events("employee-"+answers[1].ID), 2)
}

func TestLinesOfOneTargetKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, body := range []string{`{"book":"main","functional_currency":"EUR"}`} {
		require.Equal(t, 201, s.post(access.Finance, "/v1/books", body).status)
	}
	require.Equal(t, 201, s.post(access.Finance, "/v1/books/main/accounts", `{"code":"1","name":"Cash","class":"asset"}`).status)
	require.Equal(t, 201, s.post(access.Finance, "/v1/books/main/accounts", `{"code":"2","name":"Revenue","class":"income"}`).status)
	require.Equal(t, 201, s.post(access.Finance, "/v1/books/main/periods", `{"period":"2024-01"}`).status)
	var lines strings.Builder
	const count = 300
	for n := range count {
		lines.WriteString(importLine(fmt.Sprintf("orders.csv:%d", n), "entries.post", "main/2024-01", fmt.Sprintf(
			`{"posting_date":"2024-01-31","document_no":"SO%d","description":"sale","lines":[{"account":"1","side":"D","amount":{"amount":"10","currency":"EUR"}},{"account":"2","side":"C","amount":{"amount":"10","currency":"EUR"}}]}`, n)))
	}

	answers := s.imports(access.Admin, strings.NewReader(lines.String()))

	require.Len(t, answers, count)
	events := s.events("journal-main_202401")
	require.Len(t, events, count+1)
	for n, event := range events[1:] {
		var entry struct {
			EntryNo int `json:"entry_no"`
			Source  struct {
				DocumentNo string `json:"document_no"`
			} `json:"source"`
		}
		require.NoError(t, json.Unmarshal(event.Data, &entry))
		require.Equal(t, fmt.Sprintf("SO%d", n), entry.Source.DocumentNo)
		require.Equal(t, n+1, entry.EntryNo)
	}
}

func TestABadLineIsAnsweredAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hire := strings.TrimSuffix(importedHire(1), "\n")
	for name, c := range map[string]struct {
		line        string
		status      int
		code, field string
	}{
		"malformed":       {`{"key":"a"`, 400, "malformed", ""},
		"unknown member":  {strings.Replace(hire, `"key"`, `"schluessel"`, 1), 422, "unknown-field", "/schluessel"},
		"no key":          {strings.Replace(hire, "people.csv:1", "", 1), 422, "required", "/key"},
		"no source":       {strings.Replace(hire, `"system":"old"`, `"system":""`, 1), 422, "required", "/source/system"},
		"system a text":   {strings.Replace(hire, `"system":"old"`, `"system":"Ada's list"`, 1), 422, "code-invalid", "/source/system"},
		"NUL in the key":  {strings.Replace(hire, `"key":"`, `"key":"\u0000`, 1), 422, "text-invalid", "/key"},
		"ref of lines":    {strings.Replace(hire, `"ref":"`, `"ref":"a\nb`, 1), 422, "text-invalid", "/source/ref"},
		"key a text":      {strings.Replace(hire, `"system":"old"`, `"system":"old","keys":{"Her Name":"Ada"}`, 1), 422, "code-invalid", "/source/keys"},
		"unknown command": {importLine("k", "employees.read", "", `{}`), 422, "command-unknown", "/command"},
		"tokens":          {importLine("k", "tokens.revoke", uuid.NewString(), `{}`), 422, "command-unknown", "/command"},
		"no target":       {importLine("k", "employees.compensation", "", raise), 422, "target-invalid", "/target"},
		"target of none":  {importLine("k", "employees.hire", "x", hireBody("z")), 422, "target-invalid", "/target"},
		"target unknown":  {importLine("k", "employees.compensation", uuid.NewString(), raise), 404, "not-found", ""},
		"bad target":      {importLine("k", "employees.compensation", "x", raise), 422, "invalid", "path.id"},
		"unknown field":   {importLine("k", "employees.hire", "", `{"nome":1}`), 422, "unknown-field", "/nome"},
		"broken rule":     {importLine("k", "employees.hire", "", `{}`), 422, "required", "/birth_date"},
		"too long":        {importLine("k", "employees.hire", "", `{"employee_no":"`+strings.Repeat("a", importLineMax)+`"}`), 413, "body-too-large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			row := importedHire(1000 + len(name)*10)
			answers := s.imports(access.Admin, strings.NewReader(strings.TrimSuffix(c.line, "\n")+"\n\n"+row))
			require.Len(t, answers, 2)
			bad, good := answers[1], answers[3]
			require.Equal(t, c.status, bad.Status, "%+v", bad.Error)
			require.Equal(t, c.code, bad.Error.Code)
			require.Equal(t, c.field, bad.Error.Field)
			require.Equal(t, 200, good.Status, "%+v", good.Error)
		})
	}
	without := s.imports(access.Admin, strings.NewReader(hire)) // no line feed at the end
	require.Equal(t, 200, without[1].Status)
}

func TestTheTimeOfASourceIsKeptInUTC(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hire := strings.Replace(importedHire(1), `"system":"old"`, `"system":"old","recorded_at":"2009-01-07T01:30:00.1234567+02:00"`, 1)
	answers := s.imports(access.Admin, strings.NewReader(hire))
	require.Equal(t, 200, answers[1].Status, "%+v", answers[1].Error)
	event := s.events("employee-" + answers[1].ID)[0]
	require.Contains(t, string(event.Metadata), `"recorded_at":"2009-01-06T23:30:00.123456Z"}`)
}

func TestAnImportAnswersWhileItReads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	reader, writer := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, s.url+importPath, reader)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.tokens[access.Admin])
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	answers := bufio.NewReader(response.Body)
	for row := range 3 {
		_, err := io.WriteString(writer, importedHire(row))
		require.NoError(t, err)
		line, err := answers.ReadBytes('\n')
		require.NoError(t, err)
		require.True(t, bytes.Contains(line, []byte(`"status":200`)), string(line))
	}
	require.NoError(t, writer.Close())
	_, err = answers.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestOnlyAdminsImport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Equal(t, 403, s.post(access.HR, importPath, importedHire(1), "Content-Type", "application/x-ndjson").status)
	require.Equal(t, 415, s.post(access.Admin, importPath, importedHire(1)).status)
	nameless := strings.Replace(hireBody("E-1"), `"legal_name":{"given":"Ada","family":"Example"},`, "", 1)
	refused := s.post(access.Admin, "/v1/employees", nameless)
	require.Equal(t, "/legal_name", refused.Field, "only an import may leave the name out: %s", refused.raw)
}
