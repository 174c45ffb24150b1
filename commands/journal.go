package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/eventstore"
)

func (w *writes) journalRoutes() {
	const period = bookPath + "periods/{period}/"
	add(w, write{path: bookPath + "periods", action: edge.OpenPeriod, summary: "Open a period of a book", creating: true, makes: true, located: true}, w.openPeriod)
	add(w, write{path: period + "entries", action: edge.PostEntry, summary: "Post an entry", makes: true, located: true}, w.postEntry)
	add(w, write{path: period + "entries/{entry}/reversals", action: edge.ReverseEntry, summary: "Reverse an entry by a counter-entry", makes: true}, w.reverseEntry)
	add(w, write{path: period + "soft-close", action: edge.SoftClose, summary: "Keep entries out of a period while it is examined"}, changingPeriod[journal.SoftClose](w))
	add(w, write{path: period + "close", action: edge.ClosePeriod, summary: "Close a period"}, changingPeriod[journal.ClosePeriod](w))
	add(w, write{path: period + "reopen", action: edge.ReopenPeriod, summary: "Let entries into a closed period again"}, changingPeriod[journal.ReopenPeriod](w))
}

// period is the book and the period in the path.
func (c call) period() (name string, period domain.Period, err error) {
	if name, err = c.book(); err != nil {
		return "", period, err
	}
	if period, err = domain.ParsePeriod(c.at["period"]); err != nil {
		return "", period, misplaced("period", "a period of the form YYYY-MM")
	}
	return name, period, nil
}

// bookOf is the book as it is now, for decisions in its periods.
func (w *writes) bookOf(ctx context.Context, name string) (book.State, error) {
	state, _, _, err := w.Books.State(ctx, book.Stream(name))
	return state, err
}

func (w *writes) openPeriod(ctx context.Context, c call, body journal.OpenPeriod) (pending, error) {
	name, err := c.book()
	if err != nil {
		return nil, err
	}
	if body.Book, err = w.bookOf(ctx, name); err != nil {
		return nil, err
	}
	return w.Journals.submit(ctx, journal.Stream(name, body.Period), c.Request, body).of(body.Period.String()), nil
}

func (w *writes) postEntry(ctx context.Context, c call, body journal.PostEntry) (pending, error) {
	name, period, err := c.period()
	if err != nil {
		return nil, err
	}
	body.EntryID = c.entity()
	if body.Book, err = w.bookOf(ctx, name); err != nil {
		return nil, err
	}
	return w.Journals.submit(ctx, journal.Stream(name, period), c.Request, body).of(body.EntryID.String()), nil
}

// changingPeriod runs a command towards a period that exists.
func changingPeriod[C journal.Command](w *writes) func(context.Context, call, C) (pending, error) {
	return func(ctx context.Context, c call, body C) (pending, error) {
		name, period, err := c.period()
		if err != nil {
			return nil, err
		}
		return w.Journals.submit(ctx, journal.Stream(name, period), c.Request, body).of(period.String()), nil
	}
}

// reverseEntry decides in the period of the reversal's posting date, which may be
// a later one than that of the entry.
func (w *writes) reverseEntry(ctx context.Context, c call, body journal.ReverseEntry) (pending, error) {
	name, period, err := c.period()
	if err != nil {
		return nil, err
	}
	id, err := c.id("entry")
	if err != nil {
		return nil, err
	}
	if body.Original, err = w.Entry(ctx, journal.Stream(name, period), id); err != nil {
		return nil, err
	}
	if target := body.Period(); !target.IsZero() {
		period = target
	}
	body.EntryID = c.entity()
	return w.Journals.submit(ctx, journal.Stream(name, period), c.Request, body).of(body.EntryID.String()), nil
}

// Entry is the event that posted an entry of a period, or none.
func (h *Handlers) Entry(ctx context.Context, stream string, id uuid.UUID) (journal.Event, error) {
	state, _, _, err := h.Journals.State(ctx, stream)
	if err != nil {
		return nil, err
	}
	revision, exists := state.EntryRevision(id)
	if !exists {
		return nil, nil
	}
	events, err := h.Core.Store.ReadStream(ctx, stream, revision, eventstore.Forwards, 1)
	if err != nil {
		return nil, fmt.Errorf("read an entry: %w", err)
	}
	if len(events) != 1 {
		return nil, errors.New("an entry that is in the period's state is not in its stream")
	}
	from, err := provenanceOf(events[0])
	if err != nil {
		return nil, err
	}
	return journal.Catalog.Decode(events[0].Type, from.SchemaVersion, events[0].Data)
}
