package readapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/organisation"
	"daybook.example/eventstore"
	"daybook.example/projections/employee/employeetest"
)

func TestGivenALogWhenItIsReadInPagesThenEveryEventIsThereOnceAndInOrder(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	var ids []any
	from := ""
	for {
		page := s.ok(access.Integrator, "/v1/events?limit=7"+from)
		items, _ := page.at("items").([]any)
		ids = append(ids, members(items, "id")...)
		next, more := page.at("next").(string)
		if !more {
			require.Equal(t, page.at("position"), page.header.Get("Daybook-Position"))
			break
		}
		from = "&from=" + url.QueryEscape(next)
	}
	var want []any
	for _, e := range c.Events {
		want = append(want, e.ID.String())
	}
	require.Equal(t, want, ids)
}

func TestGivenFiltersWhenTheLogIsReadThenOnlyWhatTheyNameIsThere(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	count := func(query string) int {
		items, _ := s.ok(access.Auditor, "/v1/events?limit=500"+query).at("items").([]any)
		return len(items)
	}
	var units, hires, known int
	for _, e := range c.Events {
		if strings.HasPrefix(e.Stream, "orgunit-") {
			units++
		}
		if e.Type == "employee-hired" {
			hires++
		}
		if e.Pos() <= c.Known("2025-03-20") {
			known++
		}
	}
	require.Equal(t, units, count("&category=orgunit"))
	require.Equal(t, hires, count("&type=employee-hired"))
	require.Zero(t, count("&type=employee-hired&category=orgunit"))
	require.Equal(t, known, count("&known_at="+url.QueryEscape(fmt.Sprintf("%d/%[1]d", c.Known("2025-03-20")))))
	require.Equal(t, known, count("&known_at=2025-03-20T12:00:00Z"))
	require.Zero(t, count("&known_at=2020-01-01T00:00:00Z"))
	require.Zero(t, count("&from="+url.QueryEscape(c.Events[len(c.Events)-1].Position.String())), "from is not included")
}

func TestGivenPersonalValuesWhenTheLogIsReadThenEachRoleSeesMasks(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	streamed := s.follow("/v1/events?category=employee", "")
	defer streamed.stop()
	for _, shown := range []string{
		s.ok(access.Integrator, "/v1/events?limit=500").raw,
		s.ok(access.Auditor, "/v1/events?limit=500").raw,
		s.ok(access.Auditor, "/v1/audit/events?limit=500").raw,
		string(streamed.next(t).data),
	} {
		require.NotRegexp(t, `(?i)canary|sally\d|1990-05-17|[3-6][0-9]17\.31|DE8937|COBADE`, shown)
		require.NotContains(t, shown, "$sealed", "ciphertext is of no use to a caller")
		require.Contains(t, shown, `{"masked":true}`)
	}
	for _, role := range []access.Role{access.Employee, access.HR, access.Payroll, access.Finance, access.Operator} {
		require.Equal(t, http.StatusForbidden, s.get(role, "/v1/events").status, role)
	}
	for _, path := range []string{"/v1/events?limit=500", "/v1/audit/events?limit=500"} {
		shown := s.ok(access.Admin, path).raw
		require.Contains(t, shown, "6517.31", "the table lets the admin see pay")
		require.NotContains(t, shown, `"masked"`)
	}
}

func TestGivenAForeignEventWhenTheLogIsReadThenNothingOfItsContentIsShown(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	_, err := s.store.Append(t.Context(), "elsewhere-1", eventstore.Any, []eventstore.Proposed{
		{ID: uuid.New(), Type: "two\nlines", Data: []byte(`{"name":"canary"}`), Metadata: []byte(`not json`)},
	})
	require.NoError(t, err)
	_, err = s.store.Append(t.Context(), "employee-x", eventstore.Any, []eventstore.Proposed{
		{ID: uuid.New(), Type: "employee-hired", Data: []byte(`{"legal_name":"canary"}`), Metadata: []byte(`{"schema_version":1,"reason_code":"canary"}`)},
	})
	require.NoError(t, err)
	clear := s.ok(access.Admin, "/v1/events?limit=500&category=employee")
	require.NotContains(t, clear.raw, `"legal_name":"canary"`, "a name that nobody sealed")
	require.NotContains(t, clear.raw, `"reason_code":"canary"`)
	got := s.ok(access.Auditor, "/v1/events?category=elsewhere")
	require.Equal(t, map[string]any{"foreign": true}, got.at("items", 0, "data"))
	require.NotContains(t, got.raw, "canary")
	streamed := s.follow("/v1/events?category=elsewhere", "")
	defer streamed.stop()
	event := streamed.next(t)
	require.Empty(t, event.name)
	require.Contains(t, string(event.data), `"two\nlines"`)
}

