package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/domain/domaintest"
	"daybook.example/test/program"
)

// testdata/matrix.golden declares every cell of route x role x own or other
// record, of the whole API, as requests to the running program find it: x lets
// in, - is 403. A check that is removed, or a route that is added, shows there.
func TestEveryCellOfRouteAndRoleIsDeclared(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doc := s.document()
	var matrix strings.Builder
	row := func(method, path, note, id string) {
		q := request{method: method, path: s.filled(path, id), headers: map[string]string{"Content-Type": "application/json"}}
		if method == http.MethodPost {
			q.body = "{}"
		}
		switch {
		case path == "/v1/imports":
			q.headers["Content-Type"], q.body = "application/x-ndjson", ""
		case method == http.MethodPost:
			q.path += "?dry_run=true"
		}
		fmt.Fprintf(&matrix, "%-66s", method+" "+path+note)
		for _, q.role = range append(access.Roles, "") {
			if q.role != "" {
				fmt.Fprintf(&matrix, " %s=%s", q.role, s.cell(q))
				continue
			}
			require.Equal(t, http.StatusUnauthorized, s.send(q).status, "%s without a token", path)
		}
		matrix.WriteString("\n")
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths.Value(path).Operations())) {
			row(method, path, "", s.other)
			if strings.HasPrefix(path, "/v1/employees/{id}") {
				row(method, path, " (own)", s.own)
			}
		}
	}
	domaintest.Golden(t, "matrix.golden", []byte(matrix.String()))
}

// cell is x where the role is let in: what is asked for may still be wrong.
func (s *site) cell(q request) string {
	s.t.Helper()
	got := s.send(q)
	require.NotEqual(s.t, http.StatusUnauthorized, got.status, "%s as %s: %s", q.path, q.role, got.body)
	require.Less(s.t, got.status, 500, "%s as %s: %s", q.path, q.role, got.body)
	if got.status == http.StatusForbidden {
		require.Contains(s.t, got.body, `"forbidden"`)
		return "-"
	}
	return "x"
}

// filled is a path of the document about things that there are.
func (s *site) filled(path, id string) string {
	if strings.HasPrefix(path, "/v1/org-units") {
		id = s.company.OrgUnit
	}
	name := readModel
	if strings.HasPrefix(path, "/v1/processes") {
		name = "manager-leaves"
	}
	path = strings.NewReplacer("{id}", id, "{name}", name, "{book}", program.Book, "{period}", program.Period, "{entry}", s.entry, "{account}", "1000").Replace(path)
	if path == "/v1/reports/trial-balance" {
		path += "?book=" + program.Book
	}
	return path
}
