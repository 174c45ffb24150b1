package readapi_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/domain/organisation"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee/employeetest"
)

func TestGivenAWriteWhenManyReadAfterItThenTheyWaitUntilItIsInTheTables(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	written := c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Works", Zone: "UTC", Country: "DE"})
	c.Append(s.store)
	after := url.QueryEscape(c.Events[len(c.Events)-1].Position.String())

	var readers sync.WaitGroup
	answers := make([]reply, 16)
	for i := range answers {
		readers.Go(func() { answers[i] = s.get(access.Auditor, "/v1/audit/events?type=organisation-named&after="+after) })
	}
	time.Sleep(60 * time.Millisecond) // they wait for some looks
	c.Project(s.pool, audit.New(), 512)
	readers.Wait()
	for _, answer := range answers {
		require.Equal(t, http.StatusOK, answer.status, answer.raw)
		require.Equal(t, written.String(), answer.at("items", 0, "event_id"))
	}
}

func TestGivenAPositionThatNobodyReachesWhenItIsWaitedForThenTheAnswerSaysTryAgain(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	for _, path := range []string{"/v1/audit/events?after=", "/v1/audit/events?known_at=", "/v1/events?after=", "/v1/events?known_at="} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			got := s.get(access.Auditor, path+url.QueryEscape("999999999/999999999"))
			require.Equal(t, http.StatusServiceUnavailable, got.status, got.raw)
			require.Equal(t, "not-reached", got.at("code"))
			require.Equal(t, "1", got.header.Get("Retry-After"))
		})
	}
}

// looks counts how often the checkpoints are looked at.
type looks struct{ n atomic.Int64 }

func (l *looks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "projection_checkpoint") {
		l.n.Add(1)
	}
	return ctx
}

func (*looks) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestTwoHundredWhoWaitCostAsManyLooksAsOne(t *testing.T) {
	t.Parallel()
	const waiters, perSecondMax = 200, 50 // one look each 20 ms
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	config := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	traced, counted := config.pool.Config(), &looks{}
	traced.ConnConfig.Tracer, traced.MaxConns = counted, 8
	pool, err := pgxpool.NewWithConfig(t.Context(), traced)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := config.serve(pool)

	var waiting sync.WaitGroup
	answers, took := make([]reply, waiters), make([]time.Duration, waiters)
	for i := range waiters {
		waiting.Go(func() {
			began := time.Now()
			answers[i] = s.get(access.Auditor, "/v1/audit/events?after="+url.QueryEscape("999999999/999999999"))
			took[i] = time.Since(began)
		})
	}
	time.Sleep(2 * time.Second) // all have come in
	began, before := time.Now(), counted.n.Load()
	time.Sleep(time.Second)
	during, passed := counted.n.Load()-before, time.Since(began)
	waiting.Wait()

	t.Logf("%d looks in %s with %d who wait", during, passed.Round(time.Millisecond), waiters)
	require.Positive(t, during, "somebody looks")
	require.LessOrEqual(t, float64(during), perSecondMax*passed.Seconds()+1)
	for i, got := range answers {
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.raw)
		require.Equal(t, "not-reached", got.at("code"))
		require.Equal(t, "1", got.header.Get("Retry-After"))
		require.GreaterOrEqual(t, took[i], 5*time.Second, "a timeout that is one")
	}
	settled := counted.n.Load()
	time.Sleep(200 * time.Millisecond)
	require.LessOrEqual(t, counted.n.Load()-settled, int64(1), "and nobody looks when nobody waits")
}