// A sent is one server-sent event; a heartbeat has no data.
type sent struct {
	id, name string
	data     []byte
}

// A tail is an open event stream.
type tail struct {
	lines  *bufio.Scanner
	cancel context.CancelFunc
	body   io.Closer
}

// follow opens the event stream as an integrator, behind an ID where one is given.
func (s *companySite) follow(path, lastID string) *tail {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+tokenOf(access.Integrator))
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	require.Equal(s.t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return &tail{lines, cancel, response.Body}
}

func (f *tail) stop() {
	f.cancel()
	_ = f.body.Close()
}

// read is the next block.
func (f *tail) read() (e sent, ok bool) {
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = []byte(value)
		case "":
			if e.id != "" {
				return e, true
			}
		}
	}
	return e, false
}

// next is the next event.
func (f *tail) next(t testing.TB) sent {
	t.Helper()
	for {
		e, ok := f.read()
		require.True(t, ok, "the stream ended")
		if e.data != nil {
			return e
		}
	}
}

func TestGivenAFilterThatMatchesNothingWhenTheLogIsFollowedThenHeartbeatsMoveTheID(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	f := s.follow("/v1/events?type=nothing", "")
	defer f.stop()
	last := c.Events[len(c.Events)-1].Position.String()
	require.Eventually(t, func() bool {
		e, ok := f.read()
		require.True(t, ok)
		require.Nil(t, e.data)
		return e.id == last
	}, 10*time.Second, time.Millisecond)
}

func TestGivenAnEndWhenTheLogIsFollowedThenTheStreamEndsThere(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	f := s.follow("/v1/events?known_at="+url.QueryEscape(c.Events[2].Position.String()), "")
	defer f.stop()
	for range 3 {
		f.next(t)
	}
	_, more := f.read()
	require.False(t, more)
}

func TestGivenWritersWhenAStreamBreaksAgainAndAgainThenResumingMissesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 100
	s := open(t, employeetest.Found(t), uuid.Nil, employeetest.Instant("2025-04-01"))
	var load sync.WaitGroup
	for w := range writers {
		load.Go(func() { s.write(fmt.Sprint("orgunit-", w), each) })
	}

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var got []string
	for lastID := ""; len(got) < writers*each; {
		f := s.follow("/v1/events?category=orgunit", lastID)
		for range 1 + random.IntN(80) {
			if len(got) == writers*each {
				break
			}
			e := f.next(t)
			lastID = e.id
			var shown struct {
				ID string `json:"id"`
			}
			require.NoError(t, json.Unmarshal(e.data, &shown))
			got = append(got, shown.ID)
		}
		f.stop()
	}
	load.Wait()

	var want []string
	for event, err := range s.store.ReadOnly().All(t.Context(), eventstore.Position{}) {
		require.NoError(t, err)
		if strings.HasPrefix(event.Stream, "orgunit-") {
			want = append(want, event.ID.String())
		}
	}
	require.Equal(t, want, got, "in order, each once")
}

// write appends events to a stream one by one.
func (s *companySite) write(stream string, count int) {
	for i := range count {
		data, err := domain.Encode(organisation.LocationAdded{ID: uuid.New(), Name: fmt.Sprint(i)})
		if err == nil {
			_, err = s.store.Append(context.Background(), stream, eventstore.Any, []eventstore.Proposed{{
				ID: uuid.New(), Type: "organisation-location-added", Data: data, Metadata: []byte(`{"schema_version":1}`),
			}})
		}
		if err != nil {
			s.t.Error(err)
			return
		}
	}
}
