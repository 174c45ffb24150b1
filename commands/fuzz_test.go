package commands

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/test/limit"
)

// Whatever is sent to any write route, the answer is no 5xx and repeats nothing
// secret.
func FuzzWriteAPI(f *testing.F) {
	s := newSite(f)
	id := s.hired()
	s.post(access.Admin, "/v1/books", `{"book":"main","functional_currency":"EUR"}`)
	s.post(access.Admin, "/v1/books/main/accounts", `{"code":"1000","name":"Cash","class":"asset"}`)
	s.post(access.Admin, "/v1/books/main/periods", `{"period":"2024-01"}`)
	fill := strings.NewReplacer("{id}", id, "{book}", "main", "{period}", "2024-01", "{entry}", uuid.NewString(), "{account}", "1000").Replace
	routes := s.api.Routes()
	for route := range routes {
		f.Add(byte(route), "dry_run=true", `"0"`, raise)
		f.Add(byte(route), "", "", `{"effective_from":"2024-02-01"}`)
	}
	f.Add(byte(0), "", "*", hireBody("E-7"))
	f.Add(byte(len(routes)-1), "", "", importLine("a/1", "books.open", "", `{"book":"b","functional_currency":"EUR"}`))
	f.Fuzz(func(t *testing.T, route byte, query, match, body string) {
		defer limit.Input(t, len(query)+len(body))()
		to := routes[int(route)%len(routes)]
		contentType := "application/json"
		if to.Path == importPath {
			contentType = "application/x-ndjson"
		}
		r := &http.Request{
			Method: to.Method, URL: &url.URL{Path: fill(to.Path), RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {contentType}, "If-Match": {match}, "Authorization": {"Bearer " + s.tokens[access.Admin]}},
			Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}
		w := httptest.NewRecorder()

		s.api.ServeHTTP(w, r.WithContext(t.Context()))

		require.Less(t, w.Code, 500, "%s %s: %s", to.Method, to.Path, w.Body)
		require.NotContains(t, w.Body.String(), s.tokens[access.Admin])
	})
}
