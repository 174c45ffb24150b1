package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/seal"
)

// What a made-up company's history is made of, block after block: the hire of one
// employee and one step in the careers of earlier ones, and entries of a book.
const (
	careerSteps    = 17 // after the hire, one each careerEvery blocks
	careerEvery    = 10
	entriesOfBlock = 105 // all of one period
	blocksOfPeriod = 10  // of one book
	books          = 8
	accounts       = 20
	flying         = 256 // appends that are not waited for
)

// A history appends the same events for the same number of blocks, sealed under
// real keys. Clock, IDs and amounts are derived from the place of an event.
type history struct {
	log    *log.Log
	keys   *seal.Keyring
	staff  bool // nothing but employees
	blocks int  // so many are there
	events int
	next   map[string]int64 // revision of each stream's next event
	wait   []*log.Pending
	now    time.Time
}

func newHistory(l *log.Log, keys *seal.Keyring, staff bool) *history {
	return &history{log: l, keys: keys, staff: staff, next: map[string]int64{}, now: time.Date(2020, 1, 2, 8, 0, 0, 0, time.UTC)}
}

// grow appends whole blocks until there are at least so many events.
func (h *history) grow(ctx context.Context, events int) error {
	if h.blocks == 0 {
		if err := h.found(ctx); err != nil {
			return err
		}
	}
	for h.events < events {
		if err := h.block(ctx, h.blocks); err != nil {
			return err
		}
		h.blocks++
	}
	return h.settle(ctx, 0)
}

// tell appends events to a stream, in one command.
func (h *history) tell(ctx context.Context, stream string, events ...domain.Named) error {
	expected := h.next[stream] - 1
	h.now = h.now.Add(time.Second)
	a := log.Append{Stream: stream, Expected: expected}
	command := domain.Derive("bench", stream, strconv.FormatInt(expected, 10))
	for i, event := range events {
		id := domain.EventID(command, "", stream, i)
		data, err := domain.Encode(event)
		if err != nil {
			return err
		}
		if data, err = h.keys.Seal(stream, id, data); err != nil {
			return err
		}
		metadata, err := domain.Marshal(h.metadata(event, command))
		if err != nil {
			return err
		}
		a.Events = append(a.Events, log.Proposed{ID: id, Type: event.EventType(), JSON: true, Data: data, Metadata: metadata})
	}
	h.next[stream] += int64(len(events))
	h.events += len(events)
	pending, err := h.log.Enqueue(ctx, a)
	if err != nil {
		return err
	}
	h.wait = append(h.wait, pending)
	return h.settle(ctx, flying)
}

