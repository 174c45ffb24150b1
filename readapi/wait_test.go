package readapi_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
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
