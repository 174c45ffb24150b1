package migration

import (
	"context"
	"fmt"
	"strings"

	"daybook.example/eventstore"
	"daybook.example/eventstore/proof"
)

// leftOut tells what belongs to a server and cannot be written to another: its
// users, settings, subscriptions, links and so on. The metadata of ordinary
// streams are copied.
func leftOut(stream string) bool {
	return strings.HasPrefix(stream, "$") && !describes(stream)
}

// describes tells whether a stream holds the metadata of an ordinary one.
func describes(stream string) bool {
	original, ok := strings.CutPrefix(stream, "$$")
	return ok && !strings.HasPrefix(original, "$")
}

// An inspection reads the source ahead of the copy, so that what cannot be
// copied is known before anything is.
type inspection struct {
	source    cursor
	appendMax int
	next      map[string]eventstore.Revision // of every stream
	leftOut   map[string]uint64
	events    uint64
	bytes     uint64
}

func newInspection(source eventstore.Reader, appendMax int) inspection {
	return inspection{
		source: cursor{reader: source}, appendMax: appendMax,
		next: map[string]eventstore.Revision{}, leftOut: map[string]uint64{},
	}
}

// read goes on to the present end of the source.
func (i *inspection) read(ctx context.Context, tell func()) error {
	for {
		page, err := i.source.ahead(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, event := range page {
			if err := i.inspect(event); err != nil {
				return err
			}
			i.source.skip()
		}
		tell()
	}
}

func (i *inspection) inspect(e eventstore.Recorded) error {
	if leftOut(e.Stream) {
		i.leftOut[e.Stream]++
		return nil
	}
	if !proof.Tombstone(e) {
		switch {
		case size(e) > i.appendMax:
			return fmt.Errorf("%w: %s has %d bytes, the target takes %d", ErrTooLarge, place(e), size(e), i.appendMax)
		case e.ContentType != eventstore.ContentJSON && e.ContentType != eventstore.ContentBinary:
			return fmt.Errorf("%w: %s has %.40q", ErrContent, place(e), e.ContentType)
		case e.Revision != i.next[e.Stream]:
			return fmt.Errorf("%w: %s should have revision %d", ErrGap, place(e), i.next[e.Stream])
		}
		i.next[e.Stream]++
	}
	i.events++
	i.bytes += uint64(size(e))
	return nil
}

// reached tells whether an event was inspected.
func (i *inspection) reached(e eventstore.Recorded) bool { return !i.source.passed.Less(e.Position) }

// last is what a stream's end is expected to be before its tombstone.
func (i *inspection) last(stream string) eventstore.ExpectedRevision { return behind(i.next[stream]) }

// behind expects a stream to be as long as a revision says.
func behind(next eventstore.Revision) eventstore.ExpectedRevision {
	if next == 0 {
		return eventstore.NoStream
	}
	return eventstore.Exactly(next - 1)
}