// settle waits until no more appends than that are on their way.
func (h *history) settle(ctx context.Context, most int) error {
	for ; len(h.wait) > most; h.wait = h.wait[1:] {
		if _, err := h.wait[0].Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) metadata(event domain.Named, command uuid.UUID) domain.Metadata {
	m := domain.Metadata{
		CommandID: command, CorrelationID: command, CausationID: command, Actor: domain.Actor{ID: "bench-desk", Kind: domain.User},
		RequestMAC: "6d1f2a0c9b3e48d7a5f0c1e2b3a49586d7c8b9a0f1e2d3c4b5a697887766554f",
		RecordedAt: h.now, SchemaVersion: domain.SchemaVersion(event), SoftwareVersion: "bench", PolicyVersion: "bench",
	}
	if effective, ok := event.(domain.Effective); ok {
		m.EffectiveAt = effective.EffectiveAt()
	}
	return m
}

// found makes the organisation and its books.
func (h *history) found(ctx context.Context) error {
	if err := h.tell(ctx, organisation.Stream, organisation.OrganisationNamed{Name: "Harbour Lane", Zone: "Europe/Berlin", Country: "DE"}); err != nil {
		return err
	}
	for unit := range 16 {
		id := domain.Derive("bench", "unit", strconv.Itoa(unit))
		if err := h.tell(ctx, orgunit.Stream(id), orgunit.OrgUnitCreated{Name: fmt.Sprintf("Unit %d", unit), EffectiveFrom: domain.MustDate("2019-01-01")}); err != nil {
			return err
		}
	}
	for n := range books {
		events := []domain.Named{book.BookOpened{Book: bookName(n), FunctionalCurrency: "EUR", Scale: 2}}
		for i := range accounts {
			events = append(events, book.AccountOpened{Code: account(i), Name: "Account " + account(i), Class: book.Asset, NormalSide: book.Debit})
		}
		if err := h.tell(ctx, book.Stream(bookName(n)), events...); err != nil {
			return err
		}
	}
	return nil
}

func bookName(n int) string { return fmt.Sprintf("book%d", n) }
func account(n int) string  { return strconv.Itoa(1000 + n) }

func (h *history) block(ctx context.Context, b int) error {
	if err := h.hire(ctx, b); err != nil {
		return err
	}
	for step := 1; step <= careerSteps && b-step*careerEvery >= 0; step++ {
		who := b - step*careerEvery
		if err := h.tell(ctx, employee.Stream(person(who)), h.career(who, step)); err != nil {
			return err
		}
	}
	if h.staff {
		return nil
	}
	return h.entries(ctx, b)
}

func person(n int) uuid.UUID  { return domain.Derive("bench", "employee", strconv.Itoa(n)) }
func subject(n int) uuid.UUID { return domain.Derive("bench", "subject", strconv.Itoa(n)) }

// hired is the day on which an employee begins.
func hired(n int) domain.Date { return domain.MustDate("2019-01-01").AddDays(n % 365) }

func (h *history) hire(ctx context.Context, n int) error {
	data := employee.Person{
		LegalName:   domain.Identity[employee.PersonName]{}.Of(subject(n), employee.PersonName{Given: "Sally", Family: fmt.Sprintf("Person%d", n)}),
		BirthDate:   domain.Identity[domain.Date]{}.Of(subject(n), domain.MustDate("1990-05-17")),
		WorkEmail:   domain.Contact[string]{}.Of(subject(n), fmt.Sprintf("e%d@harbour-lane.example", n)),
		HomeAddress: domain.Contact[employee.Address]{}.Of(subject(n), employee.Address{Line1: "Am Deich 4", City: "Bremen", Country: "DE"}),
	}
	terms := employee.Terms{
		EmployeeNo: fmt.Sprintf("E%06d", n), LegalEntityID: domain.Derive("bench", "entity"), HireDate: hired(n), ContinuousServiceDate: hired(n),
		EmploymentType: employee.Permanent, FTE: domain.MustDecimal("1"),
	}
	return h.tell(ctx, employee.Stream(person(n)), employee.EmployeeHired{SubjectID: subject(n), Person: data, Terms: terms}, h.career(n, -1), h.career(n, 0))
}

// career is one step of an employee's: position, pay, working time or a manager.
func (h *history) career(n, step int) employee.Event {
	day := hired(n).AddDays(30 * max(step, 0))
	switch {
	case step == -1 || step%6 == 5:
		return employee.PositionAssigned{
			Assignment: employee.Assignment{
				PositionID: domain.Derive("bench", "position", strconv.Itoa(n)), OrgUnitID: domain.Derive("bench", "unit", strconv.Itoa((n+step+16)%16)),
				JobTitle: "Clerk", LocationID: domain.Derive("bench", "location"), CostCenter: "100", Kind: employee.Primary, ChangeReason: employee.ForTransfer,
			},
			EffectiveFrom: day,
		}
	case step%6 == 3:
		return employee.WorkingTimeChanged{WorkingTime: employee.WorkingTime{FTE: domain.MustDecimal("0.8")}, EffectiveFrom: day}
	case step%6 == 4:
		return employee.ManagerAssigned{ManagerEmployeeID: person(n / 2), EffectiveFrom: day}
	}
	pay := domain.Payroll[domain.Money]{}.Of(subject(n), domain.NewMoney(fmt.Sprintf("%d.00", 3000+100*step), "EUR"))
	return employee.CompensationChanged{PayBasis: employee.Monthly, Amount: pay, PayFrequency: employee.PaidMonthly, EffectiveFrom: day, ChangeReason: "raise"}
}

// entries posts to the period that is open in the block's book: of every
// twentieth the document is of the month before, and every fiftieth undoes the
// one before it.
func (h *history) entries(ctx context.Context, b int) error {
	in, turn := bookName(b%books), b/books
	period := domain.PeriodOf(domain.NewDate(2020, time.Month(1+turn/blocksOfPeriod), 1))
	stream := journal.Stream(in, period)
	number := turn % blocksOfPeriod * entriesOfBlock
	if number == 0 {
		if err := h.tell(ctx, stream, journal.PeriodOpened{Book: in, Period: period, FunctionalCurrency: "EUR"}); err != nil {
			return err
		}
	}
	var last journal.EntryPosted
	for i := range entriesOfBlock {
		number++
		var event journal.Event = journal.EntryReversed{
			EntryID: h.entry(in, period, number), EntryNo: number, ReversesEntryID: last.EntryID, PostingDate: last.PostingDate, ReasonCode: "typo", Lines: last.Lines,
		}
		if i%50 != 49 {
			last = h.posting(in, period, number)
			event = last
		}
		if err := h.tell(ctx, stream, event); err != nil {
			return err
		}
	}
	if turn%blocksOfPeriod == blocksOfPeriod-1 {
		return h.tell(ctx, stream, journal.PeriodSoftClosed{})
	}
	return nil
}

func (h *history) entry(in string, period domain.Period, number int) uuid.UUID {
	return domain.Derive("bench", "entry", in, period.String(), strconv.Itoa(number))
}

// posting is an entry of two to four lines.
func (h *history) posting(in string, period domain.Period, number int) journal.EntryPosted {
	day := period.First().AddDays(number % 28)
	e := journal.EntryPosted{
		EntryID: h.entry(in, period, number), EntryNo: number, DocumentDate: day, PostingDate: day,
		Source: journal.Source{DocumentNo: fmt.Sprintf("D-%s-%d", period, number)}, Description: "Sale", BookRevision: accounts,
	}
	if number%20 == 0 {
		e.DocumentDate = period.First().AddDays(-3)
	}
	debits := 1 + number%3
	for i := range debits {
		e.Lines = append(e.Lines, h.line(i+1, book.Debit, number+i, 10))
	}
	e.Lines = append(e.Lines, h.line(debits+1, book.Credit, number+debits, 10*debits))
	return e
}

func (h *history) line(no int, side book.Side, on, amount int) journal.Line {
	money := domain.NewMoney(fmt.Sprintf("%d.00", amount), "EUR")
	return journal.Line{LineNo: no, Account: account(on % accounts), Side: side, Amount: money, FunctionalAmount: money}
}
