package readapi_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/test/limit"
)

// Whatever is asked of any read route, the answer is no 5xx. What waits for a
// position that nobody has reached is left out: it ends as 503, and late.
func FuzzReadAPI(f *testing.F) {
	c, entry, _ := books(f)
	s := open(f, c, uuid.Nil, time.Now())
	paths := readPaths(s)
	for path := range paths {
		for _, query := range []string{"", "limit=1&book=main", "valid_at=2025-02-28&known_at=2025-02-28T00:00:00Z", "known_at=0/0&cursor=MQ", "q=a&sort=-department"} {
			f.Add(byte(path), "", query)
			f.Add(byte(path), "x", query)
		}
	}
	known := strings.NewReplacer("{book}", "main", "{period}", "2025-01", "{entry}", entry.String(), "{id}", uuid.NewString())
	braces, waits := regexp.MustCompile(`\{[a-z]+\}`), regexp.MustCompile(`[1-9][0-9]*(/|%2[fF])[0-9]+`)
	f.Fuzz(func(t *testing.T, path byte, place, query string) {
		defer limit.Input(t, len(place)+len(query))()
		target := paths[int(path)%len(paths)]
		if place != "" {
			target = braces.ReplaceAllLiteralString(target, url.PathEscape(place))
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+known.Replace(target)+"?"+query, nil)
		if err != nil || waits.MatchString(query) {
			t.Skip()
		}
		r.Header.Set("Authorization", "Bearer "+tokenOf(access.Admin))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Skip() // such an address no client sends
		}
		defer response.Body.Close()
		require.Less(t, response.StatusCode, 500, target)
	})
}

// readPaths are those of the document, in an order that stays.
func readPaths(s *companySite) (paths []string) {
	s.t.Helper()
	for path := range s.ok(access.Admin, "/openapi.json").at("paths").(map[string]any) {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
