package process

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands"
	"daybook.example/commands/claims"
	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/seal"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// A house is an event store with its keys, the command handlers and a clock.
type house struct {
	t        testing.TB
	store    *eventstore.Client
	keys     *seal.Keyring
	handlers *commands.Handlers
	hires    int

	mu  sync.Mutex
	now time.Time
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, store: eventstoretest.Start(t).Connect(), now: time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)}
	var err error
	h.keys, err = seal.Create(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	h.handlers = h.process()
	_, err = h.store.NameLog(t.Context(), eventstore.Proposed{ID: uuid.New(), Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":%q}`, uuid.New()), Metadata: []byte(`{"schema_version":1}`)})
	require.NoError(t, err)
	return h
}

var quiet = slog.New(slog.DiscardHandler)

// process are the handlers of another process.
func (h *house) process() *commands.Handlers {
	return commands.NewHandlers(&commands.Core{
		Store: h.store, Keys: h.keys, Clock: h.clock, Logger: quiet, SoftwareVersion: "test", PolicyVersion: "1",
		Claims: claims.New(claims.Config{Store: h.store, Keys: h.keys, Clock: h.clock, Logger: quiet, SoftwareVersion: "test", PolicyVersion: "1"}),
	})
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// on sets the clock to the morning of a day.
func (h *house) on(day string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = domain.MustDate(day).Time().Add(9 * time.Hour)
}

// runtime is one of another process, on some definitions.
func (h *house) runtime(definitions ...Definition) *Runtime {
	return New(Options{Handlers: h.process(), Store: h.store.ReadOnly(), Clock: h.clock, Logger: quiet, Definitions: definitions})
}

// tell has a person send a command to an employee, and returns what it recorded.
func (h *house) tell(id uuid.UUID, command employee.Command) []commands.EventRef {
	h.t.Helper()
	r := commands.Request{CommandID: uuid.New(), CorrelationID: uuid.New(), CausationID: uuid.New(), Principal: "p-1", Kind: domain.User, Creating: true}
	command = command.With(employee.Context{Self: id, Subject: domain.SubjectID(r.CommandID), Today: domain.DateOf(h.clock())})
	answer, err := h.handlers.Employees.Handle(context.Background(), employee.Stream(id), r, command)
	require.NoError(h.t, err)
	return answer.Events
}

// hire takes somebody on, under a manager if one is named.
func (h *house) hire(id uuid.UUID, from string, change ...func(*employee.Hire)) []commands.EventRef {
	h.t.Helper()
	h.hires++
	place := uuid.New()
	hire := employee.Hire{
		PersonalData: employee.PersonalData{LegalName: employee.PersonName{Given: "Ada", Family: "Canary"}, BirthDate: domain.MustDate("1990-05-01"), WorkEmail: "ada@firm.example"},
		Engagement: employee.Engagement{
			EmployeeNo: fmt.Sprint("E-", h.hires), LegalEntityID: place, HireDate: domain.MustDate(from), EmploymentType: employee.Permanent,
			Position: &employee.ChangePosition{PositionID: place, OrgUnitID: place, JobTitle: "Engineer", LocationID: place, CostCenter: "100"},
		},
	}
	for _, c := range change {
		c(&hire)
	}
	return h.tell(id, hire)
}

func under(manager uuid.UUID) func(*employee.Hire) {
	return func(h *employee.Hire) { h.ManagerEmployeeID = manager }
}

// company is that of the stories.
func (h *house) company() {
	h.t.Helper()
	h.hire(chief, "2020-01-01")
	h.hire(head, "2020-01-01", under(chief))
	h.hire(lead, "2020-01-01", under(head))
	h.hire(ada, "2021-01-01", under(lead))
	h.hire(ben, "2021-01-01", under(lead))
}

func (h *house) terminate(id uuid.UUID, last string) uuid.UUID {
	h.t.Helper()
	return h.tell(id, employee.Terminate{LastDay: domain.MustDate(last), Ground: employee.Resignation})[0].ID
}

// events are all events of a stream.
func (h *house) events(stream string) []Event {
	h.t.Helper()
	recorded, err := h.store.ReadStream(context.Background(), stream, 0, eventstore.Forwards, math.MaxInt64)
	if err != nil {
		require.ErrorIs(h.t, err, eventstore.ErrStreamNotFound)
	}
	var events []Event
	for _, r := range recorded {
		events = append(events, decode(r))
	}
	return events
}

// instance is what a process instance has recorded, by type.
func (h *house) instance(name string, id uuid.UUID) (own process.State, types []string) {
	h.t.Helper()
	for _, e := range h.events(process.Stream(name, id)) {
		types = append(types, e.Type[len("process-"):])
		own = process.Decider.Evolve(own, domain.Recorded[process.Event]{Recording: domain.Recording{ID: e.ID, Revision: e.Revision}, Event: e.Decoded.(process.Event)})
	}
	return own, types
}

// eventually waits until an instance is as wanted.
func (h *house) eventually(name string, id uuid.UUID, is func(process.State) bool) process.State {
	h.t.Helper()
	var own process.State
	var types []string
	require.Eventually(h.t, func() bool {
		own, types = h.instance(name, id)
		return is(own)
	}, patience, 10*time.Millisecond, "%v", func() any { return types })
	return own
}

func finished(outcome string) func(process.State) bool {
	return func(own process.State) bool { return own.Outcome == outcome }
}

// manager is to whom somebody reports on a day, as the log says it.
func (h *house) manager(id uuid.UUID, day string) uuid.UUID {
	h.t.Helper()
	staff := NewStaff()
	for _, e := range h.events(employee.Stream(id)) {
		staff.Apply(e)
	}
	return staff.manager(id, domain.MustDate(day))
}

// log is all that is recorded.
func (h *house) log() (all []Event) {
	h.t.Helper()
	for recorded, err := range h.store.All(context.Background(), eventstore.Position{}) {
		require.NoError(h.t, err)
		if !recorded.System() {
			all = append(all, decode(recorded))
		}
	}
	return all
}

// print is what a log says, without what only a delivery has.
func print(events []Event) (lines []string) {
	for _, e := range events {
		data, _ := json.Marshal(e.Data)
		lines = append(lines, fmt.Sprintf("%s@%d %s %s", e.Stream, e.Revision, e.Type, data))
	}
	return lines
}

// A driver hands a runtime the log, as the projections' runner does: batches in
// order, a checkpoint behind each.
type driver struct {
	*house
	runtime    *Runtime
	checkpoint eventstore.Position
	twice      bool // each batch is delivered again before its checkpoint
	stop       func()
}

// drive runs a runtime from a checkpoint on until the test ends or stop is called.
func (h *house) drive(r *Runtime, from eventstore.Position, change ...func(*driver)) *driver {
	h.t.Helper()
	d := &driver{house: h, runtime: r, checkpoint: from}
	for _, c := range change {
		c(d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(h.t, r.Begin(ctx, from))
	done := make(chan struct{})
	d.stop = sync.OnceFunc(func() { cancel(); <-done; r.working.Wait() })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if d.step(ctx) != nil {
				return // as a runner whose turn ends
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	h.t.Cleanup(d.stop)
	return d
}

func (d *driver) step(ctx context.Context) error {
	var batch []Event
	at := d.checkpoint
	for recorded, err := range d.store.All(ctx, d.checkpoint) {
		if err != nil {
			return nil
		}
		at = recorded.Position
		if !recorded.System() {
			batch = append(batch, decode(recorded))
		}
	}
	times := 1
	if d.twice {
		times = 2
	}
	for range times {
		for chunk := range slices.Chunk(batch, 3) {
			if err := d.runtime.Apply(ctx, chunk); err != nil {
				return err
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checkpoint = at
	return nil
}

// settled waits until the runtime has nothing left to do.
func (d *driver) settled() {
	d.t.Helper()
	require.Eventually(d.t, func() bool {
		before := len(d.log())
		time.Sleep(30 * time.Millisecond)
		d.runtime.mu.Lock()
		defer d.runtime.mu.Unlock()
		all := d.log()
		return len(all) == before && len(d.runtime.parcels) == 0 && !d.runtime.at.Less(all[len(all)-1].Position)
	}, patience, 10*time.Millisecond)
}
