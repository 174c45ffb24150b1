package migration

import (
	"context"
	"errors"
	"fmt"

	"daybook.example/eventstore"
	"daybook.example/eventstore/proof"
)

// copy brings the target to the present end of the source.
//
// One append is under way at a time: the order of appends to two streams that
// travel together is the server's to choose, and the copy's order is exact.
func (m *migration) copy(ctx context.Context) error {
	if err := m.checked.read(ctx, m.tellChecked); err != nil {
		return fmt.Errorf("check the source: %w", err)
	}
	tell := func() { m.tell(Copying, m.walk) }
	for {
		if err := m.walk.advance(ctx, tell); err != nil {
			return m.suspect(err)
		}
		if err := m.mapped.flush(); err != nil {
			return err
		}
		page, err := m.next(ctx)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return m.settled()
		}
		if err := m.send(ctx, page, tell); err != nil {
			return err
		}
	}
}

func (m *migration) tellChecked() {
	if m.walk.events == 0 {
		m.Progress(Progress{Phase: Checking, Events: m.checked.events, Bytes: m.checked.bytes})
	}
}

// next are the events to copy now. What was not inspected waits, and a page ends
// where an append may end: one that brings a deleted stream back is copied whole.
func (m *migration) next(ctx context.Context) ([]eventstore.Recorded, error) {
	page, err := m.walk.from.ahead(ctx)
	for more := true; err == nil && more && endsInside(page, m.AppendMax); page = m.walk.from.page {
		more, err = m.walk.from.extend(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	for i, event := range page {
		if !m.checked.reached(event) {
			return page[:i], nil
		}
	}
	return page, nil
}

// endsInside tells whether the last append of a page might go on behind it. What
// fills more than one append was none at the source.
func endsInside(page []eventstore.Recorded, appendMax int) bool {
	before := ""
	for len(page) > 0 {
		first, n := page[0], run(page, appendMax)
		if n == len(page) {
			return first.Stream != before && !describes(first.Stream) && !proof.Tombstone(first)
		}
		before, page = first.Stream, page[n:]
	}
	return false
}

// settled looks for what no event of the source explains.
func (m *migration) settled() error {
	for _, copied := range m.walk.early {
		return m.suspect(&difference{kind: errSurplus, copied: copied})
	}
	return m.mapped.settle()
}

// send appends a page. A refusal may come from an append of ours that was given
// up and is there after all: only what the target holds can tell.
func (m *migration) send(ctx context.Context, page []eventstore.Recorded, tell func()) error {
	before, n := m.walk.events, uint64(len(page))
	refusal := m.appendAll(ctx, page)
	if refusal != nil && !errors.Is(refusal, eventstore.ErrWrongExpectedRevision) && !errors.Is(refusal, eventstore.ErrStreamDeleted) {
		return refusal
	}
	if err := m.walk.advance(ctx, tell); err != nil {
		return m.suspect(err)
	}
	switch done := m.walk.events - before; {
	case refusal != nil && done == 0:
		return fmt.Errorf("%w: %w", ErrForeign, refusal)
	case refusal == nil && done < n:
		return fmt.Errorf("%w: it acknowledged %d events and shows %d", ErrForeign, n, done)
	}
	return nil
}

func (m *migration) appendAll(ctx context.Context, page []eventstore.Recorded) error {
	for len(page) > 0 {
		n := run(page, m.AppendMax)
		if err := m.append(ctx, page[:n]); err != nil {
			return err
		}
		page = page[n:]
	}
	return nil
}

// run is how many events go into one append: those of one stream that follow
// each other in the whole log. Metadata go alone, for a server may write some of
// its own behind them.
func run(page []eventstore.Recorded, appendMax int) int {
	first, bytes := page[0], size(page[0])
	if describes(first.Stream) || proof.Tombstone(first) {
		return 1
	}
	n := 1
	for ; n < len(page); n++ {
		e := page[n]
		if bytes += size(e); e.Stream != first.Stream || proof.Tombstone(e) || bytes > appendMax {
			break
		}
	}
	return n
}

// append stores a run at exactly the place where it stands at the source.
func (m *migration) append(ctx context.Context, events []eventstore.Recorded) error {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	first := events[0]
	m.sent = true
	if proof.Tombstone(first) {
		_, err := m.To.Tombstone(ctx, first.Stream, m.checked.last(first.Stream))
		return err
	}
	_, err := m.To.AppendRecorded(ctx, first.Stream, behind(first.Revision), events)
	if errors.Is(err, eventstore.ErrWrongExpectedRevision) && describes(first.Stream) {
		return m.madeByTarget(ctx, first, err)
	}
	return err
}

// madeByTarget finds the metadata that brought a stream back on the target as
// they did at the source: there is nothing left to append. Otherwise the
// refusal stands.
func (m *migration) madeByTarget(ctx context.Context, original eventstore.Recorded, refusal error) error {
	last, err := m.To.ReadStream(ctx, original.Stream, eventstore.EndRevision, eventstore.Backwards, 1)
	if err != nil && !errors.Is(err, eventstore.ErrStreamNotFound) {
		return err
	}
	if len(last) == 1 && alike(original, last[0]) {
		return nil
	}
	return refusal
}

// suspect says what a difference between the two logs means.
func (m *migration) suspect(err error) error {
	var d *difference
	if !errors.As(err, &d) {
		return err
	}
	switch {
	case m.sent:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case d.copied.NamesLog() && m.walk.events > 0:
		return fmt.Errorf("%w: after %d events that are the source's, %w", ErrCutOver, m.walk.events, err)
	}
	return fmt.Errorf("%w: after %d events, %w", ErrNotEmpty, m.walk.events, err)
}
