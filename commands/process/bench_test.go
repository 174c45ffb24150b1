package process

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/eventstore"
)

// BenchmarkBegin is what a process costs that takes the role over: one reading of
// the log. A third of the events are employees'.
func BenchmarkBegin(b *testing.B) {
	h := newHouse(b)
	metadata := []byte(`{"schema_version":1}`)
	const people = 10_000
	var batch []eventstore.Proposed
	for i := range people {
		id := uuid.New()
		hired, err := domain.Encode(employee.EmployeeHired{Terms: employee.Terms{EmployeeNo: "1", HireDate: day("2025-01-01"), EmploymentType: employee.Permanent, FTE: domain.MustDecimal("1")}})
		require.NoError(b, err)
		_, err = h.store.Append(b.Context(), employee.Stream(id), eventstore.NoStream, []eventstore.Proposed{{ID: uuid.New(), Type: "employee-hired", Data: hired, Metadata: metadata}})
		require.NoError(b, err)
		for range 2 {
			batch = append(batch, eventstore.Proposed{ID: uuid.New(), Type: "journal-entry-posted", Data: hired, Metadata: metadata})
		}
		if len(batch) >= 500 || i == people-1 {
			_, err = h.store.Append(b.Context(), "journal-main_202501", eventstore.Any, batch)
			require.NoError(b, err)
			batch = nil
		}
	}
	head, err := h.store.Head(b.Context())
	require.NoError(b, err)
	b.ResetTimer()
	for range b.N {
		require.NoError(b, h.runtime().prepare(b.Context(), head))
	}
	b.ReportMetric(float64(3*people)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
