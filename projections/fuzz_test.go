package projections_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/journal"
	"daybook.example/projections/journal/journaltest"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/projections/process"
)

// T14. Whatever an event holds, each read model applies it, or halts and names it:
// it is never passed in silence, never tried for ever, and what comes before and
// behind it is there.
func FuzzAnEventIsAppliedOrNamed(f *testing.F) {
	goldens, err := filepath.Glob("../domain/*/testdata/stored.golden")
	require.NoError(f, err)
	for _, path := range goldens {
		file, err := os.Open(path)
		require.NoError(f, err)
		for lines := bufio.NewScanner(file); lines.Scan(); {
			name, rest, _ := strings.Cut(lines.Text(), " ")
			version, _ := strconv.Atoi(rest[:strings.Index(rest, " ")])
			f.Add(name, version, []byte(rest[strings.Index(rest, "{"):]))
		}
		require.NoError(f, file.Close())
	}
	f.Add("book-opened", 1, []byte(" "))
	f.Add("employee-hired", 1, []byte(`{"legal_name":"`+"\x00"+`"}`))
	f.Add("claim-taken", 1, []byte(`{"owner":"\u0000"}`))
	f.Add("claim-taken", 99, []byte(`{}`))
	f.Add("something-happened", 1, []byte(`{"a":1e999999}`))
	f.Add("journal-entry-posted", 1, []byte(`{"entry_no":9223372036854775807,"lines":null}`))
	company := employeetest.Found(f)
	company.Hire("1", uuid.New(), "2025-01-02", "6000")
	journaltest.Open(f, company, "main", 2, "2025-01").Sell("S-1", "2025-01-10", "2025-01-10", "10.00")
	var models []*model
	for _, p := range []projections.Projection{counting{name: "counting"}, listing{"listing"}, audit.New(), employee.New(company.Keys), journal.New(), process.New()} {
		models = append(models, newModel(f, company, p))
	}
	f.Fuzz(func(t *testing.T, name string, version int, data []byte) {
		if name == "" || strings.HasPrefix(name, "$") {
			t.Skip() // the store's own
		}
		stream := name + "-1"
		for _, e := range company.Events {
			if e.Type == name {
				stream = e.Stream
			}
		}
		for _, m := range models {
			m.take(t, stream, name, version, data)
		}
	})
}

// A model is a read model with its writer.
type model struct {
	writer *projections.Writer
	at     uint64
}

func newModel(f *testing.F, company *employeetest.Company, p projections.Projection) *model {
	f.Helper()
	pool := postgrestest.New(f)
	company.Project(pool, p, len(company.Events))
	writer, err := projections.Claim(context.Background(), pool, p, projections.Ownership{Owner: "fuzz"})
	require.NoError(f, err)
	f.Cleanup(writer.Close)
	return &model{writer, writer.Checkpoint().Position.Commit}
}

func (m *model) event(stream, name string, data, metadata []byte) projections.Event {
	m.at += 1000
	return projections.Decode(eventstore.Recorded{
		ID: uuid.New(), Stream: stream, Revision: m.at, Position: projections.Position{Commit: m.at, Prepare: m.at},
		Type: name, ContentType: "application/json", Data: data, Metadata: metadata, Created: noon,
	})
}

// take has the model apply an event between two good ones.
func (m *model) take(t *testing.T, stream, name string, version int, data []byte) {
	t.Helper()
	good, err := domain.Encode(taken())
	require.NoError(t, err)
	neighbour := func() projections.Event {
		return m.event("claim-"+uuid.NewString(), taken().EventType(), good, about(t, 1))
	}
	events := []projections.Event{neighbour(), m.event(stream, name, data, about(t, version)), neighbour()}
	before, to := m.writer.Checkpoint().Events, events[2].Position
	err = m.writer.Apply(t.Context(), events, to)
	if err != nil {
		require.Equal(t, "unknown", projections.TroubleOf(err).Code, "it would be tried for ever: %v", err)
		var failure *projections.EventError
		err = m.writer.Isolate(t.Context(), events, to, func(uuid.UUID) bool { return false })
		require.True(t, errors.As(err, &failure), "%v", err)
		require.Equal(t, events[1].ID, failure.EventID)
		require.NotEmpty(t, failure.Code)
		require.Equal(t, before+1, m.writer.Checkpoint().Events)
		require.NoError(t, m.writer.Isolate(t.Context(), events, to, func(id uuid.UUID) bool { return id == events[1].ID }))
	}
	require.Equal(t, before+3, m.writer.Checkpoint().Events)
	require.Equal(t, to, m.writer.Checkpoint().Position)
}

// about is the metadata of an event of a version.
func about(t *testing.T, version int) []byte {
	t.Helper()
	text, err := domain.Marshal(domain.Metadata{RecordedAt: noon, SchemaVersion: version})
	require.NoError(t, err)
	return text
}
